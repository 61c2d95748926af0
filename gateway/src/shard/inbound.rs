//! Reading WebSocket messages out of bytes that come as they come.

use std::io::{self, Read, Write};

use bytes::Bytes;
use squall_protocol::limits::FRAME_IN_BYTES_MAX;
use squall_protocol::{CloseCode, Codec};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};

/// The reading half of a connection: nothing while it is between messages, which is nearly always.
#[derive(Default)]
pub(crate) struct Inbound(Option<Box<Partial>>);

/// A message under way, or bytes that wait for the session to open.
struct Partial {
    context: WebSocketContext,
    scanner: FrameScanner,
    held: Vec<u8>,
}

/// What came in.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A whole message of the connection's codec.
    Message(Bytes),
    /// The bytes are used up.
    Drained,
    /// The peer said goodbye; the answer is in `replies`.
    Closed,
    /// The peer broke the protocol.
    Fault(CloseCode),
}

/// Bytes from the socket, given to the context a frame at a time, and what it wants to answer (pongs, the
/// echo of a close).
struct Feed<'a, 'b> {
    bytes: &'b [u8],
    scanner: &'a mut FrameScanner,
    replies: &'a mut Vec<u8>,
}

/// Follows frame headers (RFC 6455, 5.2), only to know where frames and messages end: the context then
/// never holds bytes beyond its frame, and between messages it can be dropped.
#[derive(Debug, Default, Clone, Copy)]
struct FrameScanner {
    header: [u8; HEADER_BYTES_MAX],
    header_len: u8,
    payload_left: u64,
    fragmented: bool,
}

const HEADER_BYTES_MAX: usize = 14;

impl Inbound {
    /// Reads the next message from `bytes`, taking away what it used. What the protocol itself wants to
    /// answer is appended to `replies`.
    pub(crate) fn read(&mut self, codec: Codec, bytes: &mut &[u8], replies: &mut Vec<u8>) -> Incoming {
        let mut partial = self.0.take().unwrap_or_else(|| Box::new(Partial::new()));
        let incoming = partial.read(codec, bytes, replies);
        if !partial.scanner.is_between_messages() || !partial.held.is_empty() {
            self.0 = Some(partial);
        }
        incoming
    }

    /// Keeps bytes for later.
    pub(crate) fn hold(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.0.get_or_insert_with(|| Box::new(Partial::new())).held.extend_from_slice(bytes);
        }
    }

    /// The bytes kept.
    pub(crate) fn take_held(&mut self) -> Vec<u8> {
        let held = self.0.as_mut().map(|partial| std::mem::take(&mut partial.held)).unwrap_or_default();
        if self.0.as_ref().is_some_and(|partial| partial.scanner.is_between_messages()) {
            self.0 = None;
        }
        held
    }
}

impl Partial {
    fn new() -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(WRITE_BYTES_MAX)
            .max_frame_size(Some(FRAME_IN_BYTES_MAX))
            .max_message_size(Some(FRAME_IN_BYTES_MAX));
        let context = WebSocketContext::new(Role::Server, Some(config));
        Self { context, scanner: FrameScanner::default(), held: Vec::new() }
    }

    fn read(&mut self, codec: Codec, bytes: &mut &[u8], replies: &mut Vec<u8>) -> Incoming {
        let mut feed = Feed { bytes, scanner: &mut self.scanner, replies };
        loop {
            let read = self.context.read(&mut feed);
            *bytes = feed.bytes;
            match read {
                Ok(Message::Text(text)) if codec.is_text() => return Incoming::Message(text.into()),
                Ok(Message::Binary(bytes)) if !codec.is_text() => return Incoming::Message(bytes),
                Ok(Message::Ping(_)) => {
                    // The pong leaves now: the context may be dropped before the next read.
                    let _ = self.context.flush(&mut feed);
                }
                Ok(Message::Pong(_) | Message::Frame(_)) => {}
                Ok(Message::Text(_) | Message::Binary(_)) => return Incoming::Fault(CloseCode::Unsupported),
                Ok(Message::Close(_)) => {
                    let _ = self.context.flush(&mut feed);
                    return Incoming::Closed;
                }
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Incoming::Drained;
                }
                Err(error) => return Incoming::Fault(close_code(&error)),
            }
        }
    }
}

fn close_code(error: &Error) -> CloseCode {
    if matches!(error, Error::Utf8(_)) {
        CloseCode::InvalidData
    } else if matches!(error, Error::Capacity(CapacityError::MessageTooLong { .. })) {
        CloseCode::TooBig
    } else {
        CloseCode::Protocol
    }
}

impl Read for Feed<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = self.bytes.len().min(buffer.len());
        let taken = self.scanner.take(&self.bytes[..room]);
        if taken == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        buffer[..taken].copy_from_slice(&self.bytes[..taken]);
        self.bytes = &self.bytes[taken..];
        Ok(taken)
    }
}

impl Write for Feed<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.replies.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl FrameScanner {
    /// How many of `bytes` belong to the frame under way: the rest of its header, or of its payload.
    fn take(&mut self, bytes: &[u8]) -> usize {
        if self.payload_left > 0 {
            let taken = usize::try_from(self.payload_left).unwrap_or(usize::MAX).min(bytes.len());
            self.payload_left -= taken as u64;
            return taken;
        }
        for (index, byte) in bytes.iter().enumerate() {
            self.header[usize::from(self.header_len)] = *byte;
            self.header_len += 1;
            if usize::from(self.header_len) == self.header_bytes() {
                self.end_header();
                return index + 1;
            }
        }
        bytes.len()
    }

