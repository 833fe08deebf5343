//! A model checker for sessile: random programs over the public API, every kind of order of their store
//! calls, faults, and an oracle that looks for an order of the steps that explains what was answered and what
//! is left.
//!
//! A [`Checker`] has one store. [`Checker::check`] runs the program of a seed in the order of that seed, and
//! the same seed gives the same run each time. [`Checker::shrink`] makes a run that broke a promise smaller.
//! [`exhaust`] runs every program of a [`Scope`] in every order. `docs/model.md` says what is explored and
//! what is accepted.

mod checker;
mod chooser;
mod exhaustive;
mod gates;
mod history;
mod model;
mod oracle;
mod program;
mod promises;
mod request;
mod scheduler;
mod shrink;
mod stores;
mod users;

pub use checker::{Checker, Found};
pub use exhaustive::{Exhausted, Scope, Sessions, exhaust, exhaust_one};
pub use history::Violation;
pub use program::{
    FEATURES, Faults, Feature, Op, Options, Planted, Program, Request, Target, Update, Visitor,
};
pub use stores::StoreKind;
