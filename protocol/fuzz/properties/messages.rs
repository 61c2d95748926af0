//! What holds for whatever bytes reach a decoder of messages.

use std::fmt::Debug;

use bytes::Bytes;
use squall_protocol::limits::{FRAME_IN_BYTES_MAX, FRAME_OUT_BYTES_MAX};
use squall_protocol::server_message::{PresenceDiff, PresenceSnapshot};
use squall_protocol::{ClientMessage, Codec, ServerMessage};

/// A message of one of the two sides.
pub(crate) trait Message: Clone + PartialEq + Debug {
    /// The limit of its binary decoder.
    const BYTES_MAX: usize;

    /// Reads it.
    fn decode(codec: Codec, bytes: &[u8]) -> Option<Self>;

    /// Writes it.
    fn encode(&self, codec: Codec) -> Bytes;

    /// What of it the codec can say.
    fn said_in(self, codec: Codec) -> Self;
}

/// Reading takes bounded memory, and what could be read is the same message when it is written and read again,
/// in either codec.
pub(crate) fn check<M: Message>(bytes: &[u8]) {
    for codec in Codec::ALL {
        let mut read = None;
        let spent = allocation_counter::measure(|| read = M::decode(codec, bytes));
        let bytes_max = allocated_bytes_max::<M>(codec, bytes.len());
        assert!(spent.bytes_max <= bytes_max, "{codec:?}: {spent:?} for {} bytes", bytes.len());
        let Some(message) = read else { continue };
        for other in Codec::ALL {
            if other == codec || bytes.len() <= CONVERTIBLE_BYTES_MAX {
                let again = M::decode(other, &message.encode(other));
                assert_eq!(again, Some(message.clone().said_in(other)), "{codec:?} to {other:?}");
            }
        }
    }
}

/// serde holds the parts of a tagged JSON object in trees before it knows its kind: a hundred bytes for each
/// of the text. bincode is held to its limit by what a length claims, whatever follows.
fn allocated_bytes_max<M: Message>(codec: Codec, len: usize) -> u64 {
    let bytes = match codec {
        Codec::Json => 100 * len,
        Codec::Bincode => M::BYTES_MAX + len,
    };
    (bytes + WORDS_BYTES_MAX) as u64
}

/// What words about a fault take, and the parts of a message of constant size.
const WORDS_BYTES_MAX: usize = 4 * 1024;

/// bincode charges eight bytes for an id which JSON may write in two: a client's text up to this length has
/// its binary form within the limit.
const CONVERTIBLE_BYTES_MAX: usize = FRAME_IN_BYTES_MAX / 4;

impl Message for ClientMessage {
    const BYTES_MAX: usize = FRAME_IN_BYTES_MAX;

    fn decode(codec: Codec, bytes: &[u8]) -> Option<Self> {
        codec.decode_client(bytes).ok()
    }

    fn encode(&self, codec: Codec) -> Bytes {
        codec.encode_client(self)
    }

    fn said_in(self, _: Codec) -> Self {
        self
    }
}

impl Message for ServerMessage {
    const BYTES_MAX: usize = FRAME_OUT_BYTES_MAX;

    fn decode(codec: Codec, bytes: &[u8]) -> Option<Self> {
        codec.decode_server(bytes).ok()
    }

    fn encode(&self, codec: Codec) -> Bytes {
        codec.encode_server(self)
    }

    /// bincode tells ages, and none is negative: nobody was heard after the message's own time.
    fn said_in(mut self, codec: Codec) -> Self {
        if codec == Codec::Bincode
            && let Self::PresenceSnapshot(PresenceSnapshot { as_of_ms, offline, .. })
            | Self::Presence(PresenceDiff { as_of_ms, offline, .. }) = &mut self
        {
            offline.iter_mut().for_each(|(_, heard_s)| *heard_s = (*heard_s).min(*as_of_ms / 1000));
        }
        self
    }
}
