//! The coordinator's part of the audit: what all workers together know.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use squall_protocol::{Sequence, UserId};

use super::exchange::{Ack, Facts, RealmFacts, RealmUpdate, Update};
use super::fact::{Fact, MessageFact};
use super::findings::{Fault, Findings, Offender};
use super::history::HistoryCheck;
use super::ranges::Ranges;
use super::{RealmKey, RealmSetup};

/// The most acknowledgements kept for the comparison with the history (about 40 bytes each); later ones are
/// audited by the sockets alone.
pub const ACKS_KEPT_MAX: usize = 2_000_000;

/// What all workers together know. Each round: [`Self::merge`] every worker's facts, then [`Self::update`].
#[derive(Debug)]
pub struct Truth {
    realms: BTreeMap<RealmKey, Realm>,
    findings: Findings,
    acks_kept: usize,
}

#[derive(Debug)]
struct Realm {
    head: u64,
    /// Events above the floor.
    facts: BTreeMap<u64, Fact>,
    /// Of them, those that no update told.
    fresh: Vec<u64>,
    /// Every place whose event some client saw.
    known: Ranges,
    /// Every place that an answer named.
    acknowledged: Ranges,
    newest: u64,
    horizon: u64,
    /// How far all clients were in the last round: the next horizon. So late, because a client may join a
    /// little behind the others, at a slower node, and see what is there for it alone.
    passed_before: u64,
    /// How far each worker's clients are.
    passed: HashMap<u16, Option<u64>>,
    /// Answers above the horizon.
    waiting: Vec<Ack>,
    /// One answer for each place, for the history.
    acks: Vec<Ack>,
    /// The places of the latest sends, by (sender, digest of the id).
    sends: HashMap<(UserId, u64), u64>,
    sends_in_order: VecDeque<(UserId, u64)>,
    /// Messages that were found to be stored twice.
    repeated: BTreeSet<u64>,
}

impl Truth {
    /// Nothing is known of these realms beyond how they began.
    #[must_use]
    pub fn new(realms: &[RealmSetup]) -> Self {
        let realms = realms.iter().map(|setup| (setup.key, Realm::new(setup.head.sequence.0)));
        Self { realms: realms.collect(), findings: Findings::default(), acks_kept: 0 }
    }

    /// Takes in what a worker learned.
    pub fn merge(&mut self, worker: u16, facts: Facts) {
        for RealmFacts { key, learned, acks, passed } in facts.realms {
            let Some(realm) = self.realms.get_mut(&key) else { continue };
            realm.passed.insert(worker, passed);
            for fact in learned {
                realm.learn(fact, key, worker, &mut self.findings);
            }
            for ack in acks {
                let is_kept = self.acks_kept < ACKS_KEPT_MAX;
                self.acks_kept += usize::from(realm.take_ack(ack, is_kept));
            }
        }
    }

    /// What every worker must know: after all of them were merged.
    pub fn update(&mut self) -> Update {
        let Self { realms, findings, .. } = self;
        let realms = realms.iter_mut().map(|(key, realm)| realm.update(*key, findings));
        Update { realms: realms.collect() }
    }

    /// The newest place known of a realm's log.
    #[must_use]
    pub fn newest(&self, realm: RealmKey) -> Option<Sequence> {
        self.realms.get(&realm).map(|realm| Sequence(realm.newest))
    }

    /// Holds the acknowledgements of a realm against its history.
    pub fn check_history(&mut self, key: RealmKey, history: &HistoryCheck) {
        let Some(realm) = self.realms.get_mut(&key) else { return };
        let mut found = 0;
        for ack in &realm.acks {
            match history.at(ack.sequence) {
                Some(fact) if ack.is_of(fact) => found += 1,
                Some(_) => {
                    let what = "the history has another message there than the answer said";
                    self.findings.note(ack.offender(Fault::Inconsistent, key, what));
                }
                None => {
                    let what = "acknowledged, and the history lacks it";
                    self.findings.note(ack.offender(Fault::NotStored, key, what));
                }
            }
        }
        *self.findings.in_history.get_or_insert(0) += found;
        for (sequence, fact) in history.repeated() {
            if realm.repeated.insert(sequence.0) {
                self.findings.note(repeated(key, sequence, &fact, 0));
            }
        }
    }

    /// What the coordinator found; the workers' findings are to be merged with it.
    #[must_use]
    pub fn finish(mut self) -> Findings {
        for realm in self.realms.values() {
            self.findings.events += realm.known.len();
            self.findings.dark += (realm.newest - realm.head).saturating_sub(realm.known.len());
            self.findings.acknowledged += realm.acknowledged.len();
        }
        self.findings
    }
}

