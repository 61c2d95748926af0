//! The suite every bus passes.

use bytes::Bytes;
use squall_bus::redis::RedisConfig;
use squall_bus::{BoxFuture, Bus, Link, PublishError, RedisBus, conformance};
use squall_protocol::RealmId;
use squall_servers::{Redis, RedisCluster, Sentinels};

use crate::bench::{bus, patient};

/// One process publishes, another receives.
struct Apart {
    publisher: RedisBus,
    node: RedisBus,
}

impl Bus for Apart {
    fn publish(&self, realm: RealmId, frame: Bytes) -> BoxFuture<'_, Result<(), PublishError>> {
        self.publisher.publish(realm, frame)
    }

    fn open(&self) -> Box<dyn Link> {
        self.node.open()
    }
}

async fn pass(url: &str) {
    conformance::all(async |capacity| {
        let config = RedisConfig { link_frames_max: capacity, ..patient() };
        Box::new(Apart { publisher: bus(url, config.clone()).await, node: bus(url, config).await })
            as Box<dyn Bus>
    })
    .await;
}

#[tokio::test]
async fn a_single_redis_conforms() {
    pass(&Redis::start().url()).await;
}

#[tokio::test]
async fn one_handle_for_both_conforms() {
    let redis = Redis::start();
    conformance::all(async |capacity| {
        let config = RedisConfig { link_frames_max: capacity, ..patient() };
        Box::new(bus(&redis.url(), config).await) as Box<dyn Bus>
    })
    .await;
}

#[tokio::test]
async fn sentinels_conform_before_and_after_a_failover() {
    let sentinels = Sentinels::start();
    pass(&sentinels.url()).await;
    sentinels.fail_over();
    pass(&sentinels.url()).await;
}

#[tokio::test]
async fn a_cluster_conforms() {
    pass(&RedisCluster::start().url()).await;
}
