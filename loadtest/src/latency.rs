//! How long things took: histograms that lose nothing that matters, and whether the tool itself was the limit.
//!
//! Microseconds, to three significant digits, up to an hour. [`Histogram`] is quick to record into;
//! [`Compact`] is the same in few bytes, for other processes and for series over time.

mod series;
mod watch;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use series::{Fold, POINTS_MAX, Series};
pub use watch::{BUSY_LOOKS_SHARE_MAX, CPU_SHARE_MAX, LATE_MAX, Limit, Look, SelfWatch, TURN_MAX};

/// The longest time that is told apart.
const LONGEST: Duration = Duration::from_secs(3600);
/// A value is off by a thousandth at most.
const DIGITS: u8 = 3;

/// Times, many of them. Empty, it takes eight bytes; else some 20 to 180 KiB.
#[derive(Clone, Default)]
pub struct Histogram(Option<Box<hdrhistogram::Histogram<u64>>>);

/// The same times in few bytes: (microseconds, how many), ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Compact(Vec<(u64, u64)>);

/// What a reader wants to know of them. All times in milliseconds; nothing recorded is all zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// How many there are.
    pub count: u64,
    /// The shortest.
    pub min_ms: f64,
    /// Their mean.
    pub mean_ms: f64,
    /// Half are at most this long.
    pub p50_ms: f64,
    /// 90 of a hundred are at most this long.
    pub p90_ms: f64,
    /// 99 of a hundred are at most this long.
    pub p99_ms: f64,
    /// 999 of a thousand are at most this long.
    pub p999_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

impl Histogram {
    /// Takes in a time.
    pub fn record(&mut self, time: Duration) {
        self.record_micros(micros(time), 1);
    }

    /// Takes in what another one has.
    pub fn add(&mut self, other: &Self) {
        let Some(others) = &other.0 else { return };
        match &mut self.0 {
            // It grows as it has to: this can't fail.
            Some(mine) => _ = mine.add(&**others),
            None => self.0 = Some(others.clone()),
        }
    }

    /// Takes in what a compact one has.
    pub fn add_compact(&mut self, other: &Compact) {
        other.0.iter().for_each(|(micros, count)| self.record_micros(*micros, *count));
    }

    /// How many times are in it.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.as_ref().map_or(0, |inner| inner.len())
    }

    /// This share of them (0.99) is at most so long.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        self.0.as_ref().map_or(Duration::ZERO, |inner| Duration::from_micros(inner.value_at_quantile(share)))
    }

    /// The longest.
    #[must_use]
    pub fn max(&self) -> Duration {
        self.0.as_ref().map_or(Duration::ZERO, |inner| Duration::from_micros(inner.max()))
    }

    /// All that a reader wants to know.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let Some(inner) = &self.0 else { return Summary::default() };
        let at = |share| ms(inner.value_at_quantile(share));
        Summary {
            count: inner.len(),
            min_ms: ms(inner.min()),
            mean_ms: inner.mean().round() / 1000.0,
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: ms(inner.max()),
        }
    }

    /// The same in few bytes.
    #[must_use]
    pub fn compact(&self) -> Compact {
        let steps = self.0.iter().flat_map(|inner| inner.iter_recorded());
        Compact(steps.map(|step| (step.value_iterated_to(), step.count_since_last_iteration())).collect())
    }

    fn record_micros(&mut self, micros: u64, count: u64) {
        if self.0.is_none() {
            self.0 = hdrhistogram::Histogram::new(DIGITS).ok().map(Box::new);
        }
        if let Some(inner) = &mut self.0 {
            // Below the longest it grows as it has to: this can't fail.
            _ = inner.record_n(micros.min(LONGEST.as_micros() as u64), count);
        }
    }
}

impl Compact {
    /// How many times are in it.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    /// Takes in what another one has.
    pub fn add(&mut self, other: &Self) {
        let mut both = Vec::with_capacity(self.0.len().max(other.0.len()));
        let (mut mine, mut others) = (self.0.iter().copied().peekable(), other.0.iter().copied().peekable());
        loop {
            let next = match (mine.peek(), others.peek()) {
                (Some((a, _)), Some((b, _))) if a == b => {
                    mine.next().zip(others.next()).map(|((micros, one), (_, other))| (micros, one + other))
                }
                (Some((a, _)), Some((b, _))) if b < a => others.next(),
                (Some(_), _) => mine.next(),
                (None, _) => others.next(),
            };
            let Some(next) = next else { break };
            both.push(next);
        }
        self.0 = both;
    }

    /// All that a reader wants to know.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let mut whole = Histogram::default();
        whole.add_compact(self);
        whole.summary()
    }
}

impl Serialize for Histogram {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.compact().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Histogram {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut whole = Self::default();
        whole.add_compact(&Compact::deserialize(deserializer)?);
        Ok(whole)
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.summary().fmt(f)
    }
}

impl PartialEq for Histogram {
    fn eq(&self, other: &Self) -> bool {
        self.compact() == other.compact()
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn ms(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(micros: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        micros.iter().for_each(|micros| histogram.record(Duration::from_micros(*micros)));
        histogram
    }

    #[test]
    fn nothing_recorded_is_all_zero() {
        assert_eq!(Histogram::default().summary(), Summary::default());
        assert_eq!(Histogram::default().quantile(0.5), Duration::ZERO);
        assert_eq!(size_of::<Histogram>(), 8);
    }

    #[test]
    fn quantiles_are_those_of_the_times_to_a_thousandth() {
        let histogram = of(&(1..=10_000).collect::<Vec<_>>());
        let summary = histogram.summary();
        for (found, micros) in [
            (summary.min_ms, 1.0),
            (summary.p50_ms, 5_000.0),
            (summary.p90_ms, 9_000.0),
            (summary.p99_ms, 9_900.0),
            (summary.p999_ms, 9_990.0),
            (summary.max_ms, 10_000.0),
            (summary.mean_ms, 5_000.5),
        ] {
            assert!((found * 1000.0 - micros).abs() <= micros / 1000.0, "{found} ms is not {micros} µs");
        }
        assert_eq!(summary.count, 10_000);
    }

    #[test]
    fn what_is_longer_than_an_hour_counts_as_an_hour() {
        let histogram = of(&[u64::MAX]);
        assert!((histogram.max().as_secs_f64() - 3600.0).abs() < 4.0);
        assert_eq!(of(&[0]).max(), Duration::ZERO);
    }

    proptest! {
        /// Whatever way times take between workers, the sum is that of all of them.
        #[test]
        fn parts_add_up_to_the_whole(one in prop::collection::vec(0u64..1 << 32, 0..200), other in prop::collection::vec(0u64..1 << 20, 0..200)) {
            let whole = of(&[one.clone(), other.clone()].concat());
            let mut sum = of(&one);
            sum.add(&of(&other));
            prop_assert_eq!(&sum, &whole);
            let mut compact = of(&one).compact();
            compact.add(&of(&other).compact());
            prop_assert_eq!(&compact, &whole.compact());
            prop_assert_eq!(compact.count(), whole.count());
            prop_assert_eq!(compact.summary(), whole.summary());
            let text = serde_json::to_string(&whole).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Histogram>(&text).unwrap(), &whole);
        }
    }
}
