//! Measures sessile beside the session libraries people would use instead.

pub mod app;
pub mod contestants;
pub mod machine;
pub mod payload;
pub mod process;
pub mod report;
pub mod runtime;
pub mod scenario;
pub mod statistics;
