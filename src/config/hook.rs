//! The option `on_event`, and how the program is told what happens.

use crate::config::ConfigInner;
use crate::config::builder::SessionConfigBuilder;
use crate::config::event::{SessionEvent, SessionEventKind};
use crate::id::SessionId;

impl SessionConfigBuilder {
    /// Calls a function for everything that happens to sessions: for an audit log, for alarms and for counters
    /// (no such option in Express). Default: none, which costs nothing.
    ///
    /// It is called after the store has answered and before the response leaves, in the task of the request,
    /// so it must be quick: let it send on a channel what takes long. Sessions that end because the process
    /// is killed or the request is dropped are not told of.
    ///
    /// ```
    /// use sessile::{RefusalReason, SessionConfig, SessionEventKind};
    ///
    /// let config = SessionConfig::builder("a secret of at least 32 bytes, from the environment")
    ///     .on_event(|event| {
    ///         let session = event.handle().map(|handle| handle.to_string());
    ///         let (kind, user) = (event.kind(), event.user());
    ///         match kind {
    ///             // Many of these are an attack, or a secret that was changed.
    ///             SessionEventKind::Refused(RefusalReason::BadSignature) => eprintln!("a forged cookie"),
    ///             _ => println!("{} {:?}: session {session:?} of user {user:?}", kind.name(), kind.reason()),
    ///         }
    ///     })
    ///     .build()?;
    /// # Ok::<(), sessile::ConfigError>(())
    /// ```
    pub fn on_event(mut self, hook: impl Fn(&SessionEvent<'_>) + Send + Sync + 'static) -> Self {
        self.on_event = Some(Box::new(hook));
        self
    }
}

impl ConfigInner {
    /// Whether anybody wants to know what happens.
    pub(crate) fn is_watched(&self) -> bool {
        cfg!(feature = "metrics") || self.on_event.is_some()
    }

    /// Tells the program what has happened to a session. The caller must hold no lock of the session: the
    /// function is the program's own code.
    pub(crate) fn tell(&self, kind: SessionEventKind, id: Option<&SessionId>, user: Option<&str>) {
        self.tell_of(kind, id, None, user);
    }

    /// The same, for a session that had another id before.
    pub(crate) fn tell_of(
        &self,
        kind: SessionEventKind,
        id: Option<&SessionId>,
        old_id: Option<&SessionId>,
        user: Option<&str>,
    ) {
        #[cfg(feature = "metrics")]
        super::metrics::count(kind);
        if let Some(hook) = &self.on_event {
            hook(&SessionEvent { kind, keys: &self.keys().derived, id, old_id, user });
        }
    }
}
