//! The decision: what a realm's part of a commit group becomes. Pure: it is given the facts as they stand
//! after the realm's row was locked, and returns the rows to store, the events to publish and the answers.
//!
//! Every store calls [`decide`] between reading and storing; nothing else judges rights or numbers events.

mod edits;
mod facts;
mod memberships;
mod messages;
mod operator;
mod own;
mod reactions;
mod surface;

use std::collections::HashMap;

use squall_protocol::event::{Event, Stream, User};
use squall_protocol::link::{EventRecord, RefusalCode};
use squall_protocol::{Audience, Mark, Position, RealmId, SendId, Sequence, StreamId, UserId};

pub(crate) use facts::{Facts, Ids, Needs, RecentSend, StoredSend};
pub(crate) use surface::{
    EditRow, FlagRow, FlagState, Latecomer, MentionRow, MessageFacts, MoveRow, ReactionKey, ReactionRow,
    SettingRow, SubscriptionRow, SurfaceFacts, SurfaceNeeds, SurfaceRows, TopicPolicyRow,
};

use crate::change::{Change, OnMessage, Outcome, Request};
use crate::secret::{KeyHash, MessageDigest};

/// What is to be stored, published and answered for one realm.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    /// The log's new head; the old one if there are no events.
    pub(crate) head: Position,
    /// What the new events go on from.
    pub(crate) previous_mark: Mark,
    /// The rows to store.
    pub(crate) rows: Rows,
    /// One for each request, in their order.
    pub(crate) outcomes: Vec<Outcome>,
}

/// Rows to store, in an order in which each refers only to earlier ones.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Rows {
    /// Users made.
    pub(crate) users: Vec<(User, KeyHash)>,
    /// Users as they are now; with the sequence of a credential change, if this was one.
    pub(crate) changed_users: Vec<(User, Option<Sequence>)>,
    /// Keys changed, and where.
    pub(crate) changed_keys: Vec<(UserId, KeyHash, Sequence)>,
    /// Streams made.
    pub(crate) streams: Vec<Stream>,
    /// Memberships begun and ended, in their order: one group may do both to one user.
    pub(crate) memberships: Vec<MembershipRow>,
    /// Messages.
    pub(crate) messages: Vec<MessageRow>,
    /// What became of messages, and what is users' own.
    pub(crate) surface: SurfaceRows,
    /// The log's new events: dense, ascending.
    pub(crate) events: Vec<EventRecord>,
}

/// The beginning or end of users' memberships of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MembershipRow {
    pub(crate) stream_id: StreamId,
    pub(crate) user_ids: Vec<UserId>,
    /// Of the event that says so: memberships are intervals [from, to).
    pub(crate) sequence: Sequence,
    pub(crate) begins: bool,
}

/// A message to store.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MessageRow {
    pub(crate) message: squall_protocol::event::Message,
    pub(crate) sequence: Sequence,
    pub(crate) digest: MessageDigest,
}

/// The time and mark of a commit group, which a pure function can't know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp {
    /// Seconds since the Unix epoch.
    pub(crate) now_s: u64,
    /// The group's mark.
    pub(crate) mark: Mark,
}

/// Decides `requests`, in their order, each upon what the ones before it left.
pub(crate) fn decide(facts: Facts, requests: &[Request], stamp: Stamp) -> Decision {
    let previous_mark = facts.head.mark;
    let mut ledger = Ledger { facts, stamp, rows: Rows::default() };
    let outcomes = requests.iter().map(|request| ledger.apply(&request.change)).collect();
    Decision { head: ledger.facts.head, previous_mark, rows: ledger.rows, outcomes }
}

/// The answers of a realm that is not there.
pub(crate) fn decide_without_realm(realm_id: RealmId, requests: &[Request]) -> Vec<Outcome> {
    let refuse = |_| Outcome::refused(RefusalCode::UnknownUser, format!("no realm {realm_id}"));
    requests.iter().map(refuse).collect()
}

