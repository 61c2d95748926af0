//! A worker's part of the audit.

use std::collections::HashMap;

use squall_protocol::server_message::ResetReason;
use squall_protocol::{Event, Mark, MessageId, Position, SendId, Sequence, StreamId, UserId};

use super::book::{Book, Claim, MarkConflict, Told};
use super::client::{Cause, Client, Phase};
use super::exchange::{Ack, Facts, RealmFacts, Update};
use super::fact::{Fact, send_digest};
use super::findings::{Fault, Findings, Offender};
use super::{RealmKey, RealmSetup};

/// A client that has not moved on for so long, because it stays away or hears nothing, is waited for no more:
/// what it missed is then unjudged, and what the audit remembers stays bounded.
pub const STILL_MAX_MS: u64 = 30 * 60 * 1000;

/// Notes what each client of a worker saw, and judges it as far as all workers together know the truth.
///
/// Clients are numbered by the caller, from 0 without a hole.
#[derive(Debug)]
pub struct Recorder {
    worker: u16,
    now_ms: u64,
    realms: Vec<Realm>,
    by_key: HashMap<RealmKey, u16>,
    clients: Vec<Client>,
    users: Vec<UserId>,
    /// Answers whose client has not passed the place they name.
    unpassed: Vec<(u32, Ack)>,
    findings: Findings,
    /// The next client to be checked, and how many are left of this round.
    next: usize,
    left: usize,
    is_closed: bool,
}

#[derive(Debug)]
struct Realm {
    book: Book,
    /// Events that the coordinator was not told of.
    fresh: Vec<Fact>,
    acks: Vec<Ack>,
    /// Its log was set back: nothing about it is certain any more.
    is_set_back: bool,
}

impl Recorder {
    /// The recorder of this worker, for these realms.
    #[must_use]
    pub fn new(worker: u16, realms: &[RealmSetup]) -> Self {
        let by_key = realms.iter().zip(0..).map(|(setup, index)| (setup.key, index)).collect();
        Self {
            worker,
            now_ms: 0,
            realms: realms.iter().map(Realm::new).collect(),
            by_key,
            clients: Vec::new(),
            users: Vec::new(),
            unpassed: Vec::new(),
            findings: Findings::default(),
            next: 0,
            left: 0,
            is_closed: false,
        }
    }

