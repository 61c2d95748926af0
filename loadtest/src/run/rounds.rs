//! The audit's rounds: every worker tells what it learned, all are told what all learned together.

use std::collections::{BTreeMap, HashMap};

use squall_protocol::{SendId, Sequence, UserId};

use crate::audit::{
    ACKS_KEPT_MAX, Facts, Fault, Findings, HistoryCheck, Offender, RealmKey, RealmSetup, Truth, Update,
};
use crate::engine::{Roll, Tally, wrong_in};
use crate::fleet::Gathered;

/// The truth, and what the workers said in the round that is on or was the last.
#[derive(Debug)]
pub(crate) struct Rounds {
    truth: Truth,
    /// Who has not answered in this round; empty between rounds.
    waiting: Vec<usize>,
    latest: Vec<Latest>,
    /// Who sent what was acknowledged, by its place.
    senders: BTreeMap<RealmKey, BTreeMap<u64, UserId>>,
    senders_kept: usize,
    /// What is found beside the audit of events.
    found: Findings,
}

/// What a worker said, without the facts.
#[derive(Debug, Clone, Default)]
struct Latest {
    outstanding: u64,
    tally: Tally,
    unanswered: Vec<Write>,
    told: Vec<Roll>,
    there: Vec<Roll>,
    had_news: bool,
}

/// A write without an answer: the realm, the user, the send id.
pub(crate) type Write = (RealmKey, UserId, SendId);

/// What there is to wait for before a run is over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Unsettled {
    /// Clients that were there and are not back.
    pub(crate) away: u64,
    /// Writes without an answer.
    pub(crate) unanswered: u64,
    /// Deliveries that are known to be due.
    pub(crate) outstanding: u64,
    /// Users whom a watcher of presence has wrong.
    pub(crate) presence_wrong: u64,
    /// Something was learned in this round: more may follow from it.
    pub(crate) news: bool,
}

impl Rounds {
    pub(crate) fn new(setups: &[RealmSetup], workers: usize) -> Self {
        Self {
            truth: Truth::new(setups),
            waiting: Vec::new(),
            latest: vec![Latest::default(); workers],
            senders: BTreeMap::new(),
            senders_kept: 0,
            found: Findings::default(),
        }
    }

    /// Begins a round: every worker was asked.
    pub(crate) fn begin(&mut self) {
        self.waiting = (0..self.latest.len()).collect();
    }

