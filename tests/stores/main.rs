//! The stores that need no server. `MemoryStore` has more tests in `tests/memory_store`, servers have theirs
//! in `tests/servers`.

#[cfg(all(unix, feature = "file"))]
#[path = "../common/disk.rs"]
mod disk;

#[cfg(feature = "sealed")]
#[path = "../common/logs.rs"]
mod logs;

mod conformance;
#[cfg(feature = "file")]
mod file;
#[cfg(all(unix, feature = "file"))]
mod file_folder;
#[cfg(all(target_os = "linux", feature = "file"))]
mod file_foreign;
#[cfg(all(unix, feature = "file"))]
mod file_kills;
#[cfg(all(unix, feature = "file"))]
mod file_plants;
#[cfg(all(unix, feature = "file"))]
mod file_users;
mod moving;
#[cfg(feature = "sealed")]
mod sealed;
#[cfg(all(unix, feature = "file"))]
mod user_kills;
