//! Everything that calls bincode: frames between our processes, and the `squall.v1.bincode` codec.
//!
//! bincode is pinned to 2.0.1 and no longer maintained; what it writes is frozen by the golden bytes in
//! `vectors/`, so that a successor could be put in its place here and nowhere else. Every decoder has a
//! limit and refuses trailing bytes.

use bincode::config::{self, Config};
use bincode::de::{Decode, Decoder};
use bincode::enc::{Encode, Encoder};
use bincode::error::{DecodeError as Fault, EncodeError};
use bytes::Bytes;

use crate::client_message::ClientMessage;
use crate::codec::DecodeError;
use crate::ids::{Epoch, Mark, MessageId, RealmId, SendId, Sequence, SessionId, StreamId, UserId};
use crate::limits::{FRAME_IN_BYTES_MAX, FRAME_OUT_BYTES_MAX};
use crate::link::WriteRequest;
use crate::server_message::{PresenceDiff, PresenceSnapshot, ServerMessage};

/// Reads a client's message.
pub(crate) fn decode_client(bytes: &[u8]) -> Result<ClientMessage, DecodeError> {
    decode(bytes, config::standard().with_limit::<FRAME_IN_BYTES_MAX>())
}

/// Reads a gateway's message.
pub(crate) fn decode_server(bytes: &[u8]) -> Result<ServerMessage, DecodeError> {
    decode(bytes, config::standard().with_limit::<FRAME_OUT_BYTES_MAX>())
}

/// Reads a gateway's writes of at most `LIMIT` bytes.
pub(crate) fn decode_writes<const LIMIT: usize>(bytes: &[u8]) -> Result<Vec<WriteRequest>, DecodeError> {
    decode(bytes, config::standard().with_limit::<LIMIT>())
}

/// The number of a message's kind, and what begins an event's: sequence, mark, and the number of the event's kind.
#[cfg(feature = "client")]
pub(crate) fn decode_event_head(bytes: &[u8]) -> Option<(u32, Sequence, Mark, u32)> {
    let config = config::standard().with_limit::<FRAME_OUT_BYTES_MAX>();
    bincode::decode_from_slice(bytes, config).map(|(head, _)| head).ok()
}

/// Writes any message.
pub(crate) fn encode(message: &impl Encode) -> Bytes {
    // Numbers, strings and vectors into memory: nothing in them can fail to encode.
    #[expect(clippy::expect_used, reason = "see above")]
    bincode::encode_to_vec(message, config::standard()).expect("messages always encode").into()
}

/// Reads a serde value of at most `LIMIT` bytes, for frames between our processes.
pub(crate) fn decode_plain<T: serde::de::DeserializeOwned, const LIMIT: usize>(
    bytes: &[u8],
) -> Result<T, DecodeError> {
    let config = config::standard().with_limit::<LIMIT>();
    let (value, read) = bincode::serde::decode_from_slice(bytes, config).map_err(|fault| words(&fault))?;
    whole(value, read, bytes)
}

/// Writes a serde value, for frames between our processes.
pub(crate) fn encode_plain(value: &impl serde::Serialize) -> Vec<u8> {
    // Plain structs of numbers, strings and vectors: nothing in them can fail to serialize.
    #[expect(clippy::expect_used, reason = "see above")]
    bincode::serde::encode_to_vec(value, config::standard()).expect("frame bodies always encode")
}

fn decode<T: Decode<()>>(bytes: &[u8], config: impl Config) -> Result<T, DecodeError> {
    let (value, read) = bincode::decode_from_slice(bytes, config).map_err(|fault| words(&fault))?;
    whole(value, read, bytes)
}

fn whole<T>(value: T, read: usize, bytes: &[u8]) -> Result<T, DecodeError> {
    if read == bytes.len() {
        return Ok(value);
    }
    Err(DecodeError(format!("{} bytes after the message", bytes.len() - read)))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "bincode's own enum; its other faults need no words")]
fn words(fault: &Fault) -> DecodeError {
    DecodeError(match fault {
        Fault::UnexpectedEnd { additional } => format!("{additional} bytes are missing"),
        Fault::LimitExceeded => "longer than it may be".into(),
        Fault::UnexpectedVariant { type_name, found, .. } => format!("{type_name} has no kind {found}"),
        Fault::Utf8 { .. } => "text that is not UTF-8".into(),
        Fault::OtherString(words) => words.clone(),
        _ => "not readable".into(),
    })
}

/// Ids are varints, and below 2^53 like everywhere.
macro_rules! ids_as_varints {
    ($($name:ident),*) => {$(
        impl Encode for $name {
            fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
                u64::from(*self).encode(encoder)
            }
        }

        impl<Context> Decode<Context> for $name {
            fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, Fault> {
                let raw = u64::decode(decoder)?;
                Self::try_from(raw).map_err(|error| Fault::OtherString(error.to_string()))
            }
        }

        bincode::impl_borrow_decode!($name);
    )*};
}

