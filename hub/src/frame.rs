//! Finished WebSocket frames (RFC 6455, 5.2): a server's are unmasked, so one serves every socket.

use std::sync::OnceLock;

use bytes::{BufMut, Bytes, BytesMut};
use squall_protocol::{Codec, ServerMessage};

/// A message for many, encoded at most once for each codec, by whoever asks first.
#[derive(Debug)]
pub struct Announcement {
    message: ServerMessage,
    frames: Views,
}

/// The finished frames of one message, one for each codec.
pub(crate) type Views = [OnceLock<Bytes>; Codec::ALL.len()];

impl Announcement {
    /// Of `message`.
    #[must_use]
    pub fn new(message: ServerMessage) -> Self {
        Self { message, frames: Views::default() }
    }

    /// The message itself.
    #[must_use]
    pub fn message(&self) -> &ServerMessage {
        &self.message
    }

    /// Its finished frame.
    pub fn frame(&self, codec: Codec) -> &Bytes {
        self.frames[codec.index()].get_or_init(|| message(codec, &self.message))
    }
}

/// The finished frame of a message for one.
#[must_use]
pub fn message(codec: Codec, message: &ServerMessage) -> Bytes {
    whole(codec, &codec.encode_server(message))
}

/// A whole message of `codec` in one frame.
#[must_use]
pub fn whole(codec: Codec, payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(payload.len() + HEADER_BYTES_MAX);
    frame.put_u8(FINAL | if codec.is_text() { OPCODE_TEXT } else { OPCODE_BINARY });
    match payload.len() {
        length @ 0..=125 => frame.put_u8(length as u8),
        length @ 126..=0xFFFF => {
            frame.put_u8(126);
            frame.put_u16(length as u16);
        }
        length => {
            frame.put_u8(127);
            frame.put_u64(length as u64);
        }
    }
    frame.put_slice(payload);
    frame.freeze()
}

const FINAL: u8 = 0x80;
const OPCODE_TEXT: u8 = 0x1;
const OPCODE_BINARY: u8 = 0x2;
const HEADER_BYTES_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_grows_with_the_payload() {
        for (length, header) in [
            (0, vec![0x81, 0]),
            (125, vec![0x81, 125]),
            (126, vec![0x81, 126, 0, 126]),
            (65_535, vec![0x81, 126, 0xFF, 0xFF]),
            (65_536, vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let frame = whole(Codec::Json, &vec![b'x'; length]);
            assert_eq!(&frame[..header.len()], header);
            assert_eq!(frame.len(), header.len() + length);
        }
    }

    #[test]
    fn an_announcement_is_encoded_once_for_each_codec() {
        let ping = Announcement::new(ServerMessage::Ping { time_ms: 7 });
        assert_eq!(&ping.frame(Codec::Json)[..2], [0x81, 27]);
        assert_eq!(&ping.frame(Codec::Bincode)[..], [0x82, 2, 10, 7]);
        assert_eq!(ping.frame(Codec::Json).as_ptr(), ping.frame(Codec::Json).as_ptr());
    }
}
