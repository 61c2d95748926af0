//! The course of a run: look, make, open, play, settle, audit, close.

mod machine;
mod places;
mod planning;
mod rounds;
mod watch;

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use squall_protocol::{SendId, Sequence};

use crate::audit::{Findings, HistoryCheck, RealmKey};
use crate::engine::{RealmPlan, Tag, Tally, TargetPlan};
use crate::fleet::{Fleet, FromWorker, Limits, ToWorker};
use crate::moment::Moment;
use crate::provision::{self, Http, Realm};
use crate::report::{Ended, Phase, Progress, RESULT_FORMAT, RunResult};
use crate::scenario::Scenario;

use places::Place;
use planning::Stamp;
use rounds::{Rounds, Unsettled};
use watch::Watch;

/// What a run is told beside its scenario.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    /// The program to start as workers: this one.
    pub program: &'a Path,
    /// What its chance comes from.
    pub seed: u32,
    /// What names what it makes: another each time.
    pub tag: Tag,
    /// What runs the same again.
    pub command: String,
    /// Set when the run shall end early.
    pub interrupted: Arc<AtomicBool>,
}

/// A run under way.
struct Run<'a> {
    scenario: &'a Scenario,
    options: &'a Options<'a>,
    show: &'a mut dyn FnMut(Progress),
    places: Vec<Place>,
    realms: Vec<Realm>,
    fleet: Fleet,
    began: Moment,
    rounds: Rounds,
    next_round: Moment,
    watch: Watch,
    next_look: Moment,
    phase: Phase,
    /// When the phase began, and when it shall end if that is known.
    phase_time: (Moment, Moment),
    /// Realms whose history was read.
    checked: u64,
    /// Of the workers that are done.
    findings: Vec<Findings>,
    /// What the reader of the result should know.
    notes: Vec<String>,
}

/// Runs a scenario to its end; `show` is told now and then how far it is.
pub fn run(scenario: &Scenario, options: &Options<'_>, show: &mut dyn FnMut(Progress)) -> Result<RunResult> {
    let started_at_ms =
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    let places = places::places(scenario)?;
    let workers = Limits::raise_and_read().workers(&places::need(scenario, &places))?;
    let fleet = Fleet::start(options.program, workers)?;
    let realms = stand(scenario, options, &places, show)?;
    ensure!(!realms.is_empty(), "there is no realm to run in");
    ensure!(realms.len() <= REALMS_MAX, "{} realms in one run, and {REALMS_MAX} are the most", realms.len());
    let mut run = Run::new(scenario, options, show, places, realms, fleet)?;
    run.open()?;
    run.play()?;
    let settled = run.settle()?;
    run.read_history();
    run.close()?;
    Ok(run.result(settled, started_at_ms))
}

/// Makes the realms, or finds out about those of the users file.
fn stand(
    scenario: &Scenario,
    options: &Options<'_>,
    places: &[Place],
    show: &mut dyn FnMut(Progress),
) -> Result<Vec<Realm>> {
    if let Some(path) = scenario.realms.users_file.path() {
        let users = provision::read_users_file(path)?;
        let targets: Vec<_> =
            places.iter().map(|place| (place.plan.addresses.clone(), place.apis.clone())).collect();
        return provision::stand_on(users, &targets);
    }
    let layouts = provision::layout(&planning::sizes(scenario), u64::from(options.seed), &options.tag);
    let apis: Vec<_> = places.iter().map(|place| place.apis.clone()).collect();
    let (users, began) = (layouts.iter().map(|layout| layout.users.len()).sum::<usize>(), Moment::now());
    provision::make(&layouts, &apis, &options.interrupted, &mut |made| {
        let at_s = Moment::now().since(began).as_secs_f64();
        show(Progress { at_s, done: made as u64, of: users as u64, ..Progress::of(Phase::Making) });
    })
}

impl<'a> Run<'a> {
    /// Deals the parts; all workers are ready.
    fn new(
        scenario: &'a Scenario,
        options: &'a Options<'a>,
        show: &'a mut dyn FnMut(Progress),
        places: Vec<Place>,
        realms: Vec<Realm>,
        mut fleet: Fleet,
    ) -> Result<Self> {
        let targets: Vec<TargetPlan> = places.iter().map(|place| place.plan.clone()).collect();
        let workers = u16::try_from(fleet.len()).context("too many workers")?;
        let (seed, tag, began) = (u64::from(options.seed), options.tag.clone(), Moment::now());
        let stamp = Stamp { seed, tag, began };
        let plans = planning::plans(scenario, &realms, &targets, workers, &stamp);
        let setups = plans.first().map(|plan| plan.realms.iter().map(RealmPlan::setup).collect::<Vec<_>>());
        let mut parts: Vec<_> = plans.iter().map(|plan| (plan.clients.len() as u64, 0)).collect();
        for (worker, plan) in plans.into_iter().enumerate() {
            let report_every = scenario.run.report_every.0;
            fleet.tell(worker, &ToWorker::Plan { plan: Box::new(plan), report_every })?;
        }
        let mut ready = 0;
        while ready < fleet.len() {
            match fleet.hear(READY_MAX)? {
                Some((worker, FromWorker::Ready { memory_bytes })) => {
                    parts[worker].1 = memory_bytes;
                    ready += 1;
                }
                Some(_) => {}
                None => bail!("the workers are not ready after {} s", READY_MAX.as_secs()),
            }
        }
        Ok(Self {
            scenario,
            options,
            show,
            places,
            realms,
            began,
            rounds: Rounds::new(&setups.unwrap_or_default(), fleet.len()),
            next_round: began + scenario.run.audit_every.0,
            watch: Watch::new(began, &parts),
            next_look: began,
            phase: Phase::Opening,
            phase_time: (began, began),
            checked: 0,
            fleet,
            findings: Vec::new(),
            notes: Vec::new(),
        })
    }