ids_as_varints!(RealmId, UserId, StreamId, MessageId, SessionId, Sequence, Epoch, Mark);

impl Encode for SendId {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.as_str().encode(encoder)
    }
}

impl<Context> Decode<Context> for SendId {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, Fault> {
        Self::parse(String::decode(decoder)?).map_err(|error| Fault::OtherString(error.to_string()))
    }
}

bincode::impl_borrow_decode!(SendId);

/// Ascending ids as their count and the steps between them: a byte a user where many are named.
fn encode_ascending<E: Encoder>(users: &[UserId], encoder: &mut E) -> Result<(), EncodeError> {
    (users.len() as u64).encode(encoder)?;
    let mut before = 0;
    for user in users {
        user.0.wrapping_sub(before).encode(encoder)?;
        before = user.0;
    }
    Ok(())
}

fn decode_ascending<D: Decoder>(decoder: &mut D) -> Result<Vec<UserId>, Fault> {
    let count = decode_count::<UserId, D>(decoder)?;
    let mut users = Vec::with_capacity(count);
    let mut before = 0u32;
    for _ in 0..count {
        decoder.unclaim_bytes_read(size_of::<UserId>());
        before = before.wrapping_add(u32::decode(decoder)?);
        users.push(UserId(before));
    }
    Ok(users)
}

/// Users with the second they were last heard of: ids by steps, then the seconds before `as_of_ms`.
fn encode_offline<E: Encoder>(
    offline: &[(UserId, u64)],
    as_of_ms: u64,
    encoder: &mut E,
) -> Result<(), EncodeError> {
    (offline.len() as u64).encode(encoder)?;
    let mut before = 0;
    for (user, heard_s) in offline {
        user.0.wrapping_sub(before).encode(encoder)?;
        // Heard within this very second, by another clock reading: no age is negative.
        (as_of_ms / 1000).saturating_sub(*heard_s).encode(encoder)?;
        before = user.0;
    }
    Ok(())
}

fn decode_offline<D: Decoder>(as_of_ms: u64, decoder: &mut D) -> Result<Vec<(UserId, u64)>, Fault> {
    let count = decode_count::<(UserId, u64), D>(decoder)?;
    let mut offline = Vec::with_capacity(count);
    let mut before = 0u32;
    for _ in 0..count {
        decoder.unclaim_bytes_read(size_of::<(UserId, u64)>());
        before = before.wrapping_add(u32::decode(decoder)?);
        let ago_s = u64::decode(decoder)?;
        offline.push((UserId(before), (as_of_ms / 1000).saturating_sub(ago_s)));
    }
    Ok(offline)
}

/// A count of `T`s that the limit on bytes allows for; what it lets us allocate is charged beforehand.
fn decode_count<T, D: Decoder>(decoder: &mut D) -> Result<usize, Fault> {
    let count = usize::try_from(u64::decode(decoder)?).map_err(|_| Fault::LimitExceeded)?;
    decoder.claim_container_read::<T>(count)?;
    Ok(count)
}

impl Encode for PresenceSnapshot {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.as_of_ms.encode(encoder)?;
        self.change.encode(encoder)?;
        encode_ascending(&self.active, encoder)?;
        encode_ascending(&self.idle, encoder)?;
        encode_offline(&self.offline, self.as_of_ms, encoder)
    }
}

impl<Context> Decode<Context> for PresenceSnapshot {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, Fault> {
        let (as_of_ms, change) = (u64::decode(decoder)?, u64::decode(decoder)?);
        let (active, idle) = (decode_ascending(decoder)?, decode_ascending(decoder)?);
        Ok(Self { as_of_ms, change, active, idle, offline: decode_offline(as_of_ms, decoder)? })
    }
}

bincode::impl_borrow_decode!(PresenceSnapshot);

impl Encode for PresenceDiff {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.as_of_ms.encode(encoder)?;
        self.from.encode(encoder)?;
        self.to.encode(encoder)?;
        encode_ascending(&self.active, encoder)?;
        encode_ascending(&self.idle, encoder)?;
        encode_offline(&self.offline, self.as_of_ms, encoder)
    }
}

impl<Context> Decode<Context> for PresenceDiff {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, Fault> {
        let (as_of_ms, from, to) = (u64::decode(decoder)?, u64::decode(decoder)?, u64::decode(decoder)?);
        let (active, idle) = (decode_ascending(decoder)?, decode_ascending(decoder)?);
        Ok(Self { as_of_ms, from, to, active, idle, offline: decode_offline(as_of_ms, decoder)? })
    }
}

bincode::impl_borrow_decode!(PresenceDiff);
