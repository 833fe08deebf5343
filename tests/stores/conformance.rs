//! The conformance kit over the embedded stores, and over a store of three methods.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::stream::{self, BoxStream, StreamExt as _};
use sessile::{MemoryStore, Record, SessionId, SessionStore, StoreError, Stored};

mod memory {
    use super::*;
    sessile::session_store_tests!(async || MemoryStore::new());
}

mod bounded_memory {
    use super::*;
    sessile::session_store_tests!(async || MemoryStore::with_capacity_limit(10_000));
}

#[cfg(feature = "file")]
mod file {
    use sessile::FileStore;

    sessile::session_store_tests!(async || {
        // A store does not own its folder; this one goes with the build.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap().keep();
        FileStore::builder(folder).durability(sessile::Durability::None).build().unwrap()
    });
}

mod three_methods {
    use super::*;
    sessile::session_store_tests!(async || Simple::default());
}

mod three_methods_with_hashed_ids {
    use super::*;
    sessile::session_store_tests!(async || sessile::testing::HashedIds::new(Simple::default()));
}

mod counting {
    use super::*;
    sessile::session_store_tests!(async || Counting::default());
}

/// The tables of the kit's page list every check that `session_store_tests!` makes a test of, and no other.
#[test]
fn the_page_of_the_kit_lists_every_check() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/testing/mod.rs");
    let page = std::fs::read_to_string(page).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("//! | "));
    let links = rows.flat_map(|row| row.split("[`").skip(1).filter_map(|rest| rest.split("`]").next()));
    let listed: BTreeSet<_> = links.map(str::to_owned).collect();

    let mut tested = BTreeSet::new();
    let mut group = None;
    for line in page.lines().map(str::trim) {
        if let Some(call) = line.strip_prefix("$crate::session_store_tests! { @") {
            group = call.split(' ').next();
        } else if line == "}" {
            group = None;
        } else if let Some(group) = group {
            tested.insert(format!("{group}::{line}"));
        }
    }
    assert!(tested.len() > 30, "{tested:?}");
    assert_eq!(listed, tested);
}

/// The least a store can do, with another task let in at every step.
#[derive(Default)]
pub(crate) struct Simple(Mutex<HashMap<SessionId, (String, Instant)>>);

impl SessionStore for Simple {
    async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
        tokio::task::yield_now().await;
        let (json, left) = match self.0.lock().unwrap().get(id) {
            Some((json, until)) if Instant::now() < *until => {
                (json.clone(), until.saturating_duration_since(Instant::now()))
            }
            _ => return Ok(None),
        };
        tokio::task::yield_now().await;
        Ok(Some(Stored::from(Record::from_json(json)?).with_expires_in(left)))
    }

    async fn set(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<(), StoreError> {
        tokio::task::yield_now().await;
        self.0.lock().unwrap().insert(id.clone(), (record.as_json().to_owned(), Instant::now() + ttl));
        tokio::task::yield_now().await;
        Ok(())
    }

    fn ids(&self) -> Option<BoxStream<'_, Result<SessionId, StoreError>>> {
        let ids: Vec<_> = self.0.lock().unwrap().keys().cloned().map(Ok).collect();
        Some(stream::iter(ids).boxed())
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), StoreError> {
        tokio::task::yield_now().await;
        self.0.lock().unwrap().remove(id);
        Ok(())
    }
}

/// A store whose version is a counter, as a database column would be.
#[derive(Default)]
pub(crate) struct Counting(Mutex<HashMap<SessionId, Row>>, AtomicU64);

#[derive(Clone)]
struct Row {
    json: String,
    version: u64,
    until: Instant,
}

impl Counting {
    /// The number of a write.
    fn next(&self) -> u64 {
        self.1.fetch_add(1, Ordering::Relaxed)
    }

    fn live(&self, id: &SessionId) -> Option<Row> {
        self.0.lock().unwrap().get(id).filter(|row| Instant::now() < row.until).cloned()
    }
}

fn stored(row: &Row) -> Result<Stored, StoreError> {
    let left = row.until.saturating_duration_since(Instant::now());
    Ok(Stored::from(Record::from_json(row.json.clone())?).with_version(row.version).with_expires_in(left))
}

impl SessionStore for Counting {
    async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
        self.live(id).as_ref().map(stored).transpose()
    }

    async fn set(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<(), StoreError> {
        let mut rows = self.0.lock().unwrap();
        let version = self.next();
        rows.insert(id.clone(), Row { json: record.as_json().into(), version, until: Instant::now() + ttl });
        Ok(())
    }

    fn ids(&self) -> Option<BoxStream<'_, Result<SessionId, StoreError>>> {
        let ids: Vec<_> = self.0.lock().unwrap().keys().cloned().map(Ok).collect();
        Some(stream::iter(ids).boxed())
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), StoreError> {
        self.0.lock().unwrap().remove(id);
        Ok(())
    }

    async fn touch(&self, id: &SessionId, ttl: Duration) -> Result<bool, StoreError> {
        let mut rows = self.0.lock().unwrap();
        let Some(row) = rows.get_mut(id).filter(|row| Instant::now() < row.until) else { return Ok(false) };
        row.until = Instant::now() + ttl;
        Ok(true)
    }

    async fn create(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<bool, StoreError> {
        let mut rows = self.0.lock().unwrap();
        if rows.get(id).is_some_and(|row| Instant::now() < row.until) {
            return Ok(false);
        }
        rows.insert(
            id.clone(),
            Row { json: record.as_json().into(), version: self.next(), until: Instant::now() + ttl },
        );
        Ok(true)
    }

    async fn replace(
        &self,
        id: &SessionId,
        expected: &sessile::Version,
        record: &Record,
        ttl: Duration,
    ) -> Result<sessile::Replaced, StoreError> {
        let mut rows = self.0.lock().unwrap();
        let Some(row) = rows.get_mut(id).filter(|row| Instant::now() < row.until) else {
            return Ok(sessile::Replaced::Gone);
        };
        if expected.as_number() != Some(row.version) {
            return Ok(sessile::Replaced::Conflict(stored(row)?));
        }
        *row = Row { json: record.as_json().into(), version: self.next(), until: Instant::now() + ttl };
        Ok(sessile::Replaced::Done(row.version.into()))
    }

    async fn destroy_if(
        &self,
        id: &SessionId,
        expected: &sessile::Version,
    ) -> Result<sessile::Replaced, StoreError> {
        let mut rows = self.0.lock().unwrap();
        let Some(row) = rows.get(id).filter(|row| Instant::now() < row.until) else {
            return Ok(sessile::Replaced::Gone);
        };
        if expected.as_number() != Some(row.version) {
            return Ok(sessile::Replaced::Conflict(stored(row)?));
        }
        rows.remove(id);
        Ok(sessile::Replaced::Done(expected.clone()))
    }
}
