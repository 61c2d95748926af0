//! Presence by HTTP: `users/me/presence`, `realm/presence`, `users/{user}/presence`.

mod devices;

use std::sync::Arc;

use bytes::Bytes;
use hyper::Response;
use serde_json::{Value, json};
use squall_protocol::client_message::Status;
use squall_protocol::link::Identity;
use squall_protocol::server_message::PresenceSnapshot;
use squall_protocol::{RealmId, UserId};
use squall_zulip::presence::{self as shapes, Shown};
use squall_zulip::{Answer, ApiError, Names as _};
use tokio::sync::oneshot;

pub(super) use self::devices::Devices;
use super::{Call, RealmNames, Zulip, going};
use crate::keeper::{KeeperInput, RealmView};

/// How long after its last sign of life a user may still be told as here: whoever asks for what changed
/// since then asks again for so much more, and misses nobody who left.
const OVERLAP_MS: u64 = 120_000;

const DAY_S: u64 = 24 * 60 * 60;

/// How many days back presence is told, if a client does not say.
const DAYS: u32 = 14;

impl Zulip {
    /// `POST users/me/presence`
    pub(super) async fn report_presence(&self, call: Call) -> Result<Response<Bytes>, ApiError> {
        let params = &call.params;
        let status = match params.required("status")? {
            "active" => Status::Active,
            "idle" => Status::Idle,
            other => return Err(ApiError::bad(format!("Invalid status: {other}"))),
        };
        let ping_only = params.flag("ping_only", false)?;
        let slim = params.flag("slim_presence", false)?;
        let since: Option<i64> = params.json("last_update_id", "a number")?;
        let days = params.json("history_limit_days", "a number of days")?.unwrap_or(DAYS);
        params.accept(&["new_user_input"]);
        let (identity, view) = self.enter(&call).await?;
        let realm_id = identity.realm_id;
        let is_bot = view.load().state.user(identity.user_id).is_none_or(|facts| facts.is_bot);
        if is_bot {
            return Err(ApiError::bad("Presence is not supported for bot users."));
        }
        let now_ms = self.node.clock.now_ms();
        for report in
            self.devices.heard(realm_id, identity.user_id, status, now_ms, || self.node.session_id())
        {
            self.node.keepers.tell(KeeperInput::Presence { realm: realm_id, report });
        }
        if ping_only {
            return Ok(Answer::default().into_response(&params.unused()));
        }
        let everybody = self.everybody(realm_id).await?.with(identity.user_id, status, now_ms);
        let shown = everybody.shown_within(days).filter(|shown| match since.map(u64::try_from) {
            // From the beginning, or in the older form: everybody.
            None | Some(Err(_) | Ok(0)) => true,
            Some(Ok(since_ms)) => shown.heard_s * 1000 + OVERLAP_MS >= since_ms,
        });
        let answer = json!({
            "presences": object(shown, slim || since.is_some(), &view),
            "server_timestamp": everybody.server_timestamp(),
            "presence_last_update_id": everybody.update_id(),
        });
        Ok(Answer::new(answer).into_response(&params.unused()))
    }

    /// `GET realm/presence`
    pub(super) async fn realm_presence(&self, call: Call) -> Result<Response<Bytes>, ApiError> {
        let (identity, view) = self.enter(&call).await?;
        let everybody = self.everybody(identity.realm_id).await?;
        let answer = json!({
            "presences": object(everybody.shown_within(DAYS), false, &view),
            "server_timestamp": everybody.server_timestamp(),
        });
        Ok(Answer::new(answer).into_response(&call.params.unused()))
    }

