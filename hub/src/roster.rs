//! Who of a shard's sessions is in a realm, and how far each got.

use std::sync::Arc;

use squall_protocol::{Sequence, UserId};

use crate::catch_up::Block;
use crate::id_map::IdMap;
use crate::member_set::MemberSet;
use crate::ring::{Ring, RingEvent};

/// One realm's sessions in one shard.
///
/// A session is *live* or *behind*. All live sessions have had everything up to one cursor, so nothing is
/// kept for them; a session behind has a sequence of its own, be it because its socket is full or because
/// it resumes. Both are the same to this type, and there are no other queues.
#[derive(Debug)]
pub struct Roster {
    cursor: Sequence,
    live: IdMap<UserId, Sessions>,
    connected: MemberSet,
    behind: IdMap<SessionKey, Behind>,
}

/// The live sessions of one user: nearly always one.
#[derive(Debug)]
enum Sessions {
    One(SessionKey),
    // A box, so that the usual case takes no more than it needs.
    #[expect(clippy::box_collection, reason = "see above")]
    Several(Box<Vec<SessionKey>>),
}

/// A session's slot in its shard; the generation tells it from earlier users of the slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey {
    /// The slot.
    pub slot: u32,
    /// Which use of the slot.
    pub generation: u32,
}

/// Where a session behind goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behind {
    /// Whose session.
    pub user: UserId,
    /// What it had last.
    pub after: Sequence,
    /// Why it is behind.
    pub reason: BehindReason,
}

/// Why a session is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BehindReason {
    /// It resumes: if the ring does not reach back, the log does.
    Resuming,
    /// Its socket took no more: if the ring does not reach back, it is closed.
    Slow,
}

/// New events and who gets which.
#[derive(Debug, Default)]
pub struct FanOut {
    /// At most 64 events, in order.
    pub events: Vec<Arc<RingEvent>>,
    /// For each session that sees any of them: bit `n` stands for `events[n]`. Those that see the same are
    /// neighbours.
    pub deliveries: Vec<(SessionKey, u64)>,
}

/// What a session behind gets next.
#[derive(Debug)]
pub enum CatchUpStep {
    /// These, which it may see; then it stands at `upto`.
    Events {
        /// Visible events, in order; maybe none.
        events: Vec<Arc<RingEvent>>,
        /// The last event that was looked at.
        upto: Sequence,
    },
    /// The block with this number must be read from the log first.
    NeedBlock(u64),
    /// It fell behind the ring: close it.
    Lost,
    /// It fell behind the log itself: its position can't be continued.
    Expired,
    /// It has all that live sessions had.
    CaughtUp,
}

/// Events in one fan-out: a bit each.
pub const FAN_OUT_EVENTS_MAX: usize = 64;

/// Events looked at in one step of a catch-up.
const STEP_SCANNED_MAX: usize = 1_024;

impl Roster {
    /// Nobody, having had everything up to `cursor`.
    #[must_use]
    pub fn new(cursor: Sequence) -> Self {
        Self { cursor, live: IdMap::default(), connected: MemberSet::default(), behind: IdMap::default() }
    }

    /// What every live session had last.
    #[must_use]
    pub fn cursor(&self) -> Sequence {
        self.cursor
    }

