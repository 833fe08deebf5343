//! The bars: what sessile may cost, most of it in terms of what is written by hand.

use crate::contestants::Contestant;
use crate::scenario::Scenario::{self, *};

/// What one style of sessile may cost.
pub struct Bar {
    pub contestant: Contestant,
    pub time: Limit,
    /// Allocations over the bare handler.
    pub allocations: f64,
}

/// What a request may take over the bare handler.
#[derive(Clone, Copy)]
pub enum Limit {
    /// So many times of what the one that is written by hand takes.
    TimesHand(f64),
    /// So many nanoseconds more than behind a layer that does nothing.
    OverEmptyLayer(f64),
}

impl Limit {
    /// Whom it is compared with.
    pub fn floor(self) -> Contestant {
        match self {
            Self::TimesHand(_) => Contestant::Hand,
            Self::OverEmptyLayer(_) => Contestant::EmptyLayer,
        }
    }

    /// Nanoseconds over the bare handler, given what the floor takes.
    pub fn nanoseconds(self, floor: f64) -> f64 {
        match self {
            Self::TimesHand(times) => times * floor,
            Self::OverEmptyLayer(more) => more + floor,
        }
    }
}

impl Scenario {
    /// What sessile may cost on this kind of request.
    pub fn bar(self) -> Option<Bar> {
        let (contestant, time, allocations) = match self {
            Read => (Contestant::Sessile, Limit::TimesHand(1.25), 4.0),
            Write => (Contestant::Sessile, Limit::TimesHand(1.4), 6.0),
            Rolling => (Contestant::Sessile, Limit::TimesHand(1.25), 5.0),
            New => (Contestant::Sessile, Limit::TimesHand(1.6), 7.0),
            Forged => (Contestant::Sessile, Limit::TimesHand(1.4), 4.0),
            // One allocation more than the layer that does nothing, which has three.
            Plain => (Contestant::SessileLayer, Limit::OverEmptyLayer(40.0), 4.0),
            Login => return None,
        };
        Some(Bar { contestant, time, allocations })
    }
}
