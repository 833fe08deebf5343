//! The one runtime that everything in process runs on.

use std::future::Future;

use tokio::task::LocalSet;

/// Runs on this thread alone, with room for actix' tasks, which do not move between threads.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, work)
}
