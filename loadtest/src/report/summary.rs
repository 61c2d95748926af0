//! The end of a run, for people: short, aligned, with units.

use std::fmt;

use super::numbers::{bytes, count, duration_ms, rate, share};
use super::result::{Ended, RunResult};
use crate::audit::Fault;
use crate::expect::Outcome;
use crate::latency;

/// A result as text.
#[derive(Debug, Clone, Copy)]
pub struct Summary<'a>(pub &'a RunResult);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.head(f)?;
        self.work(f)?;
        self.latencies(f)?;
        self.audit(f)?;
        self.tool(f)?;
        self.expectations(f)
    }
}

impl Summary<'_> {
    fn head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let run = self.0;
        let ended = match run.ended {
            Ended::Complete => "",
            Ended::Interrupted => ", ended early",
        };
        let held = duration_ms(run.held_s * 1000.0);
        writeln!(
            f,
            "{}: {} sockets, held for {held}{ended}, seed {}",
            run.scenario.name,
            count(run.sockets.wanted),
            run.seed
        )
    }

    fn work(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let run = self.0;
        let of = |name: &str| run.counts.get(name).copied().unwrap_or(0);
        let sockets = run.sockets;
        line(
            f,
            "sockets",
            &format!(
                "{} held at the end, {} at most, of {}",
                count(sockets.held),
                count(sockets.most),
                count(sockets.wanted)
            ),
        )?;
        let unplanned: Vec<_> = run
            .endings
            .iter()
            .filter(|(how, _)| !matches!(how.as_str(), "cut" | "over"))
            .map(|(how, times)| format!("{how} {}", count(*times)))
            .collect();
        if of("cuts") + of("resumes") > 0 || !unplanned.is_empty() {
            let others = if unplanned.is_empty() {
                "no other ended".into()
            } else {
                format!("others ended: {}", unplanned.join(", "))
            };
            line(
                f,
                "",
                &format!("{} cut on purpose, {} resumed; {others}", count(of("cuts")), count(of("resumes"))),
            )?;
        }
        if of("sends_due") > 0 {
            line(
                f,
                "messages",
                &format!(
                    "{} sent ({}), {} acknowledged",
                    count(of("sends_written")),
                    rate(run.sends_per_s),
                    count(of("sends_acknowledged"))
                ),
            )?;
        }
        let refused: u64 = run.refusals.values().sum();
        let troubles = [
            ("refused for good", refused),
            ("refused for now", of("refused_for_now")),
            ("not sent", of("sends_skipped")),
            ("unanswered", of("unanswered")),
        ];
        let troubles: Vec<_> = troubles
            .iter()
            .filter(|(_, times)| *times > 0)
            .map(|(what, times)| format!("{} {what}", count(*times)))
            .collect();
        if !troubles.is_empty() {
            line(f, "", &troubles.join(", "))?;
        }
        line(
            f,
            "deliveries",
            &format!(
                "{} ({}), {} read",
                count(of("deliveries")),
                rate(run.deliveries_per_s),
                bytes(of("bytes_read"))
            ),
        )?;
        if !run.resets.is_empty() {
            let resets: Vec<_> =
                run.resets.iter().map(|(why, times)| format!("{} {why}", count(*times))).collect();
            line(
                f,
                "resets",
                &format!(
                    "{} ({} of {} forged positions found)",
                    resets.join(", "),
                    count(of("forged_found")),
                    count(of("forged"))
                ),
            )?;
        }
        Ok(())
    }

    fn latencies(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (latency, tool) = (&self.0.latency, &self.0.tool);
        writeln!(f)?;
        if let Some(limit) = &tool.limit {
            return writeln!(f, "latency       not measured: {limit}");
        }
        let rows = [
            ("delivered", &latency.delivered),
            ("acknowledged", &latency.acknowledged),
            ("caught up", &latency.caught_up),
            ("resumed", &latency.resumed),
            ("welcomed", &latency.welcomed),
        ];
        let head = ["count", "p50", "p90", "p99", "p99.9", "max"];
        writeln!(f, "{}", row("latency", &head.map(String::from)))?;
        rows.iter().filter(|(_, summary)| summary.count > 0).try_for_each(|(name, summary)| {
            let latency::Summary { count: times, p50_ms, p90_ms, p99_ms, p999_ms, max_ms, .. } = **summary;
            let times =
                [count(times)].into_iter().chain([p50_ms, p90_ms, p99_ms, p999_ms, max_ms].map(duration_ms));
            writeln!(f, "{}", row(&format!("  {name}"), &times.collect::<Vec<_>>()))
        })
    }

    fn audit(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let audit = &self.0.audit;
        writeln!(f)?;
        if audit.is_clean() {
            let named = [
                Fault::Lost,
                Fault::Duplicated,
                Fault::Reordered,
                Fault::Leaked,
                Fault::Corrupted,
                Fault::NeverSeen,
            ];
            let zeros = named.map(|fault| format!("{fault} 0")).join(", ");
            line(f, "audit", &format!("nothing wrong: {zeros}"))?;
        } else {
            let faults = audit.faults.iter().filter(|(_, times)| **times > 0);
            let faults: Vec<_> = faults.map(|(fault, times)| format!("{fault} {}", count(*times))).collect();
            line(f, "audit", &format!("FAULTS: {}", faults.join(", ")))?;
        }
        let judged = [audit.judged, audit.events, audit.unjudged, audit.dark].map(count);
        let [judged, events, unjudged, dark] = judged;
        let words =
            format!("{judged} deliveries of {events} events judged, {unjudged} unjudged, {dark} places dark");
        line(f, "", &words)?;
        if audit.clients_away > 0 {
            let (away, clients) = (count(audit.clients_away), count(audit.clients));
            line(
                f,
                "",
                &format!("{away} of {clients} clients away at the end: judged up to where they were"),
            )?;
        }
        let history = audit.in_history.map_or("the history was not read".into(), |found| {
            format!("{} found in the history", count(found))
        });
        if audit.acknowledged > 0 {
            line(f, "", &format!("{} acknowledged, {history}", count(audit.acknowledged)))?;
        }
        if audit.realms_set_back > 0 {
            line(
                f,
                "",
                &format!("{} realms not audited to the end: their logs were set back", audit.realms_set_back),
            )?;
        }
        for note in &self.0.notes {
            line(f, "", note)?;
        }
        for offender in &audit.first {
            writeln!(f, "  {offender}")?;
        }
        if !audit.is_clean() {
            writeln!(f, "  again: {}", self.0.command)?;
        }
        Ok(())
    }

    fn tool(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tool = &self.0.tool;
        line(
            f,
            "load tester",
            &format!(
                "{} workers, each at most {} of its core; sends late by {} (p99); {} a socket",
                tool.workers.len(),
                share(tool.cpu_share_max),
                duration_ms(tool.late.p99_ms),
                bytes(tool.memory_per_socket_bytes)
            ),
        )
    }

    fn expectations(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let expectations = &self.0.expectations;
        if expectations.is_empty() {
            return Ok(());
        }
        let met = expectations.iter().filter(|outcome| outcome.is_met()).count();
        writeln!(f)?;
        line(f, "expectations", &format!("{met} of {} met", expectations.len()))?;
        expectations.iter().try_for_each(|outcome| writeln!(f, "  {}", Outcome::to_string(outcome)))
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, words: &str) -> fmt::Result {
    writeln!(f, "{name:<14}{words}")
}

