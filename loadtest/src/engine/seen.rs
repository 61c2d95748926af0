//! The events that this worker saw lately, so that a frame need be decoded only the first time: all clients
//! of a codec get the same bytes, and bytes that differ are a finding.

use std::collections::{HashMap, VecDeque};

use squall_protocol::{Codec, Sequence};

/// A bounded window over all realms; what falls out is decoded again when it comes again.
#[derive(Debug)]
pub(crate) struct Seen<T> {
    known: HashMap<Place, Known<T>>,
    /// In the order in which they came.
    order: VecDeque<Place>,
    bytes: usize,
    bytes_max: usize,
}

/// A realm's index and a sequence.
pub(crate) type Place = (u16, Sequence);

#[derive(Debug)]
struct Known<T> {
    /// The first message of each codec.
    messages: [Option<Box<[u8]>>; Codec::ALL.len()],
    /// The same in one form, whatever codec it came in.
    canonical: Box<[u8]>,
    value: T,
}

/// What a message is to the window.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Look<'a, T> {
    /// Byte for byte what came before.
    Same(&'a T),
    /// To be decoded, then to `insert` or `compare`.
    New,
}

/// A message that is not what others were sent as the same event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Differs;

impl<T> Seen<T> {
    /// Of at most so many bytes.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { known: HashMap::new(), order: VecDeque::new(), bytes: 0, bytes_max }
    }

    /// Whether this very message came before.
    pub(crate) fn look(&self, place: Place, codec: Codec, message: &[u8]) -> Look<'_, T> {
        let known = self.known.get(&place);
        let same = |known: &&Known<T>| known.messages[codec.index()].as_deref() == Some(message);
        known.filter(same).map_or(Look::New, |known| Look::Same(&known.value))
    }

    /// Whether a decoded message says what others of its place said; `None` if there were none. `canonical`
    /// is what it says, in one form.
    pub(crate) fn compare(
        &mut self,
        place: Place,
        codec: Codec,
        (message, canonical): (&[u8], &[u8]),
    ) -> Option<Result<&T, Differs>> {
        let known = self.known.get_mut(&place)?;
        if *known.canonical != *canonical {
            return Some(Err(Differs));
        }
        let first = &mut known.messages[codec.index()];
        if first.is_none() {
            *first = Some(message.into());
            self.bytes += message.len();
        }
        Some(Ok(&known.value))
    }

    /// What is known of a place.
    pub(crate) fn get(&self, place: Place) -> Option<&T> {
        self.known.get(&place).map(|known| &known.value)
    }

    /// Takes the first message of a place, and lets go of the oldest ones beyond the limit.
    pub(crate) fn insert(
        &mut self,
        place: Place,
        codec: Codec,
        (message, canonical): (&[u8], Vec<u8>),
        value: T,
    ) {
        let mut messages = [None, None];
        messages[codec.index()] = Some(message.into());
        let known = Known { messages, canonical: canonical.into(), value };
        self.bytes += known.bytes();
        if let Some(replaced) = self.known.insert(place, known) {
            self.bytes -= replaced.bytes();
        } else {
            self.order.push_back(place);
        }
        while self.bytes > self.bytes_max && self.order.len() > 1 {
            let oldest = self.order.pop_front().and_then(|place| self.known.remove(&place));
            self.bytes -= oldest.map_or(0, |oldest| oldest.bytes());
        }
    }
}

impl<T> Known<T> {
    fn bytes(&self) -> usize {
        let messages: usize = self.messages.iter().flatten().map(|message| message.len()).sum();
        messages + self.canonical.len() + ENTRY_BYTES
    }
}

/// What an entry costs beside its messages, about.
const ENTRY_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = (0, Sequence(7));

    fn seen() -> Seen<&'static str> {
        let mut seen = Seen::new(100_000);
        seen.insert(PLACE, Codec::Json, (b"{soup}", b"soup".to_vec()), "soup");
        seen
    }

    #[test]
    fn the_same_bytes_are_known_and_others_are_not() {
        let seen = seen();
        assert_eq!(seen.look(PLACE, Codec::Json, b"{soup}"), Look::Same(&"soup"));
        assert_eq!(seen.look(PLACE, Codec::Json, b"{soap}"), Look::New);
        assert_eq!(seen.look(PLACE, Codec::Bincode, b"{soup}"), Look::New);
        assert_eq!(seen.look((1, Sequence(7)), Codec::Json, b"{soup}"), Look::New);
        assert_eq!(seen.get(PLACE), Some(&"soup"));
    }

    #[test]
    fn the_other_codec_must_say_the_same_and_is_known_from_then_on() {
        let mut seen = seen();
        assert_eq!(seen.compare(PLACE, Codec::Bincode, (b"soap", b"soap")), Some(Err(Differs)));
        assert_eq!(seen.look(PLACE, Codec::Bincode, b"soap"), Look::New);
        assert_eq!(seen.compare(PLACE, Codec::Bincode, (b"soup", b"soup")), Some(Ok(&"soup")));
        assert_eq!(seen.look(PLACE, Codec::Bincode, b"soup"), Look::Same(&"soup"));
        assert_eq!(seen.compare((0, Sequence(8)), Codec::Bincode, (b"soup", b"soup")), None);
    }

    #[test]
    fn the_oldest_fall_out_when_there_is_too_much() {
        let mut seen = Seen::new(10 * (ENTRY_BYTES + 10));
        for sequence in 1..=100 {
            let message = (&b"12345"[..], b"12345".to_vec());
            seen.insert((0, Sequence(sequence)), Codec::Json, message, "x");
        }
        assert_eq!(seen.get((0, Sequence(90))), None);
        assert!(seen.get((0, Sequence(91))).is_some());
        assert_eq!((seen.known.len(), seen.order.len()), (10, 10));
        assert_eq!(seen.bytes, 10 * (ENTRY_BYTES + 10));
    }

    #[test]
    fn one_message_is_kept_whatever_its_size() {
        let mut seen = Seen::new(10);
        seen.insert(PLACE, Codec::Json, (b"longer than ten", b"x".to_vec()), "x");
        assert!(seen.get(PLACE).is_some());
    }
}