    /// Whether a round is on.
    pub(crate) fn is_on(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Takes a worker's answer; the update for all, if it was the last one.
    pub(crate) fn take(&mut self, worker: usize, gathered: Gathered) -> Option<Update> {
        let Gathered { facts, outstanding, unanswered, tally, told, there } = gathered;
        let had_news = facts.realms.iter().any(|realm| !(realm.learned.is_empty() && realm.acks.is_empty()));
        self.latest[worker] = Latest { outstanding, tally, unanswered, told, there, had_news };
        self.note_senders(&facts);
        self.truth.merge(worker as u16, facts);
        let before = self.waiting.len();
        self.waiting.retain(|other| *other != worker);
        (before > 0 && self.waiting.is_empty()).then(|| self.truth.update())
    }

    fn note_senders(&mut self, facts: &Facts) {
        for realm in &facts.realms {
            let senders = self.senders.entry(realm.key).or_default();
            for ack in &realm.acks {
                if self.senders_kept < ACKS_KEPT_MAX && senders.insert(ack.sequence.0, ack.user_id).is_none()
                {
                    self.senders_kept += 1;
                }
            }
        }
    }

    /// What all workers had counted as of the last round.
    pub(crate) fn tally(&self) -> Tally {
        let mut sum = Tally::default();
        self.latest.iter().for_each(|latest| sum.add(&latest.tally));
        sum
    }

    /// What was still to be waited for in the last round.
    pub(crate) fn unsettled(&self) -> Unsettled {
        let mut sum = Unsettled::default();
        for latest in &self.latest {
            sum.away += latest.tally.opened.saturating_sub(latest.tally.open + latest.tally.gone);
            sum.unanswered += latest.tally.unanswered;
            sum.outstanding += latest.outstanding;
            sum.news |= latest.had_news;
        }
        sum.presence_wrong = self.presence_wrong().len() as u64;
        sum
    }

    /// Whom any watcher has wrong, one for each watcher: the realm, the user, and what is wrong.
    fn presence_wrong(&self) -> Vec<(RealmKey, UserId, String)> {
        let mut there: BTreeMap<RealmKey, Roll> = BTreeMap::new();
        for roll in self.latest.iter().flat_map(|latest| &latest.there) {
            let empty = || Roll { users: Vec::new(), ..*roll };
            // A user's clients are all in one worker: nobody is in two rolls.
            there.entry(key(roll)).or_insert_with(empty).users.extend(&roll.users);
        }
        let mut wrong = Vec::new();
        for roll in self.latest.iter().flat_map(|latest| &latest.told) {
            let found = there.get(&key(roll)).map(|there| wrong_in(roll, there));
            wrong.extend(found.into_iter().flatten().map(|(user, told, status)| {
                let told = told.map_or("offline".into(), |told| format!("{told:?}").to_lowercase());
                let what = format!("told to be {told}, and is {}", format!("{status:?}").to_lowercase());
                (key(roll), user, what)
            }));
        }
        wrong
    }

    /// The first writes in a realm that have no answer.
    pub(crate) fn unanswered(&self, key: RealmKey) -> Vec<Write> {
        let all = self.latest.iter().flat_map(|latest| &latest.unanswered);
        all.filter(|(other, ..)| *other == key).cloned().collect()
    }

    /// Takes down as faults what had not settled in the last round. `stored` says which of the unanswered writes
    /// the history has after all.
    pub(crate) fn note_unsettled(&mut self, stored: &HashMap<SendId, Sequence>, at_ms: u64) {
        let unsettled = self.unsettled();
        let fault = |fault, realm, user, sequence, what| Offender {
            at_ms,
            fault,
            worker: None,
            client: None,
            realm,
            user: Some(user),
            sequence,
            what,
        };
        let writes = self.latest.iter().flat_map(|latest| &latest.unanswered);
        let mut faults: Vec<_> = writes
            .map(|(realm, user, id)| {
                let place = stored.get(id).copied();
                let where_to = if place.is_some() { "stored all the same" } else { "not in the history" };
                let what = format!("no answer to {id}: {where_to}");
                fault(Fault::Unanswered, *realm, *user, place.unwrap_or_default(), what)
            })
            .collect();
        // Each is counted, and the first are named.
        let unnamed = unsettled.unanswered.saturating_sub(faults.len() as u64);
        let wrong = self.presence_wrong().into_iter();
        faults.extend(
            wrong.map(|(realm, user, what)| fault(Fault::PresenceWrong, realm, user, Sequence::ZERO, what)),
        );
        faults.into_iter().for_each(|offender| self.found.note(offender));
        if unnamed > 0 {
            *self.found.faults.entry(Fault::Unanswered).or_default() += unnamed;
        }
    }

    /// Who sent what was acknowledged in a realm and is not at these places of its log.
    pub(crate) fn senders_beside(&self, key: RealmKey, places: &dyn Fn(u64) -> bool) -> Vec<UserId> {
        let senders = self.senders.get(&key).into_iter().flatten();
        let mut beside: Vec<UserId> =
            senders.filter(|(place, _)| !places(**place)).map(|(_, user)| *user).collect();
        beside.sort_unstable();
        beside.dedup();
        beside
    }

    /// Holds what was acknowledged against the history.
    pub(crate) fn check_history(&mut self, key: RealmKey, history: &HistoryCheck) {
        self.truth.check_history(key, history);
    }

    /// What was found by all together.
    pub(crate) fn finish(self, workers: Vec<Findings>) -> Findings {
        let mut findings = self.truth.finish();
        findings.merge(self.found);
        workers.into_iter().for_each(|found| findings.merge(found));
        findings
    }
}

fn key(roll: &Roll) -> RealmKey {
    RealmKey { target: roll.target, realm_id: roll.realm_id }
}

#[cfg(test)]
mod tests {
    use squall_protocol::client_message::Status;
    use squall_protocol::{Epoch, MessageId, Position, RealmId};

    use super::*;
    use crate::audit::{Ack, RealmFacts};

    const KEY: RealmKey = RealmKey { target: 0, realm_id: RealmId(1) };

    fn rounds() -> Rounds {
        let head = Position::start(Epoch(1));
        Rounds::new(&[RealmSetup { key: KEY, head, users: vec![], streams: vec![] }], 2)
    }

