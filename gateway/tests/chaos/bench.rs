//! A whole cluster on real servers.

use std::net::SocketAddr;
use std::time::Duration;

use squall_servers::{Cable, Postgres, Redis};

use crate::load::Load;
use crate::support::cluster::{Cluster, Plan};
use crate::support::member::Member;

/// Three gateways, two writers, Redis, PostgreSQL.
pub(crate) struct Bench {
    pub(crate) cluster: Cluster,
    /// A fourth gateway, if there is one.
    extra: Option<Member>,
    plan: Plan,
    pub(crate) redis: Redis,
    pub(crate) database: Postgres,
}

pub(crate) const GATEWAYS: usize = 3;

/// A time that is shorter in `make test`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lasting {
    short: Duration,
    real: Duration,
}

impl Bench {
    pub(crate) async fn start() -> Self {
        let (redis, database) = (Redis::start(), Postgres::start());
        let plan = Plan {
            gateways: GATEWAYS,
            writers: 2,
            users: 1,
            database: Some(database.create_database()),
            redis: Some(redis.url()),
            ..Plan::default()
        };
        let cluster = Cluster::start(&plan).await;
        let bench = Self { cluster, extra: None, plan, redis, database };
        bench.until_whole().await;
        bench
    }

    /// A load on all gateways, with more options on its command line.
    pub(crate) fn load(&self, options: &[&str]) -> Load {
        let addresses: Vec<_> = self.gateways().map(Member::address).collect();
        Load::start(&addresses, self.cluster.writer(0).admin(), options)
    }

    /// One more gateway, which reaches Redis by a cable that can be cut.
    pub(crate) async fn add_gateway_on_a_cable(&mut self) -> Cable {
        let cable = Cable::to(self.redis.address());
        let plan = Plan { redis: Some(format!("redis://{}", cable.address())), ..self.plan.clone() };
        let links: Vec<SocketAddr> = [0, 1].map(|writer| self.cluster.writer(writer).link()).to_vec();
        self.extra = Some(plan.start_gateway(&links).await);
        self.until_whole().await;
        cable
    }

    /// Waits until a gateway says that it does without something.
    pub(crate) async fn until_degraded(&self) {
        let degraded = |_, said: &serde_json::Value| said["degraded"] == true;
        self.cluster.gateway(0).until_it_says("a gateway to be degraded", degraded).await;
    }

    /// Waits until every gateway reaches everything.
    pub(crate) async fn until_whole(&self) {
        let whole = |status: u16, said: &serde_json::Value| status == 200 && said["degraded"] == false;
        for gateway in self.gateways() {
            gateway.until_it_says("a gateway to reach everything", whole).await;
        }
    }

    fn gateways(&self) -> impl Iterator<Item = &Member> {
        (0..GATEWAYS).map(|number| self.cluster.gateway(number)).chain(&self.extra)
    }
}

impl Lasting {
    pub(crate) const A_MOMENT: Self = Self::new(500, 5_000);
    pub(crate) const A_WHILE: Self = Self::new(1_500, 10_000);
    pub(crate) const AN_OUTAGE: Self = Self::new(3_000, 30_000);

    const fn new(short_ms: u64, real_ms: u64) -> Self {
        Self { short: Duration::from_millis(short_ms), real: Duration::from_millis(real_ms) }
    }

    /// How long it is in this run.
    pub(crate) fn here(self) -> Duration {
        if is_full() { self.real } else { self.short }
    }

    /// How often something is done in this run.
    pub(crate) fn times(short: usize, real: usize) -> usize {
        if is_full() { real } else { short }
    }
}

/// Whether times and sizes are the real ones.
pub(crate) fn is_full() -> bool {
    std::env::var("CHAOS").is_ok_and(|value| value == "full")
}
