//! The writer's handle: what a gateway, the HTTP API and the operator ask of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use squall_bus::Bus;
use squall_protocol::event::Stream;
use squall_protocol::frame::{Ephemeral, Frame};
use squall_protocol::limits::{LOG_RANGE_EVENTS_MAX, REALM_PAGE_ROWS_MAX};
use squall_protocol::link::{
    Identity, LastHeard, LinkError, LogRange, PageCursor, RealmPage, Refusal, RefusalCode, WriteOutcome,
    WriteRequest,
};
use squall_protocol::{Position, RealmId, Sequence, SessionId, UserId};
use tokio::task::JoinHandle;

use crate::change::{Change, NewStream, NewUser, Outcome, Request, UserChange};
use crate::clock::now_s;
use crate::config::Config;
use crate::lane::Lane;
use crate::limits::{PRUNE_EVENTS_MAX, PRUNE_INTERVAL, RETRY_AFTER, STREAMS_ENTERED_MAX, USERS_CREATED_MAX};
use crate::rate_limit::RateLimit;
use crate::secret::{ApiKey, KeyHash, random_epoch};
use crate::store::{Account, Commit, SqliteStore, Store, StoreError};
use crate::text;

/// A cheap handle; the writer ends with [`Writer::close`], or abruptly but safely with the last handle.
#[derive(Clone)]
pub struct Writer {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    store: Arc<dyn Store>,
    bus: Arc<dyn Bus>,
    /// `None` once closed.
    lane: Mutex<Option<Arc<Lane>>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    rate_limit: RateLimit,
}

/// Why the writer did not start.
#[derive(Debug, thiserror::Error)]
#[error("can't open the data directory: {0}")]
pub struct OpenError(String);

/// Why something was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CreateError {
    /// It can't be made so; or (`unavailable`) not now.
    #[error("{0}")]
    Refused(Refusal),
    /// The database gave no answer.
    #[error(transparent)]
    Link(#[from] LinkError),
}

/// A user just made, with the only copy of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedUser {
    /// Its id.
    pub user_id: UserId,
    /// Its address.
    pub email: String,
    /// Its key.
    pub api_key: ApiKey,
}

impl Writer {
    /// Opens the store under `config.data_dir`, which no other process may hold, and starts the lane on
    /// the current tokio runtime.
    pub async fn open(config: Config, bus: Arc<dyn Bus>) -> Result<Self, OpenError> {
        let (dir, threads) = (config.data_dir.clone(), config.read_threads);
        let open = tokio::task::spawn_blocking(move || SqliteStore::open(&dir, threads));
        let opened = open.await.map_err(|error| OpenError(error.to_string()))?;
        let store: Arc<dyn Store> = Arc::new(opened.map_err(|error| OpenError(error.to_string()))?);
        Ok(Self::start(config, store, bus))
    }

