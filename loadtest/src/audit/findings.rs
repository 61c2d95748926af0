//! What the audit found.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use squall_protocol::{Sequence, UserId};

use super::RealmKey;

/// The most offenders that are named; all are counted.
pub const FIRST_MAX: usize = 20;

/// A way to break what SPEC.md promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// An entitled client passed an event without seeing it.
    Lost,
    /// A client saw an event twice.
    Duplicated,
    /// A client saw an event after a later one.
    Reordered,
    /// A client saw an event that it is not entitled to.
    Leaked,
    /// An event was not what was sent, or not the same for all.
    Corrupted,
    /// A send was acknowledged, and nobody entitled saw it.
    NeverSeen,
    /// A send was acknowledged, and the history lacks it.
    NotStored,
    /// One send became two messages.
    StoredTwice,
    /// Two things that the server said can't both be: of a place in the log, or of a send.
    Inconsistent,
    /// A client was reset, and the run knows no reason.
    ResetWithoutCause,
    /// A forged position was taken for good.
    ForgeryTaken,
    /// A membership change was acknowledged, and did not hold at the sequence named.
    NotInForce,
    /// A client was sent something that can't be read, or that does not belong where it came.
    Unreadable,
    /// A write had no answer when all else had settled.
    Unanswered,
    /// A client was in no session when the run was over.
    Away,
    /// A client was told something else of a user's presence than what holds, when all else had settled.
    PresenceWrong,
}

/// One finding: who, where, what, when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offender {
    /// When the event was first seen, or the fault, if it is of no event: milliseconds since the run began.
    pub at_ms: u64,
    /// What is wrong.
    pub fault: Fault,
    /// The worker that found it; none if it took all of them.
    pub worker: Option<u16>,
    /// The client, by its index in that worker.
    pub client: Option<u32>,
    /// The realm.
    pub realm: RealmKey,
    /// The client's user, or the sender.
    pub user: Option<UserId>,
    /// The place in the log.
    pub sequence: Sequence,
    /// What the event is, or what was said.
    pub what: String,
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// How often each fault was found; those never found are not in it.
    pub faults: BTreeMap<Fault, u64>,
    /// The first ones, by time.
    pub first: Vec<Offender>,
    /// Clients that were welcomed at least once.
    pub clients: u64,
    /// Clients away at the end: judged up to where they were last.
    pub clients_away: u64,
    /// Pairs of client and event that were judged: entitled ones, and those seen without being so.
    pub judged: u64,
    /// Deliveries that came too late to be judged (see `audit::STILL_MAX_MS`): not proven, not found.
    pub unjudged: u64,
    /// Events of all logs that at least one client saw.
    pub events: u64,
    /// Places in the logs, up to the newest event seen, whose event no client saw: it was for others, or
    /// was lost to all without an acknowledgement.
    pub dark: u64,
    /// Acknowledged sends, repetitions not counted twice in one realm and sequence.
    pub acknowledged: u64,
    /// Of them, those that were found in the history; none if it was not read.
    pub in_history: Option<u64>,
    /// Realms whose log was set back in the run: not audited from then on.
    pub realms_set_back: u64,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Lost,
        Self::Duplicated,
        Self::Reordered,
        Self::Leaked,
        Self::Corrupted,
        Self::NeverSeen,
        Self::NotStored,
        Self::StoredTwice,
        Self::Inconsistent,
        Self::ResetWithoutCause,
        Self::ForgeryTaken,
        Self::NotInForce,
        Self::Unreadable,
        Self::Unanswered,
        Self::Away,
        Self::PresenceWrong,
    ];

    /// Its name in results and expectations.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Duplicated => "duplicated",
            Self::Reordered => "reordered",
            Self::Leaked => "leaked",
            Self::Corrupted => "corrupted",
            Self::NeverSeen => "never_seen",
            Self::NotStored => "not_stored",
            Self::StoredTwice => "stored_twice",
            Self::Inconsistent => "inconsistent",
            Self::ResetWithoutCause => "reset_without_cause",
            Self::ForgeryTaken => "forgery_taken",
            Self::NotInForce => "not_in_force",
            Self::Unreadable => "unreadable",
            Self::Unanswered => "unanswered",
            Self::Away => "away",
            Self::PresenceWrong => "presence_wrong",
        }
    }

    /// What it means.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Lost => "an entitled client passed an event without seeing it",
            Self::Duplicated => "a client saw an event twice",
            Self::Reordered => "a client saw an event after a later one",
            Self::Leaked => "a client saw an event that it is not entitled to",
            Self::Corrupted => "an event was not what was sent, or not the same for all",
            Self::NeverSeen => "a send was acknowledged, and nobody entitled saw it",
            Self::NotStored => "a send was acknowledged, and the history lacks it",
            Self::StoredTwice => "one send became two messages",
            Self::Inconsistent => "two things that the server said can't both be",
            Self::ResetWithoutCause => "a client was reset, and the run knows no reason",
            Self::ForgeryTaken => "a forged position was taken for good",
            Self::NotInForce => "a membership change was acknowledged, and did not hold",
            Self::Unreadable => "a client was sent what can't be read, or does not belong there",
            Self::Unanswered => "a write had no answer when all else had settled",
            Self::Away => "a client was in no session when the run was over",
            Self::PresenceWrong => "a client was told another presence of a user than holds",
        }
    }
}