    /// Whether nobody is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live.is_empty() && self.behind.is_empty()
    }

    /// A session that goes on after `after`: live if that is the cursor, else behind.
    pub fn join(&mut self, key: SessionKey, user: UserId, after: Sequence) {
        if after == self.cursor {
            self.go_live(key, user);
        } else {
            self.behind.insert(key, Behind { user, after, reason: BehindReason::Resuming });
        }
    }

    /// Forgets a session.
    pub fn leave(&mut self, key: SessionKey, user: UserId) {
        self.behind.remove(&key);
        self.remove_live(key, user);
    }

    /// A session's socket is full: it has had everything up to `after`, and goes on there.
    pub fn lag(&mut self, key: SessionKey, user: UserId, after: Sequence) {
        self.remove_live(key, user);
        let reason = self.behind.get(&key).map_or(BehindReason::Slow, |behind| behind.reason);
        self.behind.insert(key, Behind { user, after, reason });
    }

    /// Where a session behind stands; none if it is live.
    #[must_use]
    pub fn behind(&self, key: SessionKey) -> Option<Behind> {
        self.behind.get(&key).copied()
    }

    /// Users with live sessions.
    #[must_use]
    pub fn connected(&self) -> &MemberSet {
        &self.connected
    }

    /// The live sessions of those in `set`.
    #[must_use]
    pub fn live_of(&self, set: &MemberSet) -> Vec<SessionKey> {
        let mut keys = Vec::new();
        self.for_live_of(set, |_, sessions| keys.extend_from_slice(sessions));
        keys
    }

    /// All sessions, live or behind.
    pub fn sessions(&self) -> impl Iterator<Item = SessionKey> + '_ {
        let live = self.live.values().flat_map(Sessions::keys);
        live.chain(self.behind.keys()).copied()
    }

    /// All sessions of `user`, live or behind.
    #[must_use]
    pub fn sessions_of(&self, user: UserId) -> Vec<SessionKey> {
        let live = self.live.get(&user).into_iter().flat_map(Sessions::keys).copied();
        let behind = self.behind.iter().filter(|(_, behind)| behind.user == user).map(|(key, _)| *key);
        live.chain(behind).collect()
    }

    /// The next events for live sessions, until `frame_bytes_max` of bodies; nothing if they have all that
    /// `ring` holds. If the ring has moved past the cursor, everybody live is now behind and resumes.
    pub fn fan_out(&mut self, ring: &Ring, body_bytes_max: usize) -> FanOut {
        let Some(new) = ring.after(self.cursor) else {
            self.fall_behind();
            self.cursor = ring.head().sequence;
            return FanOut::default();
        };
        let mut fan_out = FanOut::default();
        let mut bytes = 0;
        for event in new.take(FAN_OUT_EVENTS_MAX) {
            fan_out.events.push(event.clone());
            bytes += event.record().body.len();
            if bytes >= body_bytes_max {
                break;
            }
        }
        if let Some(last) = fan_out.events.last() {
            self.cursor = last.sequence();
            self.address(&mut fan_out);
        }
        fan_out
    }

    /// What the session behind at `key` gets next, until `frame_bytes_max` of bodies.
    pub fn catch_up(
        &self,
        key: SessionKey,
        ring: &Ring,
        block: Option<&Block>,
        body_bytes_max: usize,
    ) -> CatchUpStep {
        let Some(Behind { user, after, reason }) = self.behind(key) else { return CatchUpStep::CaughtUp };
        if after >= self.cursor {
            return CatchUpStep::CaughtUp;
        }
        if let Some(events) = ring.after(after) {
            return self.step(user, after, events, body_bytes_max);
        }
        match (reason, block) {
            (BehindReason::Slow, _) => CatchUpStep::Lost,
            (BehindReason::Resuming, Some(block)) if block.begins_after(after) => CatchUpStep::Expired,
            (BehindReason::Resuming, Some(block)) if !block.after(after).is_empty() => {
                self.step(user, after, block.after(after).iter(), body_bytes_max)
            }
            (BehindReason::Resuming, _) => CatchUpStep::NeedBlock(Block::number_after(after)),
        }
    }

    /// A session behind got everything up to `upto`; live again if that is all.
    pub fn caught_up_to(&mut self, key: SessionKey, upto: Sequence) {
        let Some(behind) = self.behind.get_mut(&key) else { return };
        behind.after = upto;
        if upto >= self.cursor {
            let user = behind.user;
            self.behind.remove(&key);
            if self.behind.is_empty() {
                // A burst that nearly everybody was too slow for is over.
                self.behind = IdMap::default();
            }
            self.go_live(key, user);
        }
    }

    fn step<'a>(
        &self,
        user: UserId,
        after: Sequence,
        events: impl Iterator<Item = &'a Arc<RingEvent>>,
        body_bytes_max: usize,
    ) -> CatchUpStep {
        let (mut visible, mut upto, mut bytes) = (Vec::new(), after, 0);
        let due = events.take_while(|event| event.sequence() <= self.cursor).take(STEP_SCANNED_MAX);
        for event in due {
            upto = event.sequence();
            if event.is_for(user) {
                bytes += event.record().body.len();
                visible.push(event.clone());
            }
            if bytes >= body_bytes_max {
                break;
            }
        }
        CatchUpStep::Events { events: visible, upto }
    }

    /// Members ∧ connected, once for each distinct stamp; what a user sees by several is put together.
    fn address(&self, fan_out: &mut FanOut) {
        let stamps = by_stamp(&fan_out.events);
        let deliveries = &mut fan_out.deliveries;
        if let [(stamp, bits)] = stamps[..] {
            return self.for_live_of(stamp, |_, keys| deliveries.extend(keys.iter().map(|key| (*key, bits))));
        }
        let mut masks: IdMap<UserId, u64> = IdMap::default();
        for (stamp, bits) in stamps {
            self.for_live_of(stamp, |user, _| *masks.entry(user).or_default() |= bits);
        }
        for (user, mask) in masks {
            let keys = self.live.get(&user).map(Sessions::keys).unwrap_or_default();
            deliveries.extend(keys.iter().map(|key| (*key, mask)));
        }
        deliveries.sort_unstable_by_key(|(_, mask)| *mask);
    }

    /// Calls `take` for each live user in `set` with its sessions.
    fn for_live_of(&self, set: &MemberSet, mut take: impl FnMut(UserId, &[SessionKey])) {
        if self.connected.is_subset(set) {
            return self.live.iter().for_each(|(user, sessions)| take(*user, sessions.keys()));
        }
        for user in self.connected.intersection(set).iter() {
            if let Some(sessions) = self.live.get(&user) {
                take(user, sessions.keys());
            }
        }
    }

    fn go_live(&mut self, key: SessionKey, user: UserId) {
        let sessions = self.live.entry(user).and_modify(|sessions| sessions.add(key));
        sessions.or_insert(Sessions::One(key));
        self.connected.insert(user);
    }

    fn remove_live(&mut self, key: SessionKey, user: UserId) {
        let Some(sessions) = self.live.get_mut(&user) else { return };
        if sessions.remove(key) {
            self.live.remove(&user);
            self.connected.remove(user);
        }
    }

    fn fall_behind(&mut self) {
        let after = self.cursor;
        for (user, sessions) in self.live.drain() {
            for key in sessions.keys() {
                self.behind.insert(*key, Behind { user, after, reason: BehindReason::Resuming });
            }
        }
        self.connected = MemberSet::default();
    }
}

