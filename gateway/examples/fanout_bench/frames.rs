//! As much of the protocol as the measurements need, without building anything for each frame.

use squall_protocol::Codec;

/// A server's head for payloads of 126 to 65,535 bytes.
pub(crate) const SERVER_HEAD_BYTES: usize = 4;

/// What kind of message a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Event,
    Welcome,
    Ping,
    Sent,
    /// Refused or an error: the measurement is off.
    Bad,
    Other,
}

const TEXT_FINAL: u8 = 0x81;
const BINARY_FINAL: u8 = 0x82;
const MASKED: u8 = 0x80;
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;

/// A server's frame, seen in a buffer: its payload, and where the next one starts.
pub(crate) struct Seen<'a> {
    pub(crate) payload: &'a [u8],
    pub(crate) bytes: usize,
}

/// The frame that `buffer` begins with, if it is all there.
pub(crate) fn first(buffer: &[u8]) -> Option<Seen<'_>> {
    let (&short, rest) = (buffer.get(1)?, buffer.get(2..)?);
    let (length, head) = match short & !MASKED {
        LENGTH_16 => (usize::from(u16::from_be_bytes(rest.first_chunk().copied()?)), 4),
        LENGTH_64 => (usize::try_from(u64::from_be_bytes(rest.first_chunk().copied()?)).ok()?, 10),
        length => (usize::from(length), 2),
    };
    let payload = buffer.get(head..head + length)?;
    Some(Seen { payload, bytes: head + length })
}

/// What kind of message a payload is: by the letters behind `{"type":"`, or the number of the kind.
pub(crate) fn kind(codec: Codec, payload: &[u8]) -> Kind {
    match codec {
        Codec::Json => match payload.get(9..12) {
            Some(b"eve") => Kind::Event,
            Some(b"wel") => Kind::Welcome,
            Some(b"pin") => Kind::Ping,
            Some(b"sen") => Kind::Sent,
            Some(b"ref" | b"err") => Kind::Bad,
            Some(_) | None => Kind::Other,
        },
        Codec::Bincode => match payload.first() {
            Some(0) => Kind::Welcome,
            Some(1) => Kind::Event,
            Some(4) => Kind::Sent,
            Some(6 | 13) => Kind::Bad,
            Some(10) => Kind::Ping,
            Some(_) | None => Kind::Other,
        },
    }
}

/// How an event begins.
pub(crate) fn event(codec: Codec) -> &'static [u8] {
    match codec {
        Codec::Json => br#"{"type":"event""#,
        Codec::Bincode => &[1],
    }
}

/// The head of a server's frame with 126 to 65,535 bytes of payload.
pub(crate) fn server_head(codec: Codec, payload_bytes: usize) -> Vec<u8> {
    let [high, low] = (payload_bytes as u16).to_be_bytes();
    vec![opcode(codec), LENGTH_16, high, low]
}

/// A client's frame. The mask is 0, which leaves the payload as it is: a mask protects proxies, and there
/// is none.
pub(crate) fn client(codec: Codec, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![opcode(codec)];
    if payload.len() < usize::from(LENGTH_16) {
        frame.push(MASKED | payload.len() as u8);
    } else {
        frame.push(MASKED | LENGTH_16);
        frame.extend_from_slice(&(payload.len() as u16).to_be_bytes());
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

fn opcode(codec: Codec) -> u8 {
    if codec.is_text() { TEXT_FINAL } else { BINARY_FINAL }
}
