//! What nodes ask of the writer: slowly answered, from the log as it was on the way, briefly, or not at all.

use squall_hub::roster::SessionKey;
use squall_protocol::link::{Identity, LogRange, PageCursor, RealmPage};
use squall_protocol::{Position, Sequence, UserId};

use crate::log::{Log, REALM};
use crate::rng::Rng;

/// A question, and for whom the answer is.
#[derive(Debug, Clone)]
pub(crate) enum Ask {
    Page(Option<PageCursor>),
    /// What follows on a sequence, at most so many events.
    Log(Reading, Sequence, usize),
    /// Where the keeper stood when it asked comes back with the answer.
    Head(Sequence),
    Identify {
        shard: usize,
        key: SessionKey,
        user: UserId,
    },
}

/// What a part of the log is read for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reading {
    Load,
    Gap,
    /// This block, read after this sequence.
    Block(u64, Sequence),
}

/// An answer; `None` in it means that the writer could not be reached.
#[derive(Debug)]
pub(crate) enum Answer {
    /// With the count of set-backs at which it was read.
    Page(Option<(RealmPage, u32)>),
    Log(Reading, Option<LogRange>),
    Head(Sequence, Option<Position>),
    /// `Some(None)`: there is no such user any more.
    Identity {
        shard: usize,
        key: SessionKey,
        identity: Option<Option<Identity>>,
    },
}

/// Questions under way.
#[derive(Default)]
pub(crate) struct WriterLink {
    errands: Vec<Errand>,
    down: bool,
    slow_ms_max: u64,
    failed: u64,
    short: u64,
}

struct Errand {
    from: Sender,
    ask: Ask,
    read_ms: u64,
    due_ms: u64,
    answer: Option<Answer>,
}

/// Which load of which life of which node asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sender {
    pub(crate) node: usize,
    pub(crate) life: u64,
    pub(crate) generation: u64,
}

const ROWS_MAX: u64 = 6;

impl WriterLink {
    /// From now on answers take up to `slow_ms_max`, and fail or are short so many times in a thousand.
    pub(crate) fn set_faults(&mut self, slow_ms_max: u64, failed: u64, short: u64) {
        (self.slow_ms_max, self.failed, self.short) = (slow_ms_max, failed, short);
    }

    pub(crate) fn set_down(&mut self, down: bool) {
        self.down = down;
    }

    pub(crate) fn is_down(&self) -> bool {
        self.down
    }

    pub(crate) fn ask(&mut self, from: Sender, ask: Ask, now_ms: u64, rng: &mut Rng) {
        let read_ms = now_ms + rng.within(0..=self.slow_ms_max);
        let due_ms = read_ms + rng.within(0..=self.slow_ms_max);
        self.errands.push(Errand { from, ask, read_ms, due_ms, answer: None });
    }

    /// The answers that arrive by now.
    pub(crate) fn deliver(&mut self, log: &Log, now_ms: u64, rng: &mut Rng) -> Vec<(Sender, Answer)> {
        let (mut due, mut later) = (Vec::new(), Vec::new());
        for mut errand in std::mem::take(&mut self.errands) {
            if errand.answer.is_none() && errand.read_ms <= now_ms {
                let fails = self.down || rng.per_mille(self.failed);
                let events_max =
                    if rng.per_mille(self.short) { rng.within(1..=9) as usize } else { usize::MAX };
                let rows_max = rng.within(1..=ROWS_MAX) as usize;
                let log = (!fails).then_some(log);
                errand.answer = Some(answer(&errand.ask, log, events_max, rows_max));
            }
            match errand.answer {
                Some(answer) if errand.due_ms <= now_ms => due.push((errand.due_ms, errand.from, answer)),
                Some(_) | None => later.push(errand),
            }
        }
        self.errands = later;
        due.sort_by_key(|(due_ms, ..)| *due_ms);
        due.into_iter().map(|(_, from, answer)| (from, answer)).collect()
    }
}

fn answer(ask: &Ask, log: Option<&Log>, events_max: usize, rows_max: usize) -> Answer {
    match ask {
        Ask::Page(cursor) => {
            Answer::Page(log.map(|log| (log.page(cursor.as_ref(), rows_max), log.set_backs())))
        }
        Ask::Log(reading, after, limit) => {
            Answer::Log(*reading, log.map(|log| log.read(*after, events_max.min(*limit))))
        }
        Ask::Head(asked_at) => Answer::Head(*asked_at, log.map(Log::head)),
        Ask::Identify { shard, key, user } => Answer::Identity {
            shard: *shard,
            key: *key,
            identity: log.map(|log| {
                let identity = Identity { realm_id: REALM, user_id: *user, as_of: log.head() };
                log.tables().is_active(*user).then_some(identity)
            }),
        },
    }
}
