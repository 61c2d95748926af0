//! A publisher and a node on one Redis, as in two processes, and an eye on what the node's link says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use squall_bus::redis::RedisConfig;
use squall_bus::{Bus, Delivery, Link, RedisBus};
use squall_protocol::{RealmId, frame};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

pub(crate) const REALM: RealmId = RealmId(17);

/// How long anything may take that has to happen.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// Quicker than in production by half or more, but not so quick that a busy machine is taken for a dead Redis.
pub(crate) fn quick() -> RedisConfig {
    RedisConfig {
        canary_every: Duration::from_millis(250),
        connect_timeout: Duration::from_millis(500),
        reconnect_max: Duration::from_millis(200),
        topology_every: Duration::from_secs(2),
        ..RedisConfig::default()
    }
}

/// As in production, but patient with a Redis that shares two cores with all else.
pub(crate) fn patient() -> RedisConfig {
    RedisConfig { publish_timeout: Duration::from_secs(1), ..RedisConfig::default() }
}

/// A bus that can be reached.
pub(crate) async fn bus(url: &str, config: RedisConfig) -> RedisBus {
    // Shown for a test that fails; another test of this process may have been first.
    let _ = tracing_subscriber::fmt().with_test_writer().with_max_level(tracing::Level::DEBUG).try_init();
    let bus = RedisBus::connect(url, config).unwrap();
    assert!(bus.wait_until_publishing(WAIT_MAX).await, "{url} can't be reached");
    bus
}

/// A publisher that publishes numbers in [`REALM`] all the time, and a node's link. Whatever is read from the
/// link is checked: a number that is missing was announced.
pub(crate) struct Bench {
    pub(crate) publisher: RedisBus,
    pub(crate) node: RedisBus,
    pub(crate) link: Box<dyn Link>,
    publishing: Publishing,
    last: Option<u64>,
    /// The number that was next when something was said last: it explains the loss of any before.
    explained: u64,
    pub(crate) numbers_missed: u64,
}

struct Publishing {
    task: JoinHandle<()>,
    stop: Arc<AtomicBool>,
    /// The number to be published next.
    next: Arc<AtomicU64>,
    /// The longest a publication took, in microseconds.
    longest_us: Arc<AtomicU64>,
}

impl Bench {
    /// Both on one Redis.
    pub(crate) async fn on(url: &str) -> Self {
        Self::with(bus(url, quick()).await, bus(url, quick()).await).await
    }

    pub(crate) async fn with(publisher: RedisBus, node: RedisBus) -> Self {
        let mut link = node.open();
        link.subscribe(REALM);
        let publishing = Publishing::start(publisher.clone());
        let mut bench =
            Self { publisher, node, link, publishing, last: None, explained: 0, numbers_missed: 0 };
        bench.expect(&Delivery::Up).await;
        bench.expect_frames(3).await;
        bench
    }

    /// Reads until the link says this; how long that took. A gap is also told by "up".
    pub(crate) async fn expect(&mut self, wanted: &Delivery) -> Duration {
        let start = Instant::now();
        let found = timeout(WAIT_MAX, async { while self.read().await != *wanted {} });
        assert!(found.await.is_ok(), "the link never said {wanted:?}; {:?}", self.node.health());
        start.elapsed()
    }

    /// Reads until the link says that frames may have been lost, in whatever words.
    pub(crate) async fn expect_any_warning(&mut self) -> Duration {
        let start = Instant::now();
        let found = timeout(WAIT_MAX, async { while matches!(self.read().await, Delivery::Frame { .. }) {} });
        assert!(found.await.is_ok(), "the link never warned; {:?}", self.node.health());
        start.elapsed()
    }

    /// Reads until so many frames have come that were published from now on; how long that took.
    pub(crate) async fn expect_frames(&mut self, count: usize) -> Duration {
        let start = Instant::now();
        let (next, mut fresh) = (self.publishing.next(), 0);
        let found = timeout(WAIT_MAX, async {
            while fresh < count {
                if let Delivery::Frame { frame, .. } = self.read().await
                    && number(&frame).is_some_and(|number| number >= next)
                {
                    fresh += 1;
                }
            }
        });
        assert!(found.await.is_ok(), "frames do not flow; {:?}", self.node.health());
        start.elapsed()
    }

    /// Reads for a while; the frames and the warnings that came.
    pub(crate) async fn read_for(&mut self, time: Duration) -> (u64, u64) {
        let (mut frames, mut warnings) = (0, 0);
        let _ = timeout(time, async {
            loop {
                match self.read().await {
                    Delivery::Frame { .. } => frames += 1,
                    Delivery::Gap | Delivery::Up | Delivery::Down => warnings += 1,
                }
            }
        })
        .await;
        (frames, warnings)
    }

    async fn read(&mut self) -> Delivery {
        let delivery = self.link.recv().await;
        match &delivery {
            Delivery::Gap | Delivery::Up | Delivery::Down => self.explained = self.publishing.next(),
            Delivery::Frame { realm, frame } => {
                assert_eq!(*realm, REALM);
                match number(frame) {
                    Some(number) => self.handle_number(number),
                    // The publisher lost some itself, and says so.
                    None => {
                        assert_eq!(*frame, frame::look());
                        self.explained = self.publishing.next();
                    }
                }
            }
        }
        delivery
    }

    fn handle_number(&mut self, number: u64) {
        if let Some(last) = self.last {
            assert!(number > last, "{number} after {last}");
            let missed = number - last - 1;
            assert!(missed == 0 || number <= self.explained, "{missed} before {number} were lost in silence");
            self.numbers_missed += missed;
        }
        self.last = Some(number);
    }

    /// The longest a publication took since the last time this was asked.
    pub(crate) fn longest_publication(&self) -> Duration {
        Duration::from_micros(self.publishing.longest_us.swap(0, Ordering::Relaxed))
    }

    /// Publishes no more numbers; what is under way still comes.
    pub(crate) async fn stop_publishing(&mut self) {
        self.publishing.stop.store(true, Ordering::Relaxed);
        (&mut self.publishing.task).await.unwrap();
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.publishing.task.abort();
    }
}

impl Publishing {
    fn start(bus: RedisBus) -> Self {
        let (stop, next, longest_us): (Arc<AtomicBool>, Arc<AtomicU64>, Arc<AtomicU64>) = Default::default();
        let (stopped, numbers, longest) = (Arc::clone(&stop), Arc::clone(&next), Arc::clone(&longest_us));
        let task = tokio::spawn(async move {
            while !stopped.load(Ordering::Relaxed) {
                let number = numbers.fetch_add(1, Ordering::Relaxed);
                let start = Instant::now();
                // That it may fail is what is tested; the link has to make it known.
                let _ = bus.publish(REALM, Bytes::from(number.to_le_bytes().to_vec())).await;
                longest.fetch_max(start.elapsed().as_micros() as u64, Ordering::Relaxed);
                sleep(Duration::from_millis(2)).await;
            }
        });
        Self { task, stop, next, longest_us }
    }

    fn next(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }
}

fn number(frame: &[u8]) -> Option<u64> {
    frame.try_into().ok().map(u64::from_le_bytes)
}

/// The URL of a Redis at another address.
pub(crate) fn url(address: SocketAddr) -> String {
    format!("redis://{address}")
}

/// Says what was measured; `cargo test -- --nocapture` shows it.
pub(crate) fn say(what: &str, time: Duration) {
    println!("{what}: {} ms", time.as_millis());
}
