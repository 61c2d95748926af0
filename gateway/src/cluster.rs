//! One node of many: sockets here, writers elsewhere, a bus between them.

use std::sync::Arc;

use anyhow::{Context, bail};
use squall_bus::redis::Address;
use squall_bus::{Bus, RedisBus, RedisConfig};
use tokio::runtime::Builder;

use crate::clock::Clock;
use crate::config::Config;
use crate::health::Health;
use crate::parts::{Doors, Outside, Parts};
use crate::remote_link::RemoteLink;
use crate::remote_link::api::RemoteApi;

/// Starts a node, serves until a signal, hands the clients on, ends. It starts without Redis and writers too, and
/// is ready when it reached one of the latter.
pub(crate) fn run(config: Config) -> anyhow::Result<()> {
    let Some(redis) = &config.redis else {
        bail!("--writer names a writer elsewhere: give --redis too, the bus that it publishes on");
    };
    let bus = Address::parse(redis).context("--redis")?;
    let secret = config.link_secret()?;
    if secret.is_none()
        && let Some(writer) = config.writers.iter().find(|writer| !writer.is_loopback())
    {
        bail!("{writer} is not on loopback: give --link-secret-file, or SQUALL_LINK_SECRET");
    }
    let doors = Doors::open(&config)?;
    // One thread for all of the link: what it does is waiting, and reading and writing frames.
    let linking = Builder::new_multi_thread().worker_threads(1).thread_name("link").enable_all().build()?;
    let clock = Clock::start();
    let names: Vec<String> = config.writers.iter().map(ToString::to_string).collect();
    let health = Arc::new(Health::new(&bus.to_string(), &names, clock.now_ms()));
    let bus: Arc<dyn Bus> = Arc::new(RedisBus::connect(redis, RedisConfig::default()).context("--redis")?);
    let link = RemoteLink::start(&config.writers, secret.as_ref(), &health, clock, linking.handle());
    let outside = Outside {
        clock,
        api: Arc::new(RemoteApi::new(link.clone())),
        link: Arc::new(link),
        bus,
        health,
        counts: Arc::new(|| serde_json::json!({})),
    };
    let parts = Parts::start(config, &doors, outside)?;
    parts.run(doors, axum::Router::new())?;
    linking.shutdown_background();
    tracing::info!("ended");
    Ok(())
}