    /// What follows happens at this time: milliseconds since the run began, the same beginning for all workers.
    pub fn tick(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// The next client: a session of `user` to come. Gives its number; none if there is no such realm.
    pub fn client(&mut self, realm: RealmKey, user: UserId) -> Option<u32> {
        let index = *self.by_key.get(&realm)?;
        let in_book = self.realms[usize::from(index)].book.index(user);
        self.clients.push(Client::new(index, in_book));
        self.users.push(user);
        u32::try_from(self.clients.len() - 1).ok()
    }

    /// The client's next session may begin with a reset, for this reason. To be said before its welcome; holds
    /// until its first event or position.
    pub fn expect_reset(&mut self, client: u32, cause: Cause) {
        if let Some(client) = self.clients.get_mut(client as usize) {
            client.expected = Some(cause);
        }
    }

    /// A session is open. Fresh: the client may see what comes after `position`. Resumed: it goes on from where
    /// it was, whatever position the server repeats.
    pub fn welcome(&mut self, client: u32, position: Position, resumed: bool) {
        let Some((state, realm)) = self.live(client) else { return };
        let is_born = state.phase != Phase::Unborn;
        let head = realm.book.head();
        if resumed && is_born {
            self.clients[client as usize].enter(None, head, self.now_ms);
            return;
        }
        if position.epoch != realm.book.epoch {
            return self.set_back(client, position, "the position of a welcome is of another epoch");
        }
        self.jumps(client);
        self.clients[client as usize].enter(Some(position.sequence.0), head, self.now_ms);
        self.hold_mark(client, position);
    }

    /// The client saw an event that the recorder was told by [`Self::learn`].
    pub fn event(&mut self, client: u32, sequence: Sequence) {
        let now_ms = self.now_ms;
        let Some((state, _)) = self.live(client) else { return };
        if state.expected.is_some() {
            self.handle_no_reset(client, sequence.0.saturating_sub(1));
        }
        if let Some(fault) = self.clients[client as usize].saw(sequence.0, now_ms) {
            let what = self.what(client, sequence.0);
            self.note(fault, client, sequence, what);
        }
    }

    /// What an event says: once for each (realm, sequence), and whenever the caller decodes it again. False if
    /// it is another event than the one that was there before.
    pub fn learn(&mut self, realm: RealmKey, sequence: Sequence, mark: Mark, event: &Event) -> bool {
        let Some(index) = self.by_key.get(&realm).copied() else { return true };
        let fact = Fact::new(sequence, mark, event, self.now_ms);
        let realm = &mut self.realms[usize::from(index)];
        if realm.is_set_back || self.is_closed {
            return true;
        }
        let (told, conflicts) = realm.book.tell(fact.clone());
        if told == Told::New || (told == Told::Late && sequence.0 > realm.book.floor()) {
            realm.fresh.push(fact);
        }
        self.note_conflicts(conflicts);
        told != Told::Differs
    }

    /// The client was sent something else at `sequence` than others, or than was written.
    pub fn corrupted(&mut self, client: u32, sequence: Sequence) {
        let now_ms = self.now_ms;
        let Some((state, _)) = self.live(client) else { return };
        // It has come, though not as it should.
        state.saw(sequence.0, now_ms);
        let what = self.what(client, sequence.0);
        self.note(Fault::Corrupted, client, sequence, what);
    }

    /// The client was told that nothing for it lies before `position`.
    pub fn position(&mut self, client: u32, position: Position) {
        let now_ms = self.now_ms;
        let Some((state, realm)) = self.live(client) else { return };
        if position.epoch != realm.book.epoch {
            return self.set_back(client, position, "a position is of another epoch");
        }
        if state.expected.is_some() {
            self.handle_no_reset(client, position.sequence.0);
        }
        if !self.clients[client as usize].passed(position.sequence.0, now_ms) {
            let what = "a position goes back behind what the client had".into();
            self.note(Fault::Inconsistent, client, position.sequence, what);
        }
        self.hold_mark(client, position);
    }

    /// The client begins anew after `position`.
    pub fn reset(&mut self, client: u32, reason: ResetReason, position: Position) {
        let now_ms = self.now_ms;
        let Some((state, realm)) = self.live(client) else { return };
        let (cause, epoch) = (state.expected.take(), realm.book.epoch);
        if cause.is_none() {
            let what = format!("reset, with the reason {}", reason_name(reason));
            self.note(Fault::ResetWithoutCause, client, position.sequence, what);
        }
        if position.epoch != epoch {
            return self.set_back(client, position, "the position of a reset is of another epoch");
        }
        self.jumps(client);
        self.clients[client as usize].jump(position.sequence.0, now_ms);
        self.hold_mark(client, position);
    }

    /// The client's session ended; it comes back.
    pub fn disconnected(&mut self, client: u32) {
        if let Some(client) = self.clients.get_mut(client as usize)
            && client.phase == Phase::Here
        {
            client.phase = Phase::Away;
            client.expected = None;
        }
    }

    /// The client stays away: it is judged up to where it was.
    pub fn gone(&mut self, client: u32) {
        self.jumps(client);
        if let Some(client) = self.clients.get_mut(client as usize)
            && client.phase != Phase::Unborn
        {
            client.phase = Phase::Gone;
        }
    }

    /// The client was sent something that can't be read, or that does not belong where it came.
    pub fn unreadable(&mut self, client: u32, what: &str) {
        self.note_here(Fault::Unreadable, client, what);
    }

    /// The run is over, and the client is in no session.
    pub fn away(&mut self, client: u32, what: &str) {
        self.note_here(Fault::Away, client, what);
    }

    /// A send of the client's user was acknowledged to it.
    pub fn sent(&mut self, client: u32, send_id: &SendId, message_id: MessageId, sequence: Sequence) {
        let at_ms = self.now_ms;
        let Some(user_id) = self.users.get(client as usize).copied() else { return };
        let Some((state, realm)) = self.live(client) else { return };
        let send_digest = send_digest(send_id);
        let ack = Ack { sequence, message_id, user_id, send_digest, is_owed: false, at_ms };
        let is_bound = state.is_bound_to(sequence.0);
        if is_bound && state.position() < sequence.0 {
            self.unpassed.push((client, ack));
        } else {
            realm.acks.push(Ack { is_owed: is_bound, ..ack });
        }
    }

    /// A membership change was acknowledged to the client: these users (nobody named: its own) are members of
    /// the stream at `sequence`, or are none.
    pub fn done(
        &mut self,
        client: u32,
        sequence: Sequence,
        stream_id: StreamId,
        users: &[UserId],
        is_member: bool,
    ) {
        let Some(own) = self.users.get(client as usize).copied() else { return };
        let user_ids = if users.is_empty() { vec![own] } else { users.to_vec() };
        let Some((_, realm)) = self.live(client) else { return };
        let claim = Claim { client, stream_id, user_ids, is_member };
        if !realm.book.claim(sequence.0, claim.clone()) {
            self.note_refuted(sequence.0, &claim);
        }
    }

    /// What the coordinator must know since the last call.
    pub fn facts(&mut self) -> Facts {
        self.pass_answers();
        let mut passed: Vec<Option<u64>> = vec![None; self.realms.len()];
        for client in &self.clients {
            let lowest = &mut passed[usize::from(client.realm)];
            if let Some(position) = client.holds_up(self.now_ms) {
                *lowest = Some(lowest.map_or(position, |lowest| lowest.min(position)));
            }
        }
        let is_closed = self.is_closed;
        let realms = self.realms.iter_mut().zip(passed).map(|(realm, passed)| RealmFacts {
            key: realm.book.key,
            learned: std::mem::take(&mut realm.fresh),
            acks: std::mem::take(&mut realm.acks),
            passed: if is_closed || realm.is_set_back { Some(u64::MAX) } else { passed },
        });
        Facts { realms: realms.collect() }
    }

    /// Takes in what all workers know. [`Self::check`] then judges by it.
    pub fn take(&mut self, update: &Update) {
        for news in &update.realms {
            let Some(index) = self.by_key.get(&news.key).copied() else { continue };
            let realm = &mut self.realms[usize::from(index)];
            if realm.is_set_back {
                continue;
            }
            let mut conflicts = Vec::new();
            for fact in &news.facts {
                // Two that differ are the coordinator's finding.
                let (_, found) = realm.book.tell(fact.clone());
                conflicts.extend(found);
            }
            let refuted = realm.book.stamp(news.horizon.0);
            self.note_conflicts(conflicts);
            refuted.iter().for_each(|(sequence, claim)| self.note_refuted(*sequence, claim));
        }
        self.left = self.clients.len();
        if self.clients.is_empty() {
            self.forget();
        }
    }

    /// Judges clients up to the horizon, until it has looked at about `work` events or is through. True while
    /// there is more to do. One turn of a worker's loop can afford some 100,000.
    pub fn check(&mut self, work: usize) -> bool {
        let mut spent = 0;
        while self.left > 0 && spent < work {
            spent += 1 + self.check_one(self.next);
            self.next = (self.next + 1) % self.clients.len();
            self.left -= 1;
            if self.left == 0 {
                self.forget();
            }
        }
        self.left > 0
    }

    /// Deliveries that clients which are there still have to get, as far as is known. At the end of a run,
    /// when nothing is sent any more: what there is to wait for.
    #[must_use]
    pub fn outstanding(&self) -> u64 {
        let known: Vec<_> = self.realms.iter().map(|realm| realm.book.preview()).collect();
        let lives = |realm: u16| !self.realms[usize::from(realm)].is_set_back;
        let clients = self.clients.iter().filter(|client| lives(client.realm));
        let missing: u64 = clients.map(|client| client.missing(&known[usize::from(client.realm)])).sum();
        let here = |client: &u32| self.clients[*client as usize].phase == Phase::Here;
        let unpassed = self.unpassed.iter().filter(|(client, ack)| {
            here(client) && self.clients[*client as usize].position() < ack.sequence.0
        });
        // An answer is ahead of its event: if the event is known, it counts already.
        let dark = unpassed.filter(|(client, ack)| {
            let realm = self.clients[*client as usize].realm;
            self.realms[usize::from(realm)].book.fact(ack.sequence.0).is_none()
        });
        missing + dark.count() as u64
    }

    /// The run is over: whoever is there has all it will ever have. Then come, as ever, [`Self::facts`],
    /// [`Self::take`], and [`Self::finish`]; nothing else counts any more.
    pub fn close(&mut self) {
        self.is_closed = true;
        self.clients.iter_mut().for_each(Client::close);
        self.pass_answers();
        // Whoever is away owes nothing of what it did not get to; what the answer says is held against the event.
        for (client, ack) in std::mem::take(&mut self.unpassed) {
            self.realms[usize::from(self.clients[client as usize].realm)].acks.push(ack);
        }
    }

    /// What this worker found.
    #[must_use]
    pub fn finish(mut self) -> Findings {
        while self.check(usize::MAX) {}
        let unresolved: Vec<_> = self.realms.iter_mut().flat_map(|realm| realm.book.unresolved()).collect();
        self.note_conflicts(unresolved);
        let born = self.clients.iter().filter(|client| client.phase != Phase::Unborn);
        self.findings.clients = born.count() as u64;
        let away = self.clients.iter().filter(|client| matches!(client.phase, Phase::Away | Phase::Gone));
        self.findings.clients_away = away.count() as u64;
        self.findings
    }

    /// What was found so far.
    #[must_use]
    pub fn findings(&self) -> &Findings {
        &self.findings
    }

    /// What all of it takes, about.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let clients: usize = self.clients.iter().map(Client::memory_bytes).sum();
        let realm = |realm: &Realm| {
            let fresh: usize = realm.fresh.iter().map(|fact| size_of::<Fact>() + fact.list_bytes()).sum();
            realm.book.memory_bytes() + fresh + realm.acks.capacity() * size_of::<Ack>()
        };
        let realms: usize = self.realms.iter().map(realm).sum();
        clients + realms + self.users.capacity() * 4 + self.unpassed.capacity() * size_of::<(u32, Ack)>()
    }

