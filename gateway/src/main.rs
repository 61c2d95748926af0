//! `gateway`: holds sockets and writes to them. Started alone, it is all of Squall in one process.

mod admission;
mod all_in_one;
mod clock;
mod config;
mod demo;
mod front;
mod http;
mod keeper;
mod node;
mod queues;
mod registry;
mod shard;
mod site;
mod upgrade;
mod writer_link;
mod zulip;

use anyhow::Context;
use clap::Parser;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::Config;

fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    let wanted: Targets =
        config.log.parse().context("--log takes `LEVEL` or `TARGET=LEVEL`, several with commas")?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    tracing_subscriber::registry().with(lines.with_filter(wanted)).init();
    all_in_one::run(config)
}
