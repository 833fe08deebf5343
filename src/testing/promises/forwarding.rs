//! A check of wrappers: what is asked of them reaches the store inside.

use std::sync::Arc;

use super::setup::options;
use crate::error::StoreError;
use crate::id::SessionId;
use crate::store::{SessionStore, Stored};
use crate::testing::probe::{Op, Probe};

/// A wrapper whose own `get` fails.
struct Wrapper<S>(Arc<Probe<S>>);

impl<S: SessionStore> SessionStore for Wrapper<S> {
    crate::forward_store!(self => self.0, except get);

    /// The provided `check` would call this method.
    async fn get(&self, _: &SessionId) -> Result<Option<Stored>, StoreError> {
        Err(StoreError::unavailable("the wrapper answers no `get`"))
    }
}

/// `check` answers that the store can serve, and the store's own `check` answers, also through
/// [`forward_store!`](crate::forward_store), through an `Arc`, and to
/// [`SessionConfig::check`](crate::SessionConfig::check).
pub async fn check_reaches_the_store<S: SessionStore>(store: S) {
    store.check().await.expect("a store that serves says so");
    let probe = Arc::new(Probe::new(store));
    let outer = Probe::new(Arc::new(Wrapper(Arc::clone(&probe))));
    let config = options(&outer).build().expect("the kit's own options");
    config.check().await.expect("`check` is forwarded to the store");
    assert_eq!((probe.calls(Op::Check), probe.total()), (1, 1), "one `check` is one `check` of the store");
    probe.fail(Op::Check, 0);
    let failed = config.check().await;
    assert!(failed.is_err_and(|error| error.is_unavailable()), "the store's answer is passed on");
}
