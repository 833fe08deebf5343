//! The stores that need no server. `MemoryStore` has more tests in `tests/memory_store`, servers have theirs
//! in `tests/servers`.

#[cfg(unix)]
#[path = "../common/disk.rs"]
mod disk;

mod conformance;
mod file;
#[cfg(unix)]
mod file_folder;
#[cfg(target_os = "linux")]
mod file_foreign;
#[cfg(unix)]
mod file_kills;
#[cfg(unix)]
mod file_plants;
