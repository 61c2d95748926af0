//! As much of WebSocket framing as a fan-out needs.

/// How every event begins.
pub(crate) const EVENT: &[u8] = br#"{"type":"event""#;
/// How a ping begins.
pub(crate) const PING: &[u8] = br#"{"type":"ping""#;
/// A server's head for payloads of 126 to 65,535 bytes.
pub(crate) const SERVER_HEAD_BYTES: usize = 4;

const TEXT_FINAL: u8 = 0x81;
const MASKED: u8 = 0x80;
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;

/// A server's text frame, seen in a buffer: its payload, and where the next one starts.
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

/// The head of a server's text frame with 126 to 65,535 bytes of payload.
pub(crate) fn server_head(payload_bytes: usize) -> Vec<u8> {
    let [high, low] = (payload_bytes as u16).to_be_bytes();
    vec![TEXT_FINAL, LENGTH_16, high, low]
}

/// A client's text frame. The mask is 0, which leaves the payload as it is: a mask protects proxies, and
/// there is none.
pub(crate) fn client(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![TEXT_FINAL];
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
