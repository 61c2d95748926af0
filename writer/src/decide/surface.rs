//! What deciding about messages that are there, and about what is a user's own, must know, and what it stores.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use squall_protocol::event::{Flag, Message, Reaction, ReactionType, Stream, User};
use squall_protocol::{Audience, Destination, MessageId, Sequence, StreamId, UserId};
use squall_zulip::Names;
use squall_zulip::markdown::{self, Mentions};
use squall_zulip::names::{is_called, only};

use crate::change::{Edit, MoveMode, OnMessage, OwnChange, ReadScope};

/// A reaction's place among all.
pub(crate) type ReactionKey = (MessageId, UserId, ReactionType, String);

/// What must be read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SurfaceNeeds {
    /// These messages, and whether these users may read them.
    pub(crate) messages: BTreeSet<(UserId, MessageId)>,
    /// The messages that would move with these, at most `MOVED_MAX` + 1.
    pub(crate) moved: BTreeSet<(MessageId, MoveMode)>,
    /// Whether there are these reactions.
    pub(crate) reactions: BTreeSet<ReactionKey>,
    /// The users' flags on these messages, if they may read them.
    pub(crate) flags: BTreeSet<(UserId, MessageId)>,
    /// The users' oldest unread messages of these, at most `FLAGGED_MAX`.
    pub(crate) unread: BTreeSet<(UserId, ReadScope)>,
    /// The users who are called so.
    pub(crate) names: BTreeSet<String>,
    /// The users who have these ids: mentions may name them.
    pub(crate) named_ids: BTreeSet<UserId>,
}

/// What is known.
#[derive(Debug, Default)]
pub(crate) struct SurfaceFacts {
    pub(crate) messages: HashMap<MessageId, MessageFacts>,
    /// Who of those who were asked about may read which.
    pub(crate) readable: HashSet<(UserId, MessageId)>,
    /// Ascending.
    pub(crate) moved: HashMap<(MessageId, MoveMode), Vec<(MessageId, Sequence)>>,
    /// Of each stream of those messages: members who may not read all of it, and came in after the oldest of them.
    pub(crate) latecomers: HashMap<StreamId, Vec<Latecomer>>,
    /// Of each stream that has latecomers: all members, ascending.
    pub(crate) members: HashMap<StreamId, Vec<UserId>>,
    pub(crate) reactions: HashSet<ReactionKey>,
    pub(crate) flags: HashMap<(UserId, MessageId), FlagState>,
    /// Ascending.
    pub(crate) unread: HashMap<(UserId, ReadScope), Vec<MessageId>>,
    /// Those whom texts may mention.
    pub(crate) called: HashMap<UserId, User>,
}

/// A message that is there.
#[derive(Debug, Clone)]
pub(crate) struct MessageFacts {
    pub(crate) message: Message,
    /// When it came into its stream.
    pub(crate) placed_at: Sequence,
}

/// A member of a stream who may read only what was sent while it was one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Latecomer {
    pub(crate) user_id: UserId,
    /// From, and to before; `None`: still a member.
    pub(crate) intervals: Vec<(Sequence, Option<Sequence>)>,
}

/// A user's flags on a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FlagState {
    pub(crate) read: bool,
    pub(crate) starred: bool,
}

/// Rows to store.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SurfaceRows {
    /// Whom new messages mention.
    pub(crate) mentions: Vec<MentionRow>,
    pub(crate) edits: Vec<EditRow>,
    pub(crate) moves: Vec<MoveRow>,
    pub(crate) deleted: Vec<MessageId>,
    /// In their order: one group may put one on and take it back.
    pub(crate) reactions: Vec<ReactionRow>,
    /// In their order.
    pub(crate) flags: Vec<FlagRow>,
    pub(crate) topic_policies: Vec<TopicPolicyRow>,
    pub(crate) subscriptions: Vec<SubscriptionRow>,
    pub(crate) settings: Vec<SettingRow>,
    /// Streams as they are now.
    pub(crate) streams: Vec<Stream>,
}

/// A message mentions a user; user 0: everybody who reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MentionRow {
    pub(crate) message_id: MessageId,
    pub(crate) user_id: UserId,
}

/// Who stands for everybody among mentions.
pub(crate) const EVERYBODY: UserId = UserId(0);

/// Another text of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct EditRow {
    pub(crate) message_id: MessageId,
    pub(crate) sequence: Sequence,
    pub(crate) actor_id: UserId,
    pub(crate) edited_s: u64,
    pub(crate) content: String,
    pub(crate) content_before: String,
    /// Whom it mentions now.
    pub(crate) mentions: Vec<MentionRow>,
}

/// Another topic of messages.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MoveRow {
    pub(crate) message_ids: Vec<MessageId>,
    pub(crate) sequence: Sequence,
    pub(crate) actor_id: UserId,
    pub(crate) edited_s: u64,
    pub(crate) stream_id: StreamId,
    pub(crate) topic: String,
    pub(crate) topic_before: String,
    /// Nothing is left in the topic before: who read up to a place in it has read up to there in the new one.
    pub(crate) is_whole: bool,
}

/// A reaction put on or taken back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ReactionRow {
    pub(crate) reaction: Reaction,
    pub(crate) add: bool,
}

