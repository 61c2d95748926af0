//! What happens while the load is held: who sends, leaves, breaks, stalls, and when.

use std::time::Duration;

use squall_protocol::client_message::{ClientMessage, Status, TypingOp};
use squall_protocol::{Destination, UserId};

use super::client::Phase;
use super::outbox::What;
use super::plan::Plan;
use super::schedule::{Schedule, Spacing};
use super::timers::Due;
use super::writes::topic_name;
use super::{ACTIONS_MAX, Engine, seed};
use crate::moment::Moment;

/// The schedules of a run.
#[derive(Debug)]
pub(crate) struct Play {
    end: Moment,
    sends: Schedule,
    churn: Schedule,
    typing: Schedule,
    kills: Schedule,
    statuses: Schedule,
    flaps: Schedule,
    herds: Schedule,
    storms: Schedule,
    /// The storm that is on: when it began, and how many clients have had their turn.
    storm: Option<(Moment, usize)>,
}

impl Play {
    pub(crate) fn new(plan: &Plan, start: Moment, end: Moment) -> Self {
        let load = &plan.load;
        let sends = if load.is_even { Spacing::Fixed } else { Spacing::Poisson };
        let phase = f64::from(plan.worker) / f64::from(plan.workers.max(1));
        let schedule = |spacing, per_second, phase, purpose| {
            Schedule::new(spacing, per_second, phase, seed(plan, purpose), (start, end))
        };
        let random = |per_second, purpose| schedule(Spacing::Poisson, per_second, 0.0, purpose);
        // Of all workers at the same moment.
        let each = |every: Duration| {
            let per_second = if every.is_zero() { 0.0 } else { 1.0 / every.as_secs_f64() };
            schedule(Spacing::Fixed, per_second, 1.0, 0)
        };
        Self {
            end,
            sends: schedule(sends, load.sends_per_s, phase, 11),
            churn: random(load.churn_per_s, 12),
            typing: random(load.typing_per_s, 13),
            kills: random(load.kills_per_s, 14),
            statuses: random(load.statuses_per_s, 15),
            flaps: random(load.flaps_per_s, 16),
            herds: each(load.herd_every),
            storms: each(load.storm_every),
            storm: None,
        }
    }

    pub(crate) fn end(&self) -> Moment {
        self.end
    }

    pub(crate) fn next_due(&self) -> Option<Moment> {
        let Self { sends, churn, typing, kills, statuses, flaps, herds, storms, .. } = self;
        let all = [sends, churn, typing, kills, statuses, flaps, herds, storms];
        let storm = self.storm.map(|(began, turns)| began + STORM_STEP * turns as u32);
        all.into_iter().filter_map(Schedule::next_due).chain(storm).min()
    }
}

impl Engine {
    pub(super) fn do_what_is_scheduled(&mut self, play: &mut Play, now: Moment) {
        self.each_due(&mut play.sends, now, Self::send);
        self.each_due(&mut play.churn, now, Self::change_membership);
        self.each_due(&mut play.typing, now, |engine, _, now| engine.type_somewhere(now));
        self.each_due(&mut play.statuses, now, |engine, _, now| {
            if let Some(index) = engine.any_open() {
                engine.change_status(index, now);
            }
        });
        self.each_due(&mut play.kills, now, |engine, _, now| {
            let away = engine.plan.load.away.mul_f64(engine.random.f64());
            if let Some(index) = engine.any_open() {
                engine.cut(index, away, now);
            }
        });
        self.each_due(&mut play.flaps, now, |engine, _, now| {
            if let Some(index) = engine.any_open() {
                engine.cut(index, Duration::ZERO, now);
            }
        });
        self.each_due(&mut play.herds, now, |engine, _, now| engine.cut_herd(now));
        if let Some(began) = play.storms.poll(now) {
            play.storm = Some((began, 0));
        }
        if let Some((began, turns)) = play.storm {
            play.storm = self.storm(began, turns, now).map(|turns| (began, turns));
        }
    }

    fn each_due(&mut self, schedule: &mut Schedule, now: Moment, act: impl Fn(&mut Self, Moment, Moment)) {
        for _ in 0..ACTIONS_MAX {
            let Some(due) = schedule.poll(now) else { break };
            self.measures.late.record(now.since(due));
            act(self, due, now);
        }
    }

    /// Gives slow clients their first stall, each at a time of its own.
    pub(super) fn plan_stalls(&mut self, start: Moment, end: Moment) {
        let load = &self.plan.load;
        if load.stall.is_zero() || load.stall_every.is_zero() {
            return;
        }
        for (client, index) in self.clients.iter().zip(0..) {
            let at = start + load.stall_every.mul_f64(self.random.f64());
            if client.is_slow && at < end {
                self.timers.set(at, index, client.generation, Due::Stall);
            }
        }
    }

    fn send(&mut self, due: Moment, now: Moment) {
        self.tally.sends_due += 1;
        let made = self.any_sender().and_then(|index| Some((index, self.choose_message(index)?)));
        let is_taken = made.is_some_and(|(index, what)| self.make(index, due, what, now));
        self.tally.sends_skipped += u64::from(!is_taken);
    }

    /// A message of a client to somewhere it may write.
    fn choose_message(&mut self, index: u32) -> Option<What> {
        let user = &self.world.users[self.clients[index as usize].user as usize];
        let realm = &self.world.realms[usize::from(user.realm)];
        let is_direct = self.random.f64() < self.plan.load.direct || user.streams.is_empty();
        if is_direct {
            let others = 1 + self.random.usize(..2);
            let mut user_ids: Vec<UserId> = Vec::new();
            // Drawn again where the draw is oneself or one already named.
            for _ in 0..DRAWS_MAX {
                let other = self.random.choice(&realm.users).copied()?;
                if other != user.user_id && !user_ids.contains(&other) {
                    user_ids.push(other);
                }
                if user_ids.len() == others {
                    break;
                }
            }
            return (!user_ids.is_empty()).then(|| What::Direct { user_ids: user_ids.into() });
        }
        let stream = *self.random.choice(&user.streams)?;
        let topic = self.random.u32(..self.plan.topics.max(1));
        Some(What::Stream { stream_id: realm.streams[usize::from(stream)].stream_id, topic })
    }

