//! What every gateway process has, whatever its writer is: its doors, its threads, and an orderly end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::routing::get;
use hyper::{Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde_json::Value;
use squall_bus::Bus;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::LocalSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::admission::Admission;
use crate::clock::{BusOffset, Clock};
use crate::config::Config;
use crate::cut_off::{CutOff, Turn};
use crate::demo;
use crate::front;
use crate::health::{Asker, Health, respond};
use crate::http::{Api, Body};
use crate::identities::Identities;
use crate::keeper::{Company, KeeperHandle, KeeperSetup, Keepers};
use crate::link_stats::{CountedLink, LinkStats};
use crate::node::Node;
use crate::queues::Queues;
use crate::registry::Registry;
use crate::shard::{Shard, ShardHandle, ShardInput, shard_channel};
use crate::writer_link::WriterLink;

/// The listeners of a process, taken before anything else is: a port in use is found at once.
pub(crate) struct Doors {
    /// What accepts, and what else is no shard's work.
    pub(crate) front: Runtime,
    listener: TcpListener,
    admin: TcpListener,
    admission: Admission,
}

/// What a node works with.
pub(crate) struct Outside {
    pub(crate) clock: Clock,
    pub(crate) link: Arc<dyn WriterLink>,
    pub(crate) api: Arc<dyn Api>,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) health: Arc<Health>,
    /// What else is counted in this process, beside the node's own: an object.
    pub(crate) counts: Counts,
}

/// Counts, as they are now.
pub(crate) type Counts = Arc<dyn Fn() -> Value + Send + Sync>;

/// The threads of a node.
pub(crate) struct Parts {
    node: Arc<Node>,
    stats: Arc<LinkStats>,
    counts: Counts,
    shards: Vec<ShardHandle>,
    shard_threads: Vec<JoinHandle<()>>,
    keeper_thread: JoinHandle<()>,
}

/// How long the end of anything may take after the clients are gone.
pub(crate) const END_MAX: Duration = Duration::from_secs(5);

/// The last answers are flushed and goodbyes heard within this.
const GOODBYE_MAX: Duration = Duration::from_secs(2);

/// How often it is looked at whether the node is cut off.
const CUT_OFF_LOOK: Duration = Duration::from_millis(250);

impl Doors {
    /// Listens for clients and for operators.
    pub(crate) fn open(config: &Config) -> anyhow::Result<Self> {
        let front = Builder::new_current_thread().enable_all().build()?;
        let listener = front.block_on(async { front::listen(config.listen) });
        let listener = listener.with_context(|| format!("can't listen on {}", config.listen))?;
        let admin = front.block_on(TcpListener::bind(config.admin_listen));
        let admin =
            admin.with_context(|| format!("can't listen on {} for operators", config.admin_listen))?;
        Ok(Self { front, listener, admin, admission: config.admission() })
    }

    /// Where clients reach the node.
    pub(crate) fn url(&self, config: &Config) -> anyhow::Result<String> {
        let address = self.listener.local_addr()?;
        Ok(config.public_url.clone().unwrap_or_else(|| format!("http://{address}")))
    }

    /// Where operators do.
    fn admin_url(&self) -> anyhow::Result<String> {
        Ok(format!("http://{}", self.admin.local_addr()?))
    }
}

impl Parts {
    /// Starts the threads; nobody is let in yet.
    pub(crate) fn start(config: Config, doors: &Doors, outside: Outside) -> anyhow::Result<Self> {
        let Outside { clock, link, api, bus, health, counts } = outside;
        let (url, times) = (doors.url(&config)?, config.presence_times()?);
        let stats = Arc::new(LinkStats::default());
        let link: Arc<dyn WriterLink> = Arc::new(CountedLink::new(link, stats.clone()));
        let (keeper_inbox, keeper_receiver) = unbounded_channel();
        let channels: Vec<_> = (0..config.shards()).map(|_| shard_channel()).collect();
        let shards: Vec<_> = channels.iter().map(|(handle, _)| handle.clone()).collect();
        let bus_offset = BusOffset::default();
        let node = Arc::new(Node {
            clock,
            bus_offset: bus_offset.clone(),
            times,
            identities: Identities::start(link.clone(), doors.front.handle()),
            link: link.clone(),
            api,
            bus: bus.clone(),
            keepers: KeeperHandle::new(keeper_inbox),
            health: health.clone(),
            registry: Registry::new(config.sessions_per_user_max),
            queues: Queues::default(),
            handles: shards.clone(),
            url,
            shards: shards.len(),
            sessions: Node::first_session_id(),
            draining: AtomicBool::new(false),
            handed_on: AtomicBool::new(false),
            config,
        });
        let setup = KeeperSetup {
            clock,
            bus_offset,
            link,
            health,
            shards: shards.clone(),
            times,
            linger: node.config.realm_linger,
            company: node.config.is_among_nodes().then(Company::random),
        };
        let keepers = Keepers::new(setup, &bus);
        let keeper_thread = spawn("keeper", move |runtime| runtime.block_on(keepers.run(keeper_receiver)))?;
        let mut shard_threads = Vec::new();
        for (index, (handle, inbox)) in channels.into_iter().enumerate() {
            let node = node.clone();
            shard_threads.push(spawn(&format!("shard-{index}"), move |runtime| {
                let ended = LocalSet::new().block_on(&runtime, Shard::run(index, node, handle, inbox));
                if let Err(error) = ended {
                    tracing::error!(%error, index, "a shard failed");
                    // Its sockets are gone; the process must not go on as if they were not.
                    std::process::exit(70);
                }
            })?);
        }
        Ok(Self { node, stats, counts, shards, shard_threads, keeper_thread })
    }

