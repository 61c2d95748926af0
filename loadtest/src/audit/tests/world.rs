//! A world for the audit: realms whose servers can be told to do wrong, clients dealt to workers, a
//! coordinator. Everything that happens is told to the recorders and to the plain model alike.

use std::collections::BTreeSet;

use squall_protocol::event::{Message, Role, Stream, User};
use squall_protocol::server_message::ResetReason;
use squall_protocol::{
    Destination, Epoch, Event, Mark, MessageId, Position, RealmId, SendId, Sequence, StreamId, UserId,
};

use super::plain::{PlainClient, PlainRealm, Told};
use crate::audit::{Cause, Facts, Findings, RealmKey, RealmSetup, Recorder, Truth};

pub(super) const EPOCH: Epoch = Epoch(5);
/// The log is as long as this when a run begins.
pub(super) const HEAD: u64 = 10;

pub(super) struct World {
    pub(super) realms: Vec<PlainRealm>,
    pub(super) clients: Vec<PlainClient>,
    /// Each client's worker and its number there.
    seats: Vec<(usize, u32)>,
    /// What each client's server sends next comes after this.
    cursors: Vec<u64>,
    pub(super) recorders: Vec<Recorder>,
    truth: Truth,
    /// What each worker decoded: (realm, sequence).
    learned: Vec<BTreeSet<(usize, u64)>>,
    now_ms: u64,
    sends: u64,
    /// Where the horizons are: nobody joins behind them.
    pub(super) horizons: Vec<u64>,
    /// Faults that no client's story tells.
    pub(super) others: Vec<super::plain::Finding>,
}

pub(super) fn setup(realm: u16) -> RealmSetup {
    let user = |id: u32| UserId(id);
    RealmSetup {
        key: RealmKey { target: realm, realm_id: RealmId(1) },
        head: Position { epoch: EPOCH, sequence: Sequence(HEAD), mark: Mark(1) },
        users: (1..=6).map(|id| (user(id), if id == 6 { Role::Guest } else { Role::Member })).collect(),
        streams: vec![
            (StreamId(1), (1..=6).map(user).collect()),
            (StreamId(2), vec![user(1), user(2)]),
            (StreamId(3), vec![user(3)]),
        ],
    }
}

impl World {
    /// Realms of six users each; the first ones have two sessions.
    pub(super) fn new(realm_count: u16, worker_count: u16) -> Self {
        let setups: Vec<_> = (0..realm_count).map(setup).collect();
        let mut world = Self {
            realms: setups.iter().cloned().map(PlainRealm::new).collect(),
            clients: Vec::new(),
            seats: Vec::new(),
            cursors: Vec::new(),
            recorders: (0..worker_count).map(|worker| Recorder::new(worker, &setups)).collect(),
            truth: Truth::new(&setups),
            learned: vec![BTreeSet::new(); worker_count.into()],
            now_ms: 0,
            sends: 0,
            horizons: vec![HEAD; realm_count.into()],
            others: Vec::new(),
        };
        for realm in 0..realm_count {
            for user in [1, 2, 3, 4, 5, 6, 1, 2] {
                world.add_client(realm.into(), UserId(user));
            }
        }
        world
    }

    fn add_client(&mut self, realm: usize, user: UserId) {
        let worker = self.clients.len() % self.recorders.len();
        let number = self.recorders[worker].client(self.realms[realm].setup.key, user).unwrap();
        self.clients.push(PlainClient { realm, user, is_here: false, told: Vec::new() });
        self.seats.push((worker, number));
        self.cursors.push(0);
    }

    pub(super) fn recorder(&mut self, client: usize) -> (&mut Recorder, u32) {
        let (worker, number) = self.seats[client];
        let recorder = &mut self.recorders[worker];
        recorder.tick(self.now_ms);
        (recorder, number)
    }

    pub(super) fn wait_ms(&mut self, ms: u64) {
        self.now_ms += ms;
    }

    pub(super) fn position(&self, realm: usize, sequence: u64) -> Position {
        let mark = self.realms[realm].at(sequence).map_or(Mark(1), |event| event.mark);
        Position { epoch: EPOCH, sequence: Sequence(sequence), mark }
    }

    pub(super) fn has_begun(&self, client: usize) -> bool {
        !self.clients[client].told.is_empty()
    }

    // What happens in a realm.

