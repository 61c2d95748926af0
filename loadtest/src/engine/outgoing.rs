//! A client's frames: final, masked (RFC 6455, 5.3).

use squall_protocol::Codec;

/// Writes frames with masks of their own, drawn from a seeded generator: a mask protects proxies from the
/// content that a page chooses, and the content here is ours.
#[derive(Debug)]
pub(crate) struct Masks(fastrand::Rng);

/// What stands in a frame's first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Text = 0x81,
    Binary = 0x82,
    Close = 0x88,
    Pong = 0x8A,
}

impl Masks {
    pub(crate) fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// Appends a message of `codec` in one frame.
    pub(crate) fn message(&mut self, codec: Codec, payload: &[u8], out: &mut Vec<u8>) {
        self.frame(if codec.is_text() { Kind::Text } else { Kind::Binary }, payload, out);
    }

    /// Appends the answer to a ping.
    pub(crate) fn pong(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        self.frame(Kind::Pong, payload, out);
    }

    /// Appends a close frame with a code and no words.
    pub(crate) fn close(&mut self, code: u16, out: &mut Vec<u8>) {
        self.frame(Kind::Close, &code.to_be_bytes(), out);
    }

    fn frame(&mut self, kind: Kind, payload: &[u8], out: &mut Vec<u8>) {
        out.push(kind as u8);
        match payload.len() {
            length @ 0..=125 => out.push(MASKED | length as u8),
            length @ 126..=0xFFFF => {
                out.push(MASKED | 126);
                out.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                out.push(MASKED | 127);
                out.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        let mask = self.0.u32(..).to_be_bytes();
        out.extend_from_slice(&mask);
        out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    }
}

const MASKED: u8 = 0x80;

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a client's frame apart: its first byte, its mask, its payload.
    fn unmask(frame: &[u8]) -> (u8, [u8; 4], Vec<u8>) {
        assert_ne!(frame[1] & MASKED, 0, "a client masks");
        let (length, start) = match frame[1] & !MASKED {
            126 => (usize::from(u16::from_be_bytes([frame[2], frame[3]])), 4),
            127 => (u64::from_be_bytes(frame[2..10].try_into().unwrap()) as usize, 10),
            length => (usize::from(length), 2),
        };
        let mask: [u8; 4] = frame[start..start + 4].try_into().unwrap();
        let payload = frame[start + 4..].iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
        let payload: Vec<u8> = payload.collect();
        assert_eq!(payload.len(), length);
        (frame[0], mask, payload)
    }

    #[test]
    fn every_length_comes_out_as_it_went_in() {
        let mut masks = Masks::new(1);
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let payload: Vec<u8> = (0..length).map(|index| index as u8).collect();
            let mut out = Vec::new();
            masks.message(Codec::Json, &payload, &mut out);
            assert_eq!(unmask(&out).2, payload);
        }
    }

    #[test]
    fn each_frame_has_its_kind_and_a_mask_of_its_own() {
        let mut masks = Masks::new(2);
        let (mut first, mut second, mut pong, mut close) = (vec![], vec![], vec![], vec![]);
        masks.message(Codec::Json, b"soup", &mut first);
        masks.message(Codec::Bincode, b"soup", &mut second);
        masks.pong(b"?", &mut pong);
        masks.close(4001, &mut close);
        assert_eq!((unmask(&first).0, unmask(&second).0), (0x81, 0x82));
        assert_ne!(unmask(&first).1, unmask(&second).1);
        assert_eq!((unmask(&pong).0, unmask(&pong).2), (0x8A, b"?".to_vec()));
        assert_eq!((unmask(&close).0, unmask(&close).2), (0x88, vec![0x0F, 0xA1]));
    }
}
