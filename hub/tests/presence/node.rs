//! A node: one life of it, with the presence of the realm, driven as the gateway drives it.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use bytes::Bytes;
use squall_hub::BusTime;
use squall_hub::presence::{Presence, Times, TimesConfig};
use squall_protocol::client_message::Status;
use squall_protocol::frame::Frame;
use squall_protocol::link::{LastHeard, NodeLease};
use squall_protocol::node_presence::{NodePresence, PresenceSource};
use squall_protocol::server_message::PresenceDiff;
use squall_protocol::{NodeId, RealmId, SessionId, UserId};

use crate::client::Client;
use crate::judge::TICK_MS;
use crate::mutation::Mutation;
use crate::writer::{Answer, Writer};

const REALM: RealmId = RealmId(1);
const PUBLISH_MS: u64 = 250;
const HEADS_MS: u64 = 5_000;
const HEADS_LINK_DOWN_MS: u64 = 1_000;

/// One life.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    mutation: Mutation,
    /// Its clock: how far from the true one, and how much too fast, in millionths.
    skew_ms: i64,
    drift_ppm: i64,
    started_ms: u64,
    bus_time: BusTime,
    bus_ms: u64,
    openings: u64,
    pub(crate) open: Option<Open>,
    inbox: VecDeque<Input>,
    pub(crate) stalled_until_ms: u64,
    link_up: bool,
    phase_ms: u64,
    asked_ms: u64,
    is_asking: bool,
    unstored: Vec<LastHeard>,
    /// For a node that lets nobody die.
    ghosts: BTreeMap<PresenceSource, NodePresence>,
    /// The devices it took to be gone just now.
    pub(crate) parted: Vec<SessionId>,
    /// What left it, to be taken by the world.
    pub(crate) frames: Vec<Bytes>,
    pub(crate) ask: Option<(Option<NodeLease>, u64)>,
    /// What it told at the tick that just was.
    pub(crate) ticked: Option<Option<PresenceDiff>>,
}

/// The realm, opened.
pub(crate) struct Open {
    pub(crate) presence: Presence,
    pub(crate) opened_ms: u64,
    /// Its client, once there was a snapshot for it.
    pub(crate) client: Option<Client>,
    slow: Option<Client>,
}

/// What reaches the node.
pub(crate) enum Input {
    Frame(Bytes),
    Answer(Rc<Answer>),
    Link(bool),
    Connect(UserId, SessionId, Status),
    Report(SessionId, Status),
    /// The device was found gone, and last heard then.
    Disconnect(SessionId, u64),
    UserGone(UserId),
}

impl Node {
    pub(crate) fn start(
        id: NodeId,
        clock: (i64, i64),
        phase_ms: u64,
        link_up: bool,
        mutation: Mutation,
        now_ms: u64,
    ) -> Self {
        Self {
            id,
            mutation,
            skew_ms: clock.0,
            drift_ppm: clock.1,
            started_ms: now_ms,
            bus_time: if mutation == Mutation::OwnClock { BusTime::own() } else { BusTime::default() },
            bus_ms: 0,
            openings: 0,
            open: None,
            inbox: VecDeque::new(),
            stalled_until_ms: 0,
            link_up,
            phase_ms,
            asked_ms: 0,
            is_asking: false,
            unstored: Vec::new(),
            ghosts: BTreeMap::new(),
            parted: Vec::new(),
            frames: Vec::new(),
            ask: None,
            ticked: None,
        }
    }

