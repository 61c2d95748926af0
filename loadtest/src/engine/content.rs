//! The content of our messages: it tells whose send it is and when it was due, and every byte of it is known
//! beforehand, so that one that changed on its way is found.

use std::fmt::Write as _;

use squall_protocol::SendId;
use squall_protocol::limits::CONTENT_CHARS_MAX;

use crate::moment::Moment;

/// What names a run's messages among those of other runs: eight characters of base 36.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Tag(String);

/// One send of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) worker: u16,
    /// Its number among those of its worker.
    pub(crate) number: u64,
}

/// What a message's content and id say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// One of ours, due then.
    Ours { origin: Origin, due: Moment },
    /// Somebody else's.
    Foreign,
    /// One of ours by its id, but not as it was written.
    Broken,
}

impl Tag {
    /// The tag of this number.
    #[must_use]
    pub fn of(mut number: u64) -> Self {
        let mut text = String::new();
        for _ in 0..TAG_CHARS {
            text.push(char::from(DIGITS[(number % 36) as usize]));
            number /= 36;
        }
        Self(text)
    }

    /// It as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Origin {
    /// The id of the send.
    pub(crate) fn send_id(self, tag: &Tag) -> Option<SendId> {
        SendId::parse(format!("{}-{}-{}", tag.0, self.worker, self.number)).ok()
    }

    /// Whose send this id names; `None` if it is of no worker of this run.
    pub(crate) fn of(send_id: &str, tag: &Tag) -> Option<Self> {
        let rest = send_id.strip_prefix(&tag.0)?.strip_prefix('-')?;
        let (worker, number) = rest.split_once('-')?;
        let origin = Self { worker: worker.parse().ok()?, number: number.parse().ok()? };
        // Only as we write it: `7` is not `07`.
        (format!("{}-{}", origin.worker, origin.number) == rest).then_some(origin)
    }

    /// The content of the send: of so many bytes, or as many as it needs.
    pub(crate) fn content(self, tag: &Tag, due: Moment, bytes: usize) -> String {
        let mut text = String::with_capacity(bytes);
        let Self { worker, number } = self;
        // Writing to a string can't fail.
        let _ = write!(text, "{} {worker} {number} {} {bytes} ", tag.0, due.0);
        let missing = bytes.saturating_sub(text.len()).max(1);
        text.extend(filler(number ^ due.0.rotate_left(32)).take(missing));
        text
    }
}

/// Reads a message's content beside its id.
pub(crate) fn read(content: &str, send_id: &str, tag: &Tag) -> Reading {
    let Some(origin) = Origin::of(send_id, tag) else { return Reading::Foreign };
    due_in(content, origin, tag).map_or(Reading::Broken, |due| Reading::Ours { origin, due })
}

fn due_in(content: &str, origin: Origin, tag: &Tag) -> Option<Moment> {
    let mut words = content.splitn(6, ' ').skip(3);
    let (due, bytes) = (Moment(words.next()?.parse().ok()?), words.next()?.parse().ok()?);
    (bytes <= CONTENT_CHARS_MAX && origin.content(tag, due, bytes) == content).then_some(due)
}

fn filler(seed: u64) -> impl Iterator<Item = char> {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(move || char::from(DIGITS[random.usize(..DIGITS.len())]))
}

const TAG_CHARS: usize = 8;
const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: Origin = Origin { worker: 2, number: 41 };

    #[test]
    fn content_is_as_long_as_asked_and_says_when_it_was_due() {
        let tag = Tag::of(7);
        let id = ORIGIN.send_id(&tag).unwrap();
        for bytes in [64, 200, 10_000] {
            let content = ORIGIN.content(&tag, Moment(123), bytes);
            assert_eq!(content.len(), bytes);
            let ours = Reading::Ours { origin: ORIGIN, due: Moment(123) };
            assert_eq!(read(&content, id.as_str(), &tag), ours);
        }
        let longest = Origin { worker: u16::MAX, number: u64::MAX >> 24 };
        assert_eq!(longest.content(&tag, Moment(u64::MAX), 64).len(), 64, "the least payload holds it all");
    }

    #[test]
    fn no_byte_of_it_can_change_unseen() {
        let tag = Tag::of(7);
        let id = ORIGIN.send_id(&tag).unwrap();
        let content = ORIGIN.content(&tag, Moment(123), 64);
        for place in 0..content.len() {
            let mut bytes = content.clone().into_bytes();
            bytes[place] ^= 1;
            let changed = String::from_utf8(bytes).unwrap();
            assert_eq!(read(&changed, id.as_str(), &tag), Reading::Broken, "{place}: {changed}");
            assert_eq!(read(&content[..place], id.as_str(), &tag), Reading::Broken, "cut at {place}");
        }
        let longer = ORIGIN.content(&tag, Moment(123), CONTENT_CHARS_MAX + 1);
        assert_eq!(read(&longer, id.as_str(), &tag), Reading::Broken);
    }

    #[test]
    fn a_message_of_another_run_is_foreign() {
        let (tag, other) = (Tag::of(7), Tag::of(8));
        let id = ORIGIN.send_id(&other).unwrap();
        assert_eq!(read(&ORIGIN.content(&other, Moment(1), 64), id.as_str(), &tag), Reading::Foreign);
        for id in
            ["", "x", "70000000-2", "70000000-2-", "70000000-02-41", "70000000-2-41-1", "70000000-2-+41"]
        {
            assert_eq!(Origin::of(id, &tag), None, "{id}");
        }
        assert_eq!(Origin::of("70000000-2-41", &tag), Some(ORIGIN));
    }

    #[test]
    fn tags_are_short_and_differ() {
        assert_eq!(Tag::of(0).as_str(), "00000000");
        assert_eq!(Tag::of(u64::MAX).as_str().len(), TAG_CHARS);
        assert_ne!(Tag::of(1), Tag::of(2));
    }
}
