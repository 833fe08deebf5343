//! What there is for one version of tower-sessions. The module above says for which.

pub(super) mod layer;
pub(super) mod sessions;
pub(super) mod store;
mod view;

use super::tower_sessions_core;

use sessile::{SessionId, StoreError};
use sha2::{Digest as _, Sha256};
use tower_sessions_core::session::Id;
use tower_sessions_core::session_store::Error;

/// The id in tower-sessions for an id of ours: 128 bits of its hash. Whoever sees it cannot tell ours from it.
fn tower_id(id: &SessionId) -> Id {
    let hash = Sha256::digest(id.as_str());
    let mut half = [0; 16];
    half.copy_from_slice(&hash[..16]);
    Id(i128::from_le_bytes(half))
}

fn store_error(error: Error) -> StoreError {
    match error {
        Error::Decode(_) => StoreError::corrupt(error),
        Error::Encode(_) | Error::Backend(_) => StoreError::unavailable(error),
    }
}
