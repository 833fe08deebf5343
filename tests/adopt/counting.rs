//! [`Counting`]: a store whose versions are numbers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use sessile::{Record, Replaced, SessionId, SessionStore, StoreError, Stored, Version};

/// A map whose records are told apart by the number of the write that made them, and by nothing else. Nothing
/// expires in it.
#[derive(Clone, Default)]
pub(crate) struct Counting(Arc<Mutex<Rows>>);

#[derive(Default)]
struct Rows {
    records: HashMap<SessionId, (Record, u64)>,
    writes: u64,
}

impl Rows {
    fn put(&mut self, id: &SessionId, record: &Record) -> u64 {
        self.writes += 1;
        self.records.insert(id.clone(), (record.clone(), self.writes));
        self.writes
    }

    /// What a conditional write is answered with that expects another version.
    fn refusal(&self, id: &SessionId, expected: &Version) -> Option<Replaced> {
        match self.records.get(id) {
            None => Some(Replaced::Gone),
            Some((_, version)) if expected.as_number() == Some(*version) => None,
            Some(row) => Some(Replaced::Conflict(stored(row))),
        }
    }
}

fn stored((record, version): &(Record, u64)) -> Stored {
    Stored::from(record.clone()).with_version(*version)
}

impl Counting {
    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.0.lock().unwrap()
    }
}

impl super::Kept for Counting {
    fn len(&self) -> usize {
        self.rows().records.len()
    }
}

impl SessionStore for Counting {
    async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
        Ok(self.rows().records.get(id).map(stored))
    }

    async fn set(&self, id: &SessionId, record: &Record, _: Duration) -> Result<(), StoreError> {
        self.rows().put(id, record);
        Ok(())
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), StoreError> {
        self.rows().records.remove(id);
        Ok(())
    }

    async fn touch(&self, id: &SessionId, _: Duration) -> Result<bool, StoreError> {
        Ok(self.rows().records.contains_key(id))
    }

    async fn create(&self, id: &SessionId, record: &Record, _: Duration) -> Result<bool, StoreError> {
        let mut rows = self.rows();
        let is_free = !rows.records.contains_key(id);
        if is_free {
            rows.put(id, record);
        }
        Ok(is_free)
    }

    async fn replace(
        &self,
        id: &SessionId,
        expected: &Version,
        record: &Record,
        _: Duration,
    ) -> Result<Replaced, StoreError> {
        let mut rows = self.rows();
        Ok(rows.refusal(id, expected).unwrap_or_else(|| Replaced::Done(rows.put(id, record).into())))
    }

    async fn destroy_if(&self, id: &SessionId, expected: &Version) -> Result<Replaced, StoreError> {
        let mut rows = self.rows();
        Ok(rows.refusal(id, expected).unwrap_or_else(|| {
            rows.records.remove(id);
            Replaced::Done(expected.clone())
        }))
    }
}
