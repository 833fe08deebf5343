//! Moves a session of another library over, when a request brings that library's cookie.
//!
//! The new record is stored in two steps, because no step can ask both stores at once. First a *placeholder*
//! without data takes the new id. Whoever has seen a placeholder looks whether the old session is there, and
//! only then replaces that very placeholder by the session. The old record is removed after that.
//!
//! Invariant: an old record is removed only after the new one was there. So a request that comes too late,
//! after the session was moved and then ended, may still make a placeholder, but finds no old session to fill
//! it with: a logout is not undone. No two placeholders are the same bytes, so that none is mistaken for a
//! later one.

use std::time::Duration;

use axum::http::HeaderMap;
use serde_json::{Map, Value};

use crate::config::ConfigInner;
use crate::config::adopt::{Adopted, ErasedAdopt};
use crate::config::event::SessionEventKind;
use crate::error::{SessionRejection, StoreError, cause};
use crate::id::SessionId;
use crate::record::METADATA;
use crate::record::Record;
use crate::record::draft::{Draft, Json, Source};
use crate::record::metadata::{Metadata, Owner, to_millis};
use crate::request::Transport;
use crate::session::Session;
use crate::session::snapshot::Snapshot;
use crate::store::Replaced;
use crate::store::exclusive::WriteError;
use crate::store::loaded::{Loaded, ReplaceOutcome};

/// How long a placeholder is kept that nobody fills.
const PLACEHOLDER_TTL: Duration = Duration::from_secs(60);

/// How often a move begins again because another request has changed the record meanwhile. Each time, that
/// request has come further.
const ROUNDS: u32 = 16;

/// Gives the request the session that its old cookie names, if there is one. At most as many old ids as `most` are
/// looked up.
pub(super) async fn adopt(
    session: &Session,
    adopt: &dyn ErasedAdopt,
    headers: &HeaderMap,
    most: usize,
) -> Result<(), SessionRejection> {
    let inner = session.inner().config.inner();
    for old in adopt.ids(headers).iter().take(most) {
        let mover = Move { inner, adopt, old, new: inner.keyed(inner.keys().derived.adopted(old)) };
        match mover.run(session.inner().transport).await {
            Ok(None) => {}
            Ok(Some(snapshot)) => {
                tracing::info!("a session of another library was adopted");
                session.state().adopted(snapshot);
                return Ok(());
            }
            Err(WriteError::Store(error)) if error.is_corrupt() => {
                tracing::error!(
                    error = cause(&error),
                    "a session of another library cannot be read; it is left as it is"
                );
            }
            Err(WriteError::Store(error)) => return Err(error.into()),
            Err(busy) => return Err(StoreError::unavailable(busy).into()),
        }
    }
    Ok(())
}

/// One old session on its way.
struct Move<'m> {
    inner: &'m ConfigInner,
    adopt: &'m dyn ErasedAdopt,
    old: &'m str,
    new: SessionId,
}

impl Move<'_> {
    /// The session under its new id; `None`, when there is no old one, or what became of it has ended.
    async fn run(&self, transport: Transport) -> Result<Option<Snapshot>, WriteError> {
        let store = &self.inner.store;
        for _ in 0..ROUNDS {
            let Some(found) = store.get(&self.new, &self.inner.clock).await? else {
                // Only an old session that is there may take room in the store.
                if self.adopt.load(self.old).await?.is_none() {
                    // Another request may have moved it between the two looks.
                    match store.get(&self.new, &self.inner.clock).await? {
                        Some(found) if !Owner::is_placeholder(&found.record) => continue,
                        _ => return Ok(None),
                    }
                }
                store.create(&self.new, &self.placeholder(transport), PLACEHOLDER_TTL).await?;
                continue;
            };
            if !Owner::is_placeholder(&found.record) {
                if self.inner.is_over(&found.record) {
                    return Ok(None);
                }
                // Whoever has moved it may have been cut off before this step.
                self.adopt.remove(self.old).await?;
                return Ok(Some(self.moved_before(found)));
            }
            let base = (&found.record, &found.compare_by);
            let Some(adopted) = self.adopt.load(self.old).await? else {
                match store.destroy_if(&mut None, &self.new, base).await? {
                    // Another request has moved the session between the two looks.
                    Replaced::Conflict(_) => continue,
                    Replaced::Done(_) | Replaced::Gone => return Ok(None),
                }
            };
            let record = self.compose(&adopted, transport);
            let ttl = self.inner.policy.ttl(record.max_age());
            match store.replace(&mut None, &self.new, base, &record, ttl).await? {
                ReplaceOutcome::Done(version) => {
                    self.inner.tell(SessionEventKind::Created, Some(&self.new), None);
                    self.adopt.remove(self.old).await?;
                    let mut snapshot = self.moved_before(found);
                    snapshot.rewritten(record, version);
                    return Ok(Some(snapshot.extended(self.inner.clock.now(), ttl)));
                }
                ReplaceOutcome::Conflict(_) | ReplaceOutcome::Gone => {}
            }
        }
        Err(WriteError::Busy)
    }

    fn moved_before(&self, found: Loaded) -> Snapshot {
        let ttl = self.inner.policy.ttl(found.record.max_age());
        let Loaded { record, compare_by, expires_in, seen } = found;
        let expires = seen.after(expires_in.unwrap_or(ttl));
        Snapshot { id: self.new.clone(), signature: None, record, compare_by, expires }
    }

    fn placeholder(&self, transport: Transport) -> Record {
        let nonce = Value::String(SessionId::random().as_str().to_owned());
        let other = Map::from_iter([(Metadata::ADOPTING.to_owned(), nonce)]);
        self.written(&Adopted::default(), Metadata { other, ..Metadata::default() }, transport)
    }

    fn compose(&self, adopted: &Adopted, transport: Transport) -> Record {
        let born = self.inner.policy.absolute_timeout.map(|_| to_millis(self.inner.clock.now()));
        self.written(adopted, Metadata { born, ..Metadata::default() }, transport)
    }

    fn written(&self, adopted: &Adopted, metadata: Metadata, transport: Transport) -> Record {
        let source = Source::Nothing(self.inner.templates.get(transport));
        let mut draft = Draft::new(source, self.inner.policy.max_age);
        for (key, value) in &adopted.values {
            draft.put(key, Some(Json::Kept(value)));
        }
        draft.put(METADATA, metadata.to_json().map(Json::Made));
        draft.compose(self.inner.clock.now())
    }
}
