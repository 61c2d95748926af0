//! Finished WebSocket frames (RFC 6455, 5.2): a server's are unmasked, so one serves every socket.

use bytes::{BufMut, Bytes, BytesMut};

/// A whole text message in one frame.
#[must_use]
pub fn text(payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(payload.len() + HEADER_BYTES_MAX);
    put_text(&mut frame, payload);
    frame.freeze()
}

/// Appends a whole text message to `out`.
pub fn put_text(out: &mut impl BufMut, payload: &[u8]) {
    out.put_u8(FINAL | OPCODE_TEXT);
    match payload.len() {
        length @ 0..=125 => out.put_u8(length as u8),
        length @ 126..=0xFFFF => {
            out.put_u8(126);
            out.put_u16(length as u16);
        }
        length => {
            out.put_u8(127);
            out.put_u64(length as u64);
        }
    }
    out.put_slice(payload);
}

const FINAL: u8 = 0x80;
const OPCODE_TEXT: u8 = 0x1;
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
            let frame = text(&vec![b'x'; length]);
            assert_eq!(&frame[..header.len()], header);
            assert_eq!(frame.len(), header.len() + length);
        }
    }
}
