//! Sessions that move from one server to another: the kit, and two processes under load.

use std::time::Duration;

use sessile::testing::{Probe, Visitor};
use sessile::{Moving, Record, RedisStore, SessionConfig, SessionId, SessionStore, StoreError};
use tokio::task::JoinHandle;

use crate::postgres::{UTC, store as postgres};
use crate::redis::store as redis;

/// Two servers, the old one of which is drained all the time. Every session begins there, as if a process had
/// made it that knows of no other.
struct Underway {
    old: RedisStore,
    moving: Moving,
    drainer: JoinHandle<()>,
}

/// A prefix of its own, so that no test drains another one's sessions.
async fn old() -> Option<RedisStore> {
    Some(redis().await?.prefix(format!("moving-{}:", SessionId::random().as_str())))
}

async fn underway() -> Option<Underway> {
    let old = old().await?;
    let moving = Moving::new(old.clone(), postgres(&UTC, "kit_moving").await?);
    let drained = moving.clone();
    let drainer = tokio::spawn(async move {
        loop {
            drain(&drained).await;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    Some(Underway { old, moving, drainer })
}

async fn drain(moving: &Moving) {
    let mut drain = moving.drain();
    while drain.next().await.unwrap().is_some() {}
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.drainer.abort();
    }
}

impl SessionStore for Underway {
    sessile::forward_store!(self => self.moving, except set, create);

    async fn set(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<(), StoreError> {
        if self.create(id, record, ttl).await? { Ok(()) } else { self.moving.set(id, record, ttl).await }
    }

    async fn create(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<bool, StoreError> {
        Ok(self.moving.get(id).await?.is_none() && self.old.create(id, record, ttl).await?)
    }
}

mod redis_to_postgres_before {
    use super::*;
    sessile::session_store_tests!(async || {
        let (old, new) = (old().await?, postgres(&UTC, "kit_moving_before").await?);
        Some(Moving::new(old, new))
    });
}

mod redis_to_postgres_underway {
    use super::*;
    sessile::session_store_tests!(underway);
}

/// Plain records of one prefix become sealed ones of another.
#[cfg(feature = "sealed")]
#[tokio::test]
async fn plain_records_become_sealed() {
    let (Some(old), Some(new)) = (old().await, old().await) else { return };
    let sealed = sessile::Sealed::new(new.clone(), "a key of 32 bytes or more for these tests");
    let secret = "a secret of at least 32 bytes, for tests";
    let config = |store: Moving| SessionConfig::builder(secret).store(store).build().unwrap();
    let moving = Moving::new(old.clone(), sealed);
    let config = config(moving.clone());
    let mut visitor = Visitor::new(&config);
    let session = visitor.open().await.unwrap();
    session.log_in(7).unwrap();
    session.insert("card", "4711").unwrap();
    visitor.commit(&session).await.unwrap();
    let id = session.id();
    assert!(old.get(&id).await.unwrap().unwrap().record.as_json().contains("4711"));
    drain(&moving).await;
    assert_eq!(old.len().await.unwrap(), 0);
    let stored = new.get(&id).await.unwrap().unwrap();
    assert!(stored.record.as_json().contains("__sealed") && !stored.record.as_json().contains("4711"));
    let session = visitor.open().await.unwrap();
    assert_eq!(session.get::<String>("card").unwrap().as_deref(), Some("4711"));
    assert_eq!(config.sessions_of(7).list().await.unwrap().len(), 1);
}

/// What a read costs: one call to each store before the session has moved, and one to the new one after.
#[tokio::test]
async fn a_session_is_read_with_one_call_before_and_after() {
    let (Some(old), Some(new)) = (old().await, postgres(&UTC, "kit_moving_calls").await) else { return };
    let (old, new) = (Probe::new(old), Probe::new(new));
    let moving = Moving::new(old.clone(), new.clone());
    let id = SessionId::random();
    moving.create(&id, &Record::default(), Duration::from_secs(60)).await.unwrap();
    for (is_moved, calls) in [(false, (1, 1)), (true, (0, 1))] {
        if is_moved {
            drain(&moving).await;
        }
        old.reset();
        new.reset();
        assert!(moving.get(&id).await.unwrap().is_some());
        assert_eq!((old.total(), new.total()), calls);
    }
}
