//! The figures of a result by name: what `--expect` can hold it to.

use super::result::{Latency, RunResult};
use crate::audit::Fault;
use crate::latency::Summary;

/// A figure's name, with what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// What it counts.
    pub unit: Unit,
    /// What it means.
    pub words: String,
}

/// What a figure counts, and the unit that its value is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A number of things.
    Count,
    /// Milliseconds.
    Time,
    /// Things in a second.
    Rate,
    /// Bytes.
    Bytes,
    /// A fraction: 1 is 100 %.
    Share,
}

/// A figure of a result.
#[derive(Debug, Clone, PartialEq)]
pub enum Figure {
    /// It is this, in the unit of its metric.
    Is(f64),
    /// There is none, for this reason.
    NotMeasured(String),
}

/// The names of `counts` in the result.
pub const COUNTS: &[(&str, &str)] = &[
    ("opened", "clients welcomed at least once"),
    ("welcomes", "sessions opened anew, without a position"),
    ("resumes", "sessions opened with a position"),
    ("sends_due", "messages that were due"),
    ("sends_written", "messages written to a socket, repetitions not counted"),
    ("sends_repeated", "messages written again after a lost connection or a refusal"),
    ("sends_copied", "messages sent a second time on purpose"),
    ("sends_acknowledged", "messages acknowledged"),
    ("sends_skipped", "messages not sent, because too many of their client waited for an answer"),
    ("refused_for_now", "writes refused for now, and tried again"),
    ("changes_asked", "membership changes asked for"),
    ("changes_done", "membership changes done"),
    ("typing_written", "typing notices written"),
    ("typing_read", "typing notices that came"),
    ("statuses_written", "changes of status written"),
    ("deliveries", "events that came, over all sockets"),
    ("message_deliveries", "of them, those of messages of this run"),
    ("positions", "`position` frames that came"),
    ("presence_snapshots", "presence snapshots that came"),
    ("presence_diffs", "presence diffs that came"),
    ("presence_bytes", "bytes of presence that came"),
    ("presence_breaks", "presence diffs that did not follow on the one before"),
    ("pings", "pings of the server that were answered"),
    ("bytes_read", "bytes read from sockets"),
    ("bytes_written", "bytes written to sockets"),
    ("cuts", "connections cut on purpose"),
    ("forged", "returns that named a forged position"),
    ("forged_found", "of them, those that a reset answered"),
    ("stalls", "times that a slow client stopped reading"),
    ("goaways", "`goaway` frames that came"),
    ("errors", "`error` frames that came"),
    ("malformed", "messages that could not be read, or did not belong where they came"),
    ("unasked_answers", "answers to writes that nobody made"),
    ("gone", "clients that stay away for good"),
];

type Part = fn(&Latency) -> &Summary;
type Statistic = fn(&Summary) -> f64;

/// Names of latencies: before the point; the first one also without.
const LATENCIES: &[(&str, Part, &str)] = &[
    ("delivered", |latency| &latency.delivered, "from the due time of a send to each of its deliveries"),
    ("ack", |latency| &latency.acknowledged, "from the due time of a send to its acknowledgement"),
    ("caught_up", |latency| &latency.caught_up, "the same to clients that were away or did not read then"),
    ("resume", |latency| &latency.resumed, "from setting out to come back to having all that was missed"),
    ("upgrade", |latency| &latency.upgraded, "from the beginning of a connect to the answer of the upgrade"),
    ("welcome", |latency| &latency.welcomed, "from the beginning of a connect to the welcome"),
];

const STATISTICS: &[(&str, Statistic, &str)] = &[
    ("p50", |summary| summary.p50_ms, "half are at most this"),
    ("p90", |summary| summary.p90_ms, "90 of a hundred are at most this"),
    ("p99", |summary| summary.p99_ms, "99 of a hundred are at most this"),
    ("p999", |summary| summary.p999_ms, "999 of a thousand are at most this"),
    ("mean", |summary| summary.mean_ms, "the mean"),
    ("max", |summary| summary.max_ms, "the longest"),
];

type Other = fn(&RunResult) -> f64;