    fn ack(sequence: u64, user: u32) -> Ack {
        let (sequence, message_id, user_id) = (Sequence(sequence), MessageId(sequence), UserId(user));
        Ack { sequence, message_id, user_id, send_digest: sequence.0, is_owed: false, at_ms: 1 }
    }

    fn gathered(acks: Vec<Ack>, tally: Tally) -> Gathered {
        let realms = vec![RealmFacts { key: KEY, learned: vec![], acks, passed: Some(0) }];
        Gathered {
            facts: Facts { realms },
            outstanding: 3,
            unanswered: vec![],
            tally,
            told: vec![],
            there: vec![],
        }
    }

    #[test]
    fn a_round_is_over_when_every_worker_has_answered() {
        let mut rounds = rounds();
        assert!(!rounds.is_on());
        rounds.begin();
        assert!(rounds.take(1, gathered(vec![], Tally::default())).is_none() && rounds.is_on());
        assert!(rounds.take(0, gathered(vec![], Tally::default())).is_some() && !rounds.is_on());
        assert!(rounds.take(0, gathered(vec![], Tally::default())).is_none(), "an answer to no question");
    }

    #[test]
    fn what_is_unsettled_is_the_sum_over_workers() {
        let mut rounds = rounds();
        let tally = Tally { opened: 5, open: 3, gone: 1, unanswered: 2, ..Tally::default() };
        rounds.take(0, gathered(vec![ack(1, 7)], tally.clone()));
        rounds.take(1, gathered(vec![], tally));
        let expected = Unsettled { away: 2, unanswered: 4, outstanding: 6, presence_wrong: 0, news: true };
        assert_eq!(rounds.unsettled(), expected);
    }

    #[test]
    fn presence_is_held_against_all_workers_users() {
        let mut rounds = rounds();
        let roll = |users: &[(u32, Status)]| {
            let users = users.iter().map(|(user, status)| (UserId(*user), *status)).collect();
            vec![Roll { target: 0, realm_id: KEY.realm_id, users }]
        };
        let told = roll(&[(1, Status::Active), (2, Status::Idle)]);
        let mut one = gathered(vec![], Tally::default());
        (one.told, one.there) = (told.clone(), roll(&[(1, Status::Active)]));
        let mut other = gathered(vec![], Tally::default());
        (other.told, other.there) = (told, roll(&[(2, Status::Active)]));
        rounds.take(0, one);
        rounds.take(1, other);
        assert_eq!(rounds.unsettled().presence_wrong, 2, "user 2, by both watchers");
        rounds.note_unsettled(&HashMap::new(), 5);
        let findings = rounds.finish(vec![]);
        assert_eq!(findings.count(Fault::PresenceWrong), 2);
        assert_eq!(findings.first[0].what, "told to be idle, and is active");
    }

    #[test]
    fn senders_of_what_the_streams_lack_are_those_to_ask_for_direct_messages() {
        let mut rounds = rounds();
        rounds.take(0, gathered(vec![ack(1, 7), ack(2, 8), ack(3, 8), ack(4, 9)], Tally::default()));
        assert_eq!(rounds.senders_beside(KEY, &|place| place == 1), [UserId(8), UserId(9)]);
        assert_eq!(rounds.senders_beside(RealmKey { target: 1, ..KEY }, &|_| false), []);
    }

    #[test]
    fn a_write_without_an_answer_is_a_fault_and_the_history_says_what_became_of_it() {
        let mut rounds = rounds();
        let id = |text: &str| SendId::parse(text).unwrap();
        let mut one = gathered(vec![], Tally { unanswered: 5, ..Tally::default() });
        one.unanswered = vec![(KEY, UserId(1), id("a")), (KEY, UserId(2), id("b"))];
        rounds.take(0, one);
        assert_eq!(rounds.unanswered(KEY).len(), 2);
        rounds.note_unsettled(&HashMap::from([(id("b"), Sequence(7))]), 5);
        let findings = rounds.finish(vec![]);
        assert_eq!(findings.count(Fault::Unanswered), 5, "those that are not named count too");
        let words: Vec<_> = findings.first.iter().map(|offender| offender.what.as_str()).collect();
        assert_eq!(words, ["no answer to a: not in the history", "no answer to b: stored all the same"]);
    }
}