    /// A client whose realm is still audited.
    fn live(&mut self, client: u32) -> Option<(&mut Client, &mut Realm)> {
        let client = self.clients.get_mut(client as usize).filter(|_| !self.is_closed)?;
        let realm = self.realms.get_mut(usize::from(client.realm)).filter(|realm| !realm.is_set_back)?;
        Some((client, realm))
    }

    fn check_one(&mut self, index: usize) -> usize {
        let client = &mut self.clients[index];
        let realm = &self.realms[usize::from(client.realm)];
        if realm.is_set_back || client.phase == Phase::Unborn {
            return 0;
        }
        let checked = client.check(&realm.book);
        self.findings.judged += checked.judged;
        self.findings.unjudged += checked.unjudged;
        let offenders = checked.faults.iter().filter_map(|(fault, event)| {
            let fact = &realm.book.stamped().get(*event)?.fact;
            Some(Offender {
                at_ms: fact.at_ms,
                fault: *fault,
                worker: Some(self.worker),
                client: u32::try_from(index).ok(),
                realm: realm.book.key,
                user: self.users.get(index).copied(),
                sequence: fact.sequence,
                what: fact.to_string(),
            })
        });
        offenders.for_each(|offender| self.findings.note(offender));
        checked.work
    }

    /// All clients are checked up to the horizon: what lies before it, and before those that are behind it, is
    /// needed no more.
    fn forget(&mut self) {
        let mut lowest: Vec<u64> = self.realms.iter().map(|realm| realm.book.horizon()).collect();
        for client in self.clients.iter().filter(|client| client.holds_up(self.now_ms).is_some()) {
            let lowest = &mut lowest[usize::from(client.realm)];
            *lowest = (*lowest).min(client.needs_after());
        }
        let realms = self.realms.iter_mut().zip(lowest);
        let conflicts: Vec<_> = realms.flat_map(|(realm, lowest)| realm.book.forget(lowest)).collect();
        self.note_conflicts(conflicts);
    }