    pub(crate) fn start(config: Config, store: Arc<dyn Store>, bus: Arc<dyn Bus>) -> Self {
        let (lane, lane_task) = Lane::start(Arc::clone(&store) as Arc<dyn Commit>, Arc::clone(&bus));
        let prune_task = tokio::spawn(prune(Arc::clone(&store), config.log_window));
        let inner = Inner {
            rate_limit: RateLimit::new(config.rate_limit_per_minute),
            config,
            store,
            bus,
            lane: Mutex::new(Some(Arc::new(lane))),
            tasks: Mutex::new(vec![prune_task, lane_task]),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Whose key this is; `None` if nobody's, or a deactivated user's.
    pub async fn identify(&self, token: &str) -> Result<Option<Identity>, LinkError> {
        Ok(self.store().account(KeyHash::of(token)).await?.map(identity))
    }

    /// The same for many at once, one answer each, in their order.
    pub async fn identify_all(&self, tokens: Vec<String>) -> Result<Vec<Option<Identity>>, LinkError> {
        let keys = tokens.iter().map(|token| KeyHash::of(token)).collect();
        let accounts = self.store().accounts(keys).await?;
        Ok(accounts.into_iter().map(|account| account.map(identity)).collect())
    }

    /// Does what sessions want; one outcome for each request, in their order. A session's requests are done
    /// in order: after one that may be tried again, its later ones are refused `out_of_order`.
    pub async fn write(&self, batch: Vec<WriteRequest>) -> Vec<WriteOutcome> {
        let mut outcomes: Vec<Option<WriteOutcome>> = Vec::with_capacity(batch.len());
        let mut stopped: HashMap<SessionId, u32> = HashMap::new();
        let mut admitted = Vec::with_capacity(batch.len());
        let now = Instant::now();
        for request in batch {
            let refusal = match stopped.get(&request.session_id) {
                Some(retry_after_ms) => Some(out_of_order(*retry_after_ms)),
                None => self.limit(request.user_id, now).err(),
            };
            if let Some(retry_after_ms) = refusal.as_ref().and_then(|refusal| refusal.retry_after_ms) {
                stopped.insert(request.session_id, retry_after_ms);
            } else {
                admitted.push((request.session_id, Request::from(request)));
            }
            outcomes.push(refusal.map(WriteOutcome::Refused));
        }
        let mut done = self.submit(admitted).await.into_iter().map(WriteOutcome::from);
        let gone = || WriteOutcome::Refused(unavailable("the writer is going down"));
        outcomes.into_iter().map(|refused| refused.or_else(|| done.next()).unwrap_or_else(gone)).collect()
    }

    /// A page of a realm's users, streams and members.
    pub async fn realm_page(
        &self,
        realm: RealmId,
        cursor: Option<PageCursor>,
    ) -> Result<RealmPage, LinkError> {
        Ok(self.store().realm_page(realm, cursor, REALM_PAGE_ROWS_MAX).await?)
    }

    /// At most `limit` events of a realm after `after`, and no more than `LOG_RANGE_EVENTS_MAX`.
    pub async fn read_log(
        &self,
        realm: RealmId,
        after: Sequence,
        limit: usize,
    ) -> Result<LogRange, LinkError> {
        Ok(self.store().read_log(realm, after, limit.min(LOG_RANGE_EVENTS_MAX)).await?)
    }

    /// The heads of those of `realms` that exist.
    pub async fn heads(&self, realms: Vec<RealmId>) -> Result<Vec<(RealmId, Position)>, LinkError> {
        Ok(self.store().heads(realms).await?)
    }

    /// Stores when users were last heard of; a later time that is known already stays.
    pub async fn store_last_heard(&self, heard: Vec<LastHeard>) -> Result<(), LinkError> {
        if heard.is_empty() {
            return Ok(());
        }
        Ok(self.store().store_last_heard(heard).await?)
    }

    /// The realms there are, with their names.
    pub async fn realms(&self) -> Result<Vec<(RealmId, String)>, LinkError> {
        let realms = self.store().realms().await?;
        Ok(realms.into_iter().map(|realm| (realm.realm_id, realm.name)).collect())
    }

    /// Makes a realm with a log of its own.
    pub async fn create_realm(&self, name: &str) -> Result<RealmId, CreateError> {
        let refused =
            |words: String| CreateError::Refused(Refusal::fatal(RefusalCode::InvalidContent, words));
        let name = text::realm_name(name).map_err(|error| refused(error.to_string()))?.to_owned();
        let created =
            self.store().create_realm(name.clone(), random_epoch()).await.map_err(LinkError::from)?;
        created.ok_or_else(|| refused(format!("realm {name:?} is there already")))
    }

    /// Makes users, in transactions of bounded size: each is made or refused by itself, in the order given.
    pub async fn create_users(
        &self,
        realm_id: RealmId,
        users: Vec<NewUser>,
    ) -> Vec<Result<CreatedUser, Refusal>> {
        let keys: Vec<ApiKey> = users.iter().map(|_| ApiKey::random()).collect();
        let emails: Vec<String> = users.iter().map(|user| user.email.trim().to_owned()).collect();
        let hashes = keys.iter().map(ApiKey::hash);
        let mut results = Vec::with_capacity(emails.len());
        // One by one: whoever sends messages meanwhile waits for one chunk at most.
        for (users, keys) in creation_chunks(users.into_iter().zip(hashes)) {
            let count = users.len();
            let change = Change::CreateUsers { users, keys };
            match self.apply_one(Request { realm_id, change }).await {
                Outcome::UsersCreated(created) => results.extend(created),
                Outcome::Refused(refusal) => results.extend(vec![Err(refusal); count]),
                Outcome::Sent { .. }
                | Outcome::Done { .. }
                | Outcome::Entered(_)
                | Outcome::StreamCreated(_) => results.extend(vec![Err(mismatch()); count]),
            }
        }
        let named = results.into_iter().zip(emails.into_iter().zip(keys));
        named
            .map(|(result, (email, api_key))| result.map(|user_id| CreatedUser { user_id, email, api_key }))
            .collect()
    }

    /// Makes a stream with its first members, at most `MEMBERS_CHANGED_MAX`.
    pub async fn create_stream(
        &self,
        realm_id: RealmId,
        stream: NewStream,
        user_ids: Vec<UserId>,
    ) -> Result<Stream, Refusal> {
        let request = Request { realm_id, change: Change::CreateStream { stream, user_ids } };
        match self.apply_one(request).await {
            Outcome::StreamCreated(stream) => Ok(stream),
            Outcome::Refused(refusal) => Err(refusal),
            Outcome::Sent { .. } | Outcome::Done { .. } | Outcome::Entered(_) | Outcome::UsersCreated(_) => {
                Err(mismatch())
            }
        }
    }

    /// Changes a user's name, role or standing. Its sequence, or the head's if nothing changed.
    pub async fn change_user(
        &self,
        realm_id: RealmId,
        user_id: UserId,
        change: UserChange,
    ) -> Result<Sequence, Refusal> {
        let request = Request { realm_id, change: Change::UpdateUser { user_id, change } };
        done(self.apply_one(request).await)
    }

    /// Gives a user a new key; the old one and its sessions end.
    pub async fn change_key(&self, realm_id: RealmId, user_id: UserId) -> Result<ApiKey, Refusal> {
        let key = ApiKey::random();
        let request = Request { realm_id, change: Change::RotateKey { user_id, key: key.hash() } };
        done(self.apply_one(request).await).map(|_| key)
    }

    /// The user who has this address in the realm.
    pub async fn user_by_email(
        &self,
        realm_id: RealmId,
        email: &str,
    ) -> Result<Option<squall_protocol::event::User>, LinkError> {
        let found = self.store().users_by_email(realm_id, vec![email.to_owned()]).await?;
        Ok(found.into_iter().next().flatten())
    }

    /// The HTTP API: Zulip's, below `/api/v1`, with `/healthz` and `/readyz`.
    pub fn api(&self) -> axum::Router {
        crate::api::router(self.clone())
    }

    /// The operator's surface, below `/admin`, with `/healthz` and `/readyz`. It asks for no credentials:
    /// loopback only.
    pub fn admin(&self) -> axum::Router {
        crate::admin::router(self.clone())
    }

    /// Takes no more writes, finishes what is queued, brings the file in order and lets go of the data
    /// directory. Other handles then get refusals.
    pub async fn close(self) {
        drop(self.inner.lane.lock().unwrap_or_else(PoisonError::into_inner).take());
        let tasks = std::mem::take(&mut *self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        let mut tasks = tasks.into_iter();
        if let Some(prune) = tasks.next() {
            prune.abort();
        }
        for task in tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "the lane did not end well");
            }
        }
        self.inner.store.close().await;
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.inner.store
    }

