//! For tower-sessions 0.14, which axum-login 0.18 and axum-messages 0.8 use.

/// What [the adapter](adapter) is compiled against here.
use tower_sessions_core_014 as tower_sessions_core;

// The two versions have the same trait under two types, which no one `impl` can serve. So each has a module that is
// compiled from the same files.
#[allow(clippy::duplicate_mod)]
#[path = "adapter/mod.rs"]
mod adapter;

pub use adapter::layer::{BridgeService, TowerSessionLayer};
pub use adapter::sessions::TowerSessions;
pub use adapter::store::TowerStore;
