//! `gateway`: holds sockets and writes to them. Started alone, it is all of Squall in one process.

mod all_in_one;
mod clock;
mod config;
mod demo;
mod front;
mod http;
mod keeper;
mod node;
mod registry;
mod shard;
mod site;
mod writer_link;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::config::Config;

fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    let filter = EnvFilter::try_new(&config.log)?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    all_in_one::run(config)
}