    pub(crate) fn config(&self) -> &Config {
        &self.inner.config
    }

    pub(crate) fn rate_limit(&self) -> &RateLimit {
        &self.inner.rate_limit
    }

    /// Has requests done that no rate limit applies to (any more), in their order.
    pub(crate) async fn apply(&self, requests: Vec<Request>) -> Vec<Outcome> {
        self.submit(requests.into_iter().map(|request| (SessionId(0), request)).collect()).await
    }

    pub(crate) async fn apply_one(&self, request: Request) -> Outcome {
        let outcome = self.apply(vec![request]).await.pop();
        outcome.unwrap_or_else(|| Outcome::Refused(mismatch()))
    }

    /// Publishes what is not stored, best effort.
    pub(crate) async fn publish(&self, ephemeral: Ephemeral) {
        let realm_id = ephemeral.realm_id;
        if let Err(error) = self.inner.bus.publish(realm_id, Frame::Ephemeral(ephemeral).encode()).await {
            tracing::debug!(%error, %realm_id, "ephemeral frame not published");
        }
    }

    async fn submit(&self, requests: Vec<(SessionId, Request)>) -> Vec<Outcome> {
        let lane = self.inner.lane.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match lane {
            Some(lane) => lane.submit(requests).await,
            None => vec![Outcome::Refused(unavailable("the writer is closed")); requests.len()],
        }
    }