    /// The client leaves its span: answers that it has not passed up to there are owed no more.
    fn jumps(&mut self, client: u32) {
        let Some(position) = self.clients.get(client as usize).map(Client::position) else { return };
        for (_, ack) in self.unpassed.extract_if(.., |(other, _)| *other == client) {
            let realm = self.clients[client as usize].realm;
            let is_owed = ack.sequence.0 <= position;
            self.realms[usize::from(realm)].acks.push(Ack { is_owed, ..ack });
        }
    }

    /// Answers whose client has passed the place they name can be judged.
    fn pass_answers(&mut self) {
        let Self { unpassed, clients, realms, .. } = self;
        let passed = |(client, ack): &mut (u32, Ack)| clients[*client as usize].position() >= ack.sequence.0;
        for (client, ack) in unpassed.extract_if(.., passed) {
            realms[usize::from(clients[client as usize].realm)].acks.push(Ack { is_owed: true, ..ack });
        }
    }

    /// A session that had reason to begin with a reset goes on without: after `from`, if it should not have.
    fn handle_no_reset(&mut self, client: u32, from: u64) {
        let expected = self.clients[client as usize].expected.take();
        if expected == Some(Cause::Forged) {
            self.jumps(client);
            self.clients[client as usize].jump(from, self.now_ms);
            let what = "a forged position was answered by no reset".into();
            self.note(Fault::ForgeryTaken, client, Sequence(from), what);
        }
    }

