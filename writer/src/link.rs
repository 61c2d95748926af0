//! The writer's surface for gateways: one frame of [`squall_protocol::wire`] asks, another answers, by HTTP/2
//! with prior knowledge; beside it the HTTP API, as gateways pass its requests on. All of it behind a secret.

mod listener;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use squall_protocol::link::LinkError;
use squall_protocol::link_secret::LinkSecret;
use squall_protocol::wire::{self, Answer, EpochQuery, Fault, HeadsQuery, LogQuery, PageQuery, WireError};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::Writer;

/// A writer as gateways reach it.
pub struct LinkServer {
    router: Router,
}

/// How long a request's bytes may take.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(10);

/// How long an answer may take: longer than a write waits for its lane at most, and then for its commit.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(16);

const _: () = assert!(ANSWER_TIME_MAX.as_secs() > crate::limits::QUEUE_AGE_MAX.as_secs());

impl LinkServer {
    /// Lets in whoever shows `secret`, or everybody if there is none: then it is for loopback only.
    #[must_use]
    pub fn new(writer: &Writer, secret: Option<LinkSecret>) -> Self {
        let calls = Router::new().route("/link", post(call)).with_state(writer.clone());
        let guard = from_fn_with_state(Arc::new(secret), admit);
        Self { router: writer.api().merge(calls).layer(guard) }
    }

    /// Serves until `stop`, then finishes what is under way.
    pub async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()>) {
        listener::serve(listener, self.router, stop).await;
    }
}

async fn admit(State(secret): State<Arc<Option<LinkSecret>>>, request: Request, next: Next) -> Response {
    if let Some(secret) = &*secret {
        let shown = request.headers().get(wire::SECRET_HEADER).map(HeaderValue::as_bytes);
        if !shown.is_some_and(|shown| secret.is_shown_by(shown)) {
            return (StatusCode::UNAUTHORIZED, "the link secret is missing or wrong\n").into_response();
        }
    }
    next.run(request).await
}

async fn call(State(writer): State<Writer>, request: Request) -> Response {
    let read = to_bytes(request.into_body(), wire::REQUEST_BYTES_MAX);
    let bytes = match timeout(REQUEST_TIME_MAX, read).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => {
            let words = format!("a request has {} bytes at most\n", wire::REQUEST_BYTES_MAX);
            return (StatusCode::PAYLOAD_TOO_LARGE, words).into_response();
        }
        Err(_) => return (StatusCode::REQUEST_TIMEOUT, "the request took too long\n").into_response(),
    };
    let answered = match wire::Request::decode(&bytes) {
        Ok(request) => timeout(ANSWER_TIME_MAX, answer(&writer, request)).await,
        Err(WireError::UnknownKind(kind)) => Ok(Answer::Fault(Fault::UnknownKind(kind))),
        Err(error) => Ok(Answer::Fault(Fault::Malformed(error.to_string()))),
    };
    let answer = answered.unwrap_or_else(|_| {
        let words = format!("no answer within {} s", ANSWER_TIME_MAX.as_secs());
        Answer::Fault(Fault::Unavailable(words))
    });
    respond(&answer)
}

async fn answer(writer: &Writer, request: wire::Request) -> Answer {
    let answered = match request {
        wire::Request::Identify(tokens) => writer.identify_all(tokens).await.map(Answer::Identified),
        wire::Request::Write(batch) => Ok(Answer::Written(writer.write(batch).await)),
        wire::Request::RealmPage(PageQuery { realm_id, cursor }) => {
            writer.realm_page(realm_id, cursor).await.map(Answer::RealmPage)
        }
        wire::Request::ReadLog(LogQuery { realm_id, after, limit }) => {
            writer.read_log(realm_id, after, limit as usize).await.map(Answer::Log)
        }
        wire::Request::Heads(HeadsQuery { realms, lease }) => {
            writer.heads(realms, lease).await.map(Answer::Heads)
        }
        wire::Request::RenewEpoch(EpochQuery { realm_id, seen }) => {
            writer.renew_epoch(realm_id, seen).await.map(Answer::EpochRenewed)
        }
        wire::Request::StoreLastHeard(heard) => {
            writer.store_last_heard(heard).await.map(|()| Answer::LastHeardStored)
        }
        wire::Request::Register(call) => Ok(Answer::Registered(writer.register(call).await)),
        wire::Request::QueueSecret => writer.queue_secret().await.map(Answer::QueueSecret),
        wire::Request::Probe => Ok(Answer::Standing(writer.standing().await)),
    };
    answered.unwrap_or_else(|error| {
        Answer::Fault(match error {
            LinkError::Unavailable(words) => Fault::Unavailable(words),
            LinkError::UnknownRealm(realm_id) => Fault::UnknownRealm(realm_id),
        })
    })
}

fn respond(answer: &Answer) -> Response {
    let bytes = answer.encode().or_else(|error| {
        tracing::error!(%error, "an answer that can't be sent");
        Answer::Fault(Fault::Unavailable(error.to_string())).encode()
    });
    match bytes {
        Ok(bytes) => {
            let mut response = Response::new(Body::from(bytes));
            let kind = HeaderValue::from_static("application/octet-stream");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            response
        }
        // A fault always fits; were it not so, this says the same.
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

#[cfg(test)]
mod tests;
