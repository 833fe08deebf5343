//! What the fuzz targets check, as functions of their input. The programs in `fuzz_targets` pass on what
//! libFuzzer makes; `tests/fuzzed` of the main package passes on what proptest makes, on stable Rust.

mod cookie;
mod flash;
mod model;
mod program;
mod record;
mod setup;

pub use cookie::cookie;
pub use flash::flash;
pub use program::program;
pub use record::record;
