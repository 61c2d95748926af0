//! Medians and spread.

use std::fmt;

/// Figures of the blocks of one measurement.
pub(crate) struct Stats {
    pub(crate) median: f64,
    /// A quarter is below the one, a quarter above the other.
    pub(crate) quartiles: (f64, f64),
}

impl Stats {
    /// Of `values`, at least one.
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_unstable_by(f64::total_cmp);
        let at = |part: f64| {
            let place = (values.len() - 1) as f64 * part;
            let (low, high) = (values[place.floor() as usize], values[place.ceil() as usize]);
            low + (high - low) * place.fract()
        };
        Self { median: at(0.5), quartiles: (at(0.25), at(0.75)) }
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} ({:.2} to {:.2})", self.median, self.quartiles.0, self.quartiles.1)
    }
}

/// A percentile of ascending figures.
pub(crate) fn percentile(ascending: &[u32], percent: f64) -> f64 {
    let Some(last) = ascending.len().checked_sub(1) else { return 0.0 };
    f64::from(ascending[(last as f64 * percent / 100.0) as usize])
}
