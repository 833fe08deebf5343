//! The bars: what sessile may cost over the bare handler.

use crate::contestants::Contestant;
use crate::scenario::Scenario::{self, *};

/// What one style of sessile may cost over the bare handler.
pub struct Bar {
    pub contestant: Contestant,
    pub nanoseconds: f64,
    pub allocations: f64,
}

impl Scenario {
    /// What the styles of sessile may cost on this kind of request.
    pub fn bars(self) -> Vec<Bar> {
        let bar = |contestant, nanoseconds, allocations| Bar { contestant, nanoseconds, allocations };
        match self {
            Read => vec![bar(Contestant::Sessile, 450.0, 6.0)],
            Write => vec![bar(Contestant::Sessile, 1000.0, 14.0)],
            Rolling => vec![bar(Contestant::Sessile, 750.0, 10.0)],
            New => vec![bar(Contestant::Sessile, 900.0, 12.0)],
            Forged => vec![bar(Contestant::Sessile, 300.0, 2.0)],
            Plain => vec![bar(Contestant::Sessile, 0.0, 0.0), bar(Contestant::SessileLayer, 90.0, 2.0)],
        }
    }
}
