//! HTTP on a shard: the page, the way to the writer's API, and every answer to an upgrade but the plain yes that
//! the shard gives itself.

mod begun;

use std::cell::{Cell, RefCell};
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
use hyper_util::rt::TokioTimer;
use squall_bus::BoxFuture;
use squall_protocol::Codec;
use tokio::sync::watch;
use tokio::time::timeout;

use self::begun::Begun;
use crate::demo;
use crate::node::Node;
use crate::shard::{Load, ShardHandle, ShardInput};
use crate::site;
use crate::upgrade::{self, HEAD_BYTES_MAX};

/// The body of any answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// The HTTP API beside the WebSocket: the writer's, as this process reaches it.
pub(crate) trait Api: Send + Sync + 'static {
    /// Answers one request.
    fn call(&self, request: Request<Incoming>) -> BoxFuture<'static, Response<Body>>;
}

/// Serves HTTP on one shard's runtime.
pub(crate) struct Server {
    node: Arc<Node>,
    shard: ShardHandle,
    connections: Cell<usize>,
    draining: watch::Sender<bool>,
}

/// Connections still speaking HTTP on one shard; more are dropped, so that half-open handshakes can't use up
/// the process's descriptors.
const CONNECTIONS_MAX: usize = 4_096;

/// The socket's place among the shard's, until an upgrade takes it along.
type LoadCell = Rc<RefCell<Option<Load>>>;

impl Server {
    pub(crate) fn new(node: Arc<Node>, shard: ShardHandle) -> Self {
        Self { node, shard, connections: Cell::new(0), draining: watch::Sender::new(false) }
    }

    /// Ends each connection after the answer it waits for, or now if it waits for none.
    pub(crate) fn drain(&self) {
        self.draining.send_replace(true);
    }

    /// Serves one socket, of which `begun` was read already, until it ends, or until it is a WebSocket and goes
    /// to the shard.
    pub(crate) fn serve(self: Rc<Self>, socket: TcpStream, begun: Bytes, load: Load) {
        if self.connections.get() >= CONNECTIONS_MAX {
            tracing::warn!(max = CONNECTIONS_MAX, "too many HTTP connections, one dropped");
            return;
        }
        let Ok(socket) = tokio::net::TcpStream::from_std(socket) else { return };
        self.connections.set(self.connections.get() + 1);
        tokio::task::spawn_local(async move {
            let (server, address) = (self.clone(), load.address());
            let load = Rc::new(RefCell::new(Some(load)));
            let of_upgrade = load.clone();
            let service = service_fn(move |request| {
                let (server, load) = (server.clone(), of_upgrade.clone());
                async move { Ok::<_, Infallible>(server.answer(request, address, &load).await) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(self.node.config.hello_timeout)
                .max_buf_size(HEAD_BYTES_MAX)
                .serve_connection(Begun::new(begun, socket), service)
                .with_upgrades();
            let (mut connection, mut draining) = (pin!(connection), self.draining.subscribe());
            let ended = tokio::select! {
                // What has come already is answered, whatever else is going on.
                biased;
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

    async fn answer(&self, request: Request<Incoming>, address: IpAddr, load: &LoadCell) -> Response<Body> {
        let path = request.uri().path();
        match path {
            upgrade::PATH => self.upgrade(request, load),
            "/demo/users.json" => demo::users(&self.node.config, &request, address),
            _ if path.starts_with("/api/") || path == "/healthz" || path == "/readyz" => {
                self.node.api.call(request).await
            }
            _ => site::answer(&request),
        }
    }

    /// Turns the connection into a WebSocket (RFC 6455, 4.2) and hands its bare socket to the shard.
    fn upgrade(&self, mut request: Request<Incoming>, load: &LoadCell) -> Response<Body> {
        if self.node.is_draining() {
            let mut response = text(StatusCode::SERVICE_UNAVAILABLE, "this server is going away");
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            return response;
        }
        let (codec, response) = match upgrade::accept(&request, &self.node.config.allow_origin) {
            Ok(upgrade) => (upgrade.codec, upgrade.response().map(|()| empty())),
            Err(error) => return text(error.status(), &error.to_string()),
        };
        let (upgrade, shard, limit) =
            (hyper::upgrade::on(&mut request), self.shard.clone(), self.node.config.hello_timeout);
        let load = load.clone();
        tokio::task::spawn_local(async move {
            if let Ok(Ok(upgraded)) = timeout(limit, upgrade).await
                && let Some(load) = load.take()
            {
                hand_over(upgraded, codec, &shard, load);
            }
        });
        response
    }
}

/// hyper's task ends with this: the socket keeps nothing of it.
fn hand_over(upgraded: Upgraded, codec: Codec, shard: &ShardHandle, load: Load) {
    let Ok(parts) = upgraded.downcast::<Begun>() else { return };
    let (begun, socket) = parts.io.into_parts();
    let leftover = if begun.is_empty() { parts.read_buf } else { [parts.read_buf, begun].concat().into() };
    match socket.into_std() {
        Ok(socket) => shard.tell(ShardInput::Upgraded { socket, codec, leftover, load }),
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

fn empty() -> Body {
    full(Bytes::new())
}
