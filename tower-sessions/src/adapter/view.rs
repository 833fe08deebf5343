//! [`View`]: the request's `sessile` session, as a store of tower-sessions that holds nothing else.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde_json::Value;
use sessile::{Session, SessionError};
use time::OffsetDateTime;

use super::tower_id;
use super::tower_sessions_core::session::{Id, Record};
use super::tower_sessions_core::session_store::{Error, Result, SessionStore};

/// A request's session, as a store that holds it and nothing else.
///
/// `tower_sessions::Session` reads the whole record at first, and saves the whole record at the end. What is
/// saved is compared with what was read, and only the differences are written, so that nothing is lost that
/// this request's handlers or another request have written meanwhile.
pub(super) struct View {
    session: Session,
    state: Mutex<State>,
}

struct State {
    /// The id under which `tower_sessions::Session` knows the session. `None`: the session is new.
    id: Option<Id>,
    /// The values as `tower_sessions::Session` has them.
    known: HashMap<String, Value>,
    /// How often the session was deleted and not saved since.
    deletions: u32,
}

impl View {
    pub(super) fn new(session: Session) -> Self {
        let id = (!session.is_new()).then(|| tower_id(&session.id()));
        Self { session, state: Mutex::new(State { id, known: HashMap::new(), deletions: 0 }) }
    }

    pub(super) fn id(&self) -> Option<Id> {
        self.state().id
    }

    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// Whether the session was deleted, and nothing was saved since.
    pub(super) fn is_deleted(&self) -> bool {
        self.state().deletions > 0
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what differs from what was read.
    fn write(&self, state: &mut State, record: &Record) -> Result<()> {
        let is_known = |key: &String, value: &Value| state.known.get(key) == Some(value);
        let new = record.data.iter().filter(|(key, value)| !is_known(key, value));
        // By their keys, so that what is stored does not depend on the order of a `HashMap`.
        for (key, value) in new.collect::<BTreeMap<_, _>>() {
            self.session.insert(key, value).map_err(|error| refused(&error))?;
        }
        for key in state.known.keys().filter(|key| !record.data.contains_key(*key)) {
            self.session.remove::<serde_json::Value>(key).map_err(|error| refused(&error))?;
        }
        state.known.clone_from(&record.data);
        state.deletions = 0;
        state.id = Some(record.id);
        Ok(())
    }
}

fn refused(error: &SessionError) -> Error {
    Error::Encode(error.to_string())
}

#[async_trait]
impl SessionStore for View {
    async fn create(&self, record: &mut Record) -> Result<()> {
        let mut state = self.state();
        // `cycle_id` deletes the session once and gives the record a new id; `flush` leaves the id.
        if state.deletions == 1 && state.id != Some(record.id) {
            self.session.cycle_id();
        } else if state.deletions > 0 {
            self.session.destroy();
            state.known.clear();
        }
        record.id = tower_id(&self.session.id());
        self.write(&mut state, record)
    }

    async fn save(&self, record: &Record) -> Result<()> {
        let mut state = self.state();
        if state.deletions > 0 {
            self.session.destroy();
            state.known.clear();
        }
        self.write(&mut state, record)
    }

    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        let mut state = self.state();
        if state.id != Some(*id) || state.deletions > 0 {
            return Ok(None);
        }
        // A value that cannot be read as one of Rust's is not seen, and stays as it is.
        let value = |key: String| Some((self.session.get(&key).ok()??, key));
        let values = self.session.keys().into_iter().filter_map(value);
        state.known = values.map(|(value, key)| (key, value)).collect();
        let expiry_date = self.session.expires().map_or_else(OffsetDateTime::now_utc, OffsetDateTime::from);
        Ok(Some(Record { id: *id, data: state.known.clone(), expiry_date }))
    }

    async fn delete(&self, id: &Id) -> Result<()> {
        let mut state = self.state();
        if state.id == Some(*id) {
            state.deletions += 1;
        }
        Ok(())
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").finish_non_exhaustive()
    }
}
