//! A node: the keeper of the realm, driven as the gateway drives it, and the shards beside it.

mod blocks;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use squall_hub::catch_up::CatchUp;
use squall_hub::keeper::{KeeperEffect, ReloadReason};
use squall_hub::loader::LoadStep;
use squall_hub::presence::{Presence, Times, TimesConfig};
use squall_hub::ring::{Ring, RingLimits};
use squall_hub::roster::SessionKey;
use squall_hub::{RealmKeeper, RealmLoader, RealmState};
use squall_protocol::client_message::Status;
use squall_protocol::event::Event;
use squall_protocol::frame::Publication;
use squall_protocol::limits::LOG_RANGE_EVENTS_MAX;
use squall_protocol::link::{LogRange, RealmPage};
use squall_protocol::{Position, Sequence, SessionId, UserId, json};

use crate::attendance::{Attendance, Shown};
use crate::mutation::Mutation;
use crate::shard::{Shard, Tell};
use crate::socket::Wire;
use crate::writer_link::{Answer, Ask, Reading, Sender};

/// One life of a node.
pub(crate) struct Node {
    sender: Sender,
    options: Options,
    phase: Phase,
    pub(crate) shards: Vec<Shard>,
    /// What the keeper has yet to look at: it may be stalled.
    inbox: VecDeque<Input>,
    pub(crate) stalled_until_ms: u64,
    /// Sessions that know of a later sequence than the keeper.
    awaiting: Vec<Awaiting>,
    link_up: bool,
    check_now: bool,
    head_asked: bool,
    head_checked_ms: u64,
    presence_due_ms: u64,
    /// For the writer, to be taken by the world.
    pub(crate) asks: Vec<(Sender, Ask)>,
    /// What this node did that it must not.
    pub(crate) breach: Option<String>,
    /// For the world's judgement: why the realm was loaded anew, where the keeper stood, what it knew.
    pub(crate) reloads: Vec<(ReloadReason, Position, u32)>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    pub(crate) shards: usize,
    pub(crate) ring: RingLimits,
    pub(crate) mutation: Mutation,
}

/// What the keeper shows to the shards, and how many set-backs it knows of.
pub(crate) struct View {
    pub(crate) ring: Ring,
    pub(crate) state: RealmState,
    pub(crate) knows: u32,
}

pub(crate) type SharedView = Rc<RefCell<View>>;

/// What reaches the keeper.
pub(crate) enum Input {
    Publication(Publication),
    Link { up: bool },
    Answer(u64, Answer),
    Shard(usize, Told),
}

/// What shards tell the keeper.
pub(crate) enum Told {
    Identify(SessionKey, UserId),
    CheckHead(SessionKey, Sequence),
    ReadBlock(u64),
    Connected(UserId, SessionId, Status),
    Status(SessionId, Status),
    Disconnected(SessionId, u64),
    PresenceSince(SessionKey, Option<u64>),
}

struct Awaiting {
    shard: usize,
    key: SessionKey,
    sequence: Sequence,
    /// The head was asked for after this began to wait.
    asked: bool,
}

enum Phase {
    Loading { loader: Box<RealmLoader>, why: Option<ReloadReason>, retry_ms: Option<u64>, knows: Option<u32> },
    Open(Box<Open>),
}

struct Open {
    keeper: RealmKeeper,
    view: SharedView,
    catch_up: CatchUp,
    reading: BTreeMap<u64, BTreeSet<usize>>,
    /// Parts of the log read when it went on past the keeper: block, after, what was read.
    ahead: Vec<(u64, Sequence, LogRange)>,
    presence: Presence,
    attendance: Attendance,
    noted: Sequence,
}

/// The gateway's times, shortened where they are the gateway's own.
pub(crate) const TIMES: TimesConfig = TimesConfig {
    grace: std::time::Duration::from_millis(2_000),
    tick: std::time::Duration::from_millis(250),
    heartbeat: std::time::Duration::from_millis(3_000),
    timeout: std::time::Duration::from_millis(1_000),
    node_lease: None,
    http_timeout: None,
};
const HEAD_CHECK_MS: u64 = 2_000;
const HEAD_CHECK_LINK_DOWN_MS: u64 = 500;
const LOAD_RETRY_MS: u64 = 500;

impl Node {
    /// A node that just started.
    pub(crate) fn start(node: usize, life: u64, options: Options, link_up: bool) -> Self {
        let mut it = Self {
            sender: Sender { node, life, generation: 0 },
            options,
            phase: Phase::loading(None),
            shards: (0..options.shards).map(|index| Shard::new(index, options.mutation)).collect(),
            inbox: VecDeque::new(),
            stalled_until_ms: 0,
            awaiting: Vec::new(),
            link_up,
            check_now: false,
            head_asked: false,
            head_checked_ms: 0,
            presence_due_ms: 0,
            asks: Vec::new(),
            breach: None,
            reloads: Vec::new(),
        };
        it.load_on();
        it
    }

