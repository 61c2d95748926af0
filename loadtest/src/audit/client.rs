//! One client: where it is in its realm's log, and what it saw that is not checked yet.

use super::book::Book;
use super::findings::Fault;
use super::trail::{Step, Trail};

/// Why a client may be reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It named a forged position: it must be.
    Forged,
    /// It was away for longer than the resume window.
    Expired,
    /// It was closed for reading too slowly (4200).
    Slow,
}

/// A client's place in its realm's log.
#[derive(Debug)]
pub(super) struct Client {
    /// The index of its realm.
    pub(super) realm: u16,
    /// The index of its user in the realm's book.
    pub(super) user: u32,
    pub(super) phase: Phase,
    /// Why its next session may be reset.
    pub(super) expected: Option<Cause>,
    /// When it last moved on: seconds since the run began.
    moved_s: u32,
    /// All up to here is judged.
    base: u64,
    /// The lowest beginning of a span that is not judged yet; the greatest number: there is none.
    back_to: u64,
    /// Where its present span began: it is bound to see all it may after that.
    start: u64,
    /// All up to here it has passed.
    position: u64,
    trail: Trail,
    /// The number of the span it is in, and of the one that is judged next.
    span: u32,
    base_span: u32,
    /// Seen after later ones, each with the number of its span, ascending.
    late: Vec<(u32, u64)>,
    /// It began anew behind a place of which nothing is known: its user may have been added or removed there,
    /// so what seems lost or leaked afterwards is unjudged.
    is_unsure: bool,
}

/// Whether it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// It was never welcomed.
    Unborn,
    /// It is in a session.
    Here,
    /// It lost its session, and comes back.
    Away,
    /// It stays away.
    Gone,
}

/// What came of a check.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// Faults, each with the index of the event in the book.
    pub(super) faults: Vec<(Fault, usize)>,
    pub(super) judged: u64,
    pub(super) unjudged: u64,
    /// Events looked at.
    pub(super) work: usize,
}

impl Client {
    pub(super) fn new(realm: u16, user: u32) -> Self {
        Self {
            realm,
            user,
            phase: Phase::Unborn,
            expected: None,
            moved_s: 0,
            base: 0,
            back_to: u64::MAX,
            start: 0,
            position: 0,
            trail: Trail::default(),
            span: 0,
            base_span: 0,
            late: Vec::new(),
            is_unsure: false,
        }
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Events after this one may still be needed to judge it.
    pub(super) fn needs_after(&self) -> u64 {
        self.base.min(self.back_to)
    }

    /// Whether it is bound to see an event at `sequence` that its user may see.
    pub(super) fn is_bound_to(&self, sequence: u64) -> bool {
        self.start < sequence && matches!(self.phase, Phase::Here | Phase::Away)
    }

    /// Its place, if others may have to wait for it.
    pub(super) fn holds_up(&self, now_ms: u64) -> Option<u64> {
        let lives = matches!(self.phase, Phase::Here | Phase::Away);
        let still_ms = now_ms.saturating_sub(u64::from(self.moved_s) * 1000);
        (lives && still_ms <= super::STILL_MAX_MS).then_some(self.position)
    }

    /// It is in a session, from `from` on or from where it was. `head`: where the run began.
    pub(super) fn enter(&mut self, from: Option<u64>, head: u64, now_ms: u64) {
        if self.phase == Phase::Unborn {
            self.trail = Trail::begin(head);
            (self.base, self.position) = (head, head);
        }
        if let Some(from) = from {
            self.jump(from, now_ms);
        }
        self.phase = Phase::Here;
        self.moved_s = (now_ms / 1000) as u32;
    }

    /// It begins anew after `from`.
    pub(super) fn jump(&mut self, from: u64, now_ms: u64) {
        self.trail.jump(self.position, from);
        self.span += 1;
        self.back_to = self.back_to.min(from);
        (self.start, self.position) = (from, from);
        self.moved_s = (now_ms / 1000) as u32;
    }

    /// It saw an event. Says what is wrong with that at once.
    pub(super) fn saw(&mut self, sequence: u64, now_ms: u64) -> Option<Fault> {
        if sequence > self.position {
            self.trail.saw(sequence);
            self.position = sequence;
            self.moved_s = (now_ms / 1000) as u32;
            return None;
        }
        let late = (self.span, sequence);
        if self.trail.contains(sequence) || self.late.contains(&late) {
            return Some(Fault::Duplicated);
        }
        if sequence <= self.start {
            return Some(Fault::Reordered);
        }
        // What was judged was seen, or found to be lost.
        let is_judged = self.base_span == self.span && sequence <= self.base;
        if is_judged || self.late.len() >= LATE_MAX {
            return Some(Fault::Duplicated);
        }
        self.late.insert(self.late.partition_point(|other| *other < late), late);
        Some(Fault::Reordered)
    }

    /// It was told that nothing for it lies before `sequence`. False if it was further already.
    pub(super) fn passed(&mut self, sequence: u64, now_ms: u64) -> bool {
        self.moved_s = (now_ms / 1000) as u32;
        let is_onward = sequence >= self.position;
        self.position = self.position.max(sequence);
        is_onward
    }

    /// The run is over: if it is there, it has all it will ever have.
    pub(super) fn close(&mut self) {
        if self.phase == Phase::Here {
            self.position = u64::MAX;
        }
    }

    /// Compares what it saw with what it may see, up to the horizon or where it is; what is compared is
    /// forgotten.
    pub(super) fn check(&mut self, book: &Book) -> Checked {
        let mut judge = Judge::new(book, self.user, &self.late);
        (judge.span, judge.is_unsure) = (self.base_span, self.is_unsure);
        let horizon = book.horizon();
        judge.stand_at(self.base);
        let mut done = None;
        let mut is_waiting = false;
        for (step, mark) in self.trail.steps() {
            match step {
                Step::Seen(sequence) if sequence <= horizon => judge.saw(sequence),
                Step::Jumped { passed, from } if passed.max(from) <= horizon => judge.jump(passed, from),
                Step::Seen(sequence) => {
                    judge.pass(horizon.min(sequence));
                    is_waiting = true;
                }
                Step::Jumped { passed, .. } => {
                    judge.pass(horizon.min(passed));
                    is_waiting = true;
                }
            }
            if is_waiting {
                break;
            }
            done = Some(mark);
        }
        if !is_waiting {
            judge.pass(self.position.min(horizon));
        }
        let Judge { at, span, is_unsure, checked, .. } = judge;
        (self.base, self.base_span, self.is_unsure) = (at, span, is_unsure);
        if self.base_span == self.span {
            self.back_to = u64::MAX;
        }
        if let Some(mark) = done {
            self.trail.forget(mark.bytes, mark.cursor);
        }
        self.late.retain(|late| *late > (span, at));
        if self.late.is_empty() {
            self.late = Vec::new();
        }
        checked
    }

    /// How many of `events`, which are all that is known, it has yet to see.
    pub(super) fn missing(&self, events: &[super::book::Stamped]) -> u64 {
        if self.phase != Phase::Here {
            return 0;
        }
        let after = events.partition_point(|event| event.fact.sequence.0 <= self.position);
        events[after..].iter().filter(|event| event.is_for(self.user)).count() as u64
    }

    pub(super) fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.trail.memory_bytes() + self.late.capacity() * 8
    }
}

