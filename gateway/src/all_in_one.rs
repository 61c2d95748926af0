//! All of Squall in one process. The only place that knows the writer lives here too.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::Service as _;
use hyper::{Request, Response, StatusCode};
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use squall_bus::{BoxFuture, Bus, MemoryBus};
use squall_protocol::link::{
    Heads, Identity, LastHeard, LinkError, LogRange, NodeLease, PageCursor, RealmPage, RegisterCall,
    RegisterReply, WriteOutcome, WriteRequest,
};
use squall_protocol::{Position, RealmId, Sequence};
use squall_writer::{Writer, demo as demo_realm};
use tokio::runtime::{Builder, Handle};
use tokio::time::{sleep, timeout};

use crate::clock::Clock;
use crate::config::Config;
use crate::demo::{self, Credentials};
use crate::health::Health;
use crate::http::{Api, Body, text};
use crate::parts::{Doors, END_MAX, Outside, Parts};
use crate::writer_link::WriterLink;

/// Starts everything, serves until a signal, hands the clients on, ends.
pub(crate) fn run(config: Config) -> anyhow::Result<()> {
    let doors = Doors::open(&config)?;
    let url = doors.url(&config)?;
    let bus: Arc<dyn Bus> = Arc::new(MemoryBus::new());
    let writing = Builder::new_multi_thread().worker_threads(1).thread_name("writer").enable_all().build()?;
    let writer = writing.block_on(open_writer(&config, &url, bus.clone()))?;
    let clock = Clock::start();
    let health = Arc::new(Health::new("memory bus", &["writer in this process".into()], clock.now_ms()));
    health.bus_is(Ok(()), clock.now_ms());
    health.writer_is(0, Ok(writing.block_on(writer.standing())), clock.now_ms());
    writing.spawn(watch(writer.clone(), health.clone(), clock));
    let outside = Outside {
        clock,
        link: Arc::new(DirectLink(writer.clone())),
        api: Arc::new(DirectApi { router: writer.api(), writing: writing.handle().clone() }),
        bus,
        health,
        counts: Arc::new({
            let writer = writer.clone();
            move || json!({ "writer": writer.counts() })
        }),
    };
    let parts = Parts::start(config, &doors, outside)?;
    parts.run(doors, writer.operators())?;
    let closed = writing.block_on(async { timeout(END_MAX, writer.close()).await });
    closed.context("the writer did not end in time")?;
    tracing::info!("ended");
    Ok(())
}

/// How often the writer is asked whether its database answers.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Tells what the writer reaches, for ever.
async fn watch(writer: Writer, health: Arc<Health>, clock: Clock) {
    loop {
        sleep(LOOK_EVERY).await;
        health.writer_is(0, Ok(writer.standing().await), clock.now_ms());
    }
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

/// The writer's HTTP API in the same process; its work is done on the writer's own runtime, not on a shard.
struct DirectApi {
    router: axum::Router,
    writing: Handle,
}

impl Api for DirectApi {
    fn call(&self, request: Request<Incoming>, _: IpAddr) -> BoxFuture<'static, Response<Body>> {
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

    fn write(&self, _lane: usize, batch: Vec<WriteRequest>) -> BoxFuture<'static, Vec<WriteOutcome>> {
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

    fn heads(
        &self,
        realms: Vec<RealmId>,
        lease: Option<NodeLease>,
    ) -> BoxFuture<'static, Result<Heads, LinkError>> {
        let writer = self.0.clone();
        Box::pin(async move { writer.heads(realms, lease).await })
    }

    fn renew_epoch(&self, realm: RealmId, seen: Position) -> BoxFuture<'static, Result<Position, LinkError>> {
        let writer = self.0.clone();
        Box::pin(async move { writer.renew_epoch(realm, seen).await })
    }

    fn store_last_heard(&self, heard: Vec<LastHeard>) -> BoxFuture<'static, Result<(), LinkError>> {
        let writer = self.0.clone();
        Box::pin(async move { writer.store_last_heard(heard).await })
    }

    fn register(&self, call: RegisterCall) -> BoxFuture<'static, Result<RegisterReply, LinkError>> {
        let writer = self.0.clone();
        Box::pin(async move { Ok(writer.register(call).await) })
    }

    fn queue_secret(&self) -> BoxFuture<'static, Result<[u8; 32], LinkError>> {
        let writer = self.0.clone();
        Box::pin(async move { writer.queue_secret().await })
    }
}
