//! The stores of the tests.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sessile::{MemoryStore, Record, Replaced, SessionId, SessionStore, StoreError, Stored, Version};

pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// A memory store that records its calls in their order and the lives it is given, and fails, waits or
/// reports a life on demand.
///
/// The kit's `Probe` does other things: it counts calls, fails a single one of them, and yields at each.
#[derive(Clone, Default)]
pub(crate) struct RecordingStore(Arc<Recording>);

#[derive(Default)]
struct Recording {
    records: MemoryStore,
    calls: Mutex<Vec<&'static str>>,
    ttls: Mutex<Vec<Duration>>,
    failing: Mutex<Vec<&'static str>>,
    left: Mutex<Option<Duration>>,
    gate: Arc<tokio::sync::Mutex<()>>,
    shut: Mutex<Option<tokio::sync::OwnedMutexGuard<()>>>,
}

impl RecordingStore {
    /// Stores a record, which is not recorded as a call.
    pub(crate) async fn plant(&self, id: &SessionId, json: &str) {
        self.0.records.set(id, &Record::from_json(json).unwrap(), DAY).await.unwrap();
    }

    /// The stored text of a record.
    pub(crate) async fn text(&self, id: &SessionId) -> Option<String> {
        let stored = self.0.records.get(id).await.unwrap()?;
        Some(stored.record.as_json().to_owned())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.records.len()
    }

    pub(crate) fn ids(&self) -> Vec<SessionId> {
        self.0.records.all_ids()
    }

    /// The calls since the last time this was asked.
    pub(crate) fn calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.0.calls.lock().unwrap())
    }

    /// The lives that were given to records since the last time this was asked.
    pub(crate) fn ttls(&self) -> Vec<Duration> {
        std::mem::take(&mut self.0.ttls.lock().unwrap())
    }

    /// Makes these methods fail as unavailable from now on, and no other ones.
    pub(crate) fn fail(&self, methods: &[&'static str]) {
        *self.0.failing.lock().unwrap() = methods.to_vec();
    }

    /// Sets what `get` says is left of a record's life.
    pub(crate) fn say_left(&self, left: Duration) {
        *self.0.left.lock().unwrap() = Some(left);
    }

    /// Calls wait until [`release`](Self::release).
    pub(crate) fn hold(&self) {
        *self.0.shut.lock().unwrap() = Some(Arc::clone(&self.0.gate).try_lock_owned().unwrap());
    }

    pub(crate) fn release(&self) {
        *self.0.shut.lock().unwrap() = None;
    }

    async fn note(&self, method: &'static str) -> Result<(), StoreError> {
        drop(self.0.gate.lock().await);
        self.0.calls.lock().unwrap().push(method);
        match self.0.failing.lock().unwrap().contains(&method) {
            true => Err(StoreError::unavailable("the store is told to fail")),
            false => Ok(()),
        }
    }

    fn note_ttl(&self, ttl: Duration) {
        self.0.ttls.lock().unwrap().push(ttl);
    }
}

impl SessionStore for RecordingStore {
    async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
        self.note("get").await?;
        let stored = self.0.records.get(id).await?;
        let left = *self.0.left.lock().unwrap();
        Ok(stored.map(|stored| match left {
            Some(left) => stored.with_expires_in(left),
            None => stored,
        }))
    }

    async fn set(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<(), StoreError> {
        self.note("set").await?;
        self.note_ttl(ttl);
        self.0.records.set(id, record, ttl).await
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), StoreError> {
        self.note("destroy").await?;
        self.0.records.destroy(id).await
    }

    async fn touch(&self, id: &SessionId, ttl: Duration) -> Result<bool, StoreError> {
        self.note("touch").await?;
        self.note_ttl(ttl);
        self.0.records.touch(id, ttl).await
    }

    async fn create(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<bool, StoreError> {
        self.note("create").await?;
        self.note_ttl(ttl);
        self.0.records.create(id, record, ttl).await
    }

    async fn replace(
        &self,
        id: &SessionId,
        expected: &Version,
        record: &Record,
        ttl: Duration,
    ) -> Result<Replaced, StoreError> {
        self.note("replace").await?;
        self.note_ttl(ttl);
        self.0.records.replace(id, expected, record, ttl).await
    }

    async fn destroy_if(&self, id: &SessionId, expected: &Version) -> Result<Replaced, StoreError> {
        self.note("destroy_if").await?;
        self.0.records.destroy_if(id, expected).await
    }
}

/// The smallest store there is: text under an id, with the three required methods.
#[derive(Clone, Default)]
pub(crate) struct Texts(Arc<Mutex<HashMap<String, String>>>);

impl Texts {
    pub(crate) fn with(id: &str, text: impl Into<String>) -> Self {
        let texts = Self::default();
        texts.0.lock().unwrap().insert(id.into(), text.into());
        texts
    }

    pub(crate) fn text(&self, id: &str) -> Option<String> {
        self.0.lock().unwrap().get(id).cloned()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl SessionStore for Texts {
    async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
        let text = self.text(id.as_str());
        text.map(|text| Record::from_json(text).map(Stored::from)).transpose()
    }

    async fn set(&self, id: &SessionId, record: &Record, _: Duration) -> Result<(), StoreError> {
        self.0.lock().unwrap().insert(id.as_str().into(), record.as_json().into());
        Ok(())
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), StoreError> {
        self.0.lock().unwrap().remove(id.as_str());
        Ok(())
    }
}