    /// Announces the node, serves until a signal, hands the clients on, and waits for the threads. `operators`
    /// are answered beside what every node tells them.
    pub(crate) fn run(self, doors: Doors, operators: Router) -> anyhow::Result<()> {
        let admin_url = doors.admin_url()?;
        let Doors { front, listener, admin, admission } = doors;
        let operators = self.operators().merge(operators);
        front.block_on(async {
            // From its first line on, it ends well.
            let mut signals = Signals::new()?;
            announce(&self.node, &admin_url);
            tokio::select! {
                () = front::accept(&listener, &self.shards, &admission) => {}
                () = serve_operators(admin, operators) => {}
                () = self.watch_links() => {}
                () = signals.recv() => {}
            }
            drop(listener);
            self.drain(&mut signals).await;
            anyhow::Ok(())
        })?;
        self.join(front)
    }

    /// What every node tells its operators.
    fn operators(&self) -> Router {
        let (node, stats, counts) = (self.node.clone(), self.stats.clone(), self.counts.clone());
        let tell_stats = move || {
            let mut body = counts();
            body["link"] = stats.json();
            std::future::ready(told(respond(StatusCode::OK, &body)))
        };
        let tell_readiness = move || std::future::ready(told(node.readiness(Asker::Operator)));
        Router::new()
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(tell_readiness))
            .route("/admin/stats", get(tell_stats))
    }

    /// Hands the clients on when the node has been cut off for long, and takes some in again afterwards; for ever.
    async fn watch_links(&self) {
        let config = &self.node.config;
        let mut cut_off = CutOff::new(config.cut_off_max);
        let mut look = interval(CUT_OFF_LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            look.tick().await;
            let since_ms = self.node.health.cut_off_since_ms();
            let Some(turn) = cut_off.handle(since_ms, self.node.clock.now_ms()) else { continue };
            tracing::warn!(?turn, "clients of a node that reaches neither the bus nor a writer");
            self.node.handed_on.store(turn == Turn::HandOn, Ordering::Relaxed);
            for shard in &self.shards {
                shard.tell(match turn {
                    Turn::HandOn => ShardInput::HandOn(config.drain),
                    Turn::TakeIn => ShardInput::Stay,
                });
            }
        }
    }

    /// Hands the clients on, each in its own time, and waits for them to be gone.
    async fn drain(&self, signals: &mut Signals) {
        let over = self.node.config.drain;
        tracing::info!(?over, "draining");
        self.node.draining.store(true, Ordering::Relaxed);
        self.shards.iter().for_each(|shard| shard.tell(ShardInput::Drain(over)));
        let gone = async {
            while self.shards.iter().any(|shard| shard.sockets() > 0) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            _ = timeout(over + GOODBYE_MAX, gone) => {}
            () = signals.recv() => tracing::warn!("a second signal: not waiting for the clients that are left"),
        }
        self.shards.iter().for_each(|shard| shard.tell(ShardInput::Stop));
    }

    /// Waits for the threads; what the keepers still have to store is stored.
    fn join(self, front: Runtime) -> anyhow::Result<()> {
        let Self { node, shards, shard_threads, keeper_thread, .. } = self;
        for thread in shard_threads {
            thread.join().map_err(|_| anyhow::anyhow!("a shard panicked"))?;
        }
        // With the front go the last handles of the keepers: the operators' connections have some.
        drop((front, node, shards));
        keeper_thread.join().map_err(|_| anyhow::anyhow!("the keeper panicked"))
    }
}

/// Says where everything is: programs read the first two lines.
#[expect(clippy::print_stdout, reason = "this is for whoever started it")]
fn announce(node: &Node, admin: &str) {
    let (url, dir) = (&node.url, node.config.data_dir.display());
    println!("listening on {url}");
    println!("admin on {admin}");
    if let users @ [_, ..] = &demo::read(&node.config.data_dir)[..] {
        let names: Vec<_> = users.iter().map(|user| user.name.as_str()).collect();
        println!();
        println!("  Open {url}/ in two windows and be two of: {}.", names.join(", "));
        println!("  Their credentials for programs: {dir}/demo/NAME.zuliprc");
    }
}

/// An answer as the router gives it.
fn told(response: Response<Body>) -> Response<axum::body::Body> {
    response.map(axum::body::Body::new)
}

/// A thread with a current-thread runtime.
pub(crate) fn spawn(
    name: &str,
    work: impl FnOnce(Runtime) + Send + 'static,
) -> anyhow::Result<JoinHandle<()>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    Ok(thread::Builder::new().name(name.into()).spawn(move || work(runtime))?)
}

/// The signals that end the process.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Serves the operators' address for ever.
async fn serve_operators(listener: TcpListener, router: Router) {
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(socket), service);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an operator's connection ended");
            }
        });
    }
}
