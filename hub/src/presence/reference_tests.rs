//! Random lives of a realm against a plain reference: facts are only ever added to lists, and what is
//! shown follows from all of them. A failure prints the shortest life that shows it;
//! `PROPTEST_RNG_SEED` tries others.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use squall_protocol::client_message::Status;
use squall_protocol::server_message::{PresenceDiff, PresenceSnapshot};
use squall_protocol::{SessionId, UserId};

use super::{Presence, Times};

const SEED: u64 = 20;
const CASES: u32 = 400;
const STEPS_MAX: usize = 160;
const USERS: u32 = 4;

const START_MS: u64 = 1_763_818_000_000;
const TICK_MS: u64 = 1_000;
const GRACE_MS: u64 = 20_000;
const LEASE_MS: u64 = 35_000;
const STORE_MS: u64 = 60_000;

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_is_told_is_what_the_reference_shows(steps in prop::collection::vec(step(), 1..STEPS_MAX)) {
        let mut world = World::new();
        for step in steps {
            world.perform(step);
        }
        world.end();
    }
}

fn config() -> ProptestConfig {
    let mut config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) };
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(SEED);
    }
    config
}

/// What may happen next. Devices are picked among the connected ones.
#[derive(Debug, Clone)]
enum Step {
    Connect(UserId, Status),
    Report(usize, Status),
    Hear(usize),
    Close(usize),
    /// Found dead after a silence in milliseconds.
    TimeOut(usize, u64),
    /// The link of all devices breaks, and is back after milliseconds.
    Flap(u64),
    Deactivate(UserId),
    Wait(u64),
    /// A connection becomes slow: from now on it is told nothing.
    FallBehind,
    CatchUp,
}

fn step() -> impl Strategy<Value = Step> {
    let user = || (1..=USERS).prop_map(UserId);
    let status = || prop_oneof![Just(Status::Idle), Just(Status::Active)];
    prop_oneof![
        4 => (user(), status()).prop_map(|(user, status)| Step::Connect(user, status)),
        3 => (any::<usize>(), status()).prop_map(|(device, status)| Step::Report(device, status)),
        1 => any::<usize>().prop_map(Step::Hear),
        3 => any::<usize>().prop_map(Step::Close),
        1 => (any::<usize>(), 0..50_000u64).prop_map(|(device, silence)| Step::TimeOut(device, silence)),
        1 => (0..GRACE_MS).prop_map(Step::Flap),
        1 => user().prop_map(Step::Deactivate),
        4 => (0..3 * TICK_MS).prop_map(Step::Wait),
        1 => (0..2 * LEASE_MS).prop_map(Step::Wait),
        1 => Just(Step::FallBehind),
        1 => Just(Step::CatchUp),
    ]
}

/// The presence under test, its clients, and the reference, in one time.
struct World {
    presence: Presence,
    reference: Reference,
    client: Client,
    slow: Option<Client>,
    /// When each user's last row came, and what it said.
    stored: BTreeMap<UserId, (u64, u64)>,
    sessions: u64,
    now_ms: u64,
    tick_ms: u64,
}

impl World {
    fn new() -> Self {
        let past = [(UserId(1), START_MS / 1000 - 86_400), (UserId(9), START_MS / 1000 - 5)];
        let presence = Presence::new(Times::default(), past, START_MS);
        Self {
            client: Client::new(presence.snapshot(START_MS)),
            presence,
            reference: Reference::new(past),
            slow: None,
            stored: BTreeMap::new(),
            sessions: 0,
            now_ms: START_MS,
            tick_ms: START_MS + TICK_MS,
        }
    }

    fn perform(&mut self, step: Step) {
        match step {
            Step::Connect(user, status) => self.connect(user, status),
            Step::Report(device, status) => {
                let Some(session) = self.reference.pick(device) else { return };
                self.report(session, status);
            }
            Step::Hear(device) => {
                let Some(session) = self.reference.pick(device) else { return };
                self.presence.handle_heard(session, self.now_ms);
                self.reference.hear(session, self.now_ms);
            }
            Step::Close(device) => self.disconnect(device, 0),
            Step::TimeOut(device, silence_ms) => self.disconnect(device, silence_ms),
            Step::Flap(ms) => self.flap(ms),
            Step::Deactivate(user) => {
                self.presence.handle_user_gone(user, self.now_ms);
                self.reference.deactivate(user, self.now_ms);
            }
            Step::Wait(ms) => self.wait(ms),
            Step::FallBehind => self.slow = self.slow.take().or_else(|| Some(self.client.clone())),
            Step::CatchUp => self.catch_up(),
        }
    }

