//! When something is to be done: at a rate, open loop. What is due does not wait for what came before.

use std::time::Duration;

use crate::moment::Moment;

/// Moments at a rate, from a seed.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    spacing: Spacing,
    /// The mean time between two.
    mean_ns: f64,
    random: fastrand::Rng,
    /// When the next is due, counted from the start.
    next_ns: f64,
    /// How many were taken: even ones are counted, so that no rate drifts.
    taken: u64,
    phase: f64,
    start: Moment,
    end: Moment,
}

/// How moments are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spacing {
    /// Independent of each other: times between them are exponential.
    Poisson,
    /// Evenly.
    Fixed,
}

impl Schedule {
    /// `per_second` moments from `start` to before `end`; none at a rate of 0.
    ///
    /// `phase` (0 to 1) is where within the spacing an even schedule begins: several workers then interleave.
    pub(crate) fn new(
        spacing: Spacing,
        per_second: f64,
        phase: f64,
        seed: u64,
        (start, end): (Moment, Moment),
    ) -> Self {
        let mean_ns = if per_second > 0.0 { 1e9 / per_second } else { f64::INFINITY };
        let mut schedule = Self {
            spacing,
            mean_ns,
            random: fastrand::Rng::with_seed(seed),
            next_ns: 0.0,
            taken: 0,
            phase,
            start,
            end,
        };
        schedule.advance();
        schedule
    }

    /// When the next is due; `None` when there are no more.
    pub(crate) fn next_due(&self) -> Option<Moment> {
        // A rate of 0, or of almost 0: never.
        let due = self.next_ns.is_finite().then(|| self.start + Duration::from_nanos(self.next_ns as u64))?;
        (due < self.end).then_some(due)
    }

    /// Takes the next one that is due at `now`.
    pub(crate) fn poll(&mut self, now: Moment) -> Option<Moment> {
        let due = self.next_due().filter(|due| *due <= now)?;
        self.taken += 1;
        self.advance();
        Some(due)
    }

    fn advance(&mut self) {
        self.next_ns = match self.spacing {
            Spacing::Poisson => self.next_ns + self.gap_ns(),
            Spacing::Fixed => (self.mean_ns * (self.phase + self.taken as f64)).round(),
        };
    }

    fn gap_ns(&mut self) -> f64 {
        // `1 - f64()` is above 0, so that the logarithm is finite.
        -(1.0 - self.random.f64()).ln() * self.mean_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Moment = Moment(1_000);

    fn all(spacing: Spacing, per_second: f64, phase: f64, seed: u64, seconds: u64) -> Vec<u64> {
        let mut schedule =
            Schedule::new(spacing, per_second, phase, seed, (START, START + Duration::from_secs(seconds)));
        std::iter::from_fn(|| schedule.poll(Moment(u64::MAX))).map(|due| due.0 - START.0).collect()
    }

    #[test]
    fn an_even_schedule_is_even_and_does_not_drift() {
        let due = all(Spacing::Fixed, 3.0, 0.0, 1, 100);
        assert_eq!(due.len(), 300);
        assert_eq!(due[..4], [0, 333_333_333, 666_666_667, 1_000_000_000]);
        assert_eq!(due[297], 99_000_000_000);
    }

    #[test]
    fn the_phases_of_several_workers_interleave() {
        let mut both = [all(Spacing::Fixed, 2.0, 0.0, 1, 2), all(Spacing::Fixed, 2.0, 0.5, 1, 2)].concat();
        both.sort_unstable();
        let steps: Vec<_> = both.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(steps, [250_000_000; 7]);
    }

    #[test]
    fn a_poisson_schedule_has_its_rate_and_its_spread() {
        let due = all(Spacing::Poisson, 1_000.0, 0.0, 7, 100);
        assert!((98_000..102_000).contains(&due.len()), "{}", due.len());
        // Of exponential gaps, 1 - 1/e are below the mean.
        let short = due.windows(2).filter(|pair| pair[1] - pair[0] < 1_000_000).count();
        assert!((0.62..0.644).contains(&(short as f64 / due.len() as f64)), "{short} of {}", due.len());
    }

    #[test]
    fn a_seed_says_all() {
        assert_eq!(all(Spacing::Poisson, 50.0, 0.0, 7, 2), all(Spacing::Poisson, 50.0, 0.0, 7, 2));
        assert_ne!(all(Spacing::Poisson, 50.0, 0.0, 7, 2), all(Spacing::Poisson, 50.0, 0.0, 8, 2));
    }

    #[test]
    fn nothing_is_due_before_its_time_nor_after_the_end_nor_at_no_rate() {
        let mut schedule =
            Schedule::new(Spacing::Fixed, 1.0, 0.5, 1, (START, START + Duration::from_secs(1)));
        let due = START + Duration::from_millis(500);
        assert_eq!(schedule.next_due(), Some(due));
        assert_eq!(schedule.poll(due - Duration::from_nanos(1)), None);
        assert_eq!(schedule.poll(due), Some(due));
        assert_eq!((schedule.next_due(), schedule.poll(Moment(u64::MAX))), (None, None));
        for spacing in [Spacing::Poisson, Spacing::Fixed] {
            assert!(all(spacing, 0.0, 0.0, 1, 100).is_empty());
        }
    }
}
