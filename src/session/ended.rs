//! [`Session::ended`]: waits for the end of a session, and looks for it in the store.

use std::pin::pin;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt as _;
use futures_util::future::{Either, pending, select};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

use crate::config::{ConfigInner, SessionConfig};
use crate::error::cause;
use crate::id::SessionId;
use crate::session::Session;
use crate::session::stage::Stage;
use crate::session::state::State;
use crate::store::Stored;
use crate::store::watched::{Ended, Unstored, Watch};

/// The longest interval between two looks.
const MONTH: Duration = Duration::from_secs(30 * 24 * 60 * 60);

impl Session {
    /// Waits until the session is over, for as long as a WebSocket or a stream of events is open: after a
    /// logout in another tab, say, or after the end of all sessions of the user.
    ///
    /// An end in this process is told at once. The store is asked for the ends that others bring about, at an
    /// interval of [`look_every`](crate::SessionConfigBuilder::look_every) and for all waiting sessions
    /// together; a store that tells of ends is heard as well. A store that fails ends nobody: it is asked
    /// again. If the session had ended before the call, the answer comes at once.
    ///
    /// The future is for the id under which the next commit stores the session, and a later change of the id
    /// is the end [`Ended::Moved`]. A new session that its request does not store has the end
    /// [`Ended::Gone`], as soon as the last handle of the request is dropped. The future keeps the
    /// configuration but not the session. Await it on a tokio runtime.
    ///
    /// ```
    /// use axum::extract::ws::{WebSocket, WebSocketUpgrade};
    /// use axum::response::{IntoResponse, Response};
    /// use sessile::{Session, SessionError};
    ///
    /// async fn echo(session: Session, upgrade: WebSocketUpgrade) -> Result<Response, SessionError> {
    ///     let guard = session.commit().await?;
    ///     let ended = session.ended();
    ///     let talk = async |mut socket: WebSocket| {
    ///         let mut ended = std::pin::pin!(ended);
    ///         loop {
    ///             tokio::select! {
    ///                 _ = &mut ended => break, // Logged out, or expired: the socket closes.
    ///                 received = socket.recv() => {
    ///                     let Some(Ok(message)) = received else { break };
    ///                     if socket.send(message).await.is_err() {
    ///                         break;
    ///                     }
    ///                 }
    ///             }
    ///         }
    ///     };
    ///     Ok((guard, upgrade.on_upgrade(talk)).into_response())
    /// }
    /// # let _: axum::Router<sessile::SessionConfig> = axum::Router::new().route("/", axum::routing::get(echo));
    /// ```
    pub fn ended(&self) -> impl Future<Output = Ended> + Send + use<> {
        // The session is watched from the call on, so that no end is missed before the future is awaited.
        let watch = self.watch();
        let config = self.inner().config.clone();
        async move {
            let Some(watch) = watch else { return Ended::Destroyed };
            if let Ok(runtime) = Handle::try_current() {
                let look = || runtime.spawn(keep_looking(config.clone())).abort_handle();
                config.inner().store.watched().look_with(look);
            }
            watch.ended().await
        }
    }

    /// `None`: this request has destroyed the session, and there is nothing left of it in the store.
    fn watch(&self) -> Option<Watch> {
        let config = self.inner().config.inner();
        let watched = config.store.watched();
        loop {
            {
                let mut state = self.state();
                match &mut state.stage {
                    Stage::Destroyed { stored: None, .. } => return None,
                    Stage::Destroyed { stored: Some(stored), .. } => {
                        return Some(watched.watch(&stored.id, Some(stored.expires.date(&config.clock))));
                    }
                    Stage::Existing(stored) => {
                        return Some(watched.watch(&stored.id, Some(stored.expires.date(&config.clock))));
                    }
                    Stage::New { .. } | Stage::NewId { .. } => {}
                }
                if let Some(id) = state.id().cloned() {
                    let watch = watched.watch(&id, None);
                    state.unstored.get_or_insert_with(|| Box::new(Unstored::new(watched, id)));
                    return Some(watch);
                }
            }
            // Chooses an id, without the state's lock.
            self.id();
        }
    }
}

impl State {
    /// Tells those who watch the id under which this session was to be stored that it never will be.
    pub(super) fn leave_unstored(&mut self, how: Ended) {
        if let Some(unstored) = self.unstored.take() {
            unstored.over(how);
        }
    }
}

/// Looks at the store for as long as sessions are watched: at once for each that is new, and at an interval
/// for all.
async fn keep_looking(config: SessionConfig) {
    let config = config.inner();
    let (watched, every) = (config.store.watched(), config.policy.look_every);
    let mut ends = config.store.watch();
    let (mut next, mut is_failing) = (Instant::now(), false);
    loop {
        if Instant::now() >= next {
            look(config, watched.to_look_up(true), &mut is_failing).await;
            next = later(every);
            ends = ends.or_else(|| config.store.watch());
        }
        let told = async {
            match &mut ends {
                Some(ends) => ends.next().await,
                None => pending().await,
            }
        };
        let (added, told) = (pin!(watched.added()), pin!(told));
        match timeout_at(next, select(added, told)).await {
            Err(_) => {}
            Ok(Either::Left(_)) => look(config, watched.to_look_up(false), &mut is_failing).await,
            Ok(Either::Right((Some(id), _))) => watched.is_absent(&id, config.clock.now()),
            // The connection is gone. The next look opens another one.
            Ok(Either::Right((None, _))) => ends = None,
        }
    }
}

/// The time of the next look.
fn later(every: Duration) -> Instant {
    Instant::now() + every.min(MONTH)
}

/// Looks these sessions up in the store, all in one call.
async fn look(config: &ConfigInner, ids: Vec<SessionId>, is_failing: &mut bool) {
    if ids.is_empty() {
        return;
    }
    let watched = config.store.watched();
    let asked = config.clock.now();
    let found = match config.store.get_many(&ids).await {
        Ok(found) => found,
        Err(error) => {
            // Once, until the store answers again.
            if !std::mem::replace(is_failing, true) {
                tracing::warn!(
                    error = cause(&error),
                    "the store did not say which sessions have ended; it is asked again"
                );
            }
            return;
        }
    };
    *is_failing = false;
    let now = config.clock.now();
    for (id, stored) in ids.iter().zip(found) {
        match stored {
            None => watched.is_absent(id, now),
            Some(stored) if config.policy.limits().are_reached(id, &stored.record, now) => {
                watched.end(id, Ended::Expired)
            }
            Some(stored) => watched.is_there(id, expires(&stored, asked)),
        }
    }
}

/// When a record expires that was there at `asked`. Where the store does not tell, it is the cookie's expiry,
/// unless a touch has moved the record's own beyond it.
fn expires(stored: &Stored, asked: SystemTime) -> Option<SystemTime> {
    match stored.expires_in {
        Some(left) => asked.checked_add(left),
        None => stored.record.cookie_expires().filter(|expires| *expires > asked),
    }
}