/// The facts as they change while requests are decided, and the rows they have become.
struct Ledger {
    facts: Facts,
    stamp: Stamp,
    rows: Rows,
}

/// A refusal's code and words; in the modules below, `Err` is "nothing was written".
type Refused = (RefusalCode, String);

impl Ledger {
    fn apply(&mut self, change: &Change) -> Outcome {
        let outcome = match change {
            Change::Send { sender_id, send_id, to, content } => self.send(*sender_id, send_id, to, content),
            Change::Resend { sender_id, send_id, to, content } => {
                self.resend(*sender_id, send_id, to, content)
            }
            Change::Subscribe { actor_id, stream_id, user_ids } => {
                self.subscribe(*actor_id, *stream_id, user_ids)
            }
            Change::Unsubscribe { actor_id, stream_id, user_ids } => {
                self.unsubscribe(*actor_id, *stream_id, user_ids)
            }
            Change::Enter(enter) => self.enter(enter),
            Change::CreateUsers { users, keys } => self.create_users(users, keys),
            Change::CreateStream { stream, user_ids } => self.create_stream_for(stream, user_ids),
            Change::OnMessage(OnMessage::Edit(edit)) => self.edit(edit),
            Change::OnMessage(OnMessage::Delete { actor_id, message_id }) => {
                self.delete(*actor_id, *message_id)
            }
            Change::OnMessage(OnMessage::React { user_id, message_id, emoji, add }) => {
                self.react(*user_id, *message_id, emoji, *add)
            }
            Change::Own { user_id, change } => self.change_own(*user_id, change),
            Change::UpdateStream { actor_id, stream_id, name, description } => {
                self.update_stream(*actor_id, *stream_id, name.as_deref(), description.as_deref())
            }
            Change::UpdateUser { user_id, change } => self.change_user(*user_id, change),
            Change::RotateKey { user_id, key } => self.change_key(*user_id, *key),
        };
        outcome.unwrap_or_else(|(code, message)| Outcome::refused(code, message))
    }

    /// Takes the next sequence: the only place that does.
    fn advance(&mut self) -> Sequence {
        let head = &mut self.facts.head;
        head.sequence = head.sequence.next();
        head.mark = self.stamp.mark;
        head.sequence
    }

    fn log(&mut self, sequence: Sequence, event: &Event) {
        self.rows.events.push(EventRecord::new(sequence, self.stamp.mark, event));
    }

    /// An event about an earlier message, for those who may read that one.
    fn log_for(&mut self, audience: Audience, sequence: Sequence, event: &Event) {
        self.rows.events.push(EventRecord::seen_by(audience, sequence, self.stamp.mark, event));
    }

    /// The user, if it may act.
    fn actor(&self, user_id: UserId) -> Result<&User, Refused> {
        self.active_user(user_id).ok_or_else(|| {
            (RefusalCode::UnknownUser, format!("user {user_id} is not of this realm, or was deactivated"))
        })
    }

    fn active_user(&self, user_id: UserId) -> Option<&User> {
        self.facts.users.get(&user_id).filter(|user| user.is_active)
    }

    /// All of `user_ids` exist and are active.
    fn all_active(&self, user_ids: &[UserId]) -> Result<(), Refused> {
        match user_ids.iter().find(|user_id| self.active_user(**user_id).is_none()) {
            None => Ok(()),
            Some(unknown) => Err((
                RefusalCode::UnknownUser,
                format!("user {unknown} is not of this realm, or was deactivated"),
            )),
        }
    }

    fn is_member(&self, stream_id: StreamId, user_id: UserId) -> bool {
        self.facts.members.contains(&(stream_id, user_id))
    }
}

/// Messages already stored, by who sent them and by their ids.
type Sends = HashMap<(UserId, SendId), StoredSend>;

fn sorted(user_ids: &[UserId]) -> Vec<UserId> {
    let mut sorted = user_ids.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    sorted
}

#[cfg(test)]
mod tests;