/// Goes along a book's events with a client.
struct Judge<'a> {
    book: &'a Book,
    user: u32,
    late: &'a [(u32, u64)],
    /// The number of the span that it is in.
    span: u32,
    /// All up to here is judged.
    at: u64,
    /// The first event after that.
    next: usize,
    is_unsure: bool,
    checked: Checked,
}

impl<'a> Judge<'a> {
    fn new(book: &'a Book, user: u32, late: &'a [(u32, u64)]) -> Self {
        Self { book, user, late, span: 0, at: 0, next: 0, is_unsure: false, checked: Checked::default() }
    }

    fn stand_at(&mut self, sequence: u64) {
        self.at = sequence;
        self.next = self.book.first_after(sequence);
    }

    /// It passed all up to `passed`, then began anew after `from`.
    fn jump(&mut self, passed: u64, from: u64) {
        self.pass(passed);
        self.is_unsure |= self.book.is_dark(passed, from);
        self.span += 1;
        self.stand_at(from);
    }

    /// It passed all up to `sequence`, and saw no more of it than what came late.
    fn pass(&mut self, sequence: u64) {
        while let Some(event) = self.book.stamped().get(self.next) {
            let this = event.fact.sequence.0;
            if this > sequence {
                break;
            }
            let came_late = !self.late.is_empty() && self.late.binary_search(&(self.span, this)).is_ok();
            self.judge(event.is_for(self.user), came_late);
        }
        self.at = self.at.max(sequence);
    }

    fn saw(&mut self, sequence: u64) {
        self.pass(sequence - 1);
        let event = self.book.stamped().get(self.next).filter(|event| event.fact.sequence.0 == sequence);
        match event {
            Some(event) => self.judge(event.is_for(self.user), true),
            None => self.checked.unjudged += 1,
        }
        self.at = self.at.max(sequence);
    }

    fn judge(&mut self, is_entitled: bool, has_seen: bool) {
        let fault = match (is_entitled, has_seen) {
            (true, false) => Some(Fault::Lost),
            (false, true) => Some(Fault::Leaked),
            (true, true) | (false, false) => None,
        };
        if fault.is_some() && self.is_unsure {
            self.checked.unjudged += 1;
        } else {
            self.checked.judged += u64::from(is_entitled || has_seen);
            self.checked.faults.extend(fault.map(|fault| (fault, self.next)));
        }
        self.checked.work += 1;
        self.next += 1;
    }
}

/// The most events out of order that are told apart from doubled ones, for a client.
const LATE_MAX: usize = 1_000;

/// Of the 2 KiB that a client may cost, its audit takes this at rest.
const _: () = assert!(size_of::<Client>() <= 160);
