//! [`UserSessions`]: all sessions of a user, to list them and to end them.

pub(crate) mod created;
mod operate;

use std::fmt::{self, Display};
use std::time::SystemTime;

use smol_str::SmolStr;

use crate::config::SessionConfig;
use crate::config::event::{EndReason, SessionEventKind};
use crate::error::{SessionError, StoreError};
use crate::id::SessionId;
use crate::record::Record;
use crate::record::metadata::{Metadata, absolute_end, from_millis};
use crate::session::Session;
use crate::session::handle::SessionHandle;
use crate::session::login::Login;
use crate::store::Stored;
use crate::store::users::calls::UserLogs;
use crate::store::users::log::Entry;

impl SessionConfig {
    /// The sessions of a user, as [`Session::log_in`] names the user.
    ///
    /// Every store of this crate can list them. With another store, each call returns
    /// [`StoreError::unsupported`], unless the store implements [`UserIndex`](crate::UserIndex).
    ///
    /// ```
    /// use axum::extract::State;
    /// use axum::Json;
    /// use sessile::{Session, SessionConfig, SessionError};
    ///
    /// async fn devices(State(sessions): State<SessionConfig>, session: Session) -> Result<Json<Vec<String>>, SessionError> {
    ///     let mut devices = Vec::new();
    ///     for one in sessions.sessions_of(7).list().await? {
    ///         let here = if one.is(&session) { " (this device)" } else { "" };
    ///         devices.push(format!("{}{here}", one.device_label().unwrap_or("unknown device")));
    ///     }
    ///     Ok(Json(devices))
    /// }
    /// ```
    pub fn sessions_of(&self, user: impl Display) -> UserSessions {
        UserSessions { users: self.inner().keys().derived.users(&user.to_string()), config: self.clone() }
    }
}

/// The sessions of a user. Made by [`SessionConfig::sessions_of`].
#[derive(Clone)]
pub struct UserSessions {
    config: SessionConfig,
    /// The hashes of the user, newest first.
    users: Vec<SmolStr>,
}

/// A session in the list of a user.
#[derive(Clone)]
pub struct UserSession {
    /// The session's key; more than one while it gets a new id, and after that has failed.
    ids: Vec<SessionId>,
    handle: SessionHandle,
    created: SystemTime,
    last_seen: Option<SystemTime>,
    expires: Option<SystemTime>,
    metadata: Metadata,
    record: Record,
}

impl UserSessions {
    /// The live sessions, the newest login first.
    ///
    /// # Errors
    /// [`Store`](SessionError::Store), when the store fails or keeps no lists.
    pub async fn list(&self) -> Result<Vec<UserSession>, SessionError> {
        self.live().await.map_err(SessionError::logged)
    }

    /// The number of live sessions.
    ///
    /// # Errors
    /// Those of [`list`](Self::list).
    pub async fn count(&self) -> Result<usize, SessionError> {
        Ok(self.list().await?.len())
    }

    /// Ends one session. Returns `false` if the user has no session with this handle.
    ///
    /// # Errors
    /// Those of [`list`](Self::list). The session may then be over all the same; the call can be made again.
    pub async fn end(&self, handle: &SessionHandle) -> Result<bool, SessionError> {
        self.end_one(handle).await.map_err(SessionError::logged)
    }

    /// Ends all sessions but this one, and returns how many. A login that is under way ends as well.
    ///
    /// # Errors
    /// - [`Gone`](SessionError::Gone), when `session` is not a live session of this user. Then none was
    ///   ended; if it ended during the call, those of older secrets may have been.
    /// - Those of [`list`](Self::list). Some sessions may then live on; the call can be made again.
    pub async fn end_others(&self, session: &Session) -> Result<usize, SessionError> {
        self.end_all_but(Some(session)).await.map_err(SessionError::logged)
    }