/// A flag put on or taken off.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FlagRow {
    pub(crate) user_id: UserId,
    pub(crate) flag: Flag,
    pub(crate) add: bool,
    pub(crate) message_ids: Vec<MessageId>,
}

/// What a user thinks of a topic.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TopicPolicyRow {
    pub(crate) user_id: UserId,
    pub(crate) stream_id: StreamId,
    pub(crate) topic: String,
    pub(crate) policy: u32,
    pub(crate) updated_s: u64,
}

/// A setting of a subscription.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SubscriptionRow {
    pub(crate) user_id: UserId,
    pub(crate) stream_id: StreamId,
    pub(crate) name: String,
    pub(crate) value: String,
}

/// A setting.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SettingRow {
    pub(crate) user_id: UserId,
    pub(crate) name: String,
    pub(crate) value: String,
}

impl SurfaceRows {
    /// Whether there is nothing to store.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl SurfaceNeeds {
    /// Whether nothing is asked for.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn add(&mut self, change: &OnMessage) {
        self.messages.insert(change.about());
        match change {
            OnMessage::Edit(Edit { message_id, content, topic, mode, .. }) => {
                if topic.is_some() {
                    self.moved.insert((*message_id, *mode));
                    // Whether something is left behind is seen by what all would be.
                    self.moved.insert((*message_id, MoveMode::All));
                }
                if let Some(content) = content {
                    self.add_mentions(content);
                }
            }
            OnMessage::Delete { .. } => {}
            OnMessage::React { user_id, message_id, emoji, .. } => {
                self.reactions.insert((*message_id, *user_id, emoji.kind, emoji.code.clone()));
            }
        }
    }

    pub(super) fn add_own(&mut self, user_id: UserId, change: &OwnChange) {
        match change {
            OwnChange::Flag { message_ids, .. } => {
                self.flags.extend(message_ids.iter().map(|message_id| (user_id, *message_id)));
            }
            OwnChange::MarkRead { scope } => {
                self.unread.insert((user_id, scope.clone()));
            }
            OwnChange::TopicPolicy { .. } | OwnChange::Subscription { .. } | OwnChange::Setting { .. } => {}
        }
    }

    pub(super) fn add_mentions(&mut self, content: &str) {
        for (name, id) in markdown::possible_mentions(content) {
            match id {
                Some(user_id) => drop(self.named_ids.insert(user_id)),
                None => drop(self.names.insert(name)),
            }
        }
    }
}

impl SurfaceFacts {
    /// The streams of the messages that are known, and the sequence of the oldest of each that may be told of:
    /// what latecomers are asked by.
    pub(crate) fn oldest_of_streams(&self) -> BTreeMap<StreamId, Sequence> {
        let mut oldest: BTreeMap<StreamId, Sequence> = BTreeMap::new();
        for MessageFacts { message, placed_at } in self.messages.values() {
            let Destination::Stream { stream_id, .. } = &message.to else { continue };
            let moved = self.moved.iter().filter(|((of, _), _)| *of == message.message_id);
            let placed = moved.flat_map(|(_, moved)| moved).map(|(_, sequence)| *sequence);
            let first = placed.chain([*placed_at]).min().unwrap_or(*placed_at);
            oldest.entry(*stream_id).and_modify(|known| *known = first.min(*known)).or_insert(first);
        }
        oldest
    }

    /// Who may see what happens to a message of this stream that came into it at `placed_at`: its members, but
    /// for those who may read only what was sent while they were, and were not then.
    pub(super) fn audience_of(&self, stream_id: StreamId, placed_at: Sequence) -> Audience {
        let latecomers = self.latecomers.get(&stream_id).map(Vec::as_slice).unwrap_or_default();
        let may_not = |latecomer: &&Latecomer| !latecomer.was_there(placed_at);
        let excluded: HashSet<UserId> =
            latecomers.iter().filter(may_not).map(|latecomer| latecomer.user_id).collect();
        if excluded.is_empty() {
            return Audience::members(stream_id);
        }
        let members = self.members.get(&stream_id).into_iter().flatten();
        Audience::users(members.filter(|member| !excluded.contains(member)).copied().collect())
    }
}

/// Only users can be mentioned here: streams that a text links to are the reader's concern.
impl Names for SurfaceFacts {
    fn user(&self, user_id: UserId) -> Option<&User> {
        self.called.get(&user_id)
    }

    fn stream(&self, _: StreamId) -> Option<&Stream> {
        None
    }

    fn user_called(&self, full_name: &str) -> Option<&User> {
        only(self.called.values().filter(|user| is_called(user, full_name)))
    }

    fn stream_called(&self, _: &str) -> Option<&Stream> {
        None
    }
}

impl Latecomer {
    fn was_there(&self, at: Sequence) -> bool {
        self.intervals.iter().any(|(from, to)| *from <= at && to.is_none_or(|to| at < to))
    }
}

impl MentionRow {
    /// Those of a message.
    pub(super) fn of(message_id: MessageId, mentions: &Mentions) -> Vec<Self> {
        let everybody = mentions.everyone.then_some(EVERYBODY);
        let users = mentions.users.iter().copied().chain(everybody);
        users.map(|user_id| Self { message_id, user_id }).collect()
    }
}