    fn is_between_messages(&self) -> bool {
        self.header_len == 0 && self.payload_left == 0 && !self.fragmented
    }

    /// How long the header is, as far as its first bytes tell.
    fn header_bytes(&self) -> usize {
        if self.header_len < 2 {
            return 2;
        }
        let length = match self.header[1] & 0x7F {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if self.header[1] & 0x80 == 0 { 0 } else { 4 };
        2 + length + mask
    }

    fn end_header(&mut self) {
        let h = &self.header;
        self.payload_left = match h[1] & 0x7F {
            126 => u64::from(u16::from_be_bytes([h[2], h[3]])),
            127 => u64::from_be_bytes([h[2], h[3], h[4], h[5], h[6], h[7], h[8], h[9]]),
            short => u64::from(short),
        };
        let (is_final, is_control) = (h[0] & 0x80 != 0, h[0] & 0x08 != 0);
        if !is_control {
            self.fragmented = !is_final;
        }
        self.header_len = 0;
    }
}

/// What the context reads at once; the copy is from memory, so small is good.
const READ_BYTES: usize = 512;

/// More than the pongs and the close that one turn's bytes can ask for.
const WRITE_BYTES_MAX: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 4];
        let mut frame = vec![first];
        match payload.len() {
            short @ 0..126 => frame.push(0x80 | short as u8),
            long @ 126..65_536 => {
                frame.push(0x80 | 126);
                frame.extend((long as u16).to_be_bytes());
            }
            longer => {
                frame.push(0x80 | 127);
                frame.extend((longer as u64).to_be_bytes());
            }
        }
        frame.extend(mask);
        frame.extend(payload.iter().enumerate().map(|(index, byte)| byte ^ mask[index % 4]));
        frame
    }

    /// Everything that comes out of `bytes` when they come in pieces of `size`.
    fn read_all(bytes: &[u8], size: usize) -> (Vec<String>, Vec<u8>, Inbound) {
        let (mut inbound, mut seen, mut replies) = (Inbound::default(), Vec::new(), Vec::new());
        for mut piece in bytes.chunks(size) {
            loop {
                match inbound.read(Codec::Json, &mut piece, &mut replies) {
                    Incoming::Message(text) => seen.push(String::from_utf8(text.to_vec()).unwrap()),
                    Incoming::Drained => break,
                    Incoming::Closed => seen.push("closed".into()),
                    Incoming::Fault(code) => {
                        seen.push(format!("{}", code.number()));
                        return (seen, replies, inbound);
                    }
                }
                if seen.last().is_some_and(|last| last == "closed") {
                    return (seen, replies, inbound);
                }
            }
        }
        (seen, replies, inbound)
    }

    #[test]
    fn messages_come_out_whole_however_their_bytes_come_in() {
        let long = "x".repeat(300);
        let bytes: Vec<u8> = [
            frame(0x81, b"one"),
            frame(0x01, b"tw"),
            frame(0x89, b"ping"),
            frame(0x80, b"o"),
            frame(0x81, long.as_bytes()),
            frame(0x81, b""),
        ]
        .concat();
        for size in [1, 2, 3, 7, 100, 10_000] {
            let (seen, replies, inbound) = read_all(&bytes, size);
            assert_eq!(seen, ["one", "two", &long, ""], "in pieces of {size}");
            assert_eq!(replies, [&[0x8A, 4][..], b"ping"].concat(), "a pong");
            assert!(inbound.0.is_none(), "nothing is kept between messages");
        }
    }

    #[test]
    fn the_longest_message_passes_and_a_longer_one_does_not() {
        let fits = frame(0x81, &vec![b'x'; FRAME_IN_BYTES_MAX]);
        assert_eq!(read_all(&fits, 4_096).0[0].len(), FRAME_IN_BYTES_MAX);
        let too_long = frame(0x81, &vec![b'x'; FRAME_IN_BYTES_MAX + 1]);
        assert_eq!(read_all(&too_long, 4_096).0, ["1009"]);
        let half = FRAME_IN_BYTES_MAX / 2 + 1;
        let fragments = [frame(0x01, &vec![b'x'; half]), frame(0x80, &vec![b'x'; half])].concat();
        assert_eq!(read_all(&fragments, 4_096).0, ["1009"]);
    }

    #[test]
    fn each_breach_has_its_code() {
        let mut unmasked = frame(0x81, b"x");
        unmasked[1] &= 0x7F;
        for (what, bytes, code) in [
            ("binary", frame(0x82, b"x"), "1003"),
            ("bad UTF-8", frame(0x81, &[0xC0, 0xAF]), "1007"),
            ("reserved bit", frame(0xC1, b"x"), "1002"),
            ("unknown opcode", frame(0x83, b"x"), "1002"),
            ("continuation of nothing", frame(0x80, b"x"), "1002"),
            ("long ping", frame(0x89, &[0; 126]), "1002"),
            ("fragmented ping", frame(0x09, b"x"), "1002"),
            ("unmasked", unmasked, "1002"),
        ] {
            assert_eq!(read_all(&bytes, 100).0, [code], "{what}");
        }
    }

    #[test]
    fn a_close_is_answered() {
        let (seen, replies, _) = read_all(&frame(0x88, &1000u16.to_be_bytes()), 100);
        assert_eq!(seen, ["closed"]);
        assert_eq!(replies, [0x88, 2, 0x03, 0xE8]);
    }

    #[test]
    fn held_bytes_are_given_back() {
        let mut inbound = Inbound::default();
        inbound.hold(b"ab");
        inbound.hold(b"c");
        assert_eq!(inbound.take_held(), b"abc");
        assert!(inbound.0.is_none());
    }
}
