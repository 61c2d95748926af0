//! How messages become bytes: chosen by the subprotocol of the connection.

use bytes::Bytes;

use crate::binary;
use crate::client_message::ClientMessage;
use crate::event::Event;
use crate::ids::{Epoch, Mark, Sequence};
use crate::json;
use crate::position::Position;
use crate::server_message::ServerMessage;

/// One of the two ways to write a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Codec {
    /// `squall.v1.json`: a JSON object in a text frame.
    #[default]
    Json,
    /// `squall.v1.bincode`: bincode 2's standard configuration in a binary frame.
    Bincode,
}

/// Bytes that are no message. The words are for whoever sent them: they may quote a name from the message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed message: {0}")]
pub struct DecodeError(pub(crate) String);

impl Codec {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Json, Self::Bincode];

    /// Its name in `Sec-WebSocket-Protocol`.
    #[must_use]
    pub fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => "squall.v1.json",
            Self::Bincode => "squall.v1.bincode",
        }
    }

    /// The codec of a subprotocol's name.
    #[must_use]
    pub fn of(subprotocol: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.subprotocol() == subprotocol)
    }

    /// Its place among all of them.
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    /// Whether its messages are text frames; else they are binary ones.
    #[must_use]
    pub fn is_text(self) -> bool {
        self == Self::Json
    }

    /// Reads a client's message.
    pub fn decode_client(self, bytes: &[u8]) -> Result<ClientMessage, DecodeError> {
        match self {
            Self::Json => json::decode(bytes),
            Self::Bincode => binary::decode_client(bytes),
        }
    }

    /// Reads a gateway's message.
    pub fn decode_server(self, bytes: &[u8]) -> Result<ServerMessage, DecodeError> {
        match self {
            Self::Json => json::decode(bytes),
            Self::Bincode => binary::decode_server(bytes),
        }
    }

    /// Writes a client's message.
    #[must_use]
    pub fn encode_client(self, message: &ClientMessage) -> Bytes {
        match self {
            Self::Json => json::encode(message),
            Self::Bincode => binary::encode(message),
        }
    }

    /// Writes a gateway's message.
    #[must_use]
    pub fn encode_server(self, message: &ServerMessage) -> Bytes {
        match self {
            Self::Json => json::encode(message),
            Self::Bincode => binary::encode(message),
        }
    }

    /// Writes `ServerMessage::Event` around an event's body as the log has it. An event of a kind that this
    /// version does not know is passed on in JSON, where a client can skip it; in bincode, which can't say
    /// it, the client is told the position instead.
    #[must_use]
    pub fn encode_event(self, epoch: Epoch, sequence: Sequence, mark: Mark, body: &[u8]) -> Bytes {
        match self {
            Self::Json => json::encode_event_message(sequence, mark, body),
            Self::Bincode => binary::encode(&match json::decode::<Event>(body) {
                Ok(event) => ServerMessage::Event { sequence, mark, event },
                Err(_) => ServerMessage::Position(Position { epoch, sequence, mark }),
            }),
        }
    }
}
