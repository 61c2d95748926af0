//! The clock that all nodes share, whatever their own clocks say.

use std::collections::VecDeque;

/// A node's estimate of bus time: the writers' clock, as far as answers that travel can tell it.
///
/// Each answer with the writer's time is a measurement of how far the node's clock is from it, wrong by at
/// most half the round trip; the quickest of the last minute counts. The first is taken at once. Later ones
/// move the estimate by at most an eighth of the time that passes, so that bus time neither goes back nor
/// jumps, and all nodes move alike when the writers' clock is set.
#[derive(Debug, Clone, Default)]
pub struct BusTime {
    measured: VecDeque<Measurement>,
    /// How far bus time is ahead of the node's clock; none before the first measurement.
    offset_ms: Option<i64>,
    /// The node's time up to which `offset_ms` was moved.
    moved_ms: u64,
}

#[derive(Debug, Clone, Copy)]
struct Measurement {
    received_ms: u64,
    round_trip_ms: u64,
    offset_ms: i64,
}

impl BusTime {
    /// The bus time of a node that is its writer's neighbour: its own clock.
    #[must_use]
    pub fn own() -> Self {
        Self { offset_ms: Some(0), ..Self::default() }
    }

    /// A question left at `sent_ms` and was answered by `received_ms`, both by the node's clock; the writer's
    /// clock showed `theirs_ms` in between.
    pub fn handle_answer(&mut self, sent_ms: u64, received_ms: u64, theirs_ms: u64) {
        let round_trip_ms = received_ms.saturating_sub(sent_ms);
        let offset_ms = signed(theirs_ms) - signed(sent_ms.saturating_add(round_trip_ms / 2));
        self.offset_ms = Some(self.offset_ms(received_ms).unwrap_or(offset_ms));
        self.moved_ms = self.moved_ms.max(received_ms);
        self.measured.retain(|old| received_ms.saturating_sub(old.received_ms) < MEASUREMENT_AGE_MS_MAX);
        if self.measured.len() == MEASUREMENTS_MAX {
            self.measured.pop_front();
        }
        self.measured.push_back(Measurement { received_ms, round_trip_ms, offset_ms });
    }

    /// How far bus time is ahead of the node's clock at `node_ms`; none before the first measurement.
    pub fn offset_ms(&mut self, node_ms: u64) -> Option<i64> {
        let offset_ms = self.offset_ms?;
        let Some(best) = self.measured.iter().rev().min_by_key(|measured| measured.round_trip_ms) else {
            return self.offset_ms;
        };
        let steps = node_ms.saturating_sub(self.moved_ms) / MS_PER_STEP;
        self.moved_ms += steps * MS_PER_STEP;
        let step_max = signed(steps);
        let step = best.offset_ms.saturating_sub(offset_ms).clamp(-step_max, step_max);
        self.offset_ms = Some(offset_ms + step);
        self.offset_ms
    }

    /// Whether there was a measurement.
    #[must_use]
    pub fn is_measured(&self) -> bool {
        self.offset_ms.is_some()
    }
}

/// Clocks are far below the range of an `i64`.
fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

/// The estimate moves by one millisecond in so many.
const MS_PER_STEP: u64 = 8;

/// A measurement counts for so long: clocks drift by some milliseconds a minute.
const MEASUREMENT_AGE_MS_MAX: u64 = 60_000;

