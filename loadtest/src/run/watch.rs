//! What is seen of a run: figures over time, the live view's, the result's.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::engine::{Measures, Tally};
use crate::fleet::Progress;
use crate::latency::{Histogram, Look, SelfWatch, Series};
use crate::moment::Moment;
use crate::report::{self, COUNTS, Latency, Phase, Point, Sample, Sockets, Tool, WorkerUse};

/// Adds up what the workers tell.
#[derive(Debug)]
pub(crate) struct Watch {
    began: Moment,
    workers: Vec<Worker>,
    /// Of the whole run.
    measures: Measures,
    /// Since the last look.
    fresh: Measures,
    /// As of the last look.
    before: (Moment, Tally, Duration),
    series: Series<Sample>,
    most: u64,
    hold: Option<Hold>,
}

#[derive(Debug, Clone, Default)]
struct Worker {
    clients: u64,
    tally: Tally,
    at: Moment,
    cpu: Duration,
    memory_bytes: u64,
    /// Before it had any client.
    memory_before_bytes: u64,
}

/// The time in which the load is held.
#[derive(Debug)]
struct Hold {
    start: Moment,
    at_start: Tally,
    /// The tool, watched in it.
    tool: SelfWatch,
    late: Histogram,
    turn: Histogram,
    /// Its end, the counts then, and the workers' memory.
    end: Option<(Moment, Tally, Vec<u64>)>,
}

impl Watch {
    /// Of workers with so many clients and so much memory each.
    pub(crate) fn new(began: Moment, workers: &[(u64, u64)]) -> Self {
        let worker = |&(clients, memory_before_bytes): &(u64, u64)| Worker {
            clients,
            memory_before_bytes,
            memory_bytes: memory_before_bytes,
            at: began,
            ..Worker::default()
        };
        Self {
            began,
            workers: workers.iter().map(worker).collect(),
            measures: Measures::default(),
            fresh: Measures::default(),
            before: (began, Tally::default(), Duration::ZERO),
            series: Series::new(),
            most: 0,
            hold: None,
        }
    }

    /// Takes in what a worker tells.
    pub(crate) fn take(&mut self, index: usize, progress: Progress) {
        let Progress { tally, measures, at, cpu, memory_bytes } = progress;
        self.measures.add(&measures);
        self.fresh.add(&measures);
        let worker = &mut self.workers[index];
        if let Some(hold) = self.hold.as_mut().filter(|hold| hold.end.is_none()) {
            // A look that began before the hold is not of it.
            if worker.at >= hold.start {
                let (elapsed, cpu) = (at.since(worker.at), cpu.saturating_sub(worker.cpu));
                hold.tool.look(Look { worker: index as u16, elapsed, cpu });
                hold.late.add(&measures.late);
                hold.turn.add(&measures.turn);
            }
        }
        (worker.tally, worker.at, worker.cpu, worker.memory_bytes) = (tally, at, cpu, memory_bytes);
        self.most = self.most.max(self.tally().open);
    }

    /// The load begins to be held.
    pub(crate) fn begin_hold(&mut self, start: Moment) {
        self.hold = Some(Hold {
            start,
            at_start: self.tally(),
            tool: SelfWatch::default(),
            late: Histogram::default(),
            turn: Histogram::default(),
            end: None,
        });
    }

    /// The load is held no more.
    pub(crate) fn end_hold(&mut self, end: Moment) {
        let (tally, memory) = (self.tally(), self.workers.iter().map(|worker| worker.memory_bytes).collect());
        if let Some(hold) = &mut self.hold {
            hold.end = Some((end.max(hold.start), tally, memory));
        }
    }

    /// The sum of what all workers counted.
    pub(crate) fn tally(&self) -> Tally {
        let mut sum = Tally::default();
        self.workers.iter().for_each(|worker| sum.add(&worker.tally));
        sum
    }