    fn limit(&self, user_id: UserId, now: Instant) -> Result<(), Refusal> {
        self.inner.rate_limit.take(user_id, now).map(drop).map_err(|limited| {
            let words = format!("too many messages: {} a minute", self.inner.config.rate_limit_per_minute);
            let retry_after_ms = limited.retry_after.as_nanos().div_ceil(1_000_000) as u32;
            Refusal::retryable(RefusalCode::RateLimited, words, retry_after_ms)
        })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The lane ends by itself when its address goes; the pruner would go on for ever.
        if let Some(prune) = self.tasks.lock().unwrap_or_else(PoisonError::into_inner).first() {
            prune.abort();
        }
    }
}

impl From<StoreError> for LinkError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(words) => Self::Unavailable(words),
            StoreError::UnknownRealm(realm_id) => Self::UnknownRealm(realm_id),
        }
    }
}

fn identity(account: Account) -> Identity {
    Identity { realm_id: account.realm.realm_id, user_id: account.user.user_id, as_of: account.as_of }
}

/// Cuts a creation into changes, none with too many users or streams.
fn creation_chunks(users: impl Iterator<Item = (NewUser, KeyHash)>) -> Vec<(Vec<NewUser>, Vec<KeyHash>)> {
    let mut chunks: Vec<(Vec<NewUser>, Vec<KeyHash>)> = Vec::new();
    let mut streams = std::collections::BTreeSet::new();
    for (user, key) in users {
        let more: Vec<String> = user.streams.iter().map(|name| text::key(name.trim())).collect();
        let new = more.iter().filter(|name| !streams.contains(*name)).count();
        let fits = chunks.last().is_some_and(|(users, _)| users.len() < USERS_CREATED_MAX)
            && streams.len() + new <= STREAMS_ENTERED_MAX;
        if !fits {
            chunks.push((Vec::new(), Vec::new()));
            streams.clear();
        }
        streams.extend(more);
        if let Some((users, keys)) = chunks.last_mut() {
            users.push(user);
            keys.push(key);
        }
    }
    chunks
}

fn done(outcome: Outcome) -> Result<Sequence, Refusal> {
    match outcome {
        Outcome::Done { sequence, .. } => Ok(sequence),
        Outcome::Refused(refusal) => Err(refusal),
        Outcome::Sent { .. } | Outcome::Entered(_) | Outcome::UsersCreated(_) | Outcome::StreamCreated(_) => {
            Err(mismatch())
        }
    }
}

fn unavailable(words: &str) -> Refusal {
    Refusal::retryable(RefusalCode::Unavailable, words, RETRY_AFTER.as_millis() as u32)
}

/// An outcome of another kind than its change: a fault of this program, told rather than hidden.
fn mismatch() -> Refusal {
    unavailable("an answer to another question")
}

fn out_of_order(retry_after_ms: u32) -> Refusal {
    let words = "a write before it was refused and can be tried again";
    Refusal::retryable(RefusalCode::OutOfOrder, words, retry_after_ms)
}

/// Keeps the log to its window, in small transactions, for ever.
async fn prune(store: Arc<dyn Store>, window: Duration) {
    loop {
        let before_s = now_s().saturating_sub(window.as_secs());
        match store.prune_log(before_s, PRUNE_EVENTS_MAX).await {
            // As long as there is more, the lane gets its turns in between.
            Ok(PRUNE_EVENTS_MAX..) => tokio::time::sleep(Duration::from_millis(20)).await,
            Ok(_) => tokio::time::sleep(PRUNE_INTERVAL).await,
            Err(error) => {
                tracing::warn!(%error, "log not pruned");
                tokio::time::sleep(PRUNE_INTERVAL).await;
            }
        }
    }
}

#[cfg(test)]
mod tests;
