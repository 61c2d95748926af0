//! What travels on the bus: version, kind, length, body. A reader skips kinds it does not know, and reads
//! the version before its own and the one after.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::audience::Audience;
use crate::ids::{Epoch, Mark, RealmId, UserId};
use crate::link::EventRecord;
use crate::node_presence::{NodePresence, PresenceAsk};
use crate::server_message::ServerMessage;
use crate::{binary, envelope};

/// The version written; this one, the one before and the one after are read.
pub const VERSION: u8 = 1;

/// The longest frame taken from the bus.
pub const FRAME_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What one publication says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A commit group's events.
    Events(Publication),
    /// Something that is not in the log.
    Ephemeral(Ephemeral),
    /// What a node says of its users, to the other nodes.
    NodePresence(NodePresence),
    /// A node wants to hear what others say of theirs.
    PresenceAsk(PresenceAsk),
}

/// A committed, dense range of one realm's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// Whose log.
    pub realm_id: RealmId,
    /// Which life of it.
    pub epoch: Epoch,
    /// The mark of the event before the range (0 for the first range): what the range goes on from.
    pub previous_mark: Mark,
    /// At least one event.
    pub records: Vec<EventRecord>,
}

/// A frame for the moment: delivered to whoever of the audience is connected, dropped where it is late.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ephemeral {
    /// In which realm.
    pub realm_id: RealmId,
    /// Who may see it.
    pub audience: Audience,
    /// Whose doing it is: its own sessions are spared.
    pub except: Option<UserId>,
    /// What they see.
    pub message: ServerMessage,
}

/// Bytes that are no frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Shorter than it says, or than a header is.
    #[error("frame cut short: {size} bytes")]
    Short {
        /// What there was.
        size: usize,
    },
    /// Longer than it says, or than any frame may be.
    #[error("frame of {size} bytes where {max} were expected")]
    Long {
        /// What there was.
        size: usize,
        /// What was expected.
        max: usize,
    },
    /// Written by a program too old or too new.
    #[error("frame version {0} is none that this program reads")]
    Version(u8),
    /// A body that can't be read.
    #[error("frame body: {0}")]
    Body(String),
}

/// `Ephemeral` on the wire: the message is in JSON, because its types are tagged by field.
#[derive(Serialize, Deserialize)]
struct EphemeralBody {
    realm_id: RealmId,
    audience: Audience,
    except: Option<UserId>,
    message: Vec<u8>,
}

/// Nobody reads this kind, now or later.
const KIND_LOOK: u16 = 0;
const KIND_EVENTS: u16 = 1;
const KIND_EPHEMERAL: u16 = 2;
const KIND_NODE_PRESENCE: u16 = 3;
const KIND_PRESENCE_ASK: u16 = 4;

impl Frame {
    /// The frame's bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let (kind, body) = match self {
            Self::Events(publication) => (KIND_EVENTS, binary::encode_plain(publication)),
            Self::Ephemeral(Ephemeral { realm_id, audience, except, message }) => {
                let message = crate::json::encode_server(message).into();
                let body = EphemeralBody {
                    realm_id: *realm_id,
                    audience: audience.clone(),
                    except: *except,
                    message,
                };
                (KIND_EPHEMERAL, binary::encode_plain(&body))
            }
            Self::NodePresence(presence) => (KIND_NODE_PRESENCE, binary::encode(presence).into()),
            Self::PresenceAsk(ask) => (KIND_PRESENCE_ASK, binary::encode(ask).into()),
        };
        envelope::seal(VERSION, kind, &body)
    }

    /// Reads a frame; `None` if its kind is unknown to this version.
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, FrameError> {
        let (kind, body) = envelope::open(bytes, VERSION, FRAME_BYTES_MAX)?;
        match kind {
            KIND_EVENTS => Ok(Some(Self::Events(decode_body(body)?))),
            KIND_EPHEMERAL => {
                let EphemeralBody { realm_id, audience, except, message } = decode_body(body)?;
                let message =
                    serde_json::from_slice(&message).map_err(|error| FrameError::Body(error.to_string()))?;
                Ok(Some(Self::Ephemeral(Ephemeral { realm_id, audience, except, message })))
            }
            KIND_NODE_PRESENCE => Ok(Some(Self::NodePresence(decode_compact(body)?))),
            KIND_PRESENCE_ASK => Ok(Some(Self::PresenceAsk(decode_compact(body)?))),
            _ => Ok(None),
        }
    }
}

/// A frame of a kind that nobody reads: as for any such, whoever gets it looks at the realm's log. It stands for
/// frames that were lost on their way to the bus.
#[must_use]
pub fn look() -> Bytes {
    let [k0, k1] = KIND_LOOK.to_le_bytes();
    Bytes::copy_from_slice(&[VERSION, k0, k1, 0, 0, 0, 0])
}

fn decode_body<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, FrameError> {
    binary::decode_plain::<T, FRAME_BYTES_MAX>(body).map_err(|error| FrameError::Body(error.to_string()))
}

fn decode_compact<T: bincode::Decode<()>>(body: &[u8]) -> Result<T, FrameError> {
    binary::decode_compact::<T, FRAME_BYTES_MAX>(body).map_err(|error| FrameError::Body(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client_message::TypingOp;
    use crate::event::{Destination, Event};
    use crate::ids::{Sequence, StreamId};

    fn events() -> Frame {
        let event = Event::CredentialChanged { user_id: UserId(4) };
        Frame::Events(Publication {
            realm_id: RealmId(1),
            epoch: Epoch(77),
            previous_mark: Mark(5),
            records: vec![EventRecord::new(Sequence(9), Mark(6), &event)],
        })
    }

    #[test]
    fn frames_come_back_as_they_were() {
        let to = Destination::Stream { stream_id: StreamId(1), topic: "x".into() };
        let typing = Frame::Ephemeral(Ephemeral {
            realm_id: RealmId(1),
            audience: to.audience(),
            except: Some(UserId(2)),
            message: ServerMessage::Typing { op: TypingOp::Start, sender_id: UserId(2), to },
        });
        for frame in [events(), typing] {
            assert_eq!(Frame::decode(&frame.encode()), Ok(Some(frame)));
        }
    }

    #[test]
    fn a_look_is_of_no_known_kind() {
        assert_eq!(Frame::decode(&look()), Ok(None));
    }

    #[test]
    fn cut_padded_and_foreign_frames_are_refused() {
        let bytes = events().encode();
        for cut in 0..bytes.len() {
            assert!(Frame::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        let mut padded = bytes.to_vec();
        padded.push(0);
        assert!(matches!(Frame::decode(&padded), Err(FrameError::Long { .. })));
        let mut foreign = bytes.to_vec();
        foreign[0] = VERSION + 2;
        assert_eq!(Frame::decode(&foreign), Err(FrameError::Version(VERSION + 2)));
    }

    #[test]
    fn the_neighbouring_version_is_read_and_an_unknown_kind_skipped() {
        let mut next = events().encode().to_vec();
        next[0] = VERSION + 1;
        assert_eq!(Frame::decode(&next), Ok(Some(events())));
        next[1] = 0xEE;
        assert_eq!(Frame::decode(&next), Ok(None));
    }
}
