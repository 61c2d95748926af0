//! What a decision needs to know, and what is known.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::iter;

use squall_protocol::event::{Stream, User};
use squall_protocol::{Destination, MessageId, Position, SendId, Sequence, StreamId, UserId};

use super::messages::digest;
use super::{Sends, SurfaceFacts, SurfaceNeeds};
use crate::change::{Change, Enter, OwnChange, Request};
use crate::secret::MessageDigest;
use crate::text;

/// What a realm's part of a group must read, gathered so that each kind takes one statement.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// These users, if they are of the realm.
    pub(crate) users: BTreeSet<UserId>,
    /// These streams, if they are of the realm.
    pub(crate) streams: BTreeSet<StreamId>,
    /// The streams that bear these names, as `text::key` makes them.
    pub(crate) stream_names: BTreeSet<String>,
    /// Whether these are members; streams by id and by name.
    pub(crate) members: BTreeSet<(StreamId, UserId)>,
    pub(crate) named_members: BTreeSet<(String, UserId)>,
    /// The addresses among these that are taken, as `text::key` makes them.
    pub(crate) emails: BTreeSet<String>,
    /// The messages that bear these ids.
    pub(crate) sends: BTreeSet<(UserId, SendId)>,
    /// The newest messages that are like these.
    pub(crate) recent: BTreeSet<(UserId, MessageDigest)>,
    /// What changes to messages and of users' own ask for.
    pub(crate) surface: SurfaceNeeds,
    /// Ids for at most so many new messages, users, streams.
    pub(crate) new_messages: usize,
    pub(crate) new_users: usize,
    pub(crate) new_streams: usize,
}

/// What is known of a realm, with its row locked.
#[derive(Debug)]
pub(crate) struct Facts {
    /// The log's head.
    pub(crate) head: Position,
    /// The users that were asked for and exist.
    pub(crate) users: HashMap<UserId, User>,
    /// The streams that were asked for, by id or name, and exist.
    pub(crate) streams: HashMap<StreamId, Stream>,
    /// Present memberships of those users in those streams.
    pub(crate) members: HashSet<(StreamId, UserId)>,
    /// Addresses that are taken.
    pub(crate) emails: HashSet<String>,
    /// Sends that are stored.
    pub(crate) sends: Sends,
    /// Messages like those that may be sent again, the newest of each.
    pub(crate) recent: HashMap<(UserId, MessageDigest), RecentSend>,
    /// What was asked for of messages and of users' own.
    pub(crate) surface: SurfaceFacts,
    /// Ids nobody has; taken from the store after the realm's row was locked, so that within a realm
    /// they grow as its sequences do.
    pub(crate) ids: Ids,
}

/// A message that is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoredSend {
    pub(crate) message_id: MessageId,
    pub(crate) sequence: Sequence,
    pub(crate) digest: MessageDigest,
}

/// A message that is stored, and when that was: seconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecentSend {
    pub(crate) message_id: MessageId,
    pub(crate) sequence: Sequence,
    pub(crate) created_s: u64,
}

/// Free ids, ascending; at least as many as were needed.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    pub(crate) messages: VecDeque<MessageId>,
    pub(crate) users: VecDeque<UserId>,
    pub(crate) streams: VecDeque<StreamId>,
}

impl Needs {
    /// All that deciding `requests` can ask.
    pub(crate) fn of(requests: &[Request]) -> Self {
        let mut needs = Self::default();
        for request in requests {
            needs.add(&request.change);
        }
        needs
    }

    fn add(&mut self, change: &Change) {
        match change {
            Change::Send { sender_id, send_id, to, content } => {
                self.add_send(*sender_id, send_id, to);
                self.surface.add_mentions(content);
            }
            Change::Resend { sender_id, send_id, to, content } => {
                self.add_send(*sender_id, send_id, to);
                self.surface.add_mentions(content);
                self.recent.extend(digest(*sender_id, to, content).map(|digest| (*sender_id, digest)));
            }
            Change::Subscribe { actor_id, stream_id, user_ids }
            | Change::Unsubscribe { actor_id, stream_id, user_ids } => {
                self.streams.insert(*stream_id);
                for user_id in iter::once(actor_id).chain(user_ids) {
                    self.users.insert(*user_id);
                    self.members.insert((*stream_id, *user_id));
                }
            }
            Change::Enter(enter) => self.add_enter(enter),
            Change::CreateUsers { users, .. } => {
                self.emails.extend(users.iter().map(|user| text::key(user.email.trim())));
                let names = users.iter().flat_map(|user| &user.streams);
                self.stream_names.extend(names.map(|name| text::key(name.trim())));
                self.new_users += users.len();
            }
            Change::CreateStream { stream, user_ids } => {
                self.stream_names.insert(text::key(stream.name.trim()));
                self.users.extend(user_ids);
                self.new_streams += 1;
            }
            Change::OnMessage(change) => {
                self.users.insert(change.about().0);
                self.surface.add(change);
            }
            Change::Own { user_id, change } => self.add_own(*user_id, change),
            Change::UpdateStream { actor_id, stream_id, name, .. } => {
                self.users.insert(*actor_id);
                self.streams.insert(*stream_id);
                self.members.insert((*stream_id, *actor_id));
                self.stream_names.extend(name.iter().map(|name| text::key(name.trim())));
            }
            Change::UpdateUser { user_id, .. } | Change::RotateKey { user_id, .. } => {
                self.users.insert(*user_id);
            }
        }
    }

    fn add_own(&mut self, user_id: UserId, change: &OwnChange) {
        self.users.insert(user_id);
        match change {
            OwnChange::TopicPolicy { stream_id, .. } | OwnChange::Subscription { stream_id, .. } => {
                self.streams.insert(*stream_id);
                self.members.insert((*stream_id, user_id));
            }
            OwnChange::Flag { .. } | OwnChange::MarkRead { .. } | OwnChange::Setting { .. } => {}
        }
        self.surface.add_own(user_id, change);
    }

    fn add_enter(&mut self, enter: &Enter) {
        let user_ids = || iter::once(enter.actor_id).chain(enter.user_ids.iter().copied());
        self.users.extend(user_ids());
        self.new_streams += enter.streams.len();
        for stream in &enter.streams {
            let name = text::key(stream.name.trim());
            self.named_members.extend(user_ids().map(|user_id| (name.clone(), user_id)));
            self.stream_names.insert(name);
        }
    }

    fn add_send(&mut self, sender_id: UserId, send_id: &SendId, to: &Destination) {
        self.users.insert(sender_id);
        self.sends.insert((sender_id, send_id.clone()));
        self.new_messages += 1;
        match to {
            Destination::Stream { stream_id, .. } => {
                self.streams.insert(*stream_id);
                self.members.insert((*stream_id, sender_id));
            }
            Destination::Direct { user_ids } => self.users.extend(user_ids),
        }
    }

    /// The memberships to look up, once the streams are known.
    pub(crate) fn member_pairs(&self, streams: &HashMap<StreamId, Stream>) -> BTreeSet<(StreamId, UserId)> {
        let by_name: HashMap<String, StreamId> =
            streams.values().map(|stream| (text::key(&stream.name), stream.stream_id)).collect();
        let named = self.named_members.iter();
        let named = named.filter_map(|(name, user_id)| by_name.get(name).map(|id| (*id, *user_id)));
        self.members.iter().copied().chain(named).collect()
    }
}

impl Facts {
    /// The stream that bears `name`.
    pub(crate) fn stream_named(&self, name: &str) -> Option<&Stream> {
        let key = text::key(name);
        self.streams.values().find(|stream| text::key(&stream.name) == key)
    }
}