    /// Ends a look, and shows how it went.
    pub(crate) fn look(
        &mut self,
        now: Moment,
        phase: Phase,
        (done, of): (u64, u64),
        outstanding: u64,
        faults: u64,
    ) -> report::Progress {
        let (tally, fresh) = (self.tally(), std::mem::take(&mut self.fresh));
        let cpu: Duration = self.workers.iter().map(|worker| worker.cpu).sum();
        let (then, before, cpu_before) = std::mem::replace(&mut self.before, (now, tally.clone(), cpu));
        let seconds = now.since(then).as_secs_f64();
        let delta = |of: fn(&Tally) -> u64| of(&tally).saturating_sub(of(&before));
        let sample = Sample {
            at_s: now.since(self.began).as_secs_f64(),
            seconds,
            sockets: tally.open,
            sends: delta(|tally| tally.sends_written),
            acknowledged: delta(|tally| tally.sends_acknowledged),
            deliveries: delta(|tally| tally.deliveries),
            resumes: delta(|tally| tally.resumes),
            presence_bytes: delta(|tally| tally.presence_bytes),
            bytes_read: delta(|tally| tally.bytes_read),
            delivered: fresh.delivered.compact(),
            answered: fresh.acknowledged.compact(),
            resumed: fresh.resumed.compact(),
            late: fresh.late.compact(),
            cpu_s: cpu.saturating_sub(cpu_before).as_secs_f64(),
            memory_bytes: self.workers.iter().map(|worker| worker.memory_bytes).sum(),
        };
        let per_s = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        let delivered = fresh.delivered.summary();
        let progress = report::Progress {
            phase,
            at_s: sample.at_s,
            done,
            of,
            sockets: tally.open,
            sends: tally.sends_written,
            sends_per_s: per_s(sample.sends),
            deliveries: tally.deliveries,
            deliveries_per_s: per_s(sample.deliveries),
            delivered_p50_ms: delivered.p50_ms,
            delivered_p99_ms: delivered.p99_ms,
            resumes: tally.resumes,
            outstanding,
            faults,
            cpu_share: per_s(1) * sample.cpu_s / self.workers.len().max(1) as f64,
            late_p99_ms: fresh.late.summary().p99_ms,
        };
        self.series.push(sample);
        progress
    }

    /// How it went over time.
    pub(crate) fn points(&self) -> Vec<Point> {
        self.series.points().iter().map(Point::from).collect()
    }

    /// How long the load was held, and what was sent and delivered in a second of it.
    pub(crate) fn rates(&self) -> (f64, f64, f64) {
        let Some(Hold { start, at_start, end: Some((end, at_end, _)), .. }) = &self.hold else {
            return (0.0, 0.0, 0.0);
        };
        let held_s = end.since(*start).as_secs_f64();
        let per_s = |before: u64, after: u64| after.saturating_sub(before) as f64 / held_s.max(1e-9);
        let sends = per_s(at_start.sends_written, at_end.sends_written);
        (held_s, sends, per_s(at_start.deliveries, at_end.deliveries))
    }

    pub(crate) fn sockets(&self, wanted: u64) -> Sockets {
        let held = self.at_hold_end().map_or(0, |(_, tally, _)| tally.open);
        Sockets { wanted, opened: self.tally().opened, most: self.most.max(held), held }
    }

    pub(crate) fn latency(&self) -> Latency {
        let Measures { upgraded, welcomed, acknowledged, delivered, caught_up, resumed, .. } = &self.measures;
        Latency {
            delivered: delivered.summary(),
            acknowledged: acknowledged.summary(),
            caught_up: caught_up.summary(),
            resumed: resumed.summary(),
            upgraded: upgraded.summary(),
            welcomed: welcomed.summary(),
        }
    }

    pub(crate) fn tool(&self) -> Tool {
        let memory = self.at_hold_end().map(|(_, _, memory)| memory.as_slice()).unwrap_or_default();
        let of_worker = |(index, worker): (usize, &Worker)| WorkerUse {
            clients: worker.clients,
            cpu_s: worker.cpu.as_secs_f64(),
            memory_bytes: memory.get(index).copied().unwrap_or(worker.memory_bytes),
        };
        let workers: Vec<_> = self.workers.iter().enumerate().map(of_worker).collect();
        let due: u64 = workers
            .iter()
            .zip(&self.workers)
            .map(|(held, worker)| held.memory_bytes.saturating_sub(worker.memory_before_bytes))
            .sum();
        let clients: u64 = self.workers.iter().map(|worker| worker.clients).sum();
        let memory_per_socket_bytes = due.checked_div(clients).unwrap_or(0);
        let Some(hold) = &self.hold else {
            return Tool { workers, memory_per_socket_bytes, ..Tool::default() };
        };
        Tool {
            workers,
            cpu_share_max: hold.tool.cpu_share_max(),
            memory_per_socket_bytes,
            late: hold.late.summary(),
            turn: hold.turn.summary(),
            limit: hold.tool.limit(&hold.late, &hold.turn),
        }
    }

