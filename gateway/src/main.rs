//! `gateway`: holds sockets and writes to them. Started alone, it is all of Squall in one process; with the
//! addresses of writers, one node of many.

mod admission;
mod all_in_one;
mod clock;
mod cluster;
mod config;
mod cut_off;
mod demo;
mod front;
mod health;
mod http;
mod identities;
mod keeper;
mod link_stats;
mod node;
mod parts;
mod queues;
mod registry;
mod remote_link;
mod shard;
mod site;
#[cfg(test)]
mod testing;
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
    if config.writers.is_empty() { all_in_one::run(config) } else { cluster::run(config) }
}