    fn connect(&mut self, user: UserId, status: Status) {
        self.sessions += 1;
        let session = SessionId(self.sessions);
        self.presence.handle_connect(user, session, status, self.now_ms);
        self.reference.connect(user, session, status, self.now_ms);
    }

    fn report(&mut self, session: SessionId, status: Status) {
        self.presence.handle_status(session, status, self.now_ms);
        self.reference.report(session, status, self.now_ms);
    }

    fn disconnect(&mut self, device: usize, silence_ms: u64) {
        let Some(session) = self.reference.pick(device) else { return };
        let heard_ms = self.now_ms - silence_ms;
        self.presence.handle_disconnect(session, heard_ms, self.now_ms);
        self.reference.disconnect(session, heard_ms, self.now_ms);
    }

    /// Once all is told, every device leaves, and all are back within grace as what they were, one by one:
    /// nobody is told anything.
    fn flap(&mut self, ms: u64) {
        self.wait(GRACE_MS);
        let connected = self.reference.devices.iter().filter(|device| device.end.is_none());
        let connected: Vec<_> =
            connected.map(|device| (device.session, device.user, device.status(self.now_ms))).collect();
        for (session, _, status) in &connected {
            self.report(*session, *status);
        }
        self.wait(TICK_MS);
        let change = self.presence.change();
        connected.iter().for_each(|_| self.disconnect(0, 0));
        for (_, user, status) in connected.iter().rev() {
            self.wait(ms / connected.len() as u64);
            self.connect(*user, *status);
        }
        self.wait(TICK_MS);
        assert_eq!(self.presence.change(), change, "a flapping link was told");
    }

    fn wait(&mut self, ms: u64) {
        let end_ms = self.now_ms + ms;
        while self.tick_ms <= end_ms {
            self.now_ms = self.tick_ms;
            self.tick();
            self.tick_ms += TICK_MS;
        }
        self.now_ms = end_ms;
    }

    fn tick(&mut self) {
        // What happened in the last tick's millisecond may have come after it.
        self.reference.assert_late_by_less_than(TICK_MS + 1, &self.client, self.now_ms);
        if let Some(diff) = self.presence.poll_tick(self.now_ms) {
            assert!(diff.to > diff.from, "a diff of nothing");
            self.client.apply_tick(&diff);
        }
        self.reference.tick(self.now_ms);
        let snapshot = Client::new(self.presence.snapshot(self.now_ms));
        assert_eq!(self.client, snapshot, "diffs lead elsewhere than the snapshot");
        assert_eq!(self.client.shown, self.reference.told, "not what the reference shows");
        self.reference.assert_late_by_less_than(0, &self.client, self.now_ms);
        self.store();
    }

    fn store(&mut self) {
        for row in self.presence.poll_last_heard(self.now_ms) {
            let heard_s = self.reference.heard_s(row.user_id);
            assert_eq!(Some(row.last_heard_s), heard_s, "not the last sign of life");
            self.stored.insert(row.user_id, (self.now_ms, row.last_heard_s));
        }
        for device in self.reference.devices.iter().filter(|device| device.end.is_none()) {
            let fresh_ms = self.stored.get(&device.user).map_or(0, |(at_ms, _)| *at_ms);
            let late = self.now_ms >= fresh_ms.max(device.reports[0].0) + STORE_MS + TICK_MS;
            assert!(!late, "{:?} was not stored for a minute", device.user);
        }
    }

    /// The slow connection is told all it missed: in one diff, or in a snapshot if that is smaller.
    fn catch_up(&mut self) {
        let Some(mut slow) = self.slow.take() else { return };
        match self.presence.changes_since(slow.change, self.now_ms) {
            Some(diff) => slow.apply(&diff),
            None => {
                let before = std::mem::replace(&mut slow, Client::new(self.presence.snapshot(self.now_ms)));
                let missed = slow.change - before.change;
                assert!(missed >= slow.shown.len() as u64, "a snapshot for {missed} changes");
            }
        }
        assert_eq!(slow, self.client, "catching up leads elsewhere");
    }