    pub(crate) fn source(&self) -> PresenceSource {
        let opening = if self.mutation == Mutation::SameOpening { 1 } else { self.openings };
        PresenceSource { node_id: self.id, opening }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    pub(crate) fn is_stalled(&self, now_ms: u64) -> bool {
        now_ms < self.stalled_until_ms
    }

    pub(crate) fn tell(&mut self, input: Input) {
        self.inbox.push_back(input);
    }

    /// Loads the realm; those who are connected to this node are to be told to it again.
    pub(crate) fn open_realm(&mut self, last_heard: Vec<(UserId, u64)>, now_ms: u64) {
        self.openings += 1;
        let times = self.mutation.times(TimesConfig::among_nodes());
        let times = Times::new(times).unwrap_or_else(|error| panic!("{error}"));
        let presence = Presence::new(times, last_heard, self.bus_now(now_ms)).among_nodes(
            REALM,
            self.source(),
            self.link_up,
        );
        self.open = Some(Open { presence, opened_ms: now_ms, client: None, slow: None });
        // It had sessions as soon as it was open.
        self.inbox.retain(|input| matches!(input, Input::Frame(_) | Input::Answer(_) | Input::Link(_)));
    }

    /// Works off what came, and does what is due. True if its realm is to be opened.
    pub(crate) fn run(&mut self, writer: &mut Writer, now_ms: u64) -> Result<(), String> {
        self.ticked = None;
        if self.is_stalled(now_ms) {
            return Ok(());
        }
        while let Some(input) = self.inbox.pop_front() {
            self.handle(input, now_ms);
        }
        self.ask_writer(now_ms);
        let bus_ms = self.bus_now(now_ms);
        let due = |every_ms| (now_ms + self.phase_ms).is_multiple_of(every_ms);
        let (publish, tick) = (due(self.mutation.publish_ms(PUBLISH_MS)), due(TICK_MS));
        let Some(open) = &mut self.open else { return Ok(()) };
        if publish {
            let frames = open.presence.poll_frames(bus_ms).into_iter();
            self.frames
                .extend(frames.filter(|frame| self.mutation.publishes(frame)).map(|frame| frame.encode()));
        }
        if tick {
            for ghost in self.ghosts.values_mut() {
                ghost.diff.as_of_ms = bus_ms;
                open.presence.handle_node_presence(ghost, bus_ms);
            }
            let told = open.presence.poll_tick(bus_ms);
            self.unstored.extend(open.presence.poll_last_heard(bus_ms));
            open.serve(told.as_ref(), bus_ms)?;
            self.ticked = Some(told);
        }
        if writer.store_last_heard(&self.unstored) {
            self.unstored.clear();
        }
        Ok(())
    }

    fn handle(&mut self, input: Input, now_ms: u64) {
        let bus_ms = self.bus_now(now_ms);
        match (input, &mut self.open) {
            (Input::Answer(answer), _) => self.handle_answer(&answer, now_ms),
            (Input::Link(up), open) => {
                self.link_up = up;
                let is_told = self.mutation != Mutation::JudgeWithoutLink || up;
                if let Some(open) = open.as_mut().filter(|_| is_told) {
                    open.presence.handle_link(up, bus_ms);
                }
            }
            (_, None) => {}
            (Input::Frame(bytes), Some(open)) => {
                let Ok(Some(frame)) = Frame::decode(&bytes) else { panic!("an unreadable frame") };
                match self.mutation.hears(frame, bus_ms) {
                    Frame::NodePresence(part) => {
                        open.presence.handle_node_presence(&part, bus_ms);
                        if self.mutation == Mutation::EndlessLease && part.source.node_id != self.id {
                            let mut ghost = part;
                            ghost.change = ghost.diff.to;
                            ghost.diff = PresenceDiff {
                                from: ghost.change,
                                to: ghost.change,
                                ..PresenceDiff::default()
                            };
                            self.ghosts.insert(ghost.source, ghost);
                        }
                    }
                    Frame::PresenceAsk(ask) => open.presence.handle_ask(&ask, bus_ms),
                    Frame::Events(_) | Frame::Ephemeral(_) => panic!("not of presence"),
                }
            }
            (Input::Connect(user, device, status), Some(open)) => {
                open.presence.handle_connect(user, device, status, bus_ms);
            }
            (Input::Report(device, status), Some(open)) => {
                open.presence.handle_status(device, status, bus_ms);
            }
            (Input::Disconnect(device, heard_ms), Some(open)) => {
                self.parted.push(device);
                open.presence.handle_disconnect(device, bus_ms - (now_ms - heard_ms), bus_ms);
            }
            (Input::UserGone(user), Some(open)) => open.presence.handle_user_gone(user, bus_ms),
        }
    }

    fn handle_answer(&mut self, answer: &Answer, now_ms: u64) {
        self.is_asking = false;
        if !answer.is_answered {
            return;
        }
        if self.mutation != Mutation::OwnClock {
            self.bus_time.handle_answer(answer.sent_ms, self.clock(now_ms), answer.time_ms);
        }
        let bus_ms = self.bus_now(now_ms);
        let asked_ms = bus_ms - (self.clock(now_ms) - answer.sent_ms);
        if let (Some(leases), Some(open)) = (&answer.leases, &mut self.open) {
            open.presence.handle_leases(leases, asked_ms, bus_ms);
        }
    }

    fn ask_writer(&mut self, now_ms: u64) {
        let bus_ms = self.bus_now(now_ms);
        let needs_writer = self.open.as_ref().is_some_and(|open| open.presence.needs_writer(bus_ms));
        let every_ms = if self.link_up && self.is_measured() { HEADS_MS } else { HEADS_LINK_DOWN_MS };
        if self.is_asking || self.asked_ms + every_ms > now_ms {
            return;
        }
        (self.is_asking, self.asked_ms) = (true, now_ms);
        let lease = NodeLease { node_id: self.id, as_of_ms: bus_ms };
        let brings_lease = needs_writer && self.mutation.tells_writer();
        self.ask = Some((brings_lease.then_some(lease), self.clock(now_ms)));
    }

    /// Whether it knows bus time, and so can open the realm.
    pub(crate) fn is_measured(&self) -> bool {
        self.bus_time.is_measured()
    }

    /// What its clock shows.
    fn clock(&self, now_ms: u64) -> u64 {
        let drifted_ms = (now_ms - self.started_ms) as i64 * self.drift_ppm / 1_000_000;
        now_ms.saturating_add_signed(self.skew_ms + drifted_ms)
    }

    fn bus_now(&mut self, now_ms: u64) -> u64 {
        let clock_ms = self.clock(now_ms);
        let offset_ms = self.bus_time.offset_ms(clock_ms).unwrap_or(0);
        let bus_ms = clock_ms.saturating_add_signed(offset_ms);
        if self.is_measured() {
            assert!(bus_ms >= self.bus_ms, "bus time went back");
            self.bus_ms = bus_ms;
        }
        bus_ms
    }
}

impl Open {
    /// Its clients take what was told; one may be slow.
    fn serve(&mut self, told: Option<&PresenceDiff>, bus_ms: u64) -> Result<(), String> {
        let snapshot = Client::new(&self.presence.snapshot(bus_ms));
        let Some(client) = &mut self.client else {
            self.client = self.presence.is_settled(bus_ms).then_some(snapshot);
            return Ok(());
        };
        if let Some(diff) = told {
            client.apply(diff)?;
        }
        if *client != snapshot {
            return Err(format!("a client has {client:?}, the node shows {snapshot:?}"));
        }
        Ok(())
    }

    /// A client of this node falls behind, or the one that did is told what it missed.
    pub(crate) fn be_slow(&mut self) -> Result<(), String> {
        let Some(client) = &self.client else { return Ok(()) };
        let Some(mut slow) = self.slow.take() else {
            self.slow = Some(client.clone());
            return Ok(());
        };
        match self.presence.changes_since(slow.change, 0) {
            Some(diff) => slow.apply(&diff)?,
            None => slow = Client::new(&self.presence.snapshot(0)),
        }
        if slow == *client {
            Ok(())
        } else {
            Err(format!("a slow client has {slow:?}, a quick one {client:?}"))
        }
    }
}
