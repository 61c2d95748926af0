//! One thread, one readiness poll, and a table of small clients: no task, no buffer, no timer of its own for
//! any of them.
//!
//! | file | what |
//! |---|---|
//! | `plan.rs` | what a worker is told to do |
//! | `client.rs`, `world.rs` | a client's connection; its user, realms, streams |
//! | `opening.rs`, `socket.rs`, `upgrade.rs` | from nothing to hello; `ending.rs`: how it ends, and what then |
//! | `inbound.rs`, `incoming.rs`, `glance.rs`, `seen.rs` | bytes, messages, events |
//! | `writes.rs`, `outbox.rs`, `outgoing.rs`, `content.rs` | sends and membership changes |
//! | `play.rs`, `schedule.rs` | what happens while the load is held |
//! | `measures.rs`, `tally.rs` | what is measured and counted |

mod alarm;
mod client;
mod content;
mod ending;
mod glance;
mod inbound;
mod incoming;
mod measures;
mod opening;
mod outbox;
mod outgoing;
mod plan;
mod play;
mod presence;
mod probe;
mod schedule;
mod seen;
mod socket;
mod tally;
mod timers;
mod upgrade;
mod world;
mod writes;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Poll, Token, Waker};
use squall_protocol::client_message::Scope;
use squall_protocol::{SendId, UserId};

use crate::audit::{RealmKey, Recorder};
use crate::moment::Moment;

use alarm::Alarm;
use client::{Client, Phase};
use content::Origin;
use outgoing::Masks;
use play::Play;
use presence::Presence;
use schedule::{Schedule, Spacing};
use seen::Seen;
use timers::{Due, Timers};
use world::{Known, World};

pub use content::Tag;
pub use ending::Ending;
pub use measures::Measures;
pub use plan::{ClientPlan, Load, Plan, RealmPlan, StreamPlan, TargetPlan, UserPlan};
pub use presence::Roll;
pub(crate) use presence::wrong_in;
pub use probe::{ProbeError, probe};
pub use tally::Tally;

/// A worker's clients and all that drives them.
pub struct Engine {
    poll: Poll,
    events: Events,
    alarm: Alarm,
    waker: Arc<Waker>,
    /// What is not changed by the run.
    plan: Plan,
    world: World,
    clients: Vec<Client>,
    /// Those of them that send.
    senders: Vec<u32>,
    /// Those that keep the presence of their realm.
    watchers: HashMap<u32, Presence>,
    recorder: Recorder,
    seen: Seen<Known>,
    timers: Timers,
    masks: Masks,
    random: fastrand::Rng,
    stage: Stage,
    /// Opens clients for the first time, in their order.
    ramp: Option<Schedule>,
    unopened: usize,
    play: Option<Play>,
    /// Clients that want a connection.
    queue: VecDeque<u32>,
    connecting: usize,
    /// Clients with more to read than one turn allows.
    ready: VecDeque<u32>,
    sweep_at: Moment,
    /// What all clients read into, and write from.
    buffer: Vec<u8>,
    out: Vec<u8>,
    /// Of the last welcome: they are the server's, not the client's.
    silence_max: Duration,
    in_flight_max: usize,
    next_number: u64,
    tally: Tally,
    measures: Measures,
}

/// How far the run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// Clients are opened; the load begins when the coordinator says so.
    Running,
    /// Nothing new is begun: what is under way shall arrive.
    Quiet,
    /// Everybody says goodbye.
    Over,
}

impl Engine {
    /// All clients of `plan`, none of them connected.
    pub fn new(mut plan: Plan) -> io::Result<Self> {
        let poll = Poll::new()?;
        let alarm = Alarm::new(poll.registry(), ALARM)?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let setups: Vec<_> = plan.realms.iter().map(RealmPlan::setup).collect();
        let mut recorder = Recorder::new(plan.worker, &setups);
        let world = World::new(&mut plan);
        let clients: Vec<_> = plan.clients.iter().map(|client| Client::new(*client)).collect();
        let senders =
            clients.iter().zip(0..).filter(|(client, _)| client.sends).map(|(_, index)| index).collect();
        let watchers = watchers(&plan, &world);
        for client in std::mem::take(&mut plan.clients) {
            let user = &world.users[client.user as usize];
            // In the same order, so that both number it alike; its realm is one of the plan's.
            let _ = recorder.client(world.realms[usize::from(user.realm)].key, user.user_id);
        }
        Ok(Self {
            poll,
            events: Events::with_capacity(EVENTS_MAX),
            alarm,
            waker,
            world,
            clients,
            senders,
            watchers,
            recorder,
            seen: Seen::new(SEEN_BYTES_MAX),
            timers: Timers::default(),
            masks: Masks::new(seed(&plan, 1)),
            random: fastrand::Rng::with_seed(seed(&plan, 2)),
            stage: Stage::Running,
            ramp: None,
            unopened: 0,
            play: None,
            queue: VecDeque::new(),
            connecting: 0,
            ready: VecDeque::new(),
            sweep_at: Moment::now(),
            buffer: vec![0; READ_BYTES],
            out: Vec::new(),
            silence_max: SILENCE_MAX,
            in_flight_max: squall_protocol::limits::SENDS_IN_FLIGHT_MAX,
            next_number: 0,
            tally: Tally::default(),
            measures: Measures::default(),
            plan,
        })
    }