    /// Everybody leaves: what is stored is the last sign of life of each, and nothing is kept.
    fn end(mut self) {
        while self.reference.pick(0).is_some() {
            self.disconnect(0, 0);
        }
        self.wait(GRACE_MS + TICK_MS);
        self.catch_up();
        assert!(self.presence.is_empty(), "something is left of those who left");
        for (user, (_, heard_s)) in &self.stored {
            assert_eq!(self.client.shown.get(user), Some(&Told::Gone(*heard_s)));
        }
        let heard = (1..=USERS).map(UserId).filter(|user| self.reference.was_here(*user));
        heard.for_each(|user| assert!(self.stored.contains_key(&user), "{user:?} was never stored"));
    }
}

/// What a client was told of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Here(Status),
    Gone(u64),
}

/// A client as SPEC.md asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Client {
    change: u64,
    shown: BTreeMap<UserId, Told>,
}

impl Client {
    fn new(snapshot: PresenceSnapshot) -> Self {
        let shown = named(&snapshot.active, &snapshot.idle, &snapshot.offline).collect();
        Self { change: snapshot.change, shown }
    }

    fn apply(&mut self, diff: &PresenceDiff) {
        assert_eq!(diff.from, self.change, "the diff follows on another change");
        assert!(diff.active.is_sorted() && diff.idle.is_sorted() && diff.offline.is_sorted());
        let mut users = BTreeSet::new();
        for (user, told) in named(&diff.active, &diff.idle, &diff.offline) {
            assert!(users.insert(user), "{user:?} is named twice");
            self.shown.insert(user, told);
        }
        self.change = diff.to;
    }

    /// A live diff says nothing known, and counts one change for each user it names.
    fn apply_tick(&mut self, diff: &PresenceDiff) {
        let news: Vec<_> = named(&diff.active, &diff.idle, &diff.offline).collect();
        assert_eq!(diff.to - diff.from, news.len() as u64);
        for (user, told) in news {
            assert_ne!(self.shown.get(&user), Some(&told), "{user:?} was shown as that already");
        }
        self.apply(diff);
    }
}

fn named(
    active: &[UserId],
    idle: &[UserId],
    offline: &[(UserId, u64)],
) -> impl Iterator<Item = (UserId, Told)> {
    let active = active.iter().map(|user| (*user, Told::Here(Status::Active)));
    let idle = idle.iter().map(|user| (*user, Told::Here(Status::Idle)));
    let offline = offline.iter().map(|(user, heard_s)| (*user, Told::Gone(*heard_s)));
    active.chain(idle).chain(offline).collect::<Vec<_>>().into_iter()
}

/// Everything that ever happened, and what was shown at the last tick.
struct Reference {
    devices: Vec<RefDevice>,
    /// Signs of life, in milliseconds.
    heard: Vec<(UserId, u64)>,
    told: BTreeMap<UserId, Told>,
}

struct RefDevice {
    user: UserId,
    session: SessionId,
    /// What it said of its user, and when.
    reports: Vec<(u64, Status)>,
    end: Option<u64>,
    /// Whether it counts on within grace: no other took its place, and its user was not deactivated.
    counts_on: bool,
}

impl RefDevice {
    fn status(&self, now_ms: u64) -> Status {
        let (at_ms, status) = self.reports[self.reports.len() - 1];
        if now_ms < at_ms + LEASE_MS { status } else { Status::Idle }
    }

    /// The best it was in the last `late_ms` of its connection.
    fn best_within(&self, late_ms: u64, now_ms: u64) -> Status {
        let to_ms = self.end.unwrap_or(now_ms);
        let ends = self.reports[1..].iter().map(|(at_ms, _)| *at_ms).chain([u64::MAX]);
        let was_active = self.reports.iter().zip(ends).any(|((at_ms, status), end_ms)| {
            *status == Status::Active && end_ms.min(at_ms + LEASE_MS) > to_ms - late_ms
        });
        if was_active { Status::Active } else { Status::Idle }
    }

    /// The status it left with, while its grace runs.
    fn held(&self, now_ms: u64) -> Option<Status> {
        let end_ms = self.end?;
        (self.counts_on && now_ms < end_ms + GRACE_MS).then(|| self.status(end_ms))
    }
}

