//! Where the scheduler's choices come from: chance, or a list.

use fastrand::Rng;

/// Makes the choices of one run and remembers them.
#[derive(Debug, Clone)]
pub(crate) struct Chooser {
    /// Choices to be made as they stand here. Past their end: chance, or the first possibility.
    given: Vec<u16>,
    pub(crate) rng: Option<Rng>,
    /// What was chosen, and out of how many.
    pub(crate) made: Vec<(u16, u16)>,
    /// The last actor goes on so often, in 16 choices.
    stickiness: u8,
}

impl Chooser {
    pub(crate) fn random(mut rng: Rng) -> Self {
        let stickiness = [0, 0, 6, 11][rng.usize(..4)];
        Self { given: Vec::new(), rng: Some(rng), made: Vec::new(), stickiness }
    }

    pub(crate) fn replay(given: Vec<u16>) -> Self {
        Self { given, rng: None, made: Vec::new(), stickiness: 0 }
    }

    /// One of `progress` moves, or of the `faults` that come after them.
    pub(crate) fn choose(&mut self, progress: usize, faults: usize) -> usize {
        let all = progress + faults;
        let choice = match (self.given.get(self.made.len()), &mut self.rng) {
            (Some(&choice), _) => usize::from(choice) % all,
            (None, None) => 0,
            (None, Some(rng)) => {
                if faults > 0 && (progress == 0 || rng.u8(..8) == 0) {
                    progress + rng.usize(..faults)
                } else if rng.u8(..16) < self.stickiness {
                    0
                } else {
                    rng.usize(..progress)
                }
            }
        };
        self.made.push((choice as u16, all as u16));
        choice
    }
}
