//! [`BrowserStore`]: takes every record, and keeps none, because the browser does.

use std::time::Duration;

use crate::error::StoreError;
use crate::id::SessionId;
use crate::record::Record;
use crate::store::version::Version;
use crate::store::{Replaced, SessionStore, Stored};

/// The store of sessions that the browser keeps. Nobody else writes to what the request has brought, so every
/// write succeeds; [`commit`](super::CookieSession::commit) then seals what was written.
pub(super) struct BrowserStore;

impl SessionStore for BrowserStore {
    async fn get(&self, _: &SessionId) -> Result<Option<Stored>, StoreError> {
        Ok(None)
    }

    async fn set(&self, _: &SessionId, _: &Record, _: Duration) -> Result<(), StoreError> {
        Ok(())
    }

    async fn destroy(&self, _: &SessionId) -> Result<(), StoreError> {
        Ok(())
    }

    async fn touch(&self, _: &SessionId, _: Duration) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn create(&self, _: &SessionId, _: &Record, _: Duration) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn replace(
        &self,
        _: &SessionId,
        _: &Version,
        record: &Record,
        _: Duration,
    ) -> Result<Replaced, StoreError> {
        Ok(Replaced::Done(Version::of(record)))
    }

    async fn destroy_if(&self, _: &SessionId, expected: &Version) -> Result<Replaced, StoreError> {
        Ok(Replaced::Done(expected.clone()))
    }
}
