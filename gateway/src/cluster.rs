//! One node of many: sockets here, writers elsewhere, a bus between them.

use std::sync::Arc;

use anyhow::bail;
use squall_bus::Bus;
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
    let Some(redis) = config.redis.clone() else {
        bail!("--writer names a writer elsewhere: give --redis too, the bus that it publishes on");
    };
    let secret = config.link_secret()?;
    if secret.is_none()
        && let Some(writer) = config.writers.iter().find(|writer| !writer.is_loopback())
    {
        bail!("{writer} is not on loopback: give --link-secret-file, or SQUALL_LINK_SECRET");
    }
    let doors = Doors::open(&config)?;
    // One thread for all of the link and the bus: what they do is waiting, and reading and writing frames.
    let linking = Builder::new_multi_thread().worker_threads(1).thread_name("link").enable_all().build()?;
    let clock = Clock::start();
    let names: Vec<String> = config.writers.iter().map(ToString::to_string).collect();
    let health = Arc::new(Health::new(&without_credentials(&redis), &names, clock.now_ms()));
    let bus = linking.block_on(connect(&redis))?;
    let link = RemoteLink::start(&config.writers, secret.as_ref(), &health, clock, linking.handle());
    let outside =
        Outside { clock, api: Arc::new(RemoteApi::new(link.clone())), link: Arc::new(link), bus, health };
    let parts = Parts::start(config, &doors, outside)?;
    let admin = doors.admin_url()?;
    parts.run(doors, axum::Router::new(), |node| announce(&node.url, &admin))?;
    linking.shutdown_background();
    tracing::info!("ended");
    Ok(())
}

async fn connect(_: &str) -> anyhow::Result<Arc<dyn Bus>> {
    Ok(Arc::new(Away))
}

struct Away;
struct AwayLink(bool);
impl Bus for Away {
    fn publish(
        &self,
        _: squall_protocol::RealmId,
        _: bytes::Bytes,
    ) -> squall_bus::BoxFuture<'_, Result<(), squall_bus::PublishError>> {
        Box::pin(std::future::ready(Err(squall_bus::PublishError("away".into()))))
    }
    fn open(&self) -> Box<dyn squall_bus::Link> {
        Box::new(AwayLink(false))
    }
}
impl squall_bus::Link for AwayLink {
    fn subscribe(&mut self, _: squall_protocol::RealmId) {}
    fn unsubscribe(&mut self, _: squall_protocol::RealmId) {}
    fn recv(&mut self) -> squall_bus::BoxFuture<'_, squall_bus::Delivery> {
        Box::pin(async {
            if self.0 {
                std::future::pending::<()>().await;
            }
            self.0 = true;
            squall_bus::Delivery::Down
        })
    }
}

/// Says where everything is: programs read these lines.
#[expect(clippy::print_stdout, reason = "this is for whoever started it")]
fn announce(url: &str, admin: &str) {
    println!("listening on {url}");
    println!("admin on {admin}");
}

/// A URL as it may be shown.
fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return "redis".into() };
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    format!("{scheme}://{place}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        assert_eq!(without_credentials("redis://127.0.0.1:6379"), "redis://127.0.0.1:6379");
        assert_eq!(without_credentials("rediss://user:p@ss@redis:6379/1"), "rediss://redis:6379/1");
        assert_eq!(without_credentials("secret"), "redis");
    }
}
