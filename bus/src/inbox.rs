//! What waits for a link's owner: frames, within bounds, and whatever is to be known before them.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use squall_protocol::RealmId;
use tokio::sync::Notify;

use crate::Delivery;

/// A bounded queue of frames. A full one loses frames, and its owner is told of a gap; nobody who fills it ever
/// waits.
#[derive(Debug)]
pub(crate) struct Inbox {
    frames_max: usize,
    bytes_max: usize,
    waiting: Mutex<Waiting>,
    /// There is one owner.
    wake: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    frames: VecDeque<(RealmId, Bytes)>,
    bytes: usize,
    /// Something was lost that the owner has not been told of.
    gap: bool,
    /// The link came up (true) or went down, and the owner has not been told.
    link: Option<bool>,
}

impl Inbox {
    /// At most so many frames with so many bytes together, and at least one frame.
    pub(crate) fn new(frames_max: usize, bytes_max: usize) -> Self {
        let frames_max = frames_max.max(1);
        Self { frames_max, bytes_max, waiting: Mutex::default(), wake: Notify::new() }
    }

    /// Puts a frame behind all others; false if it was lost.
    pub(crate) fn push(&self, realm: RealmId, frame: Bytes) -> bool {
        let mut waiting = self.lock();
        let fits = waiting.frames.is_empty()
            || (waiting.frames.len() < self.frames_max && waiting.bytes + frame.len() <= self.bytes_max);
        if fits {
            waiting.bytes += frame.len();
            waiting.frames.push_back((realm, frame));
        } else {
            waiting.gap = true;
        }
        drop(waiting);
        self.wake.notify_one();
        fits
    }

    /// Something was lost on the way here.
    pub(crate) fn push_gap(&self) {
        self.lock().gap = true;
        self.wake.notify_one();
    }

    /// The link came up or went down.
    pub(crate) fn push_link(&self, up: bool) {
        self.lock().link = Some(up);
        self.wake.notify_one();
    }

    /// The next thing for its owner; cancel-safe. A loss is told before any frame that came after it.
    pub(crate) async fn pop(&self) -> Delivery {
        // An owner that finds something each time must still let its runtime see to timers and sockets.
        tokio::task::consume_budget().await;
        loop {
            // What is pushed from here on leaves a permit behind.
            let woken = self.wake.notified();
            if let Some(delivery) = self.lock().pop() {
                return delivery;
            }
            woken.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn pop(&mut self) -> Option<Delivery> {
        match self.link.take() {
            // It says all that a gap says.
            Some(true) => {
                self.gap = false;
                return Some(Delivery::Up);
            }
            Some(false) => return Some(Delivery::Down),
            None => {}
        }
        if std::mem::take(&mut self.gap) {
            return Some(Delivery::Gap);
        }
        let (realm, frame) = self.frames.pop_front()?;
        self.bytes -= frame.len();
        Some(Delivery::Frame { realm, frame })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(number: u8) -> Delivery {
        Delivery::Frame { realm: RealmId(1), frame: Bytes::from(vec![number; 10]) }
    }

    fn push(inbox: &Inbox, number: u8) -> bool {
        inbox.push(RealmId(1), Bytes::from(vec![number; 10]))
    }

    #[tokio::test]
    async fn too_many_frames_are_a_gap_told_before_what_comes_later() {
        let inbox = Inbox::new(2, 1000);
        assert!(push(&inbox, 1) && push(&inbox, 2));
        assert!(!push(&inbox, 3));
        assert_eq!(inbox.pop().await, Delivery::Gap);
        assert_eq!(inbox.pop().await, frame(1));
        assert!(push(&inbox, 4));
        assert_eq!(inbox.pop().await, frame(2));
        assert_eq!(inbox.pop().await, frame(4));
    }

    #[tokio::test]
    async fn too_many_bytes_are_a_gap_but_one_frame_always_fits() {
        let inbox = Inbox::new(100, 15);
        assert!(push(&inbox, 1));
        assert!(!push(&inbox, 2));
        assert_eq!(inbox.pop().await, Delivery::Gap);
        assert_eq!(inbox.pop().await, frame(1));
        let large = Bytes::from(vec![0; 1000]);
        assert!(inbox.push(RealmId(1), large.clone()));
        assert_eq!(inbox.pop().await, Delivery::Frame { realm: RealmId(1), frame: large });
        assert!(push(&inbox, 3), "what was taken counts no more");
    }

    #[tokio::test]
    async fn only_the_latest_state_of_the_link_is_told_and_up_covers_a_gap() {
        let inbox = Inbox::new(100, 1000);
        inbox.push_link(false);
        inbox.push_gap();
        inbox.push_link(true);
        push(&inbox, 1);
        assert_eq!(inbox.pop().await, Delivery::Up);
        assert_eq!(inbox.pop().await, frame(1));
        inbox.push_link(false);
        inbox.push_gap();
        assert_eq!(inbox.pop().await, Delivery::Down);
        assert_eq!(inbox.pop().await, Delivery::Gap);
    }

    #[tokio::test]
    async fn an_owner_that_waits_is_woken() {
        let inbox = std::sync::Arc::new(Inbox::new(100, 1000));
        let owner = std::sync::Arc::clone(&inbox);
        let waiting = tokio::spawn(async move { owner.pop().await });
        tokio::task::yield_now().await;
        inbox.push_gap();
        assert_eq!(waiting.await.unwrap(), Delivery::Gap);
    }
}
