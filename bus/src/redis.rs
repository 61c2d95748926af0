//! The bus on Redis: one server, a master behind Sentinels, or a Cluster.
//!
//! A realm's frames go over a channel of its own, by PUBLISH or, on a Cluster, by SPUBLISH. Redis may lose any of
//! them; what this module sees to is that a link always says so. The walk of a frame: [`RedisBus::publish`] →
//! `outbound` (bounded) → `publisher` (one batch under way) → Redis → `receiver` → `inbox` → the node.
//!
//! A connection (`wire`) that is in doubt is given up, never mended: its link is down until a new one holds all
//! subscriptions. Doubt comes from a `canary` that stays away, from an error, or from the server's own count of
//! the link's `subscriptions`, which tells whatever it let go of by itself.
mod address;
mod backoff;
mod canary;
mod channel;
mod config;
mod core;
mod crew;
mod link;
mod outbound;
mod publisher;
mod receiver;
mod shards;
mod subscriptions;
mod thread;
mod topology;
mod wire;

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use squall_protocol::RealmId;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use self::address::Server;
pub use self::address::{Address, AddressError};
use self::backoff::random;
pub use self::config::{ConfigError, RedisConfig};
use self::core::Core;
use self::crew::Foreman;
use self::link::{LinkState, RedisLink};
use self::outbound::{NotTaken, Order};
use self::publisher::Publisher;
use self::receiver::Receiver;
use self::thread::Thread;
use self::wire::Answer;
use crate::{BoxFuture, Bus, Link, PublishError};

/// A cheap handle on a bus, good on any runtime. Its connections live on a thread of their own, which ends with
/// the last handle and link.
#[derive(Clone)]
pub struct RedisBus {
    core: Arc<Core>,
    thread: Arc<Thread>,
}

/// Why there is no bus. That Redis can't be reached is no such reason.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The system gives no thread.
    #[error("no thread for the links to Redis: {0}")]
    Thread(#[from] io::Error),
}

/// Why a question to Redis has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// There is no connection; nothing was asked, and no time was lost.
    #[error("Redis can't be reached")]
    Away,
    /// No answer in the time given.
    #[error("Redis did not answer within {0:?}")]
    Timeout(Duration),
    /// An error of Redis, or of the way there.
    #[error("Redis: {0}")]
    Failed(String),
}

/// How a bus is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Whether publications reach every server there is.
    pub publishing: bool,
    /// Whether every link holds all subscriptions on every server there is; true without links.
    pub receiving: bool,
    /// How long ago the connection was heard that has been silent for longest; `None` without links. Above
    /// [`RedisConfig::silence_max`] it is not up.
    pub canary_age: Option<Duration>,
    /// Publications that Redis took.
    pub published: u64,
    /// Publications that Redis did not take, or not for certain.
    pub unpublished: u64,
    /// Frames that links received.
    pub received: u64,
    /// How often links told that frames may have been lost.
    pub gaps: u64,
    /// How often links went down.
    pub downs: u64,
}

impl RedisBus {
    /// A bus on the Redis at `url` (see [`Address`]). It connects in the background, for as long as it takes.
    pub fn connect(url: &str, config: RedisConfig) -> Result<Self, ConnectError> {
        config.check()?;
        let core = Arc::new(Core::new(Address::parse(url)?, config));
        let thread = Arc::new(Thread::start()?);
        let scouting = Arc::clone(&core);
        thread.runtime().spawn(async move {
            scouting.topology.keep(&scouting.address, &scouting.config).await;
        });
        let publishing = Arc::clone(&core);
        thread.runtime().spawn(async move {
            crew::keep(&publishing.topology, Publishers(Arc::clone(&publishing))).await;
        });
        Ok(Self { core, thread })
    }

    /// Waits until publications reach Redis; false if they do not within `limit`.
    pub async fn wait_until_publishing(&self, limit: Duration) -> bool {
        let publishing = async {
            while !self.core.is_publishing() {
                sleep(LOOK).await;
            }
        };
        timeout(limit, publishing).await.is_ok()
    }

    /// How the bus is.
    #[must_use]
    pub fn health(&self) -> Health {
        let (core, now) = (&self.core, Instant::now());
        let links = core.links();
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        Health {
            publishing: core.is_publishing(),
            receiving: links.iter().all(|link| link.is_up()),
            canary_age: links.iter().filter_map(|link| link.silence(now)).max(),
            published: count(&core.counters.published),
            unpublished: count(&core.counters.unpublished),
            received: count(&core.counters.received),
            gaps: count(&core.counters.gaps),
            downs: count(&core.counters.downs),
        }
    }

    /// The name of a key; on a Cluster keys of one tag lie on one server. The tag has no braces.
    #[must_use]
    pub fn key(&self, tag: &str, name: &str) -> String {
        format!("{}:{{{tag}}}:{name}", self.core.address.prefix)
    }