    fn at_hold_end(&self) -> Option<&(Moment, Tally, Vec<u64>)> {
        self.hold.as_ref().and_then(|hold| hold.end.as_ref())
    }
}

/// The counts of a result.
pub(crate) fn counts(tally: &Tally) -> BTreeMap<String, u64> {
    let counts = tally.counts().into_iter();
    let known = |(name, _): &(&str, u64)| COUNTS.iter().any(|(other, _)| other == name);
    counts.filter(known).map(|(name, count)| (name.to_owned(), count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(at_ms: u64, cpu_ms: u64, sends: u64, memory_bytes: u64) -> Progress {
        let tally = Tally { open: 5, opened: 5, sends_written: sends, ..Tally::default() };
        let mut measures = Measures::default();
        measures.delivered.record(Duration::from_millis(2));
        measures.late.record(Duration::from_millis(if at_ms > 2_000 { 50 } else { 1 }));
        let at = Moment(at_ms * 1_000_000);
        Progress { tally, measures, at, cpu: Duration::from_millis(cpu_ms), memory_bytes }
    }

    #[test]
    fn every_count_of_the_result_is_counted() {
        let counts = counts(&Tally::default());
        for (name, _) in COUNTS {
            assert!(counts.contains_key(*name), "{name}");
        }
    }

    #[test]
    fn rates_and_the_tools_own_use_are_those_of_the_hold_alone() {
        let ms = |ms: u64| Moment(ms * 1_000_000);
        let mut watch = Watch::new(ms(0), &[(5, 1_000), (5, 1_000)]);
        watch.take(0, progress(1_000, 900, 100, 2_000));
        watch.begin_hold(ms(1_000));
        watch.take(0, progress(2_000, 1_000, 130, 6_000));
        watch.take(1, progress(2_000, 100, 30, 6_000));
        watch.end_hold(ms(2_000));
        watch.take(0, progress(3_000, 2_000, 500, 9_000));
        let (held_s, sends_per_s, _) = watch.rates();
        assert_eq!((held_s, sends_per_s), (1.0, 60.0));
        let tool = watch.tool();
        assert!((tool.cpu_share_max - 0.1).abs() < 1e-9, "{tool:?}");
        assert_eq!(tool.late.count, 1, "the second worker's look began before the hold");
        assert_eq!((tool.memory_per_socket_bytes, tool.workers[0].memory_bytes), (1_000, 6_000));
        assert_eq!(watch.sockets(12), Sockets { wanted: 12, opened: 10, most: 10, held: 10 });
        assert_eq!(watch.latency().delivered.count, 4);
    }

    #[test]
    fn a_look_is_what_came_since_the_one_before() {
        let mut watch = Watch::new(Moment(0), &[(5, 0)]);
        watch.take(0, progress(1_000, 500, 100, 1));
        let first = watch.look(Moment(1_000_000_000), Phase::Holding, (1, 2), 3, 4);
        assert_eq!((first.sends, first.sends_per_s, first.cpu_share), (100, 100.0, 0.5));
        watch.take(0, progress(3_000, 500, 140, 1));
        let second = watch.look(Moment(3_000_000_000), Phase::Holding, (2, 2), 0, 0);
        assert_eq!((second.sends, second.sends_per_s, second.cpu_share), (140, 20.0, 0.0));
        assert_eq!(watch.points().len(), 2);
        assert_eq!(watch.points()[1].sends_per_s, 20.0);
    }

    #[test]
    fn a_run_that_ended_before_its_load_was_held_has_no_rates() {
        let watch = Watch::new(Moment(0), &[(5, 0)]);
        assert_eq!(watch.rates(), (0.0, 0.0, 0.0));
        assert_eq!((watch.sockets(5).held, watch.tool().limit), (0, None));
    }
}
