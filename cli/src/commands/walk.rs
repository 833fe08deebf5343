//! A walk through all sessions of a store.

use std::collections::HashSet;

use anyhow::bail;
use futures_util::TryStreamExt as _;
use sessile::{SessionConfig, SessionHandle, SessionId, SessionStore as _, Stored};

use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::stores::Opened;

/// How many sessions are asked for together.
const AT_ONCE: usize = 500;

/// The ids of a store.
pub(super) struct Ids(Vec<SessionId>);

/// What stands under an id.
pub(super) enum Found {
    Live(SessionId, Stored),
    /// It has expired, or was removed meanwhile.
    Absent,
    /// It is no record, or cannot be opened.
    Unreadable,
}

impl Ids {
    pub(super) async fn of(opened: &Opened, output: Output) -> anyhow::Result<Self> {
        let Some(mut ids) = opened.store.ids() else {
            bail!("the store cannot tell which sessions it has");
        };
        let bar = output.progress("looking for sessions", None);
        // A store may name one twice.
        let mut named = HashSet::new();
        while let Some(id) = ids.try_next().await? {
            named.insert(id);
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(Self(named.into_iter().collect()))
    }

    pub(super) fn count(&self) -> u64 {
        self.0.len() as u64
    }

    /// Reads what stands under each id, some hundreds at a time.
    pub(super) async fn read(
        self,
        opened: &Opened,
        output: Output,
        what: &'static str,
        mut each: impl AsyncFnMut(Vec<Found>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let bar = output.progress(what, Some(self.count()));
        for ids in self.0.chunks(AT_ONCE) {
            let mut found = Vec::with_capacity(ids.len());
            for (id, stored) in ids.iter().zip(opened.store.get_many(ids).await?) {
                found.push(match stored {
                    Some(stored) => Found::Live(id.clone(), stored),
                    // `get_many` does not tell what is gone from what cannot be read.
                    None => match opened.store.get(id).await {
                        Ok(Some(stored)) => Found::Live(id.clone(), stored),
                        Ok(None) => Found::Absent,
                        Err(error) if error.is_corrupt() => Found::Unreadable,
                        Err(error) => return Err(error.into()),
                    },
                });
            }
            each(found).await?;
            bar.inc(ids.len() as u64);
        }
        bar.finish_and_clear();
        Ok(())
    }
}

/// The session with this handle.
pub(super) async fn find(
    config: &SessionConfig,
    opened: &Opened,
    handle: &SessionHandle,
    output: Output,
) -> anyhow::Result<SessionId> {
    let ids = Ids::of(opened, output).await?;
    let found = ids.0.into_iter().find(|id| config.is_handle_of(handle, id));
    found.ok_or_else(|| not_found(handle))
}

pub(super) fn not_found(handle: &SessionHandle) -> anyhow::Error {
    Failure::error(
        Exit::NotFound,
        format!("there is no session with the handle {handle}, or the secrets are others than the app's"),
    )
}