impl Reference {
    fn new(past: impl IntoIterator<Item = (UserId, u64)>) -> Self {
        let told = past.into_iter().map(|(user, heard_s)| (user, Told::Gone(heard_s))).collect();
        Self { devices: Vec::new(), heard: Vec::new(), told }
    }

    fn connect(&mut self, user: UserId, session: SessionId, status: Status, now_ms: u64) {
        let held = self.devices.iter_mut().filter(|device| device.user == user);
        let held = held.filter_map(|device| Some((device.held(now_ms)?, device)));
        if let Some((_, replaced)) = held.min_by_key(|(held, device)| (*held != status, device.end)) {
            replaced.counts_on = false;
        }
        let reports = vec![(now_ms, status)];
        self.devices.push(RefDevice { user, session, reports, end: None, counts_on: true });
        self.heard.push((user, now_ms));
    }

    fn report(&mut self, session: SessionId, status: Status, now_ms: u64) {
        self.hear(session, now_ms);
        self.device(session).reports.push((now_ms, status));
    }

    fn hear(&mut self, session: SessionId, at_ms: u64) {
        let user = self.device(session).user;
        self.heard.push((user, at_ms));
    }

    fn disconnect(&mut self, session: SessionId, heard_ms: u64, now_ms: u64) {
        self.hear(session, heard_ms);
        self.device(session).end = Some(now_ms);
    }

    fn deactivate(&mut self, user: UserId, now_ms: u64) {
        for device in self.devices.iter_mut().filter(|device| device.user == user) {
            device.end = device.end.or(Some(now_ms));
            device.counts_on = false;
        }
    }

    fn tick(&mut self, now_ms: u64) {
        for user in (1..=USERS).map(UserId).filter(|user| self.was_here(*user)).collect::<Vec<_>>() {
            let told = self.told.get(&user).copied();
            let shown = match told {
                Some(Told::Here(status)) => Some(status),
                Some(Told::Gone(_)) | None => None,
            };
            let held = self.of(user).filter_map(|device| device.held(now_ms)).max();
            let now = match (self.live(user, now_ms).max(held.min(shown)), held) {
                (Some(status), _) => Some(Told::Here(status)),
                (None, Some(_)) => told,
                (None, None) => self.heard_s(user).map(Told::Gone),
            };
            self.told.extend(now.map(|now| (user, now)));
        }
    }

    /// Whoever is shown as here is connected, or was less than grace ago, and was what it is shown as then;
    /// whoever is connected is shown as its best device or better. All of it late by less than `late_ms`.
    fn assert_late_by_less_than(&self, late_ms: u64, client: &Client, now_ms: u64) {
        for user in (1..=USERS).map(UserId) {
            let shown = match client.shown.get(&user) {
                Some(Told::Here(status)) => Some(*status),
                Some(Told::Gone(_)) | None => None,
            };
            let counts = |device: &&RefDevice| device.end.is_none_or(|end| now_ms < end + GRACE_MS + late_ms);
            let best = self.of(user).filter(counts).map(|device| device.best_within(late_ms, now_ms)).max();
            assert!(shown <= best, "{user:?} is shown as {shown:?}, and was at best {best:?}");
            if late_ms == 0 {
                let live = self.live(user, now_ms);
                assert!(shown >= live, "{user:?} is shown as {shown:?} after a tick, and is {live:?}");
            }
        }
    }

    fn live(&self, user: UserId, now_ms: u64) -> Option<Status> {
        self.of(user).filter(|device| device.end.is_none()).map(|device| device.status(now_ms)).max()
    }

    fn heard_s(&self, user: UserId) -> Option<u64> {
        let heard = self.heard.iter().filter(|(of, _)| *of == user);
        heard.map(|(_, at_ms)| at_ms / 1000).max()
    }

    fn was_here(&self, user: UserId) -> bool {
        self.of(user).next().is_some()
    }

    fn of(&self, user: UserId) -> impl Iterator<Item = &RefDevice> {
        self.devices.iter().filter(move |device| device.user == user)
    }

    fn device(&mut self, session: SessionId) -> &mut RefDevice {
        self.devices.iter_mut().find(|device| device.session == session).unwrap()
    }

    /// One of the connected devices.
    fn pick(&self, number: usize) -> Option<SessionId> {
        let connected: Vec<_> = self.devices.iter().filter(|device| device.end.is_none()).collect();
        (!connected.is_empty()).then(|| connected[number % connected.len()].session)
    }
}