impl Findings {
    /// How often a fault was found.
    #[must_use]
    pub fn count(&self, fault: Fault) -> u64 {
        self.faults.get(&fault).copied().unwrap_or(0)
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.faults.values().all(|count| *count == 0)
    }

    /// Adds what another worker found.
    pub fn merge(&mut self, other: Self) {
        for (fault, count) in other.faults {
            *self.faults.entry(fault).or_default() += count;
        }
        self.first.extend(other.first);
        self.first
            .sort_by_key(|offender| (offender.at_ms, offender.realm, offender.sequence, offender.client));
        self.first.truncate(FIRST_MAX);
        for (mine, others) in [
            (&mut self.clients, other.clients),
            (&mut self.clients_away, other.clients_away),
            (&mut self.judged, other.judged),
            (&mut self.unjudged, other.unjudged),
            (&mut self.events, other.events),
            (&mut self.dark, other.dark),
            (&mut self.acknowledged, other.acknowledged),
            (&mut self.realms_set_back, other.realms_set_back),
        ] {
            *mine += others;
        }
        self.in_history = match (self.in_history, other.in_history) {
            (Some(mine), Some(others)) => Some(mine + others),
            (mine, others) => mine.or(others),
        };
    }

    /// Notes one.
    pub fn note(&mut self, offender: Offender) {
        *self.faults.entry(offender.fault).or_default() += 1;
        if self.first.len() < FIRST_MAX {
            self.first.push(offender);
        } else if let Some(latest) = self.first.iter_mut().max_by_key(|other| other.at_ms)
            && latest.at_ms > offender.at_ms
        {
            *latest = offender;
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Offender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at_ms, fault, worker, client, realm, user, sequence, what } = self;
        write!(f, "{:>9.3} s  {fault}: realm {realm}, sequence {sequence}", *at_ms as f64 / 1000.0)?;
        if let Some(user) = user {
            write!(f, ", user {user}")?;
        }
        if let (Some(client), Some(worker)) = (client, worker) {
            write!(f, ", client {client} of worker {worker}")?;
        }
        write!(f, ": {what}")
    }
}

#[cfg(test)]
mod tests {
    use squall_protocol::RealmId;

    use super::*;

    fn offender(at_ms: u64) -> Offender {
        Offender {
            at_ms,
            fault: Fault::Lost,
            worker: Some(1),
            client: Some(3),
            realm: RealmKey { target: 0, realm_id: RealmId(5) },
            user: Some(UserId(9)),
            sequence: Sequence(77),
            what: "message 8 of user 2 to stream 4".into(),
        }
    }

    #[test]
    fn all_are_counted_and_the_first_are_named() {
        let (mut one, mut other) = (Findings::default(), Findings::default());
        (0..50).rev().for_each(|at_ms| one.note(offender(at_ms * 2)));
        (0..50).for_each(|at_ms| other.note(offender(at_ms * 2 + 1)));
        assert_eq!(one.first.len(), FIRST_MAX);
        one.merge(other);
        assert_eq!(one.count(Fault::Lost), 100);
        assert!(one.first.iter().map(|offender| offender.at_ms).eq(0..FIRST_MAX as u64));
        assert!(!one.is_clean() && Findings::default().is_clean());
    }

    #[test]
    fn an_offender_says_who_where_what_and_when() {
        assert_eq!(
            offender(1_234).to_string(),
            "    1.234 s  lost: realm 5 of target 0, sequence 77, user 9, client 3 of worker 1: message 8 of user 2 to stream 4"
        );
    }

    #[test]
    fn the_name_of_a_fault_is_the_one_in_the_result() {
        for fault in Fault::ALL {
            assert_eq!(serde_json::to_value(fault).unwrap(), fault.name());
        }
    }
}
