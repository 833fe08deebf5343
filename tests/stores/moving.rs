//! The kit over [`Moving`]: before anybody drains, while somebody does, and with every session beginning in the
//! old store.

use std::sync::Arc;
use std::time::Duration;

use sessile::{MemoryStore, Moving, Record, Replaced, SessionId, SessionStore, StoreError};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::conformance::{Counting, Simple};

/// A store that is drained all the time. Every session begins in the old store, as if a process had made it
/// that knows of no other, and moves at some later moment.
struct Underway<A> {
    old: A,
    moving: Moving,
    /// Some stores create in two steps.
    creating: Mutex<()>,
    drainer: JoinHandle<()>,
}

impl<A: SessionStore + Clone> Underway<A> {
    fn new(old: A, new: impl SessionStore) -> Self {
        let moving = Moving::new(old.clone(), new);
        let drained = moving.clone();
        let drainer = tokio::spawn(async move {
            loop {
                drain(&drained).await;
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
        });
        Self { old, moving, creating: Mutex::default(), drainer }
    }
}

impl<A> Drop for Underway<A> {
    fn drop(&mut self) {
        self.drainer.abort();
    }
}

impl<A: SessionStore + Clone> SessionStore for Underway<A> {
    sessile::forward_store!(self => self.moving, except set, create);

    async fn set(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<(), StoreError> {
        if self.create(id, record, ttl).await? { Ok(()) } else { self.moving.set(id, record, ttl).await }
    }

    async fn create(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<bool, StoreError> {
        let _alone = self.creating.lock().await;
        Ok(self.moving.get(id).await?.is_none() && self.old.create(id, record, ttl).await?)
    }
}

/// Drains until nothing is left. A store that lists no ids has nothing to drain, but all know that it is to be.
async fn drain(moving: &Moving) {
    let mut drain = moving.drain();
    loop {
        match drain.next().await {
            Ok(Some(_)) => {}
            Ok(None) => return,
            Err(error) if error.is_unsupported() => return,
            Err(error) => panic!("{error}"),
        }
    }
}

async fn filling(old: impl SessionStore, new: impl SessionStore) -> Moving {
    let moving = Moving::new(old, new);
    drain(&moving).await;
    moving
}

mod memory_before {
    use super::*;
    sessile::session_store_tests!(async || Moving::new(MemoryStore::new(), MemoryStore::new()));
}

mod memory_filling {
    use super::*;
    sessile::session_store_tests!(async || filling(MemoryStore::new(), MemoryStore::new()).await);
}

mod memory_underway {
    use super::*;
    sessile::session_store_tests!(async || Underway::new(MemoryStore::new(), MemoryStore::new()));
}

mod counting_underway {
    use super::*;
    sessile::session_store_tests!(async || Underway::new(Arc::new(Counting::default()), Counting::default()));
}

/// A process that does not know that another one drains.
mod memory_unaware {
    use super::*;
    sessile::session_store_tests!(async || {
        let (old, new) = (MemoryStore::new(), MemoryStore::new());
        filling(old.clone(), new.clone()).await;
        Moving::new(old, new)
    });
}

mod three_methods_before {
    use super::*;
    sessile::session_store_tests!(async || Moving::new(Simple::default(), MemoryStore::new()));
}

mod three_methods_underway {
    use super::*;
    sessile::session_store_tests!(async || Underway::new(Arc::new(Simple::default()), MemoryStore::new()));
}

mod to_three_methods {
    use super::*;
    sessile::session_store_tests!(async || Underway::new(MemoryStore::new(), Simple::default()));
}

#[cfg(feature = "sealed")]
mod to_sealed {
    use super::*;
    sessile::session_store_tests!(async || {
        let new = sessile::Sealed::new(MemoryStore::new(), "a key of 32 bytes or more for these tests");
        Underway::new(MemoryStore::new(), new)
    });
}

#[cfg(all(feature = "file", feature = "sqlite"))]
mod file_to_sqlite {
    use super::*;
    sessile::session_store_tests!(async || {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap().keep();
        let old = sessile::FileStore::builder(folder.join("old"));
        let old = old.durability(sessile::Durability::None).build().unwrap();
        let new = sessile::SqliteStore::open(folder.join("new.sqlite")).await.unwrap();
        new.migrate().await.unwrap();
        Underway::new(old, new)
    });
}

/// A number that one store has counted is not taken for the same number of the other one.
#[tokio::test]
async fn a_version_of_the_old_store_is_none_of_the_new_one() {
    const HOUR: Duration = Duration::from_secs(3600);
    let id = SessionId::random();
    for earlier in 0..10 {
        let (old, new) = (Arc::new(Counting::default()), Counting::default());
        for _ in 0..earlier {
            old.set(&id, &Record::default(), HOUR).await.unwrap();
        }
        let moving = Moving::new(Arc::clone(&old), new);
        old.set(&id, &Record::default(), HOUR).await.unwrap();
        let late = moving.get(&id).await.unwrap().unwrap().version.unwrap();
        drain(&moving).await;
        let written = Record::from_json(r#"{"cookie":{},"written":true}"#).unwrap();
        moving.set(&id, &written, HOUR).await.unwrap();
        let answer = moving.replace(&id, &late, &Record::default(), HOUR).await.unwrap();
        assert!(matches!(answer, Replaced::Conflict(_)), "{earlier} earlier writes: a write is lost");
    }
}

#[tokio::test]
async fn one_place_cannot_be_both() {
    let store = MemoryStore::new();
    let refused = Moving::new(store.clone(), store.clone()).drain().next().await;
    assert!(refused.is_err_and(|error| error.is_unsupported()));
    assert!(store.is_empty());
}
