//! What a worker counted, and the sum over workers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ending::Ending;

macro_rules! tally {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counts since the start of the run, unless it says otherwise.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct Tally {
            $($(#[$doc])* pub $name: u64,)*
            /// Connections that ended, by how.
            pub endings: BTreeMap<Ending, u64>,
            /// Writes refused for good, by the refusal's code.
            pub refusals: BTreeMap<String, u64>,
            /// Resets, by their reason.
            pub resets: BTreeMap<String, u64>,
        }

        impl Tally {
            /// All counts that are plain numbers, by their names.
            #[must_use]
            pub fn counts(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name)),*]
            }

            /// Adds what another worker counted.
            pub fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
                for (mine, others) in [(&mut self.refusals, &other.refusals), (&mut self.resets, &other.resets)] {
                    for (name, count) in others {
                        *mine.entry(name.clone()).or_default() += count;
                    }
                }
                for (ending, count) in &other.endings {
                    *self.endings.entry(*ending).or_default() += count;
                }
            }
        }
    };
}

tally! {
    /// Now: clients in an open session.
    open,
    /// Now: clients between the beginning of their connect and their welcome.
    opening,
    /// Now: clients that stay away for good.
    gone,
    /// Now: writes that wait for their answer, or to go out.
    unanswered,
    /// Clients that were welcomed at least once.
    opened,
    /// Sessions opened anew, without a position.
    welcomes,
    /// Sessions opened with a position.
    resumes,
    /// Messages that were due.
    sends_due,
    /// Messages written to a socket, repetitions not counted.
    sends_written,
    /// Messages written again after a lost connection or a refusal.
    sends_repeated,
    /// Messages sent a second time on purpose.
    sends_copied,
    /// Messages acknowledged.
    sends_acknowledged,
    /// Messages not even queued: their client had too many waiting.
    sends_skipped,
    /// Writes refused for now, to be tried again.
    refused_for_now,
    /// Membership changes asked for.
    changes_asked,
    /// Membership changes done.
    changes_done,
    /// Typing notices written.
    typing_written,
    /// Typing notices that came.
    typing_read,
    /// Changes of status written.
    statuses_written,
    /// Events that came: each is one delivery.
    deliveries,
    /// Of them, those of messages of this run.
    message_deliveries,
    /// `position` frames that came.
    positions,
    /// Presence snapshots that came.
    presence_snapshots,
    /// Presence diffs that came.
    presence_diffs,
    /// Bytes of presence snapshots and diffs.
    presence_bytes,
    /// Presence diffs that did not follow on the last one: a snapshot was asked for.
    presence_breaks,
    /// Pings of the server answered.
    pings,
    /// Bytes read from sockets.
    bytes_read,
    /// Bytes written to sockets.
    bytes_written,
    /// Connections cut on purpose.
    cuts,
    /// Returns that named a forged position.
    forged,
    /// Of them, those that a reset answered.
    forged_found,
    /// Times that a slow client stopped reading.
    stalls,
    /// `goaway` frames that came.
    goaways,
    /// `error` frames that came.
    errors,
    /// Messages that could not be read, or do not fit where they came.
    malformed,
    /// Answers to writes that nobody made.
    unasked_answers,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_workers_add_up() {
        let mut one = Tally { open: 2, ..Tally::default() };
        one.endings.insert(Ending::Cut, 1);
        one.resets.insert("epoch".into(), 1);
        let mut sum = one.clone();
        sum.add(&one);
        assert_eq!((sum.open, sum.endings[&Ending::Cut], sum.resets["epoch"]), (4, 2, 2));
        sum.add(&Tally::default());
        assert_eq!(sum.open, 4);
    }
}
