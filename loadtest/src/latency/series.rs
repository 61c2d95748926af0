//! A bounded record over time: when it is full, neighbours are folded into one.

/// The most points of a series; a report can't show more.
pub const POINTS_MAX: usize = 600;

/// What can be folded: two neighbours in time into one that stands for both.
pub trait Fold {
    /// Takes in the one that follows.
    fn fold(&mut self, later: Self);
}

/// Points of equal length in time. Starts with one for each look; each time there are [`POINTS_MAX`] of them,
/// each two become one.
#[derive(Debug, Clone)]
pub struct Series<T> {
    points: Vec<T>,
    /// Looks in a point.
    stride: u32,
    /// Looks in the last point.
    filled: u32,
}

impl<T: Fold> Series<T> {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self { points: Vec::new(), stride: 1, filled: 1 }
    }

    /// Takes in the next look.
    pub fn push(&mut self, look: T) {
        if let Some(last) = self.points.last_mut().filter(|_| self.filled < self.stride) {
            self.filled += 1;
            return last.fold(look);
        }
        if self.points.len() == POINTS_MAX {
            self.halve();
        }
        self.points.push(look);
        self.filled = 1;
    }

    /// The points, in their order.
    #[must_use]
    pub fn points(&self) -> &[T] {
        &self.points
    }

    /// Looks in each point; the last one may have fewer.
    #[must_use]
    pub fn stride(&self) -> u32 {
        self.stride
    }

    fn halve(&mut self) {
        let mut looks = std::mem::take(&mut self.points).into_iter();
        while let Some(mut first) = looks.next() {
            looks.next().into_iter().for_each(|second| first.fold(second));
            self.points.push(first);
        }
        self.stride *= 2;
    }
}

impl<T: Fold> Default for Series<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq)]
    struct Sum(Vec<usize>);

    impl Fold for Sum {
        fn fold(&mut self, later: Self) {
            self.0.extend(later.0);
        }
    }

    #[test]
    fn a_series_of_any_length_has_all_looks_in_order_in_few_points() {
        for count in [0, 1, 599, 600, 601, 1_200, 5_000, 100_000] {
            let mut series = Series::new();
            (0..count).for_each(|look| series.push(Sum(vec![look])));
            assert!(series.points().len() <= POINTS_MAX);
            let looks: Vec<usize> = series.points().iter().flat_map(|point| point.0.clone()).collect();
            assert!(looks.into_iter().eq(0..count));
            let (last, others) =
                series.points().split_last().map_or((None, &[][..]), |(last, others)| (Some(last), others));
            assert!(others.iter().all(|point| point.0.len() == series.stride() as usize));
            assert!(last.is_none_or(|last| last.0.len() <= series.stride() as usize));
            assert!(count < POINTS_MAX || series.points().len() >= POINTS_MAX / 2);
        }
    }
}
