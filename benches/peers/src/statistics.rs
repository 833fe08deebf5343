//! Medians and quartiles.

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
    pub fn of(mut measurements: Vec<f64>) -> Self {
        measurements.sort_by(f64::total_cmp);
        let at = |part: f64| {
            let place = part * (measurements.len() - 1) as f64;
            let (below, above) = (measurements[place.floor() as usize], measurements[place.ceil() as usize]);
            below + (above - below) * place.fract()
        };
        Self { low: at(0.25), median: at(0.5), high: at(0.75) }
    }
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
