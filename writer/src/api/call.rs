//! One authenticated request.

use std::collections::HashMap;
use std::time::Instant;

use axum::http::HeaderMap;
use squall_protocol::{Position, RealmId, StreamId, UserId};
use squall_zulip::{Credentials, Quota};

use super::answer::ApiError;
use super::params::Params;
use crate::Writer;
use crate::secret::KeyHash;
use crate::store::{Account, StreamRef, StreamView};

/// What an endpoint gets.
pub(super) struct Call {
    pub(super) writer: Writer,
    pub(super) caller: Account,
    pub(super) path: HashMap<String, String>,
    pub(super) params: Params,
}

impl Call {
    pub(super) fn realm_id(&self) -> RealmId {
        self.caller.realm.realm_id
    }

    pub(super) fn user_id(&self) -> UserId {
        self.caller.user.user_id
    }

    /// The stream of the path.
    pub(super) fn path_stream_id(&self) -> Result<StreamId, ApiError> {
        let raw = self.path.get("stream_id").and_then(|raw| raw.parse::<u64>().ok());
        let id = raw.and_then(|raw| StreamId::try_from(raw).ok());
        id.ok_or_else(|| ApiError::bad("Invalid channel ID"))
    }

    /// The stream, if the caller may know of it.
    pub(super) async fn stream(&self, stream: &StreamRef) -> Result<StreamView, ApiError> {
        let found = self.writer.store().stream(self.realm_id(), self.user_id(), stream.clone()).await?;
        found.value.ok_or_else(|| match stream {
            StreamRef::Id(stream_id) => ApiError::unknown_stream_id(*stream_id),
            StreamRef::Name(name) => ApiError::unknown_stream(name),
        })
    }

    /// The ids of users named by id or address; ids are taken as they are.
    pub(super) async fn user_ids(&self, users: Vec<UserRef>) -> Result<Vec<UserId>, ApiError> {
        let mut user_ids = Vec::with_capacity(users.len());
        let mut emails = Vec::new();
        for user in users {
            match user {
                UserRef::Id(user_id) => user_ids.push(user_id),
                UserRef::Email(email) => emails.push(email),
            }
        }
        if !emails.is_empty() {
            let found = self.writer.store().users_by_email(self.realm_id(), emails.clone()).await?;
            for (email, user) in emails.iter().zip(found) {
                let user = user.ok_or_else(|| ApiError::bad(format!("Invalid email '{email}'")))?;
                user_ids.push(user.user_id);
            }
        }
        Ok(user_ids)
    }
}

/// How a client names a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum UserRef {
    Id(UserId),
    Email(String),
}

/// Whose request this is, and what is left of its minute. The key decides; the address must be its owner's.
pub(super) async fn authenticate(
    writer: &Writer,
    headers: &HeaderMap,
) -> Result<(Account, Option<Quota>), ApiError> {
    let credentials = Credentials::of(headers)?;
    let account = writer.store().account(KeyHash::of(&credentials.key)).await?;
    let account = account.filter(|account| credentials.names(&account.user.email));
    let account = account.ok_or_else(ApiError::invalid_key)?;
    let quota = writer.rate_limit().take(account.user.user_id, Instant::now())?;
    Ok((account, quota))
}

/// The caller's own position: that of the read which knew the key.
impl Call {
    pub(super) fn as_of(&self) -> Position {
        self.caller.as_of
    }
}
