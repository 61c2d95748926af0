//! The bytes of the link between a gateway and a writer: a request is one frame, its answer another. Both are
//! version, kind, length, body; each side reads the version before its own and the one after, and answers a
//! kind it does not know with [`Fault::UnknownKind`].

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::frame::FrameError;
use crate::ids::{RealmId, Sequence};
use crate::limits::{CONTENT_CHARS_MAX, FRAME_IN_BYTES_MAX, LOG_RANGE_EVENTS_MAX};
use crate::link::{
    Heads, Identity, LastHeard, LogRange, NodeLease, PageCursor, RealmPage, RegisterCall, RegisterReply,
    WriteOutcome, WriteRequest,
};
use crate::position::Position;
use crate::{binary, envelope};

/// The version written; this one, the one before and the one after are read.
pub const VERSION: u8 = 1;

/// The header of a request in which its gateway shows the secret: not `Authorization`, which is the user's in
/// requests to the HTTP API that a gateway passes on.
pub const SECRET_HEADER: &str = "squall-link-secret";

/// The longest request.
pub const REQUEST_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The longest answer: a range of the log with every state change after it.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The most tokens in one request, and the longest of them; a longer one is nobody's.
pub const TOKENS_MAX: usize = 1_000;
/// The longest token that is asked about.
pub const TOKEN_BYTES_MAX: usize = 4 * 1024;

/// The most writes in one request.
pub const WRITES_MAX: usize = 1_024;
/// The most bytes of text in the writes of one request; the first is taken whatever it has.
pub const WRITES_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The most realms whose heads one request asks for.
pub const HEADS_MAX: usize = 10_000;

/// The most users in one request that tells when they were heard of.
pub const LAST_HEARD_MAX: usize = 50_000;

const _: () = assert!(TOKENS_MAX * (TOKEN_BYTES_MAX + 9) < REQUEST_BYTES_MAX);
/// Beside its text a write has ids, and a membership change its users.
const _: () = assert!(WRITES_BYTES_MAX + WRITES_MAX * 3 * 1024 + FRAME_IN_BYTES_MAX < REQUEST_BYTES_MAX);
const _: () = assert!(HEADS_MAX * 9 + 64 < REQUEST_BYTES_MAX && LAST_HEARD_MAX * 18 < REQUEST_BYTES_MAX);
/// JSON escapes a byte by six at most; half is left for the changes after the range.
const _: () = assert!(LOG_RANGE_EVENTS_MAX * CONTENT_CHARS_MAX * 6 < ANSWER_BYTES_MAX / 2);

/// What a gateway asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Whose tokens these are.
    Identify(Vec<String>),
    /// Do these writes: one session's in order.
    Write(Vec<WriteRequest>),
    /// A page of a realm's state.
    RealmPage(PageQuery),
    /// A part of a realm's log.
    ReadLog(LogQuery),
    /// Heads of logs.
    Heads(HeadsQuery),
    /// Give a realm a new epoch if its log went back.
    RenewEpoch(EpochQuery),
    /// Store when users were last heard of.
    StoreLastHeard(Vec<LastHeard>),
    /// What the writer itself can reach.
    Probe,
    /// Register an event queue.
    Register(RegisterCall),
    /// What signs the ids of event queues.
    QueueSecret,
}

/// What a writer answers; a variant for each of [`Request`]'s, and one for no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// One for each token, in their order.
    Identified(Vec<Option<Identity>>),
    /// One for each write, in their order.
    Written(Vec<WriteOutcome>),
    /// The page.
    RealmPage(RealmPage),
    /// The part of the log.
    Log(LogRange),
    /// The heads.
    Heads(Heads),
    /// The head after the renewal, or as it is if the log contradicts nothing.
    EpochRenewed(Position),
    /// They are stored.
    LastHeardStored,
    /// What it can reach.
    Standing(Standing),
    /// As the HTTP API would answer it.
    Registered(RegisterReply),
    /// The secret: never in a log.
    QueueSecret([u8; 32]),
    /// No answer.
    Fault(Fault),
}

/// Which page of a realm's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageQuery {
    /// Whose state.
    pub realm_id: RealmId,
    /// Where the page starts; none: the first.
    pub cursor: Option<PageCursor>,
}

