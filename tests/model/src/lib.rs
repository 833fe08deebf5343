//! A model checker for sessile.
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

pub use checker::{Checker, Found};
pub use exhaustive::{Exhausted, Scope, exhaust};
pub use history::Violation;
pub use program::{FEATURES, Faults, Op, Options, Planted, Program, Request, Update, Visitor};
pub use stores::StoreKind;