    /// Ends all sessions, and returns how many. A login that is under way ends as well.
    ///
    /// Once the call has answered, no session of the user is alive or comes alive that existed, was being
    /// written to or was getting a new id before it, and no login succeeds that began before it: see
    /// [`Session::log_in_with`]. That holds among programs that use this crate; an Express application
    /// may write a session back that it has loaded.
    ///
    /// # Errors
    /// Those of [`list`](Self::list). Some sessions may then live on; the call can be made again.
    pub async fn end_all(&self) -> Result<usize, SessionError> {
        self.end_all_but(None).await.map_err(SessionError::logged)
    }

    /// Begins a login: call it before the password is checked, and [`Session::log_in_with`] after.
    ///
    /// If all sessions of the user are ended in between, as after a change of the password, the login fails.
    ///
    /// ```
    /// # async fn is_right(_: &str) -> bool { true }
    /// use sessile::{Session, SessionConfig, SessionError, SessionGuard};
    ///
    /// async fn log_in(sessions: SessionConfig, session: Session, user: u64, password: &str) -> Result<SessionGuard, SessionError> {
    ///     let login = sessions.sessions_of(user).begin_login().await?;
    ///     if is_right(password).await {
    ///         session.log_in_with(login)?;
    ///     }
    ///     session.commit().await
    /// }
    /// ```
    ///
    /// # Errors
    /// Those of [`list`](Self::list).
    pub async fn begin_login(&self) -> Result<Login, SessionError> {
        let newest = self.users.first().map(SmolStr::as_str).unwrap_or_default();
        let log = async { Ok::<_, SessionError>(self.logs()?.read(newest).await?) };
        let log = log.await.map_err(SessionError::logged)?;
        Ok(Login { user: self.users.clone(), epoch: log.epoch() })
    }

    fn logs(&self) -> Result<UserLogs<'_>, SessionError> {
        let config = self.config.inner();
        let logs = UserLogs::of(&config.store, &config.clock, config.policy.limits());
        Ok(logs.ok_or_else(|| StoreError::unsupported("the store keeps no lists of users' sessions"))?)
    }

    async fn live(&self) -> Result<Vec<UserSession>, SessionError> {
        let logs = self.logs()?;
        let mut sessions = Vec::<UserSession>::new();
        // The list of the oldest secret first, whose sessions are the oldest.
        for user in self.users.iter().rev() {
            let mut last = None;
            for (id, entry, stored) in logs.live(user).await? {
                let Some(mut session) = self.session(user, id, &entry, stored) else { continue };
                if last == Some(entry.place) {
                    session.ids.extend(sessions.pop().into_iter().flat_map(|before| before.ids));
                }
                last = Some(entry.place);
                sessions.push(session);
            }
        }
        sessions.reverse();
        Ok(sessions)
    }

    /// `None`: the session is over, or no longer the user's.
    fn session(&self, user: &str, id: SessionId, entry: &Entry, stored: Stored) -> Option<UserSession> {
        let config = self.config.inner();
        let metadata = Metadata::of(&stored.record);
        let (now, end) = (config.clock.now(), absolute_end(&stored.record, config.policy.absolute_timeout));
        if !metadata.is_of(user) || end.is_some_and(|end| end <= now) {
            return None;
        }
        let ttl = config.policy.ttl(stored.record.max_age());
        let last_seen =
            stored.expires_in.and_then(|left| now.checked_sub(ttl.checked_sub(left).unwrap_or_default()));
        let idle_end = stored.expires_in.and_then(|left| now.checked_add(left));
        Some(UserSession {
            handle: SessionHandle::of(config, &id),
            ids: vec![id],
            created: from_millis(metadata.born.unwrap_or(entry.at)),
            last_seen,
            expires: idle_end.into_iter().chain(end).min(),
            metadata,
            record: stored.record,
        })
    }

    async fn end_one(&self, handle: &SessionHandle) -> Result<bool, SessionError> {
        let logs = self.logs()?;
        for user in self.users.iter().rev() {
            let log = logs.read(user).await?;
            let mut entries = log.entries().into_iter();
            let found = entries.find(|(id, _)| handle.is_of(self.config.inner(), id));
            if let Some((id, entry)) = found {
                let (_, ended) = logs.end(user, vec![entry.place]).await?;
                self.tell_of_end(user, ended, Some(&id));
                return Ok(ended > 0);
            }
        }
        Ok(false)
    }

    async fn end_all_but(&self, kept: Option<&Session>) -> Result<usize, SessionError> {
        let logs = self.logs()?;
        let kept = match kept {
            Some(session) => Some(self.own(logs, session).await?),
            None => None,
        };
        let mut ended = 0;
        // New logins go to the list of the newest secret, which is ended last.
        for user in self.users.iter().rev() {
            let keep = kept.as_ref().filter(|(own, _)| own == user).map(|(_, place)| *place);
            let sessions = logs.end_all(user, keep).await?.ok_or(SessionError::Gone)?;
            self.tell_of_end(user, sessions, None);
            ended += sessions;
        }
        Ok(ended)
    }

    /// Tells the program that sessions were ended from a user's list. `id` is the only one of them.
    fn tell_of_end(&self, user: &str, sessions: usize, id: Option<&SessionId>) {
        if sessions > 0 {
            let kind = SessionEventKind::Ended { reason: EndReason::Listed, sessions };
            self.config.inner().tell(kind, id, Some(user));
        }
    }

    /// The list in which a session stands, and its place there.
    async fn own(&self, logs: UserLogs<'_>, session: &Session) -> Result<(SmolStr, u64), SessionError> {
        let (id, metadata) = session.stored_metadata().ok_or(SessionError::Gone)?;
        let user = self.users.iter().find(|user| metadata.is_of(user)).ok_or(SessionError::Gone)?;
        let log = logs.read(user).await?;
        let own = log.entry(&id).filter(|entry| !entry.ended).ok_or(SessionError::Gone)?;
        Ok((user.clone(), own.place))
    }
}