impl Realm {
    fn new(head: u64) -> Self {
        Self {
            head,
            facts: BTreeMap::new(),
            fresh: Vec::new(),
            known: Ranges::default(),
            acknowledged: Ranges::default(),
            newest: head,
            horizon: head,
            passed_before: head,
            passed: HashMap::new(),
            waiting: Vec::new(),
            acks: Vec::new(),
            sends: HashMap::new(),
            sends_in_order: VecDeque::new(),
            repeated: BTreeSet::new(),
        }
    }

    fn learn(&mut self, fact: Fact, key: RealmKey, worker: u16, findings: &mut Findings) {
        let sequence = fact.sequence.0;
        // Older than the run: a client should not have seen it, and that is found where it was.
        if sequence <= self.head {
            return;
        }
        self.newest = self.newest.max(sequence);
        if let Some(known) = self.facts.get(&sequence) {
            if known.digest != fact.digest {
                findings.note(Offender {
                    at_ms: fact.at_ms,
                    fault: Fault::Corrupted,
                    worker: Some(worker),
                    client: None,
                    realm: key,
                    user: None,
                    sequence: fact.sequence,
                    what: format!("here it is {fact}, elsewhere {known}, or not word for word the same"),
                });
            }
            return;
        }
        if !self.known.insert(sequence) {
            return;
        }
        if let Some(message) = &fact.message
            && self.is_repeated(sequence, message)
            && self.repeated.insert(sequence)
        {
            findings.note(repeated(key, fact.sequence, message, fact.at_ms));
        }
        self.fresh.push(sequence);
        self.facts.insert(sequence, fact);
    }

    fn is_repeated(&mut self, sequence: u64, message: &MessageFact) -> bool {
        let send = (message.sender_id, message.send_digest);
        if self.sends.insert(send, sequence).is_some() {
            return true;
        }
        self.sends_in_order.push_back(send);
        if self.sends_in_order.len() > SENDS_KEPT_MAX {
            self.sends_in_order.pop_front().and_then(|oldest| self.sends.remove(&oldest));
        }
        false
    }

    /// Whether it was kept for the history.
    fn take_ack(&mut self, ack: Ack, is_kept: bool) -> bool {
        self.newest = self.newest.max(ack.sequence.0);
        let is_first = self.acknowledged.insert(ack.sequence.0);
        if is_first && is_kept {
            self.acks.push(ack);
        }
        self.waiting.push(ack);
        is_first && is_kept
    }

    fn update(&mut self, key: RealmKey, findings: &mut Findings) -> RealmUpdate {
        let horizon_before = self.horizon;
        let passed = self.passed.values().flatten().min().copied();
        let horizon = match passed {
            // All have closed: nobody joins any more.
            Some(u64::MAX) => self.newest,
            Some(passed) => passed.min(std::mem::replace(&mut self.passed_before, passed)),
            None => self.passed_before,
        };
        self.horizon = horizon.max(horizon_before);
        let horizon = self.horizon;
        for ack in self.waiting.extract_if(.., |ack| ack.sequence.0 <= horizon) {
            let what = match self.facts.get(&ack.sequence.0) {
                Some(Fact { message: Some(message), .. }) if ack.is_of(message) => continue,
                Some(fact) => format!("acknowledged, and the event there is {fact}"),
                None if self.known.contains(ack.sequence.0) || !ack.is_owed => continue,
                None => {
                    findings.note(ack.offender(Fault::NeverSeen, key, "acknowledged, and nobody saw it"));
                    continue;
                }
            };
            findings.note(ack.offender(Fault::Inconsistent, key, &what));
        }
        let fresh = std::mem::take(&mut self.fresh);
        let facts = fresh.iter().filter_map(|sequence| self.facts.get(sequence).cloned()).collect();
        self.facts = self.facts.split_off(&(horizon_before + 1));
        RealmUpdate { key, facts, horizon: Sequence(horizon) }
    }
}

impl Ack {
    fn is_of(&self, message: &MessageFact) -> bool {
        (self.message_id, self.user_id, self.send_digest)
            == (message.message_id, message.sender_id, message.send_digest)
    }

    fn offender(&self, fault: Fault, realm: RealmKey, what: &str) -> Offender {
        Offender {
            at_ms: self.at_ms,
            fault,
            worker: None,
            client: None,
            realm,
            user: Some(self.user_id),
            sequence: self.sequence,
            what: format!("message {}: {what}", self.message_id),
        }
    }
}

fn repeated(realm: RealmKey, sequence: Sequence, message: &MessageFact, at_ms: u64) -> Offender {
    Offender {
        at_ms,
        fault: Fault::StoredTwice,
        worker: None,
        client: None,
        realm,
        user: Some(message.sender_id),
        sequence,
        what: format!("message {} is an earlier one again: the same send", message.message_id),
    }
}

/// The most sends whose ids are remembered to find one that is stored twice, in a realm.
const SENDS_KEPT_MAX: usize = 200_000;