    /// Opens all clients; ends early if no more are opened.
    fn open(&mut self) -> Result<()> {
        let start = Moment::now() + START_IN;
        let sockets = u64::from(self.scenario.clients.sockets);
        let ramp = Duration::from_secs_f64(sockets as f64 / self.scenario.clients.ramp.hertz());
        self.begin(Phase::Opening, start, start + ramp);
        self.fleet.tell_all(&ToWorker::Open { start })?;
        let (mut opened, mut grown_at) = (0, start + ramp);
        while !self.is_interrupted() {
            self.hear_until(Moment::now() + LOOK_EVERY)?;
            let (tally, now) = (self.watch.tally(), Moment::now());
            if tally.opened > opened {
                (opened, grown_at) = (tally.opened, grown_at.max(now));
            }
            if tally.open + tally.gone >= sockets || now.since(grown_at) > STUCK_MAX {
                break;
            }
        }
        Ok(())
    }

    fn play(&mut self) -> Result<()> {
        let start = Moment::now() + START_IN;
        let end = start + self.scenario.clients.hold.0;
        self.begin(Phase::Holding, start, end);
        self.fleet.tell_all(&ToWorker::Play { start, end })?;
        self.watch.begin_hold(start);
        self.hear_until(end)?;
        self.watch.end_hold(Moment::now());
        Ok(())
    }

    /// Waits for what is under way, and says what was counted in the end.
    fn settle(&mut self) -> Result<Tally> {
        self.fleet.tell_all(&ToWorker::Quiet)?;
        let end = Moment::now() + self.scenario.run.settle.0;
        self.begin(Phase::Settling, Moment::now(), end);
        loop {
            self.round(&ToWorker::Gather)?;
            let unsettled = self.rounds.unsettled();
            if unsettled == Unsettled::default() || Moment::now() > end {
                return Ok(self.rounds.tally());
            }
            // Not cut short by an interruption: what was begun shall be judged.
            let pause = Moment::now() + LOOK_EVERY;
            while Moment::now() < pause {
                self.hear(pause)?;
            }
        }
    }

    /// Reads the messages back by HTTP: what was acknowledged is there, and of what was never answered it is
    /// said whether it is. A history that can't be read leaves the audit without this witness.
    fn read_history(&mut self) {
        let http = Http::new();
        self.begin(Phase::Checking, Moment::now(), Moment::now());
        let mut stored = HashMap::new();
        for realm in std::mem::take(&mut self.realms) {
            if let Err(error) = self.read_realm(&http, &realm, &mut stored) {
                self.notes
                    .push(format!("the history of realm {} could not be read: {error:#}", realm.realm_id));
                // The next one of this server would be no better.
                break;
            }
            self.checked += 1;
            self.look();
        }
        self.rounds.note_unsettled(&stored, Moment::now().since(self.began).as_millis() as u64);
    }

    fn read_realm(
        &mut self,
        http: &Http,
        realm: &Realm,
        places_of_sends: &mut HashMap<SendId, Sequence>,
    ) -> Result<()> {
        let apis = &self.places[usize::from(realm.target)].apis;
        let key = RealmKey { target: realm.target, realm_id: realm.realm_id };
        let mut stored = provision::read_streams(http, apis, realm)?;
        let places: BTreeSet<u64> = stored.iter().map(|message| message.sequence.0).collect();
        let unanswered = self.rounds.unanswered(key);
        let mut senders = self.rounds.senders_beside(key, &|place| places.contains(&place));
        senders.extend(unanswered.iter().map(|(_, user, _)| user));
        senders.sort_unstable();
        stored.extend(provision::read_direct(http, apis, realm, &senders)?);
        let mut history = HistoryCheck::new();
        for message in stored {
            if unanswered.iter().any(|(_, _, id)| *id == message.send_id) {
                places_of_sends.insert(message.send_id.clone(), message.sequence);
            }
            history.stored(message.sequence, message.message_id, message.sender_id, &message.send_id);
        }
        self.rounds.check_history(key, &history);
        Ok(())
    }

    /// Ends all sessions, judges what is left, and ends the workers.
    fn close(&mut self) -> Result<()> {
        self.round(&ToWorker::Close)?;
        self.fleet.tell_all(&ToWorker::Finish)?;
        let end = Moment::now() + CLOSE_MAX;
        while self.findings.len() < self.fleet.len() {
            ensure!(Moment::now() < end, "the workers did not end within {} s", CLOSE_MAX.as_secs());
            self.hear(end)?;
        }
        Ok(())
    }