fn row(name: &str, columns: &[String]) -> String {
    let columns: String = columns.iter().map(|column| format!("{column:>11}")).collect();
    format!("{name:<14}{columns}")
}

#[cfg(test)]
mod tests {
    use squall_protocol::{RealmId, Sequence, UserId};

    use super::super::example;
    use super::super::result::Exit;
    use super::*;
    use crate::audit::{Offender, RealmKey};
    use crate::expect::Expectation;
    use crate::latency::Limit;

    fn text(run: &RunResult) -> String {
        Summary(run).to_string()
    }

    #[test]
    fn a_good_run_is_told_in_a_dozen_lines() {
        let expected = "\
chat: 1,000 sockets, held for 30.0 s, seed 7
sockets       1,000 held at the end, 1,000 at most, of 1,000
messages      900 sent (30.0/s), 900 acknowledged
deliveries    112,500 (3,750/s), 31.0 MiB read

latency             count        p50        p90        p99      p99.9        max
  delivered       112,500    1.90 ms    3.80 ms    7.60 ms    11.4 ms    15.2 ms
  acknowledged        900    3.10 ms    6.20 ms    12.4 ms    18.6 ms    24.8 ms

audit         nothing wrong: lost 0, duplicated 0, reordered 0, leaked 0, corrupted 0, never_seen 0
              112,500 deliveries of 912 events judged, 0 unjudged, 0 places dark
              900 acknowledged, the history was not read
load tester   2 workers, each at most 34 % of its core; sends late by 400 µs (p99); 1.10 KiB a socket
";
        assert_eq!(text(&example()), expected);
        assert_eq!(example().exit(), Exit::Good);
    }