    pub(crate) fn life(&self) -> u64 {
        self.sender.life
    }

    pub(crate) fn tell(&mut self, input: Input) {
        self.inbox.push_back(input);
    }

    /// The writer answers what this node asked.
    pub(crate) fn answer(&mut self, from: Sender, answer: Answer) {
        self.inbox.push_back(Input::Answer(from.generation, answer));
    }

    /// Whether `from` is this life of this node.
    pub(crate) fn is(&self, from: Sender) -> bool {
        (self.sender.node, self.sender.life) == (from.node, from.life)
    }

    /// Where its keeper stands; none while it loads.
    pub(crate) fn position(&self) -> Option<Position> {
        match &self.phase {
            Phase::Open(open) => Some(open.keeper.position()),
            Phase::Loading { .. } => None,
        }
    }

    /// What presence shows now, and at which change.
    pub(crate) fn presence(&self, now_ms: u64) -> Option<(u64, Shown)> {
        match &self.phase {
            Phase::Open(open) => {
                Some((open.presence.change(), Shown::snapshot(&open.presence.snapshot(now_ms))))
            }
            Phase::Loading { .. } => None,
        }
    }

    /// A turn of the keeper, and of each shard that is not stalled; a shard makes at most `writes_max` writes.
    pub(crate) fn run(&mut self, now_ms: u64, writes_max: usize) {
        if self.stalled_until_ms <= now_ms {
            while let Some(input) = self.inbox.pop_front() {
                self.handle(input, now_ms);
            }
            self.tick(now_ms);
        }
        for index in 0..self.shards.len() {
            let shard = &mut self.shards[index];
            if shard.stalled_until_ms <= now_ms {
                shard.run(now_ms, writes_max);
                let told = std::mem::take(&mut shard.told);
                self.inbox.extend(told.into_iter().map(|told| Input::Shard(index, told)));
            }
        }
    }

    fn handle(&mut self, input: Input, now_ms: u64) {
        match input {
            Input::Publication(publication) => {
                if let Phase::Open(open) = &mut self.phase {
                    let publication = self.options.mutation.publication(&open.keeper, publication);
                    let effects = open.keeper.handle_publication(publication, now_ms);
                    self.perform(effects, now_ms);
                }
            }
            Input::Link { up } => {
                self.link_up = up;
                self.check_now |= up;
            }
            Input::Answer(generation, answer) => self.handle_answer(generation, answer, now_ms),
            Input::Shard(shard, told) => self.handle_told(shard, told, now_ms),
        }
    }

    fn handle_told(&mut self, shard: usize, told: Told, now_ms: u64) {
        match told {
            Told::Identify(key, user) => self.ask(Ask::Identify { shard, key, user }),
            Told::CheckHead(key, sequence) => {
                self.awaiting.push(Awaiting { shard, key, sequence, asked: false });
                self.check_now = true;
            }
            Told::ReadBlock(number) => self.need_block(shard, number),
            Told::Connected(user, device, status) => {
                if let Phase::Open(open) = &mut self.phase {
                    open.presence.handle_connect(user, device, status, now_ms);
                    open.attendance.connect(user, device, status, now_ms);
                }
            }
            Told::Status(device, status) => {
                if let Phase::Open(open) = &mut self.phase {
                    open.presence.handle_status(device, status, now_ms);
                    open.attendance.status(device, status, now_ms);
                }
            }
            Told::Disconnected(device, heard_ms) => {
                if let Phase::Open(open) = &mut self.phase {
                    open.presence.handle_disconnect(device, heard_ms, now_ms);
                    open.attendance.disconnect(device, now_ms);
                }
            }
            Told::PresenceSince(key, since) => self.tell_presence(shard, key, since, now_ms),
        }
    }

    fn handle_answer(&mut self, generation: u64, answer: Answer, now_ms: u64) {
        let current = generation == self.sender.generation;
        match answer {
            Answer::Identity { shard, key, identity } => {
                self.shards[shard].tell(Tell::Identified(key, identity));
            }
            Answer::Head(asked_at, head) => {
                self.head_asked = false;
                if let (true, Some(head)) = (current, head) {
                    self.handle_head(asked_at, head, now_ms);
                }
            }
            Answer::Page(page) if current => self.handle_page(page, now_ms),
            Answer::Log(Reading::Load, range) if current => self.handle_load_range(range, now_ms),
            Answer::Log(Reading::Gap, range) if current => self.handle_range(range, now_ms),
            Answer::Log(Reading::Block(number, after), range) if current => {
                self.handle_block(number, after, range, now_ms);
            }
            Answer::Page(_) | Answer::Log(..) => {}
        }
    }

