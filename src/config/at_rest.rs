//! The option for what a store may see.

use crate::config::builder::SessionConfigBuilder;
use crate::id::HashIds;

impl SessionConfigBuilder {
    /// Lets the store see the SHA-256 of each session's id in place of the id (no such option in Express).
    /// Default: off, so that Express finds the records.
    ///
    /// Whoever reads the store, or a backup of it, then cannot make a cookie of what stands there, even with
    /// the secret. A record stands under `sha256-` and 64 hexadecimal digits; lists of users' sessions and
    /// ids that the store tells, such as [`MemoryStore::all_ids`](crate::MemoryStore::all_ids), contain the
    /// same text. Do not set it for a store that you share with an Express app.
    ///
    /// For a store with live sessions, [`HashIds::MovingUntil`] keeps them for a while; later, replace it by
    /// [`HashIds::On`]. A process without the option does not find the sessions of one with it, so change all
    /// processes at once. Data is not hidden: see `Sealed` (feature `sealed`). A request takes 0.24 µs longer
    /// (`docs/benchmarks.md`).
    pub fn hash_ids(mut self, hash_ids: HashIds) -> Self {
        self.policy.hash_ids = Some(hash_ids);
        self
    }
}