    /// One whole round of the audit, begun by this message.
    fn round(&mut self, message: &ToWorker) -> Result<()> {
        let end = Moment::now() + ROUND_MAX;
        let mut is_begun = false;
        loop {
            if !self.rounds.is_on() {
                if is_begun {
                    return Ok(());
                }
                self.fleet.tell_all(message)?;
                self.rounds.begin();
                is_begun = true;
            }
            ensure!(Moment::now() < end, "the workers did not answer within {} s", ROUND_MAX.as_secs());
            self.hear(end)?;
        }
    }

    /// Hears the workers until `end`, or until the run shall end; the audit has its rounds meanwhile.
    fn hear_until(&mut self, end: Moment) -> Result<()> {
        while Moment::now() < end && !self.is_interrupted() {
            if self.next_round <= Moment::now() && !self.rounds.is_on() {
                self.fleet.tell_all(&ToWorker::Gather)?;
                self.rounds.begin();
                self.next_round = Moment::now() + self.scenario.run.audit_every.0;
            }
            self.hear(end)?;
        }
        Ok(())
    }

    /// Hears one message, if it comes before `end` and soon.
    fn hear(&mut self, end: Moment) -> Result<()> {
        if self.next_look <= Moment::now() {
            let every = self.scenario.run.report_every.0;
            self.next_look = self.next_look.max(Moment::now() - every) + every;
            self.look();
        }
        let wait = end.since(Moment::now()).min(LOOK_EVERY);
        match self.fleet.hear(wait)? {
            Some((worker, FromWorker::Progress(progress))) => self.watch.take(worker, *progress),
            Some((worker, FromWorker::Gathered(gathered))) => {
                if let Some(update) = self.rounds.take(worker, *gathered) {
                    self.fleet.tell_all(&ToWorker::Update(update))?;
                }
            }
            Some((worker, FromWorker::Finished(progress, findings))) => {
                self.watch.take(worker, *progress);
                self.findings.push(*findings);
            }
            Some((_, FromWorker::Ready { .. } | FromWorker::Failed(_))) | None => {}
        }
        Ok(())
    }

    fn begin(&mut self, phase: Phase, start: Moment, end: Moment) {
        self.phase = phase;
        self.phase_time = (start, end);
        self.look();
    }

    /// Shows how far the run is.
    fn look(&mut self) {
        let (now, (start, end)) = (Moment::now(), self.phase_time);
        let done = match self.phase {
            Phase::Making => (0, 0),
            Phase::Opening => (self.watch.tally().open, self.scenario.clients.sockets.into()),
            Phase::Holding | Phase::Settling => {
                let seconds = |end: Moment| end.since(start).as_secs_f64().round() as u64;
                (seconds(now.min(end)), seconds(end))
            }
            Phase::Checking => (self.checked, self.scenario.realm_count()),
        };
        let faults = self.findings.iter().flat_map(|found| found.faults.values()).sum();
        let progress = self.watch.look(now, self.phase, done, self.rounds.unsettled().outstanding, faults);
        (self.show)(progress);
    }

    fn is_interrupted(&self) -> bool {
        self.options.interrupted.load(Ordering::Relaxed)
    }

    /// What the run showed.
    fn result(self, tally: Tally, started_at_ms: u64) -> RunResult {
        let ended = if self.is_interrupted() { Ended::Interrupted } else { Ended::Complete };
        let Self { scenario, options, rounds, watch, findings, began, notes, .. } = self;
        let (held_s, sends_per_s, deliveries_per_s) = watch.rates();
        RunResult {
            format: RESULT_FORMAT,
            scenario: scenario.clone(),
            seed: options.seed,
            command: options.command.clone(),
            started_at_ms,
            duration_s: Moment::now().since(began).as_secs_f64(),
            held_s,
            ended,
            machine: machine::this(),
            sockets: watch.sockets(scenario.clients.sockets.into()),
            sends_per_s,
            deliveries_per_s,
            counts: watch::counts(&tally),
            endings: tally.endings.iter().map(|(ending, count)| (ending.name(), *count)).collect(),
            refusals: tally.refusals,
            resets: tally.resets,
            latency: watch.latency(),
            series: watch.points(),
            tool: watch.tool(),
            audit: rounds.finish(findings),
            notes,
            expectations: Vec::new(),
        }
    }
}

/// They are numbered in 16 bits.
const REALMS_MAX: usize = u16::MAX as usize;
/// From a command to the moment all workers begin.
const START_IN: Duration = Duration::from_millis(200);
/// How often it is looked whether a phase is over, or the user wants an end.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Without one more client opened, the ramp is over.
const STUCK_MAX: Duration = Duration::from_secs(20);
const READY_MAX: Duration = Duration::from_secs(60);
const ROUND_MAX: Duration = Duration::from_secs(120);
const CLOSE_MAX: Duration = Duration::from_secs(120);