    fn tick(&mut self, now_ms: u64) {
        match &mut self.phase {
            Phase::Open(open) => {
                let effects = open.keeper.handle_tick(now_ms);
                self.perform(effects, now_ms);
            }
            Phase::Loading { retry_ms, .. } if retry_ms.is_some_and(|at_ms| at_ms <= now_ms) => {
                *retry_ms = None;
                self.load_on();
            }
            Phase::Loading { .. } => {}
        }
        if self.presence_due_ms <= now_ms {
            self.presence_due_ms = now_ms + TIMES.tick.as_millis() as u64;
            self.presence_tick(now_ms);
        }
        self.check_head(now_ms);
    }

    fn check_head(&mut self, now_ms: u64) {
        let every_ms = if self.link_up { HEAD_CHECK_MS } else { HEAD_CHECK_LINK_DOWN_MS };
        let due = self.check_now || self.head_checked_ms + every_ms <= now_ms;
        let Phase::Open(open) = &self.phase else { return };
        if self.head_asked || !due || self.options.mutation == Mutation::NeverCheckHeads {
            return;
        }
        let at = open.keeper.position().sequence;
        (self.head_asked, self.check_now, self.head_checked_ms) = (true, false, now_ms);
        self.awaiting.iter_mut().for_each(|awaiting| awaiting.asked = true);
        self.ask(Ask::Head(at));
    }

    fn handle_head(&mut self, asked_at: Sequence, head: Position, now_ms: u64) {
        let Phase::Open(open) = &mut self.phase else { return };
        let (asked, later): (Vec<_>, _) =
            std::mem::take(&mut self.awaiting).into_iter().partition(|awaiting| awaiting.asked);
        self.awaiting = later;
        self.check_now |= !self.awaiting.is_empty();
        for Awaiting { shard, key, sequence, .. } in asked {
            if sequence > head.sequence {
                self.shards[shard].tell(Tell::BeyondHead(key));
            }
        }
        let head = self.options.mutation.head(&open.keeper, head);
        let effects = open.keeper.handle_head(asked_at, head, now_ms);
        // What was read of a history that the log has left would wait for ever.
        let (left, ahead): (Vec<_>, _) = std::mem::take(&mut open.ahead)
            .into_iter()
            .partition(|(.., range)| range.head.sequence > head.sequence);
        open.ahead = ahead;
        left.into_iter().for_each(|(number, after, _)| self.read_block(number, after));
        self.perform(effects, now_ms);
    }

    fn handle_range(&mut self, range: Option<LogRange>, now_ms: u64) {
        let Phase::Open(open) = &mut self.phase else { return };
        match range {
            Some(range) => {
                let range = self.options.mutation.range(&open.keeper, range);
                let effects = open.keeper.handle_range(&range, now_ms);
                self.perform(effects, now_ms);
            }
            None => open.keeper.handle_read_failed(now_ms),
        }
    }

    fn perform(&mut self, effects: Vec<KeeperEffect>, now_ms: u64) {
        let Phase::Open(open) = &mut self.phase else { return };
        let mut ahead = Vec::new();
        if effects.contains(&KeeperEffect::Advanced) {
            ahead = std::mem::take(&mut open.ahead);
            open.note_users_gone(now_ms);
            open.show(self.options);
            self.shards.iter_mut().for_each(|shard| shard.tell(Tell::Advanced));
        }
        for effect in effects {
            match effect {
                KeeperEffect::Advanced => {}
                KeeperEffect::ReadLog(after) => self.ask(Ask::Log(Reading::Gap, after, LOG_RANGE_EVENTS_MAX)),
                KeeperEffect::Reload(why) => return self.reload(why),
            }
        }
        for (number, after, range) in ahead {
            self.handle_block(number, after, Some(range), now_ms);
        }
    }

    fn reload(&mut self, why: ReloadReason) {
        if let Phase::Open(open) = &self.phase {
            self.reloads.push((why, open.keeper.position(), open.view.borrow().knows));
        }
        self.sender.generation += 1;
        self.awaiting.clear();
        self.phase = Phase::loading(Some(why));
        self.load_on();
    }

    fn load_on(&mut self) {
        let Phase::Loading { loader, .. } = &self.phase else { return };
        match loader.step() {
            LoadStep::Page(cursor) => self.ask(Ask::Page(cursor)),
            LoadStep::Log(after) => self.ask(Ask::Log(Reading::Load, after, LOG_RANGE_EVENTS_MAX)),
            LoadStep::Done => {}
        }
    }

