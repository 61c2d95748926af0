//! Presence as Zulip tells it.

use serde_json::{Map, Value, json};
use squall_protocol::UserId;
use squall_protocol::client_message::Status;

use crate::names::Names;

/// A user's presence: what it is shown as, and the second since the Unix epoch it was last heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// Whose.
    pub user_id: UserId,
    /// None: not connected.
    pub status: Option<Status>,
    /// When it was last heard of.
    pub heard_s: u64,
}

/// How long ago a user may have been heard of and not count as offline.
pub const OFFLINE_THRESHOLD_S: u64 = 200;

/// The one client that presence is told of.
const CLIENT: &str = "website";

impl Shown {
    fn is_active(&self) -> bool {
        self.status == Some(Status::Active)
    }

    /// Zulip knows no third status: who is gone was idle last.
    fn word(&self) -> &'static str {
        if self.is_active() { "active" } else { "idle" }
    }

    /// The modern form. Who is active is so now; of others only the time of the last sign is known.
    #[must_use]
    pub fn modern(&self) -> Value {
        if self.is_active() {
            json!({ "active_timestamp": self.heard_s, "idle_timestamp": self.heard_s })
        } else {
            json!({ "idle_timestamp": self.heard_s })
        }
    }

    /// The older form.
    #[must_use]
    pub fn legacy(&self) -> Value {
        let Self { heard_s, .. } = self;
        let word = self.word();
        json!({
            "aggregated": { "client": CLIENT, "status": word, "timestamp": heard_s },
            CLIENT: { "client": CLIENT, "status": word, "timestamp": heard_s, "pushable": false },
        })
    }

    /// The older form of one user, who may be told as offline.
    #[must_use]
    pub fn legacy_of_one(&self, now_s: u64) -> Value {
        let mut object = self.legacy();
        if now_s.saturating_sub(self.heard_s) > OFFLINE_THRESHOLD_S {
            for client in ["aggregated", CLIENT] {
                object[client]["status"] = "offline".into();
            }
        }
        object
    }
}

/// Everybody in the older form, keyed by address.
#[must_use]
pub fn legacy(shown: impl Iterator<Item = Shown>, names: &dyn Names) -> Value {
    let entry = |shown: Shown| Some((names.user(shown.user_id)?.email.clone(), shown.legacy()));
    Value::Object(shown.filter_map(entry).collect())
}

/// Everybody in the modern form, keyed by id.
#[must_use]
pub fn modern(shown: impl Iterator<Item = Shown>) -> Value {
    let entries: Map<_, _> = shown.map(|shown| (shown.user_id.to_string(), shown.modern())).collect();
    Value::Object(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_active_user_is_active_in_both_forms_and_a_gone_one_was_idle_then() {
        let ada = Shown { user_id: UserId(1), status: Some(Status::Active), heard_s: 100 };
        assert_eq!(ada.modern()["active_timestamp"], 100);
        assert_eq!(ada.legacy()["aggregated"]["status"], "active");
        let gone = Shown { status: None, ..ada };
        assert!(gone.modern().get("active_timestamp").is_none());
        assert_eq!(
            gone.legacy()["website"],
            json!({"client": "website", "status": "idle", "timestamp": 100, "pushable": false})
        );
        assert_eq!(gone.legacy_of_one(300)["aggregated"]["status"], "idle");
        assert_eq!(gone.legacy_of_one(301)["aggregated"]["status"], "offline");
    }
}