/// Which part of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogQuery {
    /// Whose log.
    pub realm_id: RealmId,
    /// The sequence before the part.
    pub after: Sequence,
    /// At most so many events.
    pub limit: u32,
}

/// Whose heads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadsQuery {
    /// Of these realms, at most [`HEADS_MAX`].
    pub realms: Vec<RealmId>,
    /// The asking node's sign of life, if the bus does not carry it.
    pub lease: Option<NodeLease>,
}

/// What a node saw of a log that seems to have gone back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochQuery {
    /// Whose log.
    pub realm_id: RealmId,
    /// A place it had.
    pub seen: Position,
}

/// What a writer itself can reach.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Why its database does not answer; none if it does.
    pub database_fault: Option<String>,
    /// Why it can't publish; none if it can.
    pub bus_fault: Option<String>,
}

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Fault {
    /// Its database can't be reached, or is too busy; try again later.
    #[error("{0}")]
    Unavailable(String),
    /// There is no such realm.
    #[error("no realm {0}")]
    UnknownRealm(RealmId),
    /// A request of a kind that this writer does not know: it is older than the gateway.
    #[error("requests of kind {0} are unknown to this writer")]
    UnknownKind(u16),
    /// A request that can't be read.
    #[error("{0}")]
    Malformed(String),
}

/// Bytes that are no frame of the link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// No frame at all, one too long, or of a version too old or too new.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame of a kind that this version does not know.
    #[error("a frame of the unknown kind {0}")]
    UnknownKind(u16),
    /// More at once than is taken.
    #[error("{size} {what} in one request where {max} are taken")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there were.
        size: usize,
        /// How many may be.
        max: usize,
    },
}

const IDENTIFY: u16 = 1;
const WRITE: u16 = 2;
const REALM_PAGE: u16 = 3;
const READ_LOG: u16 = 4;
const HEADS: u16 = 5;
const RENEW_EPOCH: u16 = 6;
const STORE_LAST_HEARD: u16 = 7;
const PROBE: u16 = 8;
const REGISTER: u16 = 9;
const QUEUE_SECRET: u16 = 10;

/// An answer has its request's kind, above this.
const ANSWER: u16 = 1 << 8;
const FAULT: u16 = ANSWER;

impl Request {
    /// Its bytes; an error if they are too many.
    pub fn encode(&self) -> Result<Bytes, WireError> {
        let (kind, body) = match self {
            Self::Identify(tokens) => (IDENTIFY, binary::encode_plain(tokens)),
            Self::Write(writes) => (WRITE, binary::encode(writes).into()),
            Self::RealmPage(query) => (REALM_PAGE, binary::encode_plain(query)),
            Self::ReadLog(query) => (READ_LOG, binary::encode_plain(query)),
            Self::Heads(query) => (HEADS, binary::encode_plain(query)),
            Self::RenewEpoch(query) => (RENEW_EPOCH, binary::encode_plain(query)),
            Self::StoreLastHeard(heard) => (STORE_LAST_HEARD, binary::encode_plain(heard)),
            Self::Probe => (PROBE, Vec::new()),
            Self::Register(call) => (REGISTER, binary::encode_plain(call)),
            Self::QueueSecret => (QUEUE_SECRET, Vec::new()),
        };
        sealed(kind, &body, REQUEST_BYTES_MAX)
    }

