//! What Zulip's clients ask of a gateway: event queues, presence, typing. All else is the writer's.

mod events;
mod names;
mod presence;
mod register;

use std::cell::RefCell;
use std::error::Error;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use squall_protocol::RealmId;
use squall_protocol::link::{Identity, LinkError};
use squall_zulip::params::BODY_BYTES_MAX;
use squall_zulip::{ApiError, Credentials, Params, Queue, QueueKey};
use tokio::sync::oneshot;

pub(crate) use self::names::RealmNames;
use self::presence::Devices;
use crate::http::{Body, full};
use crate::keeper::{KeeperInput, RealmView};
use crate::node::Node;
use crate::shard::{GuestPurpose, GuestRequest, ShardHandle, ShardInput};

/// The gateway's part of Zulip's API on one shard's runtime.
pub(crate) struct Zulip {
    node: Arc<Node>,
    shard: ShardHandle,
    /// What signs queue ids, once the writer said it.
    queue_key: RefCell<Option<QueueKey>>,
    devices: Devices,
}

/// What a path is, if it is ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Register,
    Events,
    RealmPresence,
    OwnPresence,
    /// Of the user with this address or id.
    UserPresence(String),
}

impl Endpoint {
    /// The endpoint at `path`; none if the writer answers there.
    pub(crate) fn at(path: &str) -> Option<Self> {
        if path == "/json/get_events" {
            return Some(Self::Events);
        }
        match path.strip_prefix("/api/v1/")? {
            "register" => Some(Self::Register),
            "events" => Some(Self::Events),
            "realm/presence" => Some(Self::RealmPresence),
            "users/me/presence" => Some(Self::OwnPresence),
            other => {
                let user = other.strip_prefix("users/")?.strip_suffix("/presence")?;
                (!user.contains('/')).then(|| Self::UserPresence(percent_decoded(user)))
            }
        }
    }
}

/// A request, read.
struct Call {
    method: Method,
    credentials: Credentials,
    params: Params,
}

impl Zulip {
    pub(crate) fn new(node: Arc<Node>, shard: ShardHandle) -> Self {
        Self { node, shard, queue_key: RefCell::new(None), devices: Devices::default() }
    }

    /// Answers a request to one of our endpoints. `waiting` is called once it may take long.
    pub(crate) async fn answer<W>(
        &self,
        endpoint: Endpoint,
        request: Request<Incoming>,
        waiting: impl FnOnce() -> W,
    ) -> Response<Body> {
        let answered = match read(request).await {
            Ok(call) => self.dispatch(endpoint, call, waiting).await,
            Err(error) => Err(error),
        };
        answered.unwrap_or_else(ApiError::into_response).map(full)
    }

    /// Tells the keepers who is still here, and who has fallen silent.
    pub(crate) fn handle_tick(&self, now_ms: u64) {
        for (realm, report) in self.devices.handle_tick(now_ms) {
            self.node.keepers.tell(KeeperInput::Presence { realm, report });
        }
    }

    /// The keepers loaded this realm anew.
    pub(crate) fn handle_realm_reset(&self, realm: RealmId) {
        self.devices.forget(realm);
    }

    async fn dispatch<W>(
        &self,
        endpoint: Endpoint,
        call: Call,
        waiting: impl FnOnce() -> W,
    ) -> Result<Response<Bytes>, ApiError> {
        match (endpoint, &call.method) {
            (Endpoint::Register, &Method::POST) => self.register(call).await,
            (Endpoint::Events, &Method::GET) => self.poll(call, waiting).await,
            (Endpoint::Events, &Method::DELETE) => self.forget_queue(call).await,
            (Endpoint::RealmPresence, &Method::GET) => self.realm_presence(call).await,
            (Endpoint::OwnPresence, &Method::POST) => self.report_presence(call).await,
            (Endpoint::UserPresence(user), &Method::GET) => self.user_presence(call, &user).await,
            _ => {
                let words = "Method Not Allowed";
                Err(ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", words))
            }
        }
    }

    async fn identify(&self, credentials: &Credentials) -> Result<Identity, ApiError> {
        let identified = self.node.identities.identify(credentials.key.clone()).await;
        identified.map_err(unavailable)?.ok_or_else(ApiError::invalid_key)
    }

    /// The caller's realm as it is now, loaded if need be; for who is let in there.
    async fn visit(&self, identity: Identity, email: String) -> Result<Arc<RealmView>, ApiError> {
        let (reply, answer) = oneshot::channel();
        let purpose = GuestPurpose::Visit(reply);
        self.shard.tell(ShardInput::Guest(Box::new(GuestRequest { identity, email, purpose })));
        answer.await.unwrap_or_else(|_| Err(going()))
    }

    /// The queue that a client names; its own, or none.
    async fn queue(&self, queue_id: &str, identity: &Identity) -> Result<Queue, ApiError> {
        let queue = Queue::read(queue_id, &self.queue_key().await?);
        let own = |queue: &Queue| queue.user_id == identity.user_id && queue.realm_id == identity.realm_id;
        queue.filter(own).ok_or_else(|| ApiError::bad_queue(queue_id))
    }

    async fn queue_key(&self) -> Result<QueueKey, ApiError> {
        if let Some(key) = self.queue_key.borrow().clone() {
            return Ok(key);
        }
        let secret = self.node.link.queue_secret().await.map_err(unavailable)?;
        let key = QueueKey::new(&secret);
        *self.queue_key.borrow_mut() = Some(key.clone());
        Ok(key)
    }
}

async fn read(request: Request<Incoming>) -> Result<Call, ApiError> {
    let credentials = Credentials::of(request.headers())?;
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
    let body = body.map_err(|_: Box<dyn Error + Send + Sync>| Params::too_large())?.to_bytes();
    let params = Params::read(parts.uri.query().unwrap_or_default(), &parts.headers, &body)?;
    Ok(Call { method: parts.method, credentials, params })
}

fn unavailable(error: LinkError) -> ApiError {
    tracing::warn!(%error, "the writer gave no answer");
    ApiError::unavailable("The server can't answer this now; try again.")
}

/// This node ends, or its shard could not answer.
fn going() -> ApiError {
    ApiError::unavailable("This server is going away; try again.")
}

fn percent_decoded(text: &str) -> String {
    // A `+` in an address is a `+`: only the escapes of a path are undone.
    let escaped = text.replace('+', "%2B");
    form_urlencoded::parse(escaped.as_bytes()).next().map(|(name, _)| name.into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_answers_at_its_own_paths_and_no_others() {
        for (path, endpoint) in [
            ("/api/v1/register", Some(Endpoint::Register)),
            ("/api/v1/events", Some(Endpoint::Events)),
            ("/json/get_events", Some(Endpoint::Events)),
            ("/api/v1/realm/presence", Some(Endpoint::RealmPresence)),
            ("/api/v1/users/me/presence", Some(Endpoint::OwnPresence)),
            ("/api/v1/users/a+b%40x.example/presence", Some(Endpoint::UserPresence("a+b@x.example".into()))),
            ("/api/v1/users/7/presence", Some(Endpoint::UserPresence("7".into()))),
            ("/api/v1/users/7/8/presence", None),
            ("/api/v1/users/7", None),
            ("/api/v1/messages", None),
            ("/register", None),
        ] {
            assert_eq!(Endpoint::at(path), endpoint, "{path}");
        }
    }
}