    pub(super) fn append(&mut self, realm: usize, event: Event, is_swallowed: bool) -> u64 {
        self.now_ms += 1;
        let mark = Mark(self.realms[realm].log.len() as u32 + 100);
        self.realms[realm].append(mark, event, is_swallowed)
    }

    pub(super) fn message(
        &mut self,
        realm: usize,
        sender: UserId,
        to: Destination,
        is_swallowed: bool,
    ) -> u64 {
        self.sends += 1;
        let send_id = SendId::parse(format!("send-{}", self.sends)).unwrap();
        self.send(realm, sender, to, send_id, is_swallowed)
    }

    pub(super) fn send(
        &mut self,
        realm: usize,
        sender: UserId,
        to: Destination,
        send_id: SendId,
        is_swallowed: bool,
    ) -> u64 {
        let message_id = MessageId(self.realms[realm].head() + 1_000);
        let message =
            Message { message_id, sender_id: sender, timestamp: 0, to, content: "soup".into(), send_id };
        self.append(realm, Event::Message(message), is_swallowed)
    }

    pub(super) fn post(&mut self, realm: usize, stream: u64) -> u64 {
        let sender = self.realms[realm].members(StreamId(stream)).first().copied().unwrap_or(UserId(1));
        let to = Destination::Stream { stream_id: StreamId(stream), topic: "lunch".into() };
        self.message(realm, sender, to, false)
    }

    /// Puts a user into a stream, or out of it.
    pub(super) fn turn(&mut self, realm: usize, stream: u64, user: UserId) -> u64 {
        let (stream_id, user_ids) = (StreamId(stream), vec![user]);
        let event = if self.realms[realm].members(stream_id).contains(&user) {
            Event::MembersRemoved { stream_id, user_ids, actor_id: user }
        } else {
            Event::MembersAdded { stream: stream_named(stream_id, true), user_ids, actor_id: user }
        };
        self.append(realm, event, false)
    }

    pub(super) fn set_role(&mut self, realm: usize, user: UserId, role: Role) -> u64 {
        let event = match self.realms[realm].role(user) {
            Some(before) => Event::UserUpdated { user: user_of(user, role), previous: user_of(user, before) },
            None => Event::UserAdded { user: user_of(user, role) },
        };
        self.append(realm, event, false)
    }

    // What happens to a client.

    /// Opens a session without a position, `behind` the head (a slower node) if that is not forgotten yet.
    pub(super) fn welcome(&mut self, client: usize, behind: u64) {
        let realm = self.clients[client].realm;
        let from = (self.realms[realm].head() - behind.min(self.realms[realm].log.len() as u64))
            .max(self.horizons[realm]);
        let position = self.position(realm, from);
        let (recorder, number) = self.recorder(client);
        recorder.welcome(number, position, false);
        self.begin(client, from);
        self.clients[client].is_here = true;
    }

    /// Opens a session at the client's own position.
    pub(super) fn resume(&mut self, client: usize) {
        let position = self.position(self.clients[client].realm, self.cursors[client]);
        let (recorder, number) = self.recorder(client);
        recorder.welcome(number, position, true);
        self.clients[client].is_here = true;
    }

    pub(super) fn expect_reset(&mut self, client: usize, cause: Cause) {
        let (recorder, number) = self.recorder(client);
        recorder.expect_reset(number, cause);
    }

    /// Starts the client again from the head.
    pub(super) fn reset(&mut self, client: usize) {
        let realm = self.clients[client].realm;
        let from = self.realms[realm].head();
        let position = self.position(realm, from);
        let (recorder, number) = self.recorder(client);
        recorder.reset(number, ResetReason::Expired, position);
        self.begin(client, from);
    }

    pub(super) fn disconnect(&mut self, client: usize) {
        let (recorder, number) = self.recorder(client);
        recorder.disconnected(number);
        self.clients[client].is_here = false;
    }

    pub(super) fn leave_for_good(&mut self, client: usize) {
        self.disconnect(client);
        let (recorder, number) = self.recorder(client);
        recorder.gone(number);
        self.clients[client].told.push(Told::Gone);
    }

    /// What the client's server has for it next.
    pub(super) fn next_for(&self, client: usize) -> Option<u64> {
        let PlainClient { realm, user, .. } = &self.clients[client];
        let realm = &self.realms[*realm];
        (self.cursors[client] + 1..=realm.head()).find(|sequence| {
            realm.at(*sequence).is_some_and(|event| !event.is_swallowed && event.audience.contains(user))
        })
    }

