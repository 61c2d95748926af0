//! Compares what every socket saw with what it was to see.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::plan::{Plan, Sizes};
use crate::record::{Delivery, Record};

/// The most examples kept of what is wrong.
const EXAMPLES_MAX: usize = 20;

/// What is wrong, counted over all sockets.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Messages compared: for each socket all that it was to see.
    deliveries: usize,
    lost: usize,
    duplicated: usize,
    reordered: usize,
    leaked: usize,
    /// One message under two ids or sequences, or an answer that names another than was delivered.
    inconsistent: usize,
    unacknowledged: usize,
    /// Messages that the history has otherwise than they were delivered.
    history_differs: usize,
    resets: usize,
    /// The first few, in words.
    pub(crate) examples: Vec<String>,
    /// Each message as it was first seen delivered.
    canon: BTreeMap<usize, Delivery>,
}

impl Findings {
    /// Checks every record against the plan and against each other.
    pub(crate) fn of(plan: &Plan, records: &[Record]) -> Self {
        let mut findings = Self::default();
        for record in records {
            findings.check_deliveries(plan, record);
        }
        for record in records {
            findings.check_answers(plan, record);
        }
        findings.resets = records.iter().map(|record| record.resets).sum();
        findings
    }

    /// Whether nothing at all is wrong.
    pub(crate) fn are_clean(&self) -> bool {
        let wrong = self.lost + self.duplicated + self.reordered + self.leaked + self.inconsistent;
        wrong + self.unacknowledged + self.history_differs + self.resets == 0 && self.deliveries > 0
    }

    /// The history that the API gives to `user` must be what its sockets saw.
    pub(crate) fn compare_history(&mut self, plan: &Plan, user: usize, contents: &[String]) {
        let history: Vec<usize> = contents.iter().filter_map(|content| Plan::number(content)).collect();
        let mut seen: Vec<&Delivery> =
            self.canon.values().filter(|delivery| plan.may_see(user, delivery.number)).collect();
        seen.sort_by_key(|delivery| delivery.sequence);
        let seen: Vec<usize> = seen.iter().map(|delivery| delivery.number).collect();
        let differing =
            seen.iter().zip(&history).filter(|(a, b)| a != b).count() + seen.len().abs_diff(history.len());
        if differing > 0 {
            self.history_differs += differing;
            self.example(format!("user {user}: {} in the history, {} delivered", history.len(), seen.len()));
        }
    }

    /// The figures of a run.
    pub(crate) fn table(&self, sizes: &Sizes, records: &[Record], took: Duration) -> String {
        let sum = |of: fn(&Record) -> usize| records.iter().map(of).sum::<usize>();
        let rows = [
            ("messages", sizes.messages),
            ("sockets", sizes.sockets),
            ("server killed", sizes.kills),
            ("acknowledged", sum(|record| record.acknowledged.len())),
            ("deliveries checked", self.deliveries),
            ("resumes", sum(|record| record.resumes)),
            ("sends repeated", sum(|record| record.sends_repeated)),
            ("sends refused, tried again", sum(|record| record.refusals)),
            ("resets", self.resets),
            ("lost", self.lost),
            ("duplicated", self.duplicated),
            ("reordered", self.reordered),
            ("leaked", self.leaked),
            ("inconsistent", self.inconsistent),
            ("differing in the history", self.history_differs),
        ];
        let mut table = format!("{:<28}{:>10}\n", "seed", sizes.seed);
        for (name, count) in rows {
            table.push_str(&format!("{name:<28}{count:>10}\n"));
        }
        table.push_str(&format!("{:<28}{:>10.1}", "seconds", took.as_secs_f64()));
        table
    }

    fn check_deliveries(&mut self, plan: &Plan, record: &Record) {
        let user = plan.sockets[record.socket].user;
        let mut seen = BTreeSet::new();
        let mut newest = squall_protocol::Sequence::ZERO;
        let mut newest_of_sender: BTreeMap<usize, usize> = BTreeMap::new();
        for delivery in &record.deliveries {
            let number = delivery.number;
            if !plan.may_see(user, number) {
                self.leaked += 1;
                self.example(format!("socket {}: {delivery:?} leaked to user {user}", record.socket));
            }
            if !seen.insert(number) {
                self.duplicated += 1;
                self.example(format!("socket {}: {delivery:?} twice", record.socket));
            } else if delivery.sequence <= newest {
                self.reordered += 1;
                self.example(format!("socket {}: {delivery:?} after {newest}", record.socket));
            }
            newest = newest.max(delivery.sequence);
            // A sender numbers its messages upwards.
            let before = newest_of_sender.insert(plan.messages[number].socket, number);
            if before.is_some_and(|before| before > number) {
                self.reordered += 1;
                self.example(format!("socket {}: {delivery:?} after its sender's {before:?}", record.socket));
            }
            let canon = *self.canon.entry(number).or_insert(*delivery);
            if canon != *delivery {
                self.inconsistent += 1;
                self.example(format!("socket {}: {delivery:?}, elsewhere {canon:?}", record.socket));
            }
        }
        for number in (0..plan.messages.len()).filter(|&number| plan.may_see(user, number)) {
            self.deliveries += 1;
            if !seen.contains(&number) {
                self.lost += 1;
                self.example(format!("socket {}: number {number} never came", record.socket));
            }
        }
    }

    /// Each send was answered, and each answer names the message as it was delivered.
    fn check_answers(&mut self, plan: &Plan, record: &Record) {
        for number in &plan.sockets[record.socket].says {
            if !record.acknowledged.contains_key(number) {
                self.unacknowledged += 1;
                self.example(format!("socket {}: number {number} never acknowledged", record.socket));
            }
        }
        for (&number, answers) in &record.acknowledged {
            let delivered = self.canon.get(&number).copied();
            for &(message_id, sequence) in answers {
                if delivered != Some(Delivery { sequence, message_id, number }) {
                    self.inconsistent += 1;
                    self.example(format!(
                        "number {number}: acknowledged {message_id}, delivered {delivered:?}"
                    ));
                }
            }
        }
    }

    fn example(&mut self, words: String) {
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(words);
        }
    }
}
