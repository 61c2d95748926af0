//! HTTP on a shard: the upgrade to WebSocket, the page, and the way to the writer's API.

use std::cell::Cell;
use std::convert::Infallible;
use std::error::Error;
use std::net::{IpAddr, TcpStream};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{HeaderValue, RETRY_AFTER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use squall_bus::BoxFuture;
use squall_protocol::{Codec, RealmId};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::demo;
use crate::health::Asker;
use crate::node::Node;
use crate::shard::{Load, ShardHandle, ShardInput};
use crate::site;
use crate::upgrade;
use crate::zulip::{Endpoint, Zulip};

/// The body of any answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// The HTTP API beside the WebSocket: the writer's, as this process reaches it.
pub(crate) trait Api: Send + Sync + 'static {
    /// Answers one request of a client at that address.
    fn call(&self, request: Request<Incoming>, client: IpAddr) -> BoxFuture<'static, Response<Body>>;
}

/// Serves HTTP on one shard's runtime.
pub(crate) struct Server {
    node: Arc<Node>,
    shard: ShardHandle,
    zulip: Zulip,
    connections: Cell<usize>,
    /// How many of them hold a poll that waits: these have said who they are, and are as many as there are
    /// sockets for.
    waiting: Rc<Cell<usize>>,
    draining: watch::Sender<bool>,
}

/// Connections still speaking HTTP on one shard, without waiting polls; more are dropped, so that half-open
/// handshakes can't use up the process's descriptors.
const CONNECTIONS_MAX: usize = 4_096;

/// hyper's buffer for a request's head: longer heads are refused with 431.
const HEAD_BYTES_MAX: usize = 16 * 1024;

impl Server {
    pub(crate) fn new(node: Arc<Node>, shard: ShardHandle) -> Self {
        let zulip = Zulip::new(node.clone(), shard.clone());
        Self {
            node,
            shard,
            zulip,
            connections: Cell::default(),
            waiting: Rc::default(),
            draining: watch::Sender::new(false),
        }
    }

    /// Ends each connection after the answer it waits for, or now if it waits for none.
    pub(crate) fn drain(&self) {
        self.draining.send_replace(true);
    }

    /// Looks at what is due.
    pub(crate) fn handle_tick(&self, now_ms: u64) {
        self.zulip.handle_tick(now_ms);
    }

    /// The keepers loaded this realm anew.
    pub(crate) fn handle_realm_reset(&self, realm: RealmId) {
        self.zulip.handle_realm_reset(realm);
    }

    /// Serves one socket until it ends, or until it is a WebSocket and goes to the shard.
    pub(crate) fn serve(self: Rc<Self>, socket: TcpStream, address: IpAddr, load: Load) {
        if self.connections.get().saturating_sub(self.waiting.get()) >= CONNECTIONS_MAX {
            tracing::warn!(max = CONNECTIONS_MAX, "too many HTTP connections, one dropped");
            return;
        }
        let Ok(socket) = tokio::net::TcpStream::from_std(socket) else { return };
        self.connections.set(self.connections.get() + 1);
        tokio::task::spawn_local(async move {
            let (server, load) = (self.clone(), Rc::new(load));
            let of_upgrade = load.clone();
            let service = service_fn(move |request| {
                let (server, load) = (server.clone(), of_upgrade.clone());
                async move { Ok::<_, Infallible>(server.answer(request, address, &load).await) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(self.node.config.hello_timeout)
                .max_buf_size(HEAD_BYTES_MAX)
                .serve_connection(TokioIo::new(socket), service)
                .with_upgrades();
            let (mut connection, mut draining) = (pin!(connection), self.draining.subscribe());
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                _ = draining.wait_for(|draining| *draining) => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "an HTTP connection ended");
            }
            self.connections.set(self.connections.get() - 1);
            drop(load);
        });
    }

    async fn answer(&self, request: Request<Incoming>, address: IpAddr, load: &Load) -> Response<Body> {
        if let Some(endpoint) = Endpoint::at(request.uri().path()) {
            return self.zulip.answer(endpoint, request, || Waiting::begin(&self.waiting)).await;
        }
        let path = request.uri().path();
        match path {
            "/ws" => self.upgrade(request, load),
            "/demo/users.json" => demo::users(&self.node.config, &request, address),
            "/healthz" => text(StatusCode::OK, "ok"),
            "/readyz" => self.node.readiness(Asker::Anyone),
            _ if path.starts_with("/api/") => self.node.api.call(request, address).await,
            _ => site::answer(&request),
        }
    }

    /// Turns the connection into a WebSocket (RFC 6455, 4.2) and hands its bare socket to the shard.
    fn upgrade(&self, mut request: Request<Incoming>, load: &Load) -> Response<Body> {
        if let Some(words) = self.node.takes_nobody() {
            let mut response = text(StatusCode::SERVICE_UNAVAILABLE, words);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            return response;
        }
        let (codec, response) = match upgrade::accept(&request, &self.node.config.allow_origin) {
            Ok((codec, response)) => (codec, response.map(|()| empty())),
            Err(error) => return text(error.status(), &error.to_string()),
        };
        let (upgrade, shard, limit) =
            (hyper::upgrade::on(&mut request), self.shard.clone(), self.node.config.hello_timeout);
        let load = load.share();
        tokio::task::spawn_local(async move {
            if let Ok(Ok(upgraded)) = timeout(limit, upgrade).await {
                hand_over(upgraded, codec, &shard, load);
            }
        });
        response
    }
}

/// A poll that waits, counted until it is dropped.
struct Waiting(Rc<Cell<usize>>);

impl Waiting {
    fn begin(waiting: &Rc<Cell<usize>>) -> Self {
        waiting.set(waiting.get() + 1);
        Self(waiting.clone())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// hyper's task ends with this: the socket keeps nothing of it.
fn hand_over(upgraded: Upgraded, codec: Codec, shard: &ShardHandle, load: Load) {
    let Ok(parts) = upgraded.downcast::<TokioIo<tokio::net::TcpStream>>() else { return };
    match parts.io.into_inner().into_std() {
        Ok(socket) => shard.tell(ShardInput::Upgraded { socket, codec, leftover: parts.read_buf, load }),
        Err(error) => tracing::warn!(%error, "socket not handed over"),
    }
}

/// A short answer for people.
pub(crate) fn text(status: StatusCode, words: &str) -> Response<Body> {
    let mut response = Response::new(full(format!("{words}\n").into()));
    *response.status_mut() = status;
    response
}

/// Whether a request only reads.
pub(crate) fn is_read(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}

/// A body that is there.
pub(crate) fn full(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// A body without bytes.
pub(crate) fn empty() -> Body {
    full(Bytes::new())
}