    /// Delivers what comes next, rightly.
    pub(super) fn deliver(&mut self, client: usize) -> Option<u64> {
        let next = self.next_for(client)?;
        self.show(client, next);
        Some(next)
    }

    /// Shows an event to a client, whether it may see it or not.
    pub(super) fn show(&mut self, client: usize, sequence: u64) {
        self.learn(client, sequence);
        let (recorder, number) = self.recorder(client);
        recorder.event(number, Sequence(sequence));
        self.clients[client].told.push(Told::Saw(sequence));
        self.cursors[client] = self.cursors[client].max(sequence);
    }

    /// Goes over what comes next without a word.
    pub(super) fn drop_next(&mut self, client: usize) -> Option<u64> {
        let next = self.next_for(client)?;
        self.cursors[client] = next;
        Some(next)
    }

    /// Tells the client how far the log is, if nothing for it lies before that.
    pub(super) fn tell_position(&mut self, client: usize) {
        let head = self.realms[self.clients[client].realm].head();
        let sequence = self.next_for(client).map_or(head, |next| next - 1).max(self.cursors[client]);
        let position = self.position(self.clients[client].realm, sequence);
        let (recorder, number) = self.recorder(client);
        recorder.position(number, position);
        self.clients[client].told.push(Told::Passed(sequence));
        self.cursors[client] = sequence;
    }

    /// Acknowledges the message at `sequence` to a client of its sender, or something else in its place.
    pub(super) fn answer(&mut self, client: usize, sequence: u64, is_right: bool) {
        let realm = self.clients[client].realm;
        let Some(Event::Message(message)) = self.realms[realm].at(sequence).map(|event| event.event.clone())
        else {
            panic!("no message at {sequence}")
        };
        let message_id = MessageId(message.message_id.0 + u64::from(!is_right));
        let (recorder, number) = self.recorder(client);
        recorder.sent(number, &message.send_id, message_id, Sequence(sequence));
        self.clients[client].told.push(Told::Answered(sequence, is_right));
    }

    // The rounds of the audit.

    /// Everybody's facts to the coordinator, and back.
    pub(super) fn round(&mut self) {
        let now_ms = self.now_ms;
        let facts: Vec<Facts> = self
            .recorders
            .iter_mut()
            .map(|recorder| {
                recorder.tick(now_ms);
                recorder.facts()
            })
            .collect();
        for (worker, facts) in facts.into_iter().enumerate() {
            self.truth.merge(worker as u16, facts);
        }
        let update = self.truth.update();
        for (realm, news) in update.realms.iter().enumerate() {
            self.horizons[realm] = news.horizon.0;
        }
        for recorder in &mut self.recorders {
            recorder.take(&update);
            while recorder.check(3) {}
        }
    }

    /// Ends the run; the findings with those of the coordinator.
    pub(super) fn finish(mut self) -> (Findings, Vec<PlainRealm>, Vec<PlainClient>) {
        self.recorders.iter_mut().for_each(Recorder::close);
        self.round();
        let mut findings = self.truth.finish();
        self.recorders.into_iter().for_each(|recorder| findings.merge(recorder.finish()));
        (findings, self.realms, self.clients)
    }

    fn begin(&mut self, client: usize, from: u64) {
        self.cursors[client] = from;
        self.clients[client].told.push(Told::Begin(from));
    }

    fn learn(&mut self, client: usize, sequence: u64) {
        let (worker, realm) = (self.seats[client].0, self.clients[client].realm);
        if !self.learned[worker].insert((realm, sequence)) {
            return;
        }
        let event = self.realms[realm].at(sequence).unwrap();
        let key = self.realms[realm].setup.key;
        self.recorders[worker].tick(self.now_ms);
        assert!(self.recorders[worker].learn(key, Sequence(sequence), event.mark, &event.event));
    }
}

pub(super) fn stream_named(stream_id: StreamId, invite_only: bool) -> Stream {
    Stream { stream_id, name: format!("s{stream_id}"), description: String::new(), invite_only }
}

fn user_of(user_id: UserId, role: Role) -> User {
    User {
        user_id,
        email: format!("u{user_id}@x"),
        full_name: String::new(),
        role,
        is_bot: false,
        is_active: true,
    }
}