impl UserSession {
    /// A public name of the session, for [`UserSessions::end`].
    #[must_use]
    pub fn handle(&self) -> SessionHandle {
        self.handle
    }

    /// When the user logged in.
    #[must_use]
    pub fn created(&self) -> SystemTime {
        self.created
    }

    /// When the session was last used, to within [`touch_after`](crate::SessionConfigBuilder::touch_after).
    /// It is computed from the expiry, so it is `None` where the store does not tell that.
    #[must_use]
    pub fn last_seen(&self) -> Option<SystemTime> {
        self.last_seen
    }

    /// When the session ends if it is not used again. `None` where the store does not tell.
    #[must_use]
    pub fn expires(&self) -> Option<SystemTime> {
        self.expires
    }

    /// The name of the device, as [`Session::set_device_label`] has noted it.
    #[must_use]
    pub fn device_label(&self) -> Option<&str> {
        self.metadata.label.as_deref()
    }

    /// Whether somebody else acts as the user in this session: see [`Session::impersonate`].
    #[must_use]
    pub fn is_impersonated(&self) -> bool {
        self.metadata.actor.is_some()
    }

    /// Whether the session is bound to a device: see [`dbsc`](crate::dbsc).
    #[cfg(feature = "dbsc")]
    #[must_use]
    pub fn is_bound(&self) -> bool {
        self.metadata.dbsc.as_ref().is_some_and(|device| device.key.is_some())
    }

    /// What the store keeps of the session: its data, for an export say.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Whether it is this session.
    #[must_use]
    pub fn is(&self, session: &Session) -> bool {
        session.stored_metadata().is_some_and(|(id, _)| self.ids.contains(id.key()))
    }
}

impl fmt::Debug for UserSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserSessions(REDACTED)")
    }
}

impl fmt::Debug for UserSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserSession")
            .field("handle", &self.handle)
            .field("created", &self.created)
            .field("last_seen", &self.last_seen)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}
