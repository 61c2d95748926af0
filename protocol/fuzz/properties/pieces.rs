//! What holds for whatever bytes a WebSocket brings, in whatever pieces.

use squall_protocol::limits::FRAME_IN_BYTES_MAX;
use squall_protocol::{CloseCode, Codec};

use super::inbound::{Inbound, Incoming};

/// The first byte says how many of the next ones are sizes of pieces, the rest is what the socket brings. What
/// comes out does not depend on the pieces, nor on whether some of them were held for a while.
pub(crate) fn check(bytes: &[u8]) {
    let Some((&count, rest)) = bytes.split_first() else { return };
    let (sizes, stream) = rest.split_at(usize::from(count % 16).min(rest.len()));
    for codec in Codec::ALL {
        let whole = read(codec, std::iter::once(stream), false);
        let pieces = || Pieces { rest: stream, sizes, next: 0 };
        assert_eq!(read(codec, pieces(), false), whole, "in pieces");
        assert_eq!(read(codec, pieces(), true), whole, "held between pieces");
    }
}

/// What came out of a stream.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    messages: Vec<Vec<u8>>,
    end: Option<End>,
    replies: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    Closed,
    Fault(CloseCode),
}

/// A stream cut into pieces whose sizes take turns; all of it is one piece if there are none.
struct Pieces<'a> {
    rest: &'a [u8],
    sizes: &'a [u8],
    next: usize,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let size = self
            .sizes
            .get(self.next % self.sizes.len().max(1))
            .map_or(usize::MAX, |size| 1 + usize::from(*size));
        self.next += 1;
        let (piece, rest) = self.rest.split_at(size.min(self.rest.len()));
        self.rest = rest;
        Some(piece)
    }
}

fn read<'a>(codec: Codec, pieces: impl Iterator<Item = &'a [u8]>, holds: bool) -> Outcome {
    let mut inbound = Inbound::default();
    let mut outcome = Outcome { messages: Vec::new(), end: None, replies: Vec::new() };
    let mut used = 0;
    for piece in pieces {
        let held = if holds { hold(&mut inbound, piece) } else { piece.to_vec() };
        let mut left = &held[..];
        loop {
            let before = left.len();
            let incoming = inbound.read(codec, &mut left, &mut outcome.replies);
            used += before - left.len();
            // A pong is as long as its ping; a close is answered at most once.
            assert!(outcome.replies.len() <= used + CLOSE_BYTES_MAX, "replies grow with what is read");
            match incoming {
                Incoming::Message(message) => {
                    assert!(left.len() < before, "a message is made of bytes");
                    assert!(message.len() <= FRAME_IN_BYTES_MAX);
                    assert!(!codec.is_text() || std::str::from_utf8(&message).is_ok());
                    outcome.messages.push(message.to_vec());
                }
                Incoming::Drained => {
                    assert!(left.is_empty(), "drained is all used up");
                    break;
                }
                Incoming::Closed => outcome.end = Some(End::Closed),
                Incoming::Fault(code) => outcome.end = Some(End::Fault(code)),
            }
            if outcome.end.is_some() {
                return outcome;
            }
        }
    }
    outcome
}

/// As a connection does with what comes before its session is open.
fn hold(inbound: &mut Inbound, piece: &[u8]) -> Vec<u8> {
    let (first, second) = piece.split_at(piece.len() / 2);
    inbound.hold(first);
    inbound.hold(second);
    let held = inbound.take_held();
    assert_eq!(held, piece, "what was held comes back");
    held
}

/// A close frame at its longest.
const CLOSE_BYTES_MAX: usize = 2 + 125;
