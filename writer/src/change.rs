//! What the lane is asked to do, and what became of it.

mod messages;
mod own;

use std::collections::BTreeSet;

use squall_protocol::event::{Role, Stream};
use squall_protocol::link::{Operation, Refusal, RefusalCode, WriteOutcome, WriteRequest};
use squall_protocol::{Destination, MessageId, RealmId, SendId, Sequence, StreamId, UserId};

pub(crate) use messages::{Edit, Emoji, MoveMode, OnMessage};
pub(crate) use own::{OwnChange, ReadScope};

use crate::limits::MOVE_EVENTS_MAX;
use crate::secret::KeyHash;

/// One thing to be done in one realm, whole or not at all.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Where.
    pub(crate) realm_id: RealmId,
    /// What.
    pub(crate) change: Change,
}

/// What can be done in a realm.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// A user's message.
    Send { sender_id: UserId, send_id: SendId, to: Destination, content: String },
    /// A user's message that may be here already: its client had no answer, and named no id.
    Resend { sender_id: UserId, send_id: SendId, to: Destination, content: String },
    /// New members of a stream that exists.
    Subscribe { actor_id: UserId, stream_id: StreamId, user_ids: Vec<UserId> },
    /// Members no more.
    Unsubscribe { actor_id: UserId, stream_id: StreamId, user_ids: Vec<UserId> },
    /// Streams by name: made if missing, and entered.
    Enter(Enter),
    /// New users, by the operator.
    CreateUsers { users: Vec<NewUser>, keys: Vec<KeyHash> },
    /// A stream with its first members, by the operator.
    CreateStream { stream: NewStream, user_ids: Vec<UserId> },
    /// A user's name, role or standing, by the operator.
    UpdateUser { user_id: UserId, change: UserChange },
    /// Something done to a message that is there.
    OnMessage(OnMessage),
    /// Something that is one user's own.
    Own { user_id: UserId, change: OwnChange },
    /// A stream's name or description; `None` stays.
    UpdateStream { actor_id: UserId, stream_id: StreamId, name: Option<String>, description: Option<String> },
    /// A user's API key, by the operator.
    RotateKey { user_id: UserId, key: KeyHash },
}

/// A user's wish to be in streams, or have others in them.
#[derive(Debug, Clone)]
pub(crate) struct Enter {
    /// Who wants it.
    pub(crate) actor_id: UserId,
    /// Which streams, at most `STREAMS_ENTERED_MAX`.
    pub(crate) streams: Vec<NewStream>,
    /// Whom; nobody named means the actor.
    pub(crate) user_ids: Vec<UserId>,
    /// Whether one stream that may not be entered refuses all.
    pub(crate) all_or_nothing: bool,
}

/// A stream to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewStream {
    /// Its name, at most 60 characters, unique in the realm but for case.
    pub name: String,
    /// What it is for; may be empty.
    pub description: String,
    /// Whether only members may see it.
    pub invite_only: bool,
}

/// A user to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUser {
    /// Its address, unique in the realm but for case.
    pub email: String,
    /// The name people see.
    pub full_name: String,
    /// What it may do.
    pub role: Role,
    /// A program.
    pub is_bot: bool,
    /// The streams it is in from the start, by name; at most 32 different ones in 32 users.
    pub streams: Vec<String>,
}

/// What changes in a user; `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserChange {
    /// The name people see.
    pub full_name: Option<String>,
    /// What it may do.
    pub role: Option<Role>,
    /// False deactivates: its key and sessions end, its messages stay.
    pub is_active: Option<bool>,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The message is stored, now or by an earlier send of the same id.
    Sent { message_id: MessageId, sequence: Sequence },
    /// The change holds at `sequence`; `user_ids` are those whom it changed.
    Done { sequence: Sequence, user_ids: Vec<UserId> },
    /// What was entered, stream by stream, in the order asked.
    Entered(Vec<Entered>),
    /// Who was made, in the order asked.
    UsersCreated(Vec<Result<UserId, Refusal>>),
    /// The stream that was made.
    StreamCreated(Stream),
    /// It was so already, and nothing was written.
    Unchanged,
    /// There is no such message, or the user may not read it.
    NoMessage,
    /// Nothing was written.
    Refused(Refusal),
}

