//! Nodes that break a law. The hub itself is as it is: a broken node feeds or drives it wrongly.

use std::sync::Arc;

use squall_hub::presence::TimesConfig;
use squall_hub::ring::{Ring, RingLimits};
use squall_hub::{RealmKeeper, RealmState, RingEvent};
use squall_protocol::frame::Publication;
use squall_protocol::link::{EventRecord, LogRange};
use squall_protocol::{Audience, Mark, Position, Sequence};

/// What a node does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutation {
    /// Nothing.
    None,
    /// A publication that does not follow on the last event is taken as if it did.
    SkipGapCheck,
    /// An event is for those who would see it now, not for those who did at its sequence.
    StampLate,
    /// A disconnect is told at once.
    ForgetGrace,
    /// A session whose socket was full goes on from where the others are.
    LagFromHead,
    /// Marks are not compared, neither the log's nor a client's.
    IgnoreMarks,
    /// The log's head is never asked for.
    NeverCheckHeads,
    /// Sessions go on without a word when their realm was loaded anew.
    ReloadInSilence,
    /// Sessions of users who are let in no more go on.
    NeverRevoke,
}

impl Mutation {
    /// What the keeper is told of a publication.
    pub(crate) fn publication(self, keeper: &RealmKeeper, publication: Publication) -> Publication {
        match self {
            Self::SkipGapCheck => without_gap(keeper, publication),
            Self::IgnoreMarks => with_known_marks(keeper, publication),
            Self::None
            | Self::StampLate
            | Self::ForgetGrace
            | Self::LagFromHead
            | Self::NeverCheckHeads
            | Self::ReloadInSilence
            | Self::NeverRevoke => publication,
        }
    }

    /// What the keeper is told of a log read.
    pub(crate) fn range(self, keeper: &RealmKeeper, mut range: LogRange) -> LogRange {
        if self == Self::IgnoreMarks {
            let before = range.records.first().map_or(range.head.sequence.0, |first| first.sequence.0 - 1);
            range.after_mark = known_mark(keeper, Sequence(before)).or(range.after_mark);
            put_known_marks(keeper, &mut range.records);
        }
        range
    }

    /// What the keeper is told of the log's head.
    pub(crate) fn head(self, keeper: &RealmKeeper, head: Position) -> Position {
        let known = known_mark(keeper, head.sequence).filter(|_| self == Self::IgnoreMarks);
        Position { mark: known.unwrap_or(head.mark), ..head }
    }

    /// What shards are shown of the ring.
    pub(crate) fn ring(self, ring: &Ring, state: &RealmState, limits: RingLimits) -> Ring {
        if self != Self::StampLate {
            return ring.clone();
        }
        let mut late = Ring::new(ring.base());
        let events = ring.after(ring.base().sequence).into_iter().flatten();
        events.for_each(|event| late.push(self.event(event, state), limits));
        late
    }

    /// What sessions are shown of an event.
    pub(crate) fn event(self, event: &Arc<RingEvent>, state: &RealmState) -> Arc<RingEvent> {
        if self != Self::StampLate {
            return event.clone();
        }
        let record = event.record().clone();
        let stamp = state.audience(&record.audience);
        Arc::new(RingEvent::new(record, stamp))
    }

    /// What a lagging session is said to have had.
    pub(crate) fn had(self, had: Sequence, cursor: Sequence) -> Sequence {
        if self == Self::LagFromHead { cursor } else { had }
    }

    pub(crate) fn times(self, times: TimesConfig) -> TimesConfig {
        match self {
            Self::ForgetGrace => TimesConfig { grace: std::time::Duration::ZERO, ..times },
            Self::None
            | Self::SkipGapCheck
            | Self::StampLate
            | Self::LagFromHead
            | Self::IgnoreMarks
            | Self::NeverCheckHeads
            | Self::ReloadInSilence
            | Self::NeverRevoke => times,
        }
    }
}

/// Fills the gap before a publication with events that nobody may see and that change nothing.
fn without_gap(keeper: &RealmKeeper, mut publication: Publication) -> Publication {
    let here = keeper.position();
    let Some(first) = publication.records.first().cloned() else { return publication };
    if publication.epoch != here.epoch || first.sequence <= here.sequence.next() {
        return publication;
    }
    let filler = |sequence| EventRecord {
        sequence: Sequence(sequence),
        changes_state: false,
        audience: Audience::default(),
        ..first.clone()
    };
    let missing = (here.sequence.0 + 1..first.sequence.0).map(filler);
    publication.records = missing.chain(std::mem::take(&mut publication.records)).collect();
    publication.previous_mark = here.mark;
    publication
}

fn with_known_marks(keeper: &RealmKeeper, mut publication: Publication) -> Publication {
    let before = publication.records.first().map_or(0, |first| first.sequence.0 - 1);
    publication.previous_mark = known_mark(keeper, Sequence(before)).unwrap_or(publication.previous_mark);
    put_known_marks(keeper, &mut publication.records);
    publication
}

fn put_known_marks(keeper: &RealmKeeper, records: &mut [EventRecord]) {
    for record in records {
        record.mark = known_mark(keeper, record.sequence).unwrap_or(record.mark);
    }
}

fn known_mark(keeper: &RealmKeeper, sequence: Sequence) -> Option<Mark> {
    keeper.ring().position_of(sequence).map(|position| position.mark)
}
