//! Measures sessile beside the session libraries people would use instead.

pub mod app;
pub mod bars;
pub mod contestants;
pub mod files;
pub mod growth;
pub mod hot;
pub mod http;
pub mod inner;
pub mod machine;
pub mod memory;
pub mod payload;
pub mod picture;
pub mod postgres;
pub mod process;
pub mod proof;
pub mod redis;
pub mod remote;
pub mod report;
pub mod runtime;
pub mod scenario;
pub mod serve;
pub mod statistics;
pub mod wrk;