/// What became of one stream of an [`Enter`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entered {
    /// The stream's name.
    pub(crate) name: String,
    /// The new members; empty if `refused`.
    pub(crate) added: Vec<UserId>,
    /// Those who were members already.
    pub(crate) already: Vec<UserId>,
    /// The actor may not enter it.
    pub(crate) refused: bool,
}

impl Request {
    /// The most events it can cause.
    pub(crate) fn events_max(&self) -> usize {
        match &self.change {
            Change::Send { .. }
            | Change::Resend { .. }
            | Change::Subscribe { .. }
            | Change::Unsubscribe { .. }
            | Change::UpdateUser { .. }
            | Change::UpdateStream { .. }
            | Change::Own { .. }
            | Change::OnMessage(OnMessage::Delete { .. } | OnMessage::React { .. })
            | Change::RotateKey { .. } => 1,
            Change::OnMessage(OnMessage::Edit(_)) => 1 + MOVE_EVENTS_MAX,
            Change::Enter(enter) => 2 * enter.streams.len(),
            Change::CreateUsers { users, .. } => {
                let streams: BTreeSet<_> = users.iter().flat_map(|user| &user.streams).collect();
                users.len() + streams.len()
            }
            Change::CreateStream { .. } => 2,
        }
    }

    /// The bytes that wait with it, for the bounds of queue and group.
    pub(crate) fn bytes(&self) -> usize {
        const FIXED: usize = 128;
        FIXED
            + match &self.change {
                Change::Send { content, .. } | Change::Resend { content, .. } => content.len(),
                Change::Subscribe { user_ids, .. } | Change::Unsubscribe { user_ids, .. } => {
                    4 * user_ids.len()
                }
                Change::Enter(enter) => FIXED * enter.streams.len() + 4 * enter.user_ids.len(),
                Change::CreateUsers { users, .. } => 2 * FIXED * users.len(),
                Change::CreateStream { user_ids, .. } => FIXED + 4 * user_ids.len(),
                Change::OnMessage(OnMessage::Edit(edit)) => edit.content.as_ref().map_or(0, String::len),
                Change::Own { change: OwnChange::Flag { message_ids, .. }, .. } => 8 * message_ids.len(),
                Change::Own { .. }
                | Change::OnMessage(OnMessage::Delete { .. } | OnMessage::React { .. })
                | Change::UpdateStream { .. }
                | Change::UpdateUser { .. }
                | Change::RotateKey { .. } => 0,
            }
    }
}

impl From<WriteRequest> for Request {
    fn from(request: WriteRequest) -> Self {
        let WriteRequest { realm_id, user_id, send_id, operation, session_id: _ } = request;
        let change = match operation {
            Operation::Send { to, content } => Change::Send { sender_id: user_id, send_id, to, content },
            Operation::Subscribe { stream_id, user_ids } => {
                Change::Subscribe { actor_id: user_id, stream_id, user_ids }
            }
            Operation::Unsubscribe { stream_id, user_ids } => {
                Change::Unsubscribe { actor_id: user_id, stream_id, user_ids }
            }
        };
        Self { realm_id, change }
    }
}

impl Outcome {
    /// A refusal that will not change.
    pub(crate) fn refused(code: RefusalCode, message: impl Into<String>) -> Self {
        Self::Refused(Refusal::fatal(code, message))
    }
}

/// Total, though the outcomes of other changes than a socket's can't come here.
impl From<Outcome> for WriteOutcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Sent { message_id, sequence } => Self::Sent { message_id, sequence },
            Outcome::Done { sequence, .. } => Self::Done { sequence },
            Outcome::Refused(refusal) => Self::Refused(refusal),
            Outcome::Entered(_)
            | Outcome::UsersCreated(_)
            | Outcome::StreamCreated(_)
            | Outcome::Unchanged
            | Outcome::NoMessage => {
                Self::Refused(Refusal::fatal(RefusalCode::Unavailable, "an answer to another question"))
            }
        }
    }
}