    /// Ends a turn's wait from another thread.
    #[must_use]
    pub fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    /// Opens the clients one after the other, from `start` on.
    pub fn open(&mut self, start: Moment) {
        let phase = f64::from(self.plan.worker) / f64::from(self.plan.workers.max(1));
        let end = Moment(u64::MAX);
        self.ramp = Some(Schedule::new(Spacing::Fixed, self.plan.ramp_per_s, phase, 0, (start, end)));
    }

    /// Plays the load from `start` to `end`.
    pub fn play(&mut self, start: Moment, end: Moment) {
        self.play = Some(Play::new(&self.plan, start, end));
        self.plan_stalls(start, end);
    }

    /// Begins nothing new: what is under way shall arrive, and whoever is away comes back.
    pub fn quiet(&mut self) {
        let now = Moment::now();
        self.stage = self.stage.max(Stage::Quiet);
        self.play = None;
        for index in 0..self.clients.len() {
            if self.clients[index].is_stalled {
                self.unstall(index as u32, now);
            }
        }
    }

    /// Writes without an answer: the realm, the user and the send id of the first ones.
    #[must_use]
    pub fn unanswered(&self) -> Vec<(RealmKey, UserId, SendId)> {
        let writes = self.clients.iter().flat_map(|client| {
            let user = &self.world.users[client.user as usize];
            let key = self.world.realms[usize::from(user.realm)].key;
            let writes = client.outbox.iter().flat_map(|outbox| outbox.iter());
            writes.filter_map(move |write| {
                let origin = Origin { worker: self.plan.worker, number: write.number };
                Some((key, user.user_id, origin.send_id(&self.plan.tag)?))
            })
        });
        writes.take(UNANSWERED_NAMED_MAX).collect()
    }

    /// Says goodbye everywhere and opens nothing any more. What is due to clients that are not here is known
    /// no more: they are told to the audit as away.
    pub fn close(&mut self) {
        let now = Moment::now();
        for (client, index) in self.clients[..self.unopened].iter().zip(0..) {
            if !client.is_open() {
                let ending = client.last_ending.map_or("its connect is under way".into(), Ending::name);
                self.recorder.away(index, &format!("in no session when the run was over: {ending}"));
            }
        }
        self.recorder.close();
        self.quiet();
        self.stage = Stage::Over;
        self.ramp = None;
        self.queue.clear();
        for index in 0..self.clients.len() as u32 {
            self.say_goodbye(index, now);
        }
    }