    fn handle_page(&mut self, page: Option<(RealmPage, u32)>, now_ms: u64) {
        let Phase::Loading { loader, knows, .. } = &mut self.phase else { return };
        let taken = page.is_some_and(|(page, set_backs)| {
            knows.get_or_insert(set_backs);
            loader.handle_page(page).is_ok()
        });
        self.loaded_or_on(taken, now_ms);
    }

    fn handle_load_range(&mut self, range: Option<LogRange>, now_ms: u64) {
        let Phase::Loading { loader, .. } = &mut self.phase else { return };
        let taken = range.is_some_and(|range| loader.handle_range(&range).is_ok());
        self.loaded_or_on(taken, now_ms);
    }

    fn loaded_or_on(&mut self, taken: bool, now_ms: u64) {
        let Phase::Loading { loader, retry_ms, knows, .. } = &mut self.phase else { return };
        if !taken {
            **loader = RealmLoader::default();
            *knows = None;
            *retry_ms = Some(now_ms + LOAD_RETRY_MS);
            return;
        }
        if loader.step() == LoadStep::Done { self.open(now_ms) } else { self.load_on() }
    }

    fn open(&mut self, now_ms: u64) {
        let Phase::Loading { loader, why, knows, .. } = &mut self.phase else { return };
        let (why, knows) = (*why, knows.unwrap_or_default());
        let Ok(loaded) = std::mem::take(loader).finish() else { return };
        let keeper = RealmKeeper::new(loaded.state, self.options.ring);
        let view = View { ring: keeper.ring().clone(), state: keeper.state().clone(), knows };
        let view = Rc::new(RefCell::new(view));
        for shard in &mut self.shards {
            shard.tell(match why {
                None => Tell::Ready(view.clone()),
                Some(why) => Tell::Reset(view.clone(), why),
            });
        }
        let times = Times::new(self.options.mutation.times(TIMES)).unwrap_or_default();
        let lease_ms = (TIMES.heartbeat + TIMES.timeout).as_millis() as u64;
        self.phase = Phase::Open(Box::new(Open {
            noted: keeper.position().sequence,
            keeper,
            view,
            catch_up: CatchUp::default(),
            reading: BTreeMap::new(),
            ahead: Vec::new(),
            presence: Presence::new(times, loaded.last_heard, now_ms),
            attendance: Attendance::new(TIMES.grace.as_millis() as u64, lease_ms),
        }));
        // What was published while it was being loaded is found at once.
        self.check_now = true;
    }

    fn tell_presence(&mut self, shard: usize, key: SessionKey, since: Option<u64>, now_ms: u64) {
        let Phase::Open(open) = &mut self.phase else { return };
        let snapshot = open.presence.snapshot(now_ms);
        let shown = Rc::new(Shown::snapshot(&snapshot));
        let wire = match since.and_then(|since| open.presence.changes_since(since, now_ms)) {
            Some(diff) => Wire::Diff(diff, shown),
            None => Wire::Snapshot(snapshot, shown),
        };
        self.shards[shard].tell(Tell::PresenceFor(key, open.presence.change(), wire));
    }

    fn presence_tick(&mut self, now_ms: u64) {
        let Phase::Open(open) = &mut self.phase else { return };
        let diff = open.presence.poll_tick(now_ms);
        // The batch itself is the database's business; taking it lets go of those who left.
        open.presence.poll_last_heard(now_ms);
        let shown = Rc::new(Shown::snapshot(&open.presence.snapshot(now_ms)));
        if let Err(breach) = open.attendance.judge(diff.as_ref(), &shown, now_ms) {
            self.breach.get_or_insert(breach);
        }
        let Some(diff) = diff else { return };
        for shard in &mut self.shards {
            shard.tell(Tell::PresenceDiff(diff.clone(), shown.clone()));
        }
    }

    fn ask(&mut self, ask: Ask) {
        self.asks.push((self.sender, ask));
    }
}

impl Phase {
    fn loading(why: Option<ReloadReason>) -> Self {
        Self::Loading { loader: Box::default(), why, retry_ms: None, knows: None }
    }
}

impl Open {
    fn show(&self, options: Options) {
        let mut view = self.view.borrow_mut();
        view.ring = options.mutation.ring(self.keeper.ring(), self.keeper.state(), options.ring);
        view.state = self.keeper.state().clone();
    }

    /// Whoever was deactivated is no longer there.
    fn note_users_gone(&mut self, now_ms: u64) {
        let new = self.keeper.ring().after(self.noted).into_iter().flatten();
        for event in new.filter(|event| event.record().changes_state) {
            if let Ok(Event::UserUpdated { user, .. }) = json::decode_event(&event.record().body)
                && !user.is_active
            {
                self.presence.handle_user_gone(user.user_id, now_ms);
                self.attendance.user_gone(user.user_id);
            }
        }
        self.noted = self.keeper.position().sequence;
    }
}