    /// `GET users/{id or address}/presence`
    pub(super) async fn user_presence(&self, call: Call, user: &str) -> Result<Response<Bytes>, ApiError> {
        let (identity, view) = self.enter(&call).await?;
        let snapshot = view.load_full();
        let directory = snapshot.state.directory();
        let found = match user.parse() {
            Ok(id) => directory.user(UserId(id)),
            Err(_) => directory.user_at(user),
        };
        let found = found.filter(|user| user.is_active).ok_or_else(|| ApiError::bad("No such user"))?;
        if found.is_bot {
            return Err(ApiError::bad("Presence is not supported for bot users."));
        }
        let everybody = self.everybody(identity.realm_id).await?;
        let shown = everybody.shown().find(|shown| shown.user_id == found.user_id);
        let shown = shown.ok_or_else(|| ApiError::bad(format!("No presence data for {}", found.email)))?;
        let presence = shown.legacy_of_one(everybody.0.as_of_ms / 1000);
        Ok(Answer::new(json!({ "presence": presence })).into_response(&call.params.unused()))
    }

    async fn enter(&self, call: &Call) -> Result<(Identity, Arc<RealmView>), ApiError> {
        let identity = self.identify(&call.credentials).await?;
        let view = self.visit(identity.clone(), call.credentials.email.clone()).await?;
        Ok((identity, view))
    }

    pub(super) async fn everybody(&self, realm: RealmId) -> Result<Everybody, ApiError> {
        let (reply, answer) = oneshot::channel();
        self.node.keepers.tell(KeeperInput::PresenceOfAll { realm, reply });
        answer.await.map(Everybody).map_err(|_| going())
    }
}

/// A realm's presence at one moment.
pub(super) struct Everybody(PresenceSnapshot);

impl Everybody {
    /// Of each user that has any.
    pub(super) fn shown(&self) -> impl Iterator<Item = Shown> {
        let now_s = self.0.as_of_ms / 1000;
        let here = move |status| {
            move |user_id: &UserId| Shown { user_id: *user_id, status: Some(status), heard_s: now_s }
        };
        let gone =
            |(user_id, heard_s): &(UserId, u64)| Shown { user_id: *user_id, status: None, heard_s: *heard_s };
        (self.0.active.iter().map(here(Status::Active)))
            .chain(self.0.idle.iter().map(here(Status::Idle)))
            .chain(self.0.offline.iter().map(gone))
    }

    /// Of those heard of in so many days.
    pub(super) fn shown_within(&self, days: u32) -> impl Iterator<Item = Shown> {
        let since_s = (self.0.as_of_ms / 1000).saturating_sub(u64::from(days) * DAY_S);
        self.shown().filter(move |shown| days > 0 && shown.heard_s >= since_s)
    }

    /// What to ask from next time.
    pub(super) fn update_id(&self) -> u64 {
        self.0.as_of_ms
    }

    /// When it was true.
    pub(super) fn server_timestamp(&self) -> f64 {
        self.0.as_of_ms as f64 / 1000.0
    }

    /// With what a user just said of itself, which others are told with the next tick.
    fn with(mut self, user_id: UserId, status: Status, now_ms: u64) -> Self {
        let Self(snapshot) = &mut self;
        let others = |users: &mut Vec<UserId>| users.retain(|other| *other != user_id);
        // Another device of the user may be active.
        if status == Status::Idle && snapshot.active.contains(&user_id) {
            return self;
        }
        others(&mut snapshot.active);
        others(&mut snapshot.idle);
        snapshot.offline.retain(|(other, _)| *other != user_id);
        match status {
            Status::Active => snapshot.active.push(user_id),
            Status::Idle => snapshot.idle.push(user_id),
        }
        snapshot.as_of_ms = snapshot.as_of_ms.max(now_ms);
        self
    }
}

/// Everybody shown, in one of the two forms.
pub(super) fn object(shown: impl Iterator<Item = Shown>, slim: bool, view: &RealmView) -> Value {
    if slim {
        return shapes::modern(shown);
    }
    let snapshot = view.load_full();
    let names = RealmNames(&snapshot.state);
    shapes::legacy(shown.filter(|shown| names.user(shown.user_id).is_some_and(|user| user.is_active)), &names)
}
