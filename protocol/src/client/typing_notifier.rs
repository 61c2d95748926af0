//! This user's typing, as often as the others need to hear of it.

use std::time::{Duration, Instant};

use crate::client_message::{ClientMessage, TypingOp};
use crate::event::Destination;

/// Turns key strokes into a start now and every 10 s, and a stop after a pause.
#[derive(Debug, Default)]
pub(crate) struct TypingNotifier {
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    to: Destination,
    started_at: Instant,
    pressed_at: Instant,
}

impl TypingNotifier {
    /// A key was pressed in a message to `to`: what to say, in order.
    pub(crate) fn handle_key(&mut self, to: Destination, now: Instant) -> Vec<ClientMessage> {
        let mut messages = Vec::new();
        if self.current.as_ref().is_some_and(|current| current.to != to) {
            messages.extend(self.stop());
        }
        match &mut self.current {
            Some(current) if now.saturating_duration_since(current.started_at) < REPEAT => {
                current.pressed_at = now;
            }
            Some(_) | None => {
                messages.push(ClientMessage::Typing { op: TypingOp::Start, to: to.clone() });
                self.current = Some(Current { to, started_at: now, pressed_at: now });
            }
        }
        messages
    }

    /// The user stopped, or sent the message: what to say.
    pub(crate) fn stop(&mut self) -> Option<ClientMessage> {
        let Current { to, .. } = self.current.take()?;
        Some(ClientMessage::Typing { op: TypingOp::Stop, to })
    }

    /// The connection is lost, and with it what was said.
    pub(crate) fn forget(&mut self) {
        self.current = None;
    }

    /// When the pause is long enough to say so.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.current.as_ref().map(|current| current.pressed_at + PAUSE)
    }
}

const REPEAT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::StreamId;

    fn topic(name: &str) -> Destination {
        Destination::Stream { stream_id: StreamId(1), topic: name.into() }
    }

    fn said(op: TypingOp, to: &str) -> ClientMessage {
        ClientMessage::Typing { op, to: topic(to) }
    }

    #[test]
    fn keys_become_a_start_every_10_s() {
        let (mut notifier, start) = (TypingNotifier::default(), Instant::now());
        let starts =
            (0..25).flat_map(|second| notifier.handle_key(topic("a"), start + Duration::from_secs(second)));
        assert_eq!(starts.collect::<Vec<_>>(), vec![said(TypingOp::Start, "a"); 3]);
    }

    #[test]
    fn a_pause_a_stop_and_another_conversation_end_it() {
        let (mut notifier, start) = (TypingNotifier::default(), Instant::now());
        notifier.handle_key(topic("a"), start);
        notifier.handle_key(topic("a"), start + Duration::from_secs(2));
        assert_eq!(notifier.deadline(), Some(start + Duration::from_secs(7)));
        let moved = notifier.handle_key(topic("b"), start + Duration::from_secs(3));
        assert_eq!(moved, [said(TypingOp::Stop, "a"), said(TypingOp::Start, "b")]);
        assert_eq!(notifier.stop(), Some(said(TypingOp::Stop, "b")));
        assert_eq!((notifier.stop(), notifier.deadline()), (None, None));
    }

    #[test]
    fn after_a_lost_connection_the_next_key_starts_again() {
        let (mut notifier, now) = (TypingNotifier::default(), Instant::now());
        notifier.handle_key(topic("a"), now);
        notifier.forget();
        assert_eq!(notifier.handle_key(topic("a"), now), [said(TypingOp::Start, "a")]);
    }
}
