//! What the other nodes were told of this node's users.

use squall_protocol::limits::NODE_PRESENCE_USERS_MAX;
use squall_protocol::node_presence::{NodePresence, PresenceSource};
use squall_protocol::{RealmId, UserId};

use super::announced::{Announced, Shown};
use super::times::Times;

/// This node's own users as it last saw them, numbered for the other nodes, and how much of that it published.
#[derive(Debug)]
pub(super) struct Published {
    realm_id: RealmId,
    source: PresenceSource,
    rows: Announced,
    /// The last change that was published.
    published: u64,
    published_ms: u64,
    /// The least number from which somebody asked to be told.
    asked: Option<u64>,
    answered_ms: Option<u64>,
}

impl Published {
    pub(super) fn new(realm_id: RealmId, source: PresenceSource, now_ms: u64) -> Self {
        Self {
            realm_id,
            source,
            rows: Announced::default(),
            published: 0,
            published_ms: now_ms,
            // Whoever knows an earlier opening hears at once that it is over.
            asked: Some(0),
            answered_ms: None,
        }
    }

    pub(super) fn source(&self) -> PresenceSource {
        self.source
    }

    /// What this node's own devices last made of `user`.
    pub(super) fn shown(&self, user: UserId) -> Option<Shown> {
        self.rows.shown(user)
    }

    pub(super) fn tell(&mut self, user: UserId, shown: Shown) {
        self.rows.tell(user, shown);
    }

    /// Somebody stands at the change `since` and wants to go on.
    pub(super) fn handle_ask(&mut self, since: u64) {
        self.asked = Some(self.asked.map_or(since, |asked| asked.min(since)));
    }

    /// What other nodes may have missed is found by them at once.
    pub(super) fn handle_link_up(&mut self) {
        self.handle_ask(self.published);
    }

    /// What to publish now: what changed, what was asked for, or a sign of life if one is due. Many who ask
    /// at once get one answer, as all hear it, and what was published before is said again once a tick at most.
    pub(super) fn poll(&mut self, times: &Times, now_ms: u64) -> Vec<NodePresence> {
        let may_answer = self.answered_ms.is_none_or(|at_ms| at_ms + times.tick_ms() <= now_ms);
        let published = self.published;
        let answer = self.asked.take_if(|since| may_answer || *since >= published);
        if answer.is_some_and(|since| since < published) {
            self.answered_ms = Some(now_ms);
        }
        let is_due = self.rows.change() > self.published
            || answer.is_some()
            || self.published_ms + times.sign_of_life_ms() <= now_ms;
        if !is_due {
            return Vec::new();
        }
        let since = answer.map_or(self.published, |since| since.min(self.published));
        let (realm_id, source, change) = (self.realm_id, self.source, self.rows.change());
        (self.published, self.published_ms) = (change, now_ms);
        let parts = self.rows.parts(since, now_ms, NODE_PRESENCE_USERS_MAX);
        parts.into_iter().map(|diff| NodePresence { realm_id, source, change, diff }).collect()
    }

    /// Whether everything that changed was published.
    pub(super) fn is_flushed(&self) -> bool {
        self.rows.change() == self.published
    }
}
