//! All of Squall in one process. The only place that knows the writer lives here too.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::Service as _;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use squall_bus::{BoxFuture, Bus, MemoryBus};
use squall_protocol::link::{
    Identity, LastHeard, LinkError, LogRange, PageCursor, RealmPage, WriteOutcome, WriteRequest,
};
use squall_protocol::{Position, RealmId, Sequence};
use squall_writer::{Writer, demo as demo_realm};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::LocalSet;
use tokio::time::{sleep, timeout};

use crate::clock::Clock;
use crate::config::Config;
use crate::demo::{self, Credentials};
use crate::front;
use crate::http::{Api, Body, text};
use crate::keeper::{KeeperHandle, KeeperSetup, Keepers};
use crate::node::Node;
use crate::registry::Registry;
use crate::shard::{Shard, ShardHandle, ShardInput, shard_channel};
use crate::writer_link::WriterLink;

/// Starts everything, serves until a signal, hands the clients on, ends.
pub(crate) fn run(config: Config) -> anyhow::Result<()> {
    let front = Builder::new_current_thread().enable_all().build()?;
    let listener = front.block_on(async { front::Listener::bind(config.listen) });
    let listener = listener.with_context(|| format!("can't listen on {}", config.listen))?;
    let admin = front.block_on(TcpListener::bind(config.admin_listen));
    let admin = admin.with_context(|| format!("can't listen on {} for operators", config.admin_listen))?;
    let address = listener.local_addr()?;
    let url = config.public_url.clone().unwrap_or_else(|| format!("http://{address}"));

    let admission = config.admission();
    let bus: Arc<dyn Bus> = Arc::new(MemoryBus::new());
    let writing = Builder::new_multi_thread().worker_threads(1).thread_name("writer").enable_all().build()?;
    let writer = writing.block_on(open_writer(&config, &url, bus.clone()))?;
    let parts = Parts::start(config, url, &writer, bus, writing.handle())?;

    front.block_on(async {
        // From its first line on, it ends well.
        let mut signals = Signals::new()?;
        announce(&parts.node, admin.local_addr()?.port());
        let operators = serve_admin(admin, writer.admin());
        tokio::select! {
            () = front::accept(&listener, &parts.shards, &admission) => {}
            () = operators => {}
            () = signals.recv() => {}
        }
        drop(listener);
        parts.drain(&mut signals).await;
        anyhow::Ok(())
    })?;
    parts.join(&writing, writer)
}

/// The threads of a node.
struct Parts {
    node: Arc<Node>,
    shards: Vec<ShardHandle>,
    shard_threads: Vec<JoinHandle<()>>,
    keeper_thread: JoinHandle<()>,
}

/// How long the end of a node may take after its clients are gone.
const END_MAX: Duration = Duration::from_secs(5);

/// The last answers are flushed and goodbyes heard within this.
const GOODBYE_MAX: Duration = Duration::from_secs(2);

