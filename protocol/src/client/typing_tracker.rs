//! Who else is typing.

use std::time::{Duration, Instant};

use crate::event::Destination;
use crate::ids::UserId;

/// Somebody at a message to a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Typist {
    pub(crate) sender_id: UserId,
    /// Whole: see [`super::conversation::whole`].
    pub(crate) to: Destination,
}

/// Who types where. A start is forgotten after 15 s, on a stop, and with a message of that user there.
#[derive(Debug, Default)]
pub(crate) struct TypingTracker {
    /// With the time to forget each; few, so a list.
    typists: Vec<(Typist, Instant)>,
}

impl TypingTracker {
    /// Somebody started, or goes on; true if this is news.
    pub(crate) fn start(&mut self, typist: &Typist, now: Instant) -> bool {
        let forget_at = now + FORGET;
        if let Some((_, until)) = self.typists.iter_mut().find(|(known, _)| known == typist) {
            *until = forget_at;
            return false;
        }
        // Past the limit it is better to show too few than to grow.
        let has_room = self.typists.len() < TYPISTS_MAX;
        if has_room {
            self.typists.push((typist.clone(), forget_at));
        }
        has_room
    }

    /// Somebody stopped; true if this is news.
    pub(crate) fn stop(&mut self, typist: &Typist) -> bool {
        let before = self.typists.len();
        self.typists.retain(|(known, _)| known != typist);
        self.typists.len() < before
    }

    /// Who was not heard of for too long.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Vec<Typist> {
        self.typists.extract_if(.., |(_, until)| *until <= now).map(|(typist, _)| typist).collect()
    }

    /// When to call `handle_timeout`.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.typists.iter().map(|&(_, until)| until).min()
    }

    /// The connection is lost: nobody is known to type; gives back who was.
    pub(crate) fn clear(&mut self) -> Vec<Typist> {
        self.typists.drain(..).map(|(typist, _)| typist).collect()
    }
}

const FORGET: Duration = Duration::from_secs(15);
/// More typists at once than anybody could show.
const TYPISTS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::StreamId;

    fn typist(user: u32) -> Typist {
        let to = Destination::Stream { stream_id: StreamId(1), topic: "lunch".into() };
        Typist { sender_id: UserId(user), to }
    }

    #[test]
    fn a_start_is_news_once_and_renewed_by_the_next() {
        let (mut tracker, now) = (TypingTracker::default(), Instant::now());
        assert!(tracker.start(&typist(1), now));
        assert!(!tracker.start(&typist(1), now + Duration::from_secs(10)));
        assert_eq!(tracker.deadline(), Some(now + Duration::from_secs(25)));
        assert!(tracker.handle_timeout(now + Duration::from_secs(24)).is_empty());
        assert_eq!(tracker.handle_timeout(now + Duration::from_secs(25)), [typist(1)]);
        assert!(tracker.deadline().is_none());
    }

    #[test]
    fn a_stop_is_news_only_of_who_was_typing() {
        let (mut tracker, now) = (TypingTracker::default(), Instant::now());
        tracker.start(&typist(1), now);
        assert!(!tracker.stop(&typist(2)));
        assert!(tracker.stop(&typist(1)));
        assert!(!tracker.stop(&typist(1)));
    }

    #[test]
    fn a_lost_connection_forgets_all_and_a_crowd_does_not_grow_without_end() {
        let (mut tracker, now) = (TypingTracker::default(), Instant::now());
        assert_eq!((0..1_000).filter(|&user| tracker.start(&typist(user), now)).count(), TYPISTS_MAX);
        assert_eq!(tracker.clear().len(), TYPISTS_MAX);
        assert!(tracker.clear().is_empty());
    }
}