    fn hold_mark(&mut self, client: u32, position: Position) {
        let Some((_, realm)) = self.live(client) else { return };
        if !realm.book.hold_mark(position.sequence.0, position.mark, client) {
            self.note_conflicts(vec![MarkConflict { client, sequence: position.sequence.0 }]);
        }
    }

    fn note_conflicts(&mut self, conflicts: Vec<MarkConflict>) {
        for MarkConflict { client, sequence } in conflicts {
            let what = "a position has another mark there than the event, or than other positions".into();
            self.note(Fault::Inconsistent, client, Sequence(sequence), what);
        }
    }

    fn note_refuted(&mut self, sequence: u64, claim: &Claim) {
        let (verb, users) = (if claim.is_member { "members" } else { "no members" }, claim.user_ids.len());
        let what = format!("{users} users said to be {verb} of stream {}", claim.stream_id);
        self.note(Fault::NotInForce, claim.client, Sequence(sequence), what);
    }

    fn set_back(&mut self, client: u32, position: Position, what: &str) {
        let realm = &mut self.realms[usize::from(self.clients[client as usize].realm)];
        realm.is_set_back = true;
        self.findings.realms_set_back += 1;
        self.note(Fault::Inconsistent, client, position.sequence, what.into());
    }

    fn what(&self, client: u32, sequence: u64) -> String {
        let realm = &self.realms[usize::from(self.clients[client as usize].realm)];
        realm.book.fact(sequence).map_or_else(|| "an event forgotten or unreadable".into(), Fact::to_string)
    }

    /// Notes a fault of no event: it is at the place where the client is.
    fn note_here(&mut self, fault: Fault, client: u32, what: &str) {
        let at = self.clients.get(client as usize).map_or(0, Client::position);
        self.note(fault, client, Sequence(at), what.into());
    }

    fn note(&mut self, fault: Fault, client: u32, sequence: Sequence, what: String) {
        let Some(state) = self.clients.get(client as usize) else { return };
        self.findings.note(Offender {
            at_ms: self.now_ms,
            fault,
            worker: Some(self.worker),
            client: Some(client),
            realm: self.realms[usize::from(state.realm)].book.key,
            user: self.users.get(client as usize).copied(),
            sequence,
            what,
        });
    }
}

impl Realm {
    fn new(setup: &RealmSetup) -> Self {
        Self { book: Book::new(setup), fresh: Vec::new(), acks: Vec::new(), is_set_back: false }
    }
}

fn reason_name(reason: ResetReason) -> &'static str {
    match reason {
        ResetReason::Expired => "expired",
        ResetReason::Epoch => "epoch",
        ResetReason::Future => "future",
    }
}