impl Parts {
    fn start(
        config: Config,
        url: String,
        writer: &Writer,
        bus: Arc<dyn Bus>,
        writing: &Handle,
    ) -> anyhow::Result<Self> {
        let (clock, times) = (Clock::start(), config.presence_times()?);
        let link: Arc<dyn WriterLink> = Arc::new(DirectLink(writer.clone()));
        let (keeper_inbox, keeper_receiver) = unbounded_channel();
        let channels: Vec<_> = (0..config.shards()).map(|_| shard_channel()).collect();
        let shards: Vec<_> = channels.iter().map(|(handle, _)| handle.clone()).collect();
        let node = Arc::new(Node {
            clock,
            times,
            link: link.clone(),
            api: Arc::new(DirectApi { router: writer.api(), writing: writing.clone() }),
            bus: bus.clone(),
            keepers: KeeperHandle::new(keeper_inbox),
            registry: Registry::new(config.sessions_per_user_max),
            url,
            shards: shards.len(),
            sessions: Node::first_session_id(),
            draining: AtomicBool::new(false),
            config,
        });
        let linger = node.config.realm_linger;
        let keepers = Keepers::new(KeeperSetup { clock, link, shards: shards.clone(), times, linger }, &bus);
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
        Ok(Self { node, shards, shard_threads, keeper_thread })
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

    /// Waits for the threads; what was accepted for writing is written.
    fn join(self, writing: &Runtime, writer: Writer) -> anyhow::Result<()> {
        let Self { node, shards, shard_threads, keeper_thread } = self;
        for thread in shard_threads {
            thread.join().map_err(|_| anyhow::anyhow!("a shard panicked"))?;
        }
        drop((node, shards));
        keeper_thread.join().map_err(|_| anyhow::anyhow!("the keeper panicked"))?;
        let closed = writing.block_on(async { timeout(END_MAX, writer.close()).await });
        closed.context("the writer did not end in time")?;
        tracing::info!("ended");
        Ok(())
    }
}

/// A thread with a current-thread runtime.
fn spawn(name: &str, work: impl FnOnce(Runtime) + Send + 'static) -> anyhow::Result<JoinHandle<()>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    Ok(thread::Builder::new().name(name.into()).spawn(move || work(runtime))?)
}

async fn open_writer(config: &Config, url: &str, bus: Arc<dyn Bus>) -> anyhow::Result<Writer> {
    let writer = Writer::open(
        squall_writer::Config {
            data_dir: config.data_dir.clone(),
            rate_limit_per_minute: config.rate_limit,
            log_window: config.resume_window,
            public_url: Some(url.into()),
            ..squall_writer::Config::default()
        },
        bus,
    );
    let writer = writer.await?;
    let seeded = demo_realm::seed(&writer).await.context("can't make the demo realm")?;
    let users = match seeded {
        Some(users) => users
            .into_iter()
            .map(|user| Credentials {
                name: user.name,
                full_name: user.full_name,
                email: user.email,
                key: user.api_key.reveal().to_owned(),
            })
            .collect(),
        // The same users, maybe at another address.
        None => demo::read(&config.data_dir),
    };
    write_credentials(&users, &config.data_dir, url)?;
    Ok(writer)
}

fn write_credentials(users: &[Credentials], data_dir: &Path, url: &str) -> anyhow::Result<()> {
    for user in users {
        user.write(data_dir, url).with_context(|| format!("can't write the credentials of {}", user.name))?;
    }
    Ok(())
}

/// Says where everything is: programs read the first two lines.
#[expect(clippy::print_stdout, reason = "this is for whoever started it")]
fn announce(node: &Node, admin_port: u16) {
    let (url, admin, dir) = (&node.url, node.config.admin_listen.ip(), node.config.data_dir.display());
    println!("listening on {url}");
    println!("admin on http://{admin}:{admin_port}");
    if let users @ [_, ..] = &demo::read(&node.config.data_dir)[..] {
        let names: Vec<_> = users.iter().map(|user| user.name.as_str()).collect();
        println!();
        println!("  Open {url}/ in two windows and be two of: {}.", names.join(", "));
        println!("  Their credentials for programs: {dir}/demo/NAME.zuliprc");
    }
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
async fn serve_admin(listener: TcpListener, router: axum::Router) {
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

/// The writer's HTTP API in the same process; its work is done on the writer's own runtime, not on a shard.
struct DirectApi {
    router: axum::Router,
    writing: Handle,
}

impl Api for DirectApi {
    fn call(&self, request: Request<Incoming>) -> BoxFuture<'static, Response<Body>> {
        let answer = TowerToHyperService::new(self.router.clone()).call(request);
        let answer = self.writing.spawn(answer);
        Box::pin(async move {
            match answer.await {
                Ok(Ok(response)) => response.map(|body| body.map_err(Into::into).boxed_unsync()),
                Ok(Err(never)) => match never {},
                Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "this request failed; others go on"),
            }
        })
    }
}

/// The writer in the same process.
struct DirectLink(Writer);

impl WriterLink for DirectLink {
    fn identify(&self, tokens: Vec<String>) -> BoxFuture<'static, Result<Vec<Option<Identity>>, LinkError>> {
        let writer = self.0.clone();
        Box::pin(async move { writer.identify_all(tokens).await })
    }

    fn write(&self, batch: Vec<WriteRequest>) -> BoxFuture<'static, Vec<WriteOutcome>> {
        let writer = self.0.clone();
        Box::pin(async move { writer.write(batch).await })
    }

    fn realm_page(
        &self,
        realm: RealmId,
        cursor: Option<PageCursor>,
    ) -> BoxFuture<'static, Result<RealmPage, LinkError>> {
        let writer = self.0.clone();
        Box::pin(async move { writer.realm_page(realm, cursor).await })
    }

    fn read_log(
        &self,
        realm: RealmId,
        after: Sequence,
        limit: usize,
    ) -> BoxFuture<'static, Result<LogRange, LinkError>> {
        let writer = self.0.clone();
        Box::pin(async move { writer.read_log(realm, after, limit).await })
    }

    fn heads(&self, realms: Vec<RealmId>) -> BoxFuture<'static, Result<Vec<(RealmId, Position)>, LinkError>> {
        let writer = self.0.clone();
        Box::pin(async move { writer.heads(realms).await })
    }

    fn store_last_heard(&self, heard: Vec<LastHeard>) -> BoxFuture<'static, Result<(), LinkError>> {
        let writer = self.0.clone();
        Box::pin(async move { writer.store_last_heard(heard).await })
    }
}