    /// Whether no socket is left.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.clients.iter().all(|client| client.stream.is_none())
    }

    /// Does what is due and what the sockets bring, until `until` at the latest or until it is woken.
    pub fn turn(&mut self, until: Moment) -> io::Result<()> {
        let began = Moment::now();
        self.recorder.tick(began.since(self.plan.began).as_millis() as u64);
        self.do_what_is_due(began);
        let now = Moment::now();
        let mut busy = now.since(began);
        let next = self.next_due(now).map_or(until, |due| due.min(until));
        let wait = if next > now && self.ready.is_empty() {
            self.alarm.set(next)?;
            WAIT_MAX
        } else {
            Duration::ZERO
        };
        match self.poll.poll(&mut self.events, Some(wait)) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        let woken = Moment::now();
        self.handle_events();
        busy += Moment::now().since(woken);
        self.measures.turn.record(busy);
        Ok(())
    }

    /// The audit's record.
    pub fn recorder(&mut self) -> &mut Recorder {
        &mut self.recorder
    }

    /// The audit's record, out of the engine: nothing is recorded any more.
    pub fn take_recorder(&mut self) -> Recorder {
        std::mem::replace(&mut self.recorder, Recorder::new(self.plan.worker, &[]))
    }

    /// What was measured since the last call.
    pub fn take_measures(&mut self) -> Measures {
        std::mem::take(&mut self.measures)
    }

    /// What was counted, as of now.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let mut tally = self.tally.clone();
        for client in &self.clients {
            tally.open += u64::from(client.is_open());
            tally.opening += u64::from(client.is_opening());
            tally.gone += u64::from(client.phase == Phase::Gone);
            tally.opened += u64::from(client.was_open);
            tally.unanswered += client.outbox.as_ref().map_or(0, |outbox| outbox.iter().count() as u64);
        }
        tally
    }

    /// Who is there by the watchers of each realm, and who of this worker's users is there.
    #[must_use]
    pub fn rolls(&self) -> (Vec<Roll>, Vec<Roll>) {
        let roll = |realm: u16, presence: Presence| {
            let realm = &self.world.realms[usize::from(realm)];
            Roll { target: realm.target, realm_id: realm.realm_id, users: presence.into_users() }
        };
        let realm_of = |client: &Client| self.world.users[client.user as usize].realm;
        let open = |index: &&u32| self.clients[**index as usize].is_open();
        let told = self
            .watchers
            .keys()
            .filter(open)
            .map(|index| roll(realm_of(&self.clients[*index as usize]), self.watchers[index].clone()));
        let mut there: BTreeMap<u16, Presence> = BTreeMap::new();
        for client in self.clients.iter().filter(|client| client.is_open()) {
            let user = self.world.users[client.user as usize].user_id;
            there.entry(realm_of(client)).or_default().add(user, client.status);
        }
        (told.collect(), there.into_iter().map(|(realm, presence)| roll(realm, presence)).collect())
    }

    fn do_what_is_due(&mut self, now: Moment) {
        while self.unopened < self.clients.len()
            && self.ramp.as_mut().and_then(|ramp| ramp.poll(now)).is_some()
        {
            self.enqueue(self.unopened as u32, now);
            self.unopened += 1;
        }
        for _ in 0..ACTIONS_MAX {
            let Some((index, generation, due)) = self.timers.poll(now) else { break };
            self.handle_timer(index, generation, due, now);
        }
        if let Some(mut play) = self.play.take() {
            self.do_what_is_scheduled(&mut play, now);
            self.play = Some(play);
        }
        self.connect_queued(now);
        if self.sweep_at <= now {
            self.sweep_at = now + SWEEP_EVERY;
            self.sweep(now);
        }
    }

    fn handle_timer(&mut self, index: u32, generation: u32, due: Due, now: Moment) {
        let client = &self.clients[index as usize];
        // A slow client's habits outlive its connections.
        if client.generation != generation && due != Due::Stall {
            return;
        }
        match due {
            Due::Return => self.enqueue(index, now),
            Due::Leave => self.leave(index, now),
            Due::Pump => self.pump(index, now),
            Due::Stall => self.stall(index, now),
            Due::Unstall => self.unstall(index, now),
        }
    }

    fn next_due(&self, now: Moment) -> Option<Moment> {
        let waits_for_ramp = self.unopened < self.clients.len();
        let ramp = self.ramp.as_ref().filter(|_| waits_for_ramp).and_then(Schedule::next_due);
        let queue = (!self.queue.is_empty() && self.connecting < CONNECTING_MAX).then_some(now);
        let play = self.play.as_ref().and_then(Play::next_due);
        [ramp, queue, play, self.timers.next_due(), Some(self.sweep_at)].into_iter().flatten().min()
    }

    fn handle_events(&mut self) {
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            // The alarm and the waker have done their work by waking.
            let Some(index) = event.token().0.checked_sub(CLIENTS_FROM) else { continue };
            let is_closed = event.is_read_closed() || event.is_error();
            self.handle_ready(index as u32, event.is_writable(), event.is_readable() || is_closed, is_closed);
        }
        self.events = events;
        for _ in 0..self.ready.len() {
            let Some(index) = self.ready.pop_front() else { break };
            self.clients[index as usize].is_ready = false;
            self.read(index, false);
        }
    }

    fn handle_ready(&mut self, index: u32, writable: bool, readable: bool, is_closed: bool) {
        let phase = self.clients[index as usize].phase;
        if phase == Phase::Connecting {
            return self.handle_connected(index);
        }
        if writable && self.clients[index as usize].is_full() {
            self.flush(index);
        }
        if readable && !self.clients[index as usize].is_stalled {
            self.read(index, is_closed);
        }
    }
}

/// The first client of each realm, if presence is asked for at all.
fn watchers(plan: &Plan, world: &World) -> HashMap<u32, Presence> {
    let mut first = BTreeMap::new();
    for (client, index) in plan.clients.iter().zip(0..).filter(|_| plan.scope == Scope::Realm) {
        first.entry(world.users[client.user as usize].realm).or_insert(index);
    }
    first.into_values().map(|index| (index, Presence::default())).collect()
}

/// A seed for one purpose of one worker.
fn seed(plan: &Plan, purpose: u64) -> u64 {
    let mixed = fastrand::Rng::with_seed(plan.seed).u64(..) ^ u64::from(plan.worker) << 32 ^ purpose;
    fastrand::Rng::with_seed(mixed).u64(..)
}

const ALARM: Token = Token(0);
const WAKER: Token = Token(1);
/// A client's token is its index and this.
const CLIENTS_FROM: usize = 2;
/// Readiness taken at one poll.
const EVENTS_MAX: usize = 1_024;
/// What one read brings at most.
const READ_BYTES: usize = 64 * 1_024;
/// Reads of one socket in a turn, before others have theirs.
const READS_MAX: usize = 4;
/// Of one kind in a turn, so that sockets are read meanwhile.
const ACTIONS_MAX: usize = 256;
/// Connects under way at once: more would overrun the queue of a listener before it is looked at.
const CONNECTING_MAX: usize = 1_024;
/// The window of first-seen events.
const SEEN_BYTES_MAX: usize = 8 * 1_024 * 1_024;
const SWEEP_EVERY: Duration = Duration::from_millis(500);
/// The first ones, for a report.
const UNANSWERED_NAMED_MAX: usize = 100;
/// However little is due.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// Until a welcome tells it.
const SILENCE_MAX: Duration = Duration::from_secs(35);

#[cfg(test)]
mod tests;
