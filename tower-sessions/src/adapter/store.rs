//! [`TowerStore`]: a store of tower-sessions under `sessile`.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use serde_json::Value;
use sessile::{Record, SessionId, SessionStore, StoreError, Stored};
use time::OffsetDateTime;

use super::tower_sessions_core::session::Record as TowerRecord;
use super::tower_sessions_core::session_store::SessionStore as Store;
use super::{store_error, tower_id};

/// A store of tower-sessions under `sessile`, with its promises kept **within one process**.
///
/// The trait of tower-sessions has no step that compares and writes, so two processes over one such store can
/// overwrite each other's changes. Within a process, the requests of one `SessionConfig` write one after the
/// other. Lists of users' sessions (`sessions_of`, `per_user`) are not supported. A touch writes the whole
/// record, and each write asks the store twice.
///
/// The store holds the record as one text, under a hash of the session's id. Sessions that a program with
/// tower-sessions has stored are not found by it: they move over with
/// [`TowerSessions`](super::sessions::TowerSessions).
#[derive(Clone)]
pub struct TowerStore<S> {
    store: S,
}

/// The key of the record's JSON.
const RECORD: &str = "record";
/// The key of the time at which it expires, in milliseconds since 1970. Some of the stores keep whole seconds.
const EXPIRES: &str = "expires";

impl<S: Store> TowerStore<S> {
    /// `sessile` on this store.
    pub fn new(store: S) -> Self {
        Self { store }
    }

    /// The live record under an id, and how long it still lives.
    async fn live(&self, id: &SessionId) -> Result<Option<(TowerRecord, Duration)>, StoreError> {
        let Some(record) = self.store.load(&tower_id(id)).await.map_err(store_error)? else {
            return Ok(None);
        };
        let Some(expires) = record.data.get(EXPIRES).and_then(Value::as_i64) else {
            return Err(StoreError::corrupt("the record was written by another program"));
        };
        let left = u64::try_from(expires - now_millis()).unwrap_or_default();
        Ok((left > 0).then(|| (record, Duration::from_millis(left))))
    }

    /// Asks the store to create a record, which may put it under another id.
    async fn created(&self, record: &TowerRecord) -> Result<bool, StoreError> {
        let mut stored = record.clone();
        self.store.create(&mut stored).await.map_err(store_error)?;
        if stored.id == record.id {
            return Ok(true);
        }
        self.store.delete(&stored.id).await.map_err(store_error)?;
        Ok(false)
    }
}

impl<S: Store> SessionStore for TowerStore<S> {
    async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
        let Some((record, left)) = self.live(id).await? else { return Ok(None) };
        let json = record.data.get(RECORD).and_then(Value::as_str);
        let json = json.ok_or_else(|| StoreError::corrupt("the record has no text"))?;
        Ok(Some(Stored::from(Record::from_json(json)?).with_expires_in(left)))
    }

    async fn set(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<(), StoreError> {
        let record = tower_record(id, record, ttl);
        // Some stores save only what is there, some create only what is not.
        let is_there = self.store.load(&record.id).await.map_err(store_error)?.is_some();
        if !is_there && self.created(&record).await? {
            return Ok(());
        }
        self.store.save(&record).await.map_err(store_error)
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), StoreError> {
        self.store.delete(&tower_id(id)).await.map_err(store_error)
    }

    async fn create(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<bool, StoreError> {
        let record = tower_record(id, record, ttl);
        match self.live(id).await {
            // One that has expired would stand in the way: their stores keep it for a while, or for ever.
            Ok(None) => self.store.delete(&record.id).await.map_err(store_error)?,
            Ok(Some(_)) => return Ok(false),
            Err(error) if error.is_corrupt() => return Ok(false),
            Err(error) => return Err(error),
        }
        match self.created(&record).await {
            // Their Redis store takes the answer that an id is taken for an error.
            Err(error) => match self.live(id).await? {
                Some(_) => Ok(false),
                None => Err(error),
            },
            created => created,
        }
    }
}

fn tower_record(id: &SessionId, record: &Record, ttl: Duration) -> TowerRecord {
    let millis = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
    // The year 9999 is the last that the stores can write.
    let expires = now_millis().saturating_add(millis).min(253_402_300_799_000);
    let seconds = expires.div_euclid(1000) + i64::from(expires.rem_euclid(1000) > 0);
    let expiry_date =
        OffsetDateTime::from_unix_timestamp(seconds).unwrap_or_else(|_| OffsetDateTime::now_utc());
    let data = HashMap::from([
        (RECORD.to_owned(), Value::from(record.as_json())),
        (EXPIRES.to_owned(), Value::from(expires)),
    ]);
    TowerRecord { id: tower_id(id), data, expiry_date }
}

fn now_millis() -> i64 {
    i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

impl<S> fmt::Debug for TowerStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TowerStore").finish_non_exhaustive()
    }
}