const OTHERS: &[(&str, Unit, Other, &str)] = &[
    ("sockets", Unit::Count, |run| run.sockets.held as f64, "sockets held when the load ended"),
    ("sends_per_s", Unit::Rate, |run| run.sends_per_s, "messages sent in a second, while the load was held"),
    (
        "deliveries_per_s",
        Unit::Rate,
        |run| run.deliveries_per_s,
        "events delivered in a second, while the load was held",
    ),
    (
        "faults",
        Unit::Count,
        |run| run.audit.faults.values().sum::<u64>() as f64,
        "all findings of the audit together",
    ),
    ("judged", Unit::Count, |run| run.audit.judged as f64, "deliveries that the audit judged"),
    ("unjudged", Unit::Count, |run| run.audit.unjudged as f64, "deliveries that could not be judged"),
    ("dark", Unit::Count, |run| run.audit.dark as f64, "places of the logs whose event no client saw"),
    (
        "acknowledged",
        Unit::Count,
        |run| run.audit.acknowledged as f64,
        "acknowledged sends that the audit knows of",
    ),
    ("clients_away", Unit::Count, |run| run.audit.clients_away as f64, "clients away at the end"),
    ("cpu_share_max", Unit::Share, |run| run.tool.cpu_share_max, "the most that a worker used of its core"),
    (
        "memory_per_socket",
        Unit::Bytes,
        |run| run.tool.memory_per_socket_bytes as f64,
        "memory of the load tester for each socket",
    ),
    (
        "late.p99",
        Unit::Time,
        |run| run.tool.late.p99_ms,
        "by how much the tool's sends were late: 99 of a hundred are at most this",
    ),
    (
        "turn.p99",
        Unit::Time,
        |run| run.tool.turn.p99_ms,
        "how long turns of the tool's loops took: 99 of a hundred are at most this",
    ),
];

/// All figures that there are.
#[must_use]
pub fn metrics() -> Vec<Metric> {
    let metric = |name: String, unit, words: String| Metric { name, unit, words };
    let mut all: Vec<_> = STATISTICS
        .iter()
        .map(|(name, _, words)| metric((*name).into(), Unit::Time, format!("{}: {words}", LATENCIES[0].2)))
        .collect();
    for (latency, _, of) in LATENCIES {
        let each = STATISTICS.iter().map(|(name, _, words)| {
            metric(format!("{latency}.{name}"), Unit::Time, format!("{of}: {words}"))
        });
        all.extend(each);
    }
    all.extend(Fault::ALL.map(|fault| {
        metric(fault.name().into(), Unit::Count, format!("findings of the audit: {}", fault.words()))
    }));
    all.extend(OTHERS.iter().map(|(name, unit, _, words)| metric((*name).into(), *unit, (*words).into())));
    all.extend(COUNTS.iter().map(|(name, words)| metric((*name).into(), Unit::Count, (*words).into())));
    all
}

impl RunResult {
    /// The figure of this name; none if there is no such name.
    #[must_use]
    pub fn figure(&self, name: &str) -> Option<Figure> {
        let other = OTHERS.iter().find(|(other, ..)| *other == name);
        if let Some((.., of, _)) = other {
            return Some(Figure::Is(of(self)));
        }
        if let Some(fault) = Fault::ALL.into_iter().find(|fault| fault.name() == name) {
            return Some(Figure::Is(self.audit.count(fault) as f64));
        }
        if COUNTS.iter().any(|(count, _)| *count == name) {
            return Some(Figure::Is(self.counts.get(name).copied().unwrap_or(0) as f64));
        }
        let (latency, statistic) = name.split_once('.').unwrap_or((LATENCIES[0].0, name));
        let (_, part, _) = LATENCIES.iter().find(|(other, ..)| *other == latency)?;
        let (_, statistic, _) = STATISTICS.iter().find(|(other, ..)| *other == statistic)?;
        let summary = part(&self.latency);
        Some(match &self.tool.limit {
            Some(limit) => Figure::NotMeasured(limit.to_string()),
            None if summary.count == 0 => Figure::NotMeasured("there was nothing to measure".into()),
            None => Figure::Is(statistic(summary)),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::example;
    use super::*;

    #[test]
    fn every_name_has_one_figure() {
        let run = example();
        let metrics = metrics();
        let names: HashSet<_> = metrics.iter().map(|metric| metric.name.as_str()).collect();
        assert_eq!(names.len(), metrics.len());
        for metric in &metrics {
            assert!(run.figure(&metric.name).is_some(), "{}", metric.name);
            assert!(!metric.words.is_empty());
        }
        for name in ["", "p98", "ack", "ack.", "ack.p98", "nothing.p99"] {
            assert_eq!(run.figure(name), None, "{name}");
        }
    }

    #[test]
    fn a_latency_without_a_prefix_is_that_of_deliveries() {
        let run = example();
        assert_eq!(run.figure("p99"), run.figure("delivered.p99"));
        assert_eq!(run.figure("p99"), Some(Figure::Is(run.latency.delivered.p99_ms)));
        assert_eq!(run.figure("deliveries"), Some(Figure::Is(112_500.0)));
    }

    #[test]
    fn what_was_not_measured_is_no_zero() {
        let mut run = example();
        assert!(
            matches!(run.figure("resume.p99"), Some(Figure::NotMeasured(why)) if why.contains("nothing"))
        );
        run.tool.limit = Some(crate::latency::Limit { reasons: vec!["it was busy".into()] });
        assert!(matches!(run.figure("p99"), Some(Figure::NotMeasured(why)) if why.contains("it was busy")));
        assert!(
            matches!(run.figure("late.p99"), Some(Figure::Is(_))),
            "the tool's own is known all the same"
        );
    }
}
