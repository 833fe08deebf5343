//! The stores that need no server. `MemoryStore` has more tests in `tests/memory_store`, servers have theirs
//! in `tests/servers`.

mod conformance;
mod file;
#[cfg(target_os = "linux")]
mod file_foreign;