    /// Runs a Lua script on keys of one tag, of which there is at least one; its answer is a list of numbers.
    /// Dropped or out of time, it may have been done or not.
    pub async fn eval(
        &self,
        script: &str,
        keys: Vec<String>,
        arguments: Vec<String>,
        limit: Duration,
    ) -> Result<Vec<i64>, AskError> {
        let server = keys.first().and_then(|key| self.core.server_of_name(key));
        let outbound = server.and_then(|server| self.core.outbound(&server)).ok_or(AskError::Away)?;
        let mut words = vec!["EVAL".to_owned(), script.to_owned(), keys.len().to_string()];
        words.extend(keys);
        words.extend(arguments);
        let (reply, answer) = oneshot::channel();
        // A queue that is full is no place for a question.
        outbound.offer(Order::Ask { words, reply }).map_err(|refused| match refused {
            NotTaken::Away => AskError::Away,
            NotTaken::Full(_) => AskError::Failed("too much waits for it".into()),
        })?;
        match timeout(limit, answer).await {
            Ok(Ok(Ok(answer))) => numbers(&answer),
            Ok(Ok(Err(words))) => Err(AskError::Failed(words)),
            Ok(Err(_)) => Err(AskError::Away),
            Err(_) => Err(AskError::Timeout(limit)),
        }
    }
}

/// How often [`RedisBus::wait_until_publishing`] looks.
const LOOK: Duration = Duration::from_millis(5);

impl Bus for RedisBus {
    fn publish(&self, realm: RealmId, frame: Bytes) -> BoxFuture<'_, Result<(), PublishError>> {
        let outbound = self.core.server_of(realm).and_then(|server| self.core.outbound(&server));
        let away = move || {
            self.core.handle_unpublished(realm);
            PublishError("Redis can't be reached".into())
        };
        let Some(outbound) = outbound else { return Box::pin(std::future::ready(Err(away()))) };
        // In the queue now, not when polled: the order of the calls is the order of the frames.
        match outbound.offer(Order::Publish { realm, frame }) {
            Ok(()) => Box::pin(std::future::ready(Ok(()))),
            Err(NotTaken::Away) => Box::pin(std::future::ready(Err(away()))),
            Err(NotTaken::Full(order)) => Box::pin(async move {
                match outbound.offer_again(order).await {
                    Ok(()) => Ok(()),
                    Err(NotTaken::Away) => Err(away()),
                    Err(NotTaken::Full(_)) => {
                        self.core.handle_unpublished(realm);
                        Err(PublishError("Redis takes nothing at the moment".into()))
                    }
                }
            }),
        }
    }

    fn open(&self) -> Box<dyn Link> {
        let state = Arc::new(LinkState::new(random(), Arc::clone(&self.core)));
        self.core.add_link(&state);
        let receivers = Receivers { core: Arc::clone(&self.core), link: Arc::clone(&state) };
        let core = Arc::clone(&self.core);
        let crew = self.thread.runtime().spawn(async move { crew::keep(&core.topology, receivers).await });
        Box::new(RedisLink::new(state, crew.abort_handle(), Arc::clone(&self.thread)))
    }

    fn is_publishing(&self) -> bool {
        self.core.is_publishing()
    }
}

/// The connections over which servers are asked.
struct Publishers(Arc<Core>);

impl Foreman for Publishers {
    fn hire(&mut self, server: &Server) -> impl Future<Output = ()> + Send + 'static {
        let outbound = self.0.add_outbound(server);
        Publisher::new(Arc::clone(&self.0), server.clone(), outbound).run()
    }

    fn dismiss(&mut self, server: &Server) {
        self.0.remove_outbound(server);
    }

    fn handle_unreachable(&mut self) {}
}

/// One link's connections.
struct Receivers {
    core: Arc<Core>,
    link: Arc<LinkState>,
}

impl Foreman for Receivers {
    fn hire(&mut self, server: &Server) -> impl Future<Output = ()> + Send + 'static {
        self.link.add(server);
        Receiver::new(Arc::clone(&self.core), Arc::clone(&self.link), server.clone()).run()
    }

    fn dismiss(&mut self, server: &Server) {
        self.link.remove(server);
    }

    fn handle_unreachable(&mut self) {
        self.link.lost_all();
    }
}

fn numbers(answer: &Answer) -> Result<Vec<i64>, AskError> {
    let numbers: Option<Vec<_>> = answer.list().iter().map(Answer::integer).collect();
    numbers.ok_or_else(|| AskError::Failed(format!("numbers were expected, not {answer:?}")))
}

impl std::fmt::Debug for RedisBus {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_tuple("RedisBus").field(&self.core.address).finish()
    }
}