    #[test]
    fn faults_come_with_the_offenders_and_the_command_to_see_them_again() {
        let mut run = example();
        run.audit.faults.insert(Fault::Lost, 2);
        run.audit.first.push(Offender {
            at_ms: 1_234,
            fault: Fault::Lost,
            worker: Some(1),
            client: Some(3),
            realm: RealmKey { target: 0, realm_id: RealmId(5) },
            user: Some(UserId(9)),
            sequence: Sequence(77),
            what: "message 8 of user 2 to stream 4".into(),
        });
        let text = text(&run);
        assert!(text.contains("audit         FAULTS: lost 2\n"), "{text}");
        assert!(
            text.contains("1.234 s  lost: realm 5 of target 0, sequence 77, user 9, client 3 of worker 1"),
            "{text}"
        );
        assert!(text.contains("  again: loadtest chat --seed 7\n"), "{text}");
        assert_eq!(run.exit(), Exit::Faulty);
    }

    #[test]
    fn latencies_of_a_busy_load_tester_are_not_shown() {
        let mut run = example();
        run.tool.limit =
            Some(Limit { reasons: vec!["sends were late by 15.0 ms (p99), more than 10 ms".into()] });
        let text = text(&run);
        assert!(
            text.contains("latency       not measured: the load generator was the limit: sends were late"),
            "{text}"
        );
        assert!(!text.contains("delivered "), "{text}");
    }

    #[test]
    fn what_went_otherwise_than_planned_is_told() {
        let mut run = example();
        run.ended = Ended::Interrupted;
        for (name, times) in
            [("cuts", 40), ("resumes", 41), ("refused_for_now", 3), ("forged", 2), ("forged_found", 2)]
        {
            run.counts.insert(name.into(), times);
        }
        run.endings.insert("closed 4200".into(), 1);
        run.refusals.insert("Forbidden".into(), 5);
        run.resets.insert("epoch".into(), 2);
        let text = text(&run);
        for words in [
            "held for 30.0 s, ended early, seed 7",
            "40 cut on purpose, 41 resumed; others ended: closed 4200 1",
            "5 refused for good, 3 refused for now",
            "resets        2 epoch (2 of 2 forged positions found)",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }

    #[test]
    fn expectations_are_told_and_set_the_exit_code() {
        let mut run = example();
        let judge = |text: &str, run: &RunResult| text.parse::<Expectation>().unwrap().judge(run);
        run.expectations = vec![judge("p99<50ms", &run), judge("lost=0", &run)];
        assert_eq!(run.exit(), Exit::Good);
        run.expectations.push(judge("deliveries>=200000", &run));
        assert_eq!(run.exit(), Exit::Faulty);
        let text = text(&run);
        assert!(text.ends_with("expectations  2 of 3 met\n  met     p99<50ms: 7.60 ms\n  met     lost=0: 0\n  MISSED  deliveries>=200000: 112,500\n"), "{text}");
    }

    #[test]
    fn the_result_survives_its_file_and_has_units_in_its_names() {
        let run = example();
        let json = run.to_json().unwrap();
        assert_eq!(serde_json::from_str::<RunResult>(&json).unwrap(), run);
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["latency"]["delivered"]["p99_ms"], 7.6);
        assert_eq!(value["audit"]["judged"], 112_500);
        assert_eq!(value["scenario"]["clients"]["hold"], "30s");
    }

    #[test]
    fn exit_codes_are_those_of_the_documentation() {
        assert_eq!([Exit::Good, Exit::Faulty, Exit::Usage, Exit::Failed].map(Exit::code), [0, 1, 2, 3]);
    }
}