impl Sessions {
    fn keys(&self) -> &[SessionKey] {
        match self {
            Self::One(key) => std::slice::from_ref(key),
            Self::Several(keys) => keys,
        }
    }

    fn add(&mut self, key: SessionKey) {
        match self {
            Self::One(first) => *self = Self::Several(Box::new(vec![*first, key])),
            Self::Several(keys) => keys.push(key),
        }
    }

    /// Takes a session out; true if none is left.
    fn remove(&mut self, key: SessionKey) -> bool {
        match self {
            Self::One(only) => *only == key,
            Self::Several(keys) => {
                keys.retain(|other| *other != key);
                if let [only] = keys[..] {
                    *self = Self::One(only);
                }
                false
            }
        }
    }
}

/// Each distinct stamp with the bits of the events that have it.
fn by_stamp(events: &[Arc<RingEvent>]) -> Vec<(&MemberSet, u64)> {
    let mut stamps: Vec<(&MemberSet, u64)> = Vec::new();
    for (bit, event) in events.iter().enumerate() {
        match stamps.iter_mut().find(|(stamp, _)| stamp.same_as(event.stamp())) {
            Some((_, bits)) => *bits |= 1 << bit,
            None => stamps.push((event.stamp(), 1 << bit)),
        }
    }
    stamps
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use squall_protocol::event::Event;
    use squall_protocol::link::{EventRecord, LogRange};
    use squall_protocol::{Epoch, Mark, Position};

    use super::*;
    use crate::ring::RingLimits;

    fn set(users: &[u32]) -> MemberSet {
        users.iter().map(|user| UserId(*user)).collect()
    }

    fn key(slot: u32) -> SessionKey {
        SessionKey { slot, generation: 0 }
    }

    fn push(ring: &mut Ring, stamp: &MemberSet, limits: RingLimits) {
        let sequence = ring.head().sequence.next();
        let record = EventRecord::new(sequence, Mark(1), &Event::CredentialChanged { user_id: UserId(1) });
        ring.push(Arc::new(RingEvent::new(record, stamp.clone())), limits);
    }

    fn ring(stamps: &[&MemberSet]) -> Ring {
        let mut ring = Ring::new(Position::start(Epoch(1)));
        stamps.iter().for_each(|stamp| push(&mut ring, stamp, RingLimits::default()));
        ring
    }

    #[test]
    fn each_session_gets_what_its_user_may_see_in_one_go() {
        let (both, second) = (set(&[1, 2]), set(&[2]));
        let mut roster = Roster::new(Sequence::ZERO);
        for (slot, user) in [(5, 1), (6, 2), (7, 2), (8, 3)] {
            roster.join(key(slot), UserId(user), Sequence::ZERO);
        }
        let fan_out = roster.fan_out(&ring(&[&both, &second, &both]), usize::MAX);
        let mut deliveries = fan_out.deliveries;
        deliveries.sort();
        assert_eq!(deliveries, [(key(5), 0b101), (key(6), 0b111), (key(7), 0b111)]);
        assert_eq!(roster.cursor(), Sequence(3));
    }

    #[test]
    fn a_fan_out_is_bounded_in_bytes_and_goes_on_where_it_stopped() {
        let all = set(&[1]);
        let ring = ring(&[&all, &all, &all]);
        let mut roster = Roster::new(Sequence::ZERO);
        roster.join(key(1), UserId(1), Sequence::ZERO);
        for expected in 1..=3 {
            assert_eq!(roster.fan_out(&ring, 1).events.len(), 1);
            assert_eq!(roster.cursor(), Sequence(expected));
        }
        assert!(roster.fan_out(&ring, 1).events.is_empty());
    }

    #[test]
    fn a_slow_session_behind_the_ring_is_lost_and_a_resuming_one_reads_the_log() {
        let all = set(&[1]);
        let mut ring = Ring::new(Position::start(Epoch(1)));
        (0..20).for_each(|_| push(&mut ring, &all, RingLimits { events_max: 5, bytes_max: 1 << 20 }));
        let mut roster = Roster::new(Sequence(20));
        roster.join(key(1), UserId(1), Sequence(3));
        roster.join(key(2), UserId(1), Sequence(20));
        roster.lag(key(2), UserId(1), Sequence(3));
        assert!(matches!(roster.catch_up(key(1), &ring, None, 1), CatchUpStep::NeedBlock(0)));
        assert!(matches!(roster.catch_up(key(2), &ring, None, 1), CatchUpStep::Lost));
    }

    #[test]
    fn a_resuming_session_that_the_log_no_longer_reaches_is_expired() {
        let all = set(&[1]);
        let mut ring = Ring::new(Position::start(Epoch(1)));
        (0..20).for_each(|_| push(&mut ring, &all, RingLimits { events_max: 5, bytes_max: 1 << 20 }));
        let mut roster = Roster::new(Sequence(20));
        roster.join(key(1), UserId(1), Sequence(3));
        let range = |floor| LogRange {
            head: ring.head(),
            floor: Sequence(floor),
            after_mark: None,
            records: vec![],
            changes: vec![],
        };
        let events: Vec<_> = ring.after(Sequence(15)).unwrap().cloned().collect();
        let pruned = Block::new(0, &range(15), events);
        assert!(matches!(roster.catch_up(key(1), &ring, Some(&pruned), 1), CatchUpStep::Expired));
        let short = Block::new(0, &range(0), vec![]);
        assert!(matches!(roster.catch_up(key(1), &ring, Some(&short), 1), CatchUpStep::NeedBlock(0)));
    }

    #[test]
    fn a_shard_that_slept_past_the_ring_resumes_its_sessions_from_the_log() {
        let all = set(&[1]);
        let mut ring = Ring::new(Position::start(Epoch(1)));
        let mut roster = Roster::new(Sequence::ZERO);
        roster.join(key(1), UserId(1), Sequence::ZERO);
        (0..20).for_each(|_| push(&mut ring, &all, RingLimits { events_max: 5, bytes_max: 1 << 20 }));
        assert!(roster.fan_out(&ring, usize::MAX).events.is_empty());
        let behind = roster.behind(key(1)).unwrap();
        assert_eq!((behind.after, behind.reason), (Sequence::ZERO, BehindReason::Resuming));
        assert_eq!(roster.cursor(), Sequence(20));
    }

    proptest! {
        /// However sockets fill up, drain, join and leave: each session sees exactly what its user may see,
        /// from where it joined, once and in order.
        #[test]
        fn every_session_sees_exactly_its_part_of_the_log(
            steps in prop::collection::vec((0u8..6, 0u32..4, any::<u8>()), 1..200)
        ) {
            let stamps = [set(&[1, 2]), set(&[2, 3]), set(&[3]), set(&[])];
            let user = |slot: u32| UserId(slot % 3 + 1);
            let mut ring = ring(&[]);
            let mut roster = Roster::new(Sequence::ZERO);
            // Per slot: where it joined and what it saw.
            let mut seen: HashMap<u32, (Sequence, Vec<Sequence>)> = HashMap::new();
            for (what, slot, pick) in steps {
                match what {
                    0 | 1 => push(&mut ring, &stamps[usize::from(pick % 4)], RingLimits::default()),
                    2 => {
                        // Some sockets take only a part of what they are given.
                        let fan_out = roster.fan_out(&ring, usize::from(pick) * 20);
                        for (key, mask) in fan_out.deliveries {
                            let visible = fan_out.events.iter().enumerate().filter(|(bit, _)| mask & (1 << bit) != 0);
                            let all: Vec<_> = visible.map(|(_, event)| event.sequence()).collect();
                            let taken = if key.slot == slot { usize::from(pick) % (all.len() + 1) } else { all.len() };
                            let before = seen[&key.slot].1.last().copied();
                            seen.get_mut(&key.slot).unwrap().1.extend(&all[..taken]);
                            if taken < all.len() {
                                let had = all[..taken].last().copied().or(before).unwrap_or(seen[&key.slot].0);
                                roster.lag(key, user(key.slot), had.max(seen[&key.slot].0));
                            }
                        }
                    }
                    3 if !seen.contains_key(&slot) => {
                        let after = Sequence(u64::from(pick) % (roster.cursor().0 + 1));
                        roster.join(key(slot), user(slot), after);
                        seen.insert(slot, (after, vec![]));
                    }
                    4 => {
                        if let CatchUpStep::Events { events, upto } = roster.catch_up(key(slot), &ring, None, usize::from(pick)) {
                            seen.get_mut(&slot).unwrap().1.extend(events.iter().map(|event| event.sequence()));
                            roster.caught_up_to(key(slot), upto);
                        }
                    }
                    _ => {
                        roster.leave(key(slot), user(slot));
                        seen.remove(&slot);
                    }
                }
            }
            for (slot, (joined, saw)) in &mut seen {
                let live_to = match roster.behind(key(*slot)) { Some(behind) => behind.after, None => *saw.last().unwrap_or(joined) };
                let expected: Vec<_> = ring.after(*joined).unwrap()
                    .filter(|event| event.is_for(user(*slot)) && event.sequence() <= live_to)
                    .map(|event| event.sequence()).collect();
                prop_assert_eq!(&*saw, &expected, "slot {}", slot);
            }
        }
    }
}