/// A minute of measurements, at one in five seconds, or the last seconds of more.
const MEASUREMENTS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START_MS: u64 = 1_763_818_000_000;
    const MINUTE_MS: u64 = 60_000;

    fn ahead(ms: i64) -> u64 {
        START_MS.checked_add_signed(ms).unwrap()
    }

    #[test]
    fn nothing_is_known_before_the_first_answer() {
        let mut time = BusTime::default();
        assert_eq!((time.offset_ms(START_MS), time.is_measured()), (None, false));
        assert_eq!(BusTime::own().offset_ms(START_MS), Some(0));
    }

    #[test]
    fn the_first_answer_counts_at_once_whichever_way_the_clocks_differ() {
        for skew_ms in [-7 * 60_000, 0, 7 * 60_000] {
            let mut time = BusTime::default();
            time.handle_answer(START_MS, START_MS + 40, ahead(skew_ms + 20));
            assert_eq!(time.offset_ms(START_MS + 40), Some(skew_ms));
        }
    }

    #[test]
    fn a_later_answer_moves_it_by_an_eighth_of_the_time_that_passes() {
        let mut time = BusTime::default();
        time.handle_answer(START_MS, START_MS + 50, START_MS + 25);
        // The writer's clock was set: a second ahead.
        let at_ms = START_MS + 10_000;
        time.handle_answer(at_ms, at_ms + 40, at_ms + 20 + 1_000);
        assert_eq!(time.offset_ms(at_ms + 40), Some(0));
        assert_eq!(time.offset_ms(at_ms + 40 + 800), Some(100));
        assert_eq!(time.offset_ms(at_ms + 40 + 8_000), Some(1_000));
        assert_eq!(time.offset_ms(at_ms + 40 + 80_000), Some(1_000));
    }

    #[test]
    fn a_slow_answer_does_not_spoil_what_a_quick_one_told() {
        let mut time = BusTime::default();
        time.handle_answer(START_MS, START_MS + 2, START_MS + 1);
        // Ten seconds under way, all of them on the way back.
        time.handle_answer(START_MS + 100, START_MS + 10_100, START_MS + 100);
        assert_eq!(time.offset_ms(START_MS + 30_000), Some(0));
    }

    #[test]
    fn a_quick_answer_is_forgotten_after_a_minute_as_clocks_drift() {
        let mut time = BusTime::default();
        time.handle_answer(START_MS, START_MS, START_MS);
        let later_ms = START_MS + MINUTE_MS;
        time.handle_answer(later_ms, later_ms + 10, later_ms + 5 + 3);
        assert_eq!(time.offset_ms(later_ms + 10), Some(0));
        assert_eq!(time.offset_ms(later_ms + 10 + 24), Some(3));
    }

    #[test]
    fn an_answer_before_its_question_is_survived() {
        let mut time = BusTime::default();
        time.handle_answer(START_MS + 5, START_MS, u64::MAX);
        time.handle_answer(START_MS + 5, START_MS + 6, 0);
        assert!(time.offset_ms(u64::MAX).is_some());
    }

    proptest! {
        /// A clock that is off by minutes and drifts, asked now and then over a slow link: bus time is never
        /// further from the writer's than the slowest answer of the last minute allows, never goes back,
        /// and never runs at less than seven eighths or more than nine eighths.
        #[test]
        fn bus_time_is_the_writers_within_half_a_round_trip_and_runs_on(
            skew_ms in -600_000..600_000i64,
            drift_ppm in -100..100i64,
            answers in prop::collection::vec((0..2_000u64, 0..2_000u64, 100..9_000u64), 1..60),
        ) {
            let node = |true_ms: u64| {
                let drifted = true_ms as i64 + true_ms as i64 * drift_ppm / 1_000_000;
                ahead(skew_ms).checked_add_signed(drifted).unwrap()
            };
            let mut time = BusTime::default();
            let mut true_ms = 0;
            let mut before: Option<(u64, u64)> = None;
            for (there_ms, back_ms, pause_ms) in answers {
                let received = true_ms + there_ms + back_ms;
                time.handle_answer(node(true_ms), node(received), START_MS + true_ms + there_ms);
                true_ms = received + pause_ms;
                for at_ms in [received, true_ms] {
                    let offset_ms = time.offset_ms(node(at_ms)).unwrap();
                    let bus_ms = node(at_ms).checked_add_signed(offset_ms).unwrap();
                    let error_ms = bus_ms.abs_diff(START_MS + at_ms);
                    // Drift: 100 ppm of a minute is 6 ms.
                    prop_assert!(error_ms <= 2_000 + 10, "off by {} ms", error_ms);
                    if let Some((node_ms, last_ms)) = before {
                        let passed_ms = node(at_ms) - node_ms;
                        prop_assert!(bus_ms >= last_ms + passed_ms - passed_ms.div_ceil(8) - 1);
                        prop_assert!(bus_ms <= last_ms + passed_ms + passed_ms.div_ceil(8) + 1);
                    }
                    before = Some((node(at_ms), bus_ms));
                }
            }
        }
    }
}