    /// A user leaves a stream, or comes back to one it left.
    fn change_membership(&mut self, due: Moment, now: Moment) {
        for _ in 0..DRAWS_MAX {
            let Some(index) = self.any_open() else { return };
            let user = self.clients[index as usize].user;
            let chosen =
                if self.wants_back(user) { self.choose_return(index) } else { self.choose_exit(index) };
            if let Some((index, what)) = chosen {
                self.tally.changes_asked += u64::from(self.make(index, due, what, now));
                return;
            }
        }
    }

    fn wants_back(&mut self, user: u32) -> bool {
        let user = &self.world.users[user as usize];
        !user.left.is_empty() && (user.streams.len() < 2 || self.random.bool())
    }

    fn choose_exit(&mut self, index: u32) -> Option<(u32, What)> {
        let user = &mut self.world.users[self.clients[index as usize].user as usize];
        let stream = *self.random.choice(&user.streams)?;
        let plan = &self.world.realms[usize::from(user.realm)].streams[usize::from(stream)];
        if user.is_guest || user.streams.len() < 2 || plan.anchor == Some(user.user_id) {
            return None;
        }
        // From now on it sends nothing there: what it sent before is stored before.
        user.set_member(stream, false);
        Some((index, What::Unsubscribe { stream_id: plan.stream_id }))
    }

    /// To a public stream by itself, to an invite-only one by a member's hand.
    fn choose_return(&mut self, index: u32) -> Option<(u32, What)> {
        let user = self.clients[index as usize].user;
        let user = &self.world.users[user as usize];
        let stream = *self.random.choice(&user.left)?;
        let plan = &self.world.realms[usize::from(user.realm)].streams[usize::from(stream)];
        let (stream_id, user_id) = (plan.stream_id, user.user_id);
        if !plan.invite_only {
            return Some((index, What::Subscribe { stream_id, user_ids: [].into() }));
        }
        let helper = (0..DRAWS_MAX).find_map(|_| {
            let helper = &self.world.users[*self.random.choice(&plan.locals)? as usize];
            let is_member = helper.streams.contains(&stream) && !helper.is_guest;
            let open = |index: &&u32| self.clients[**index as usize].is_open();
            helper.clients.iter().find(open).copied().filter(|_| is_member)
        })?;
        Some((helper, What::Subscribe { stream_id, user_ids: [user_id].into() }))
    }

    fn type_somewhere(&mut self, now: Moment) {
        let Some(index) = self.any_open() else { return };
        let user = &self.world.users[self.clients[index as usize].user as usize];
        let Some(stream) = self.random.choice(&user.streams) else { return };
        let stream_id = self.world.realms[usize::from(user.realm)].streams[usize::from(*stream)].stream_id;
        let topic = topic_name(self.random.u32(..self.plan.topics.max(1)));
        let to = Destination::Stream { stream_id, topic };
        if !self.clients[index as usize].is_full() {
            self.tally.typing_written += 1;
            self.say(index, &ClientMessage::Typing { op: TypingOp::Start, to }, now);
        }
    }

    fn change_status(&mut self, index: u32, now: Moment) {
        let client = &mut self.clients[index as usize];
        client.status = if client.status == Status::Active { Status::Idle } else { Status::Active };
        let status = client.status;
        self.tally.statuses_written += 1;
        self.say(index, &ClientMessage::Presence { status }, now);
    }

    fn cut_herd(&mut self, now: Moment) {
        for index in 0..self.clients.len() {
            if self.clients[index].is_open() && self.random.f64() < self.plan.load.herd_size {
                let away = self.plan.load.herd_within.mul_f64(self.random.f64());
                self.cut(index as u32, away, now);
            }
        }
    }

    /// Changes the status of all clients within a second; how many steps are done, none when all are.
    fn storm(&mut self, began: Moment, mut turns: usize, now: Moment) -> Option<usize> {
        let steps = (STORM.as_nanos() / STORM_STEP.as_nanos()) as usize;
        while turns < steps && began + STORM_STEP * turns as u32 <= now {
            for index in (turns..self.clients.len()).step_by(steps) {
                if self.clients[index].is_open() {
                    self.change_status(index as u32, now);
                }
            }
            turns += 1;
        }
        (turns < steps).then_some(turns)
    }

    /// Any client in a session that reads.
    fn any_open(&mut self) -> Option<u32> {
        (0..DRAWS_MAX).find_map(|_| {
            let index = self.random.usize(..self.clients.len().max(1));
            let client = self.clients.get(index)?;
            (client.is_open() && !client.is_stalled).then_some(index as u32)
        })
    }

    /// Any client that sends, whether it is connected or not: an open loop waits for nobody.
    fn any_sender(&mut self) -> Option<u32> {
        (0..DRAWS_MAX).find_map(|_| {
            let index = *self.random.choice(&self.senders)?;
            let client = &self.clients[index as usize];
            (client.was_open && client.phase != Phase::Gone).then_some(index)
        })
    }
}

/// Draws before a choice is given up.
const DRAWS_MAX: usize = 32;
/// How long a storm takes, and in how many steps.
const STORM: Duration = Duration::from_secs(1);
const STORM_STEP: Duration = Duration::from_millis(10);
