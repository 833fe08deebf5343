//! Medians, quartiles, and what a batch takes that nothing disturbs.

use std::ops::Sub;

/// The middle of several measurements, and between what half of them lie.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    pub low: f64,
    pub median: f64,
    pub high: f64,
}

impl Spread {
    /// # Panics
    /// Without a measurement.
    pub fn of(measurements: Vec<f64>) -> Self {
        let [low, median, high] = percentiles(measurements, [0.25, 0.5, 0.75]);
        Self { low, median, high }
    }
}

/// What short batches of requests took.
#[derive(Debug, Clone, Copy)]
pub struct Batches {
    /// The 10th percentile: with nothing in the way, and not by luck.
    pub tenth: f64,
    pub median: f64,
}

impl Batches {
    /// # Panics
    /// Without a measurement.
    pub fn of(measurements: Vec<f64>) -> Self {
        let [tenth, median] = percentiles(measurements, [0.1, 0.5]);
        Self { tenth, median }
    }
}

impl Sub for Batches {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { tenth: self.tenth - other.tenth, median: self.median - other.median }
    }
}

fn percentiles<const N: usize>(mut measurements: Vec<f64>, parts: [f64; N]) -> [f64; N] {
    measurements.sort_by(f64::total_cmp);
    parts.map(|part| {
        let place = part * (measurements.len() - 1) as f64;
        let (below, above) = (measurements[place.floor() as usize], measurements[place.ceil() as usize]);
        below + (above - below) * place.fract()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_the_measurements_where_there_is_no_middle_one() {
        let spread = Spread::of(vec![4.0, 1.0, 3.0, 2.0]);
        assert_eq!((spread.low, spread.median, spread.high), (1.75, 2.5, 3.25));
        assert_eq!(Spread::of(vec![5.0]).median, 5.0);
    }
}
