//! What was not yet taken by the program.

use std::collections::VecDeque;

use super::update::Update;

/// Updates in order, bounded. When it is full the client is *behind*: it takes nothing more, until all
/// that is queued was taken; what it left out comes again by a resume from the last position taken.
#[derive(Debug)]
pub(crate) struct UpdateQueue {
    updates: VecDeque<Update>,
    updates_max: usize,
    is_behind: bool,
    /// Nobody takes updates any more.
    is_unheard: bool,
}

impl UpdateQueue {
    pub(crate) fn new(updates_max: usize) -> Self {
        Self {
            updates: VecDeque::new(),
            updates_max: updates_max.max(1),
            is_behind: false,
            is_unheard: false,
        }
    }

    /// Takes an update. False if it was left out: then the position must stay where it is.
    pub(crate) fn push(&mut self, update: Update) -> bool {
        if self.is_unheard {
            return true;
        }
        self.is_behind |= self.updates.len() >= self.updates_max;
        if !self.is_behind {
            self.updates.push_back(update);
        }
        !self.is_behind
    }

    pub(crate) fn pop(&mut self) -> Option<Update> {
        self.updates.pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.updates.is_empty()
    }

    /// Once all that is queued was taken: true if updates were left out, which must now be fetched again.
    #[must_use]
    pub(crate) fn catch_up(&mut self) -> bool {
        self.updates.is_empty() && std::mem::take(&mut self.is_behind)
    }

    /// Nobody will take updates from now on: all count as taken.
    pub(crate) fn stop(&mut self) {
        self.updates.clear();
        self.is_behind = false;
        self.is_unheard = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::State;

    fn update() -> Update {
        Update::State(State::Connecting)
    }

    #[test]
    fn a_full_queue_takes_nothing_more_until_all_was_taken() {
        let mut queue = UpdateQueue::new(2);
        assert!(queue.push(update()) && queue.push(update()));
        assert!(!queue.push(update()));
        assert!(queue.pop().is_some());
        assert!(!queue.push(update()), "what was left out comes first");
        assert!(!queue.catch_up());
        assert!(queue.pop().is_some());
        assert!(queue.catch_up());
        assert!(!queue.catch_up());
        assert!(queue.push(update()));
    }

    #[test]
    fn updates_for_nobody_count_as_taken() {
        let mut queue = UpdateQueue::new(1);
        assert!(queue.push(update()));
        queue.stop();
        assert!((0..10).all(|_| queue.push(update())));
        assert!(queue.is_empty() && !queue.catch_up());
    }
}
