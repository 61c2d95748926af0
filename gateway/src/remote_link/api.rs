//! The HTTP API through a gateway of a cluster: each request goes on to a writer, and its answer comes back.

use std::error::Error;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, TE, TRANSFER_ENCODING, UPGRADE,
};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use serde_json::json;
use squall_bus::BoxFuture;
use squall_protocol::wire::SECRET_HEADER;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};

use super::peer::Peer;
use super::{RemoteLink, Writers};
use crate::health;
use crate::http::{Api, Body, empty};

/// The HTTP API of a cluster's writers.
pub(crate) struct RemoteApi {
    link: RemoteLink,
    calls: Arc<Semaphore>,
}

/// Requests under way at once, answers still being read among them; one more is answered 503.
pub(super) const CALLS_MAX: usize = 256;

/// The longest body that is passed on; the writer's own bounds are lower.
const BODY_BYTES_MAX: usize = 32 * 1024 * 1024;

/// How long a writer may take to begin its answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// How long a client may take to read an answer.
const READ_TIME_MAX: Duration = Duration::from_secs(120);

/// What concerns one connection only (RFC 9110, 7.6.1), or is ours to say.
const NOT_PASSED_ON: [HeaderName; 8] = [
    CONNECTION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static(SECRET_HEADER),
    hyper::header::TRAILER,
];

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

impl RemoteApi {
    pub(crate) fn new(link: RemoteLink) -> Self {
        Self { link, calls: Arc::new(Semaphore::new(CALLS_MAX)) }
    }
}

impl Api for RemoteApi {
    fn call(&self, request: Request<Incoming>, client: IpAddr) -> BoxFuture<'static, Response<Body>> {
        let Ok(permit) = self.calls.clone().try_acquire_owned() else {
            return Box::pin(std::future::ready(unavailable("too many requests at once; try again")));
        };
        let writers = self.link.writers.clone();
        Box::pin(async move {
            match pass_on(&writers, request, client).await {
                Ok(response) => held(response, permit),
                Err(fault) => {
                    tracing::warn!(fault, "a request to the HTTP API without answer");
                    unavailable("the writer can't be reached; try again")
                }
            }
        })
    }
}

/// Passes a request on, to another writer only if the first is sure not to have done it.
async fn pass_on(
    writers: &Writers,
    request: Request<Incoming>,
    client: IpAddr,
) -> Result<Response<Incoming>, &'static str> {
    let (mut parts, body) = request.into_parts();
    clean(&mut parts.headers, client);
    let is_repeatable = (parts.method == Method::GET || parts.method == Method::HEAD) && body.is_end_stream();
    let mut body = Some(Limited::new(body, BODY_BYTES_MAX).boxed_unsync());
    let deadline = Instant::now() + ANSWER_TIME_MAX;
    loop {
        for peer in writers.standing_by(writers.home) {
            let Some(mut sender) = peer.api() else { continue };
            let sent = if is_repeatable { empty() } else { body.take().ok_or("it may have been done")? };
            let request = addressed(&parts, &peer, sent).ok_or("no address")?;
            match timeout_at(deadline, sender.try_send_request(request)).await {
                Ok(Ok(response)) => return Ok(response),
                // The request itself came back: nobody saw it.
                Ok(Err(mut error)) => body = error.take_message().map(Request::into_body),
                Err(_) => return Err("no answer in time"),
            }
        }
        if !is_repeatable && body.is_none() {
            return Err("it may have been done");
        }
        if !writers.wait_for_another(deadline).await {
            return Err("no writer is connected");
        }
    }
}

/// Leaves what is between client and user's server, and says whose request it is.
fn clean(headers: &mut HeaderMap, client: IpAddr) {
    let named: Vec<HeaderName> = (headers.get_all(CONNECTION).iter())
        .filter_map(|list| list.to_str().ok())
        .flat_map(|list| list.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in NOT_PASSED_ON.iter().chain(&named) {
        headers.remove(name);
    }
    if let Ok(client) = HeaderValue::from_str(&client.to_string()) {
        headers.append(FORWARDED_FOR, client);
    }
}

/// The request as `peer` takes it.
fn addressed(parts: &Parts, peer: &Peer, body: Body) -> Option<Request<Body>> {
    let path = parts.uri.path_and_query()?.clone();
    let uri = Uri::builder().scheme("http").authority(peer.authority()).path_and_query(path).build().ok()?;
    let mut request = Request::new(body);
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = uri;
    *request.headers_mut() = parts.headers.clone();
    if let Some(secret) = peer.secret() {
        request.headers_mut().insert(SECRET_HEADER, secret.clone());
    }
    Some(request)
}

/// An answer that keeps its place among [`CALLS_MAX`] until it is read, for at most [`READ_TIME_MAX`].
struct Held {
    body: Incoming,
    ends: Pin<Box<Sleep>>,
    _permit: OwnedSemaphorePermit,
}

fn held(mut response: Response<Incoming>, permit: OwnedSemaphorePermit) -> Response<Body> {
    *response.version_mut() = Version::HTTP_11;
    let ends = Box::pin(sleep_until(Instant::now() + READ_TIME_MAX));
    response.map(|body| Held { body, ends, _permit: permit }.boxed_unsync())
}

impl hyper::body::Body for Held {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.ends.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err("the answer was not read in time".into())));
        }
        Pin::new(&mut self.body).poll_frame(context).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An error in Zulip's envelope, as the writer itself would say it.
fn unavailable(words: &str) -> Response<Body> {
    let body = json!({ "result": "error", "msg": words, "code": "UNAVAILABLE", "retry-after": 1.0 });
    let mut response = health::respond(StatusCode::SERVICE_UNAVAILABLE, &body);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}