    /// Reads a request of bounded size.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let (kind, body) = envelope::open(bytes, VERSION, REQUEST_BYTES_MAX)?;
        let request = match kind {
            IDENTIFY => Self::Identify(request_body(body)?),
            WRITE => {
                let writes = binary::decode_writes::<REQUEST_BYTES_MAX>(body);
                Self::Write(writes.map_err(|error| FrameError::Body(error.to_string()))?)
            }
            REALM_PAGE => Self::RealmPage(request_body(body)?),
            READ_LOG => Self::ReadLog(request_body(body)?),
            HEADS => Self::Heads(request_body(body)?),
            RENEW_EPOCH => Self::RenewEpoch(request_body(body)?),
            STORE_LAST_HEARD => Self::StoreLastHeard(request_body(body)?),
            PROBE => Self::Probe,
            REGISTER => Self::Register(request_body(body)?),
            QUEUE_SECRET => Self::QueueSecret,
            _ => return Err(WireError::UnknownKind(kind)),
        };
        request.within_bounds()
    }

    fn within_bounds(self) -> Result<Self, WireError> {
        let (what, size, max) = match &self {
            Self::Identify(tokens) => ("tokens", tokens.len(), TOKENS_MAX),
            Self::Write(writes) => ("writes", writes.len(), WRITES_MAX),
            Self::Heads(query) => ("realms", query.realms.len(), HEADS_MAX),
            Self::StoreLastHeard(heard) => ("users", heard.len(), LAST_HEARD_MAX),
            Self::RealmPage(_)
            | Self::ReadLog(_)
            | Self::RenewEpoch(_)
            | Self::Probe
            | Self::Register(_)
            | Self::QueueSecret => return Ok(self),
        };
        if size > max { Err(WireError::TooMany { what, size, max }) } else { Ok(self) }
    }
}

impl Answer {
    /// Its bytes; an error if they are too many.
    pub fn encode(&self) -> Result<Bytes, WireError> {
        let (kind, body) = match self {
            Self::Identified(identities) => (ANSWER + IDENTIFY, binary::encode_plain(identities)),
            Self::Written(outcomes) => (ANSWER + WRITE, binary::encode_plain(outcomes)),
            Self::RealmPage(page) => (ANSWER + REALM_PAGE, binary::encode_plain(page)),
            Self::Log(range) => (ANSWER + READ_LOG, binary::encode_plain(range)),
            Self::Heads(heads) => (ANSWER + HEADS, binary::encode_plain(heads)),
            Self::EpochRenewed(head) => (ANSWER + RENEW_EPOCH, binary::encode_plain(head)),
            Self::LastHeardStored => (ANSWER + STORE_LAST_HEARD, Vec::new()),
            Self::Standing(standing) => (ANSWER + PROBE, binary::encode_plain(standing)),
            Self::Registered(reply) => (ANSWER + REGISTER, binary::encode_plain(reply)),
            Self::QueueSecret(secret) => (ANSWER + QUEUE_SECRET, binary::encode_plain(secret)),
            Self::Fault(fault) => (FAULT, binary::encode_plain(fault)),
        };
        sealed(kind, &body, ANSWER_BYTES_MAX)
    }

    /// Reads an answer of bounded size.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let (kind, body) = envelope::open(bytes, VERSION, ANSWER_BYTES_MAX)?;
        let request = kind.checked_sub(ANSWER).ok_or(WireError::UnknownKind(kind))?;
        Ok(match request {
            IDENTIFY => Self::Identified(answer_body(body)?),
            WRITE => Self::Written(answer_body(body)?),
            REALM_PAGE => Self::RealmPage(answer_body(body)?),
            READ_LOG => Self::Log(answer_body(body)?),
            HEADS => Self::Heads(answer_body(body)?),
            RENEW_EPOCH => Self::EpochRenewed(answer_body(body)?),
            STORE_LAST_HEARD => Self::LastHeardStored,
            PROBE => Self::Standing(answer_body(body)?),
            REGISTER => Self::Registered(answer_body(body)?),
            QUEUE_SECRET => Self::QueueSecret(answer_body(body)?),
            0 => Self::Fault(answer_body(body)?),
            _ => return Err(WireError::UnknownKind(kind)),
        })
    }
}

fn sealed(kind: u16, body: &[u8], max: usize) -> Result<Bytes, WireError> {
    let bytes = envelope::seal(VERSION, kind, body);
    if bytes.len() > max { Err(FrameError::Long { size: bytes.len(), max }.into()) } else { Ok(bytes) }
}

fn request_body<T: DeserializeOwned>(body: &[u8]) -> Result<T, FrameError> {
    binary::decode_plain::<T, REQUEST_BYTES_MAX>(body).map_err(|error| FrameError::Body(error.to_string()))
}

fn answer_body<T: DeserializeOwned>(body: &[u8]) -> Result<T, FrameError> {
    binary::decode_plain::<T, ANSWER_BYTES_MAX>(body).map_err(|error| FrameError::Body(error.to_string()))
}

#[cfg(test)]
mod tests;
