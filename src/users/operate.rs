//! What operators need beside the list of a user: the end of any session, and what is erased with a user.

use crate::config::SessionConfig;
use crate::config::event::{EndReason, SessionEventKind};
use crate::error::SessionError;
use crate::id::SessionId;
use crate::record::Record;
use crate::session::handle::SessionHandle;
use crate::store::users::calls::UserLogs;
use crate::users::UserSessions;

/// How often the list of a user is ended again because of a login that came in between.
const ATTEMPTS: usize = 16;

impl SessionConfig {
    /// The public name of the session with this id.
    #[must_use]
    pub fn handle_of(&self, id: &SessionId) -> SessionHandle {
        SessionHandle::of(self.inner(), id)
    }

    /// Whether a handle, made with any of the secrets, is that of this id: to find a session among those that
    /// [`SessionStore::ids`](crate::SessionStore::ids) tells of.
    #[must_use]
    pub fn is_handle_of(&self, handle: &SessionHandle, id: &SessionId) -> bool {
        handle.is_of(self.inner(), id)
    }

    /// Ends the session with this id, whoever it belongs to, and returns whether it was live. The id is one that
    /// the store tells, as [`SessionStore::ids`](crate::SessionStore::ids) does.
    ///
    /// A session that belongs to a user is ended wherever it moves, as by
    /// [`UserSessions::end`](crate::UserSessions::end). A guest's session that gets another id at the same
    /// moment lives on under that.
    ///
    /// # Errors
    /// [`Store`](SessionError::Store), when the store fails. The session may then be over all the same; the call
    /// can be made again.
    pub async fn end_session(&self, id: &SessionId) -> Result<bool, SessionError> {
        self.end_by_id(id.key()).await.map_err(SessionError::logged)
    }

    async fn end_by_id(&self, id: &SessionId) -> Result<bool, SessionError> {
        let config = self.inner();
        let Some(record) = self.record_of(id).await? else { return Ok(false) };
        let users = record.user_hashes();
        let mut reason = EndReason::Destroyed;
        if let Some(logs) = UserLogs::of(&config.store, &config.clock, config.policy.limits()) {
            for user in &users {
                let place = logs.read(user).await?.entry(id).map(|entry| entry.place);
                if let Some(place) = place {
                    logs.end(user, vec![place]).await?;
                    reason = EndReason::Listed;
                }
            }
        }
        // A guest's session, or one that stands in no list. One that has got another id since it was read is not
        // the session with this id any more.
        if reason == EndReason::Destroyed && self.record_of(id).await?.is_none() {
            return Ok(false);
        }
        config.store.destroy(id).await?;
        let kind = SessionEventKind::Ended { reason, sessions: 1 };
        config.tell(kind, Some(id), users.first().map(String::as_str));
        Ok(true)
    }

    async fn record_of(&self, id: &SessionId) -> Result<Option<Record>, SessionError> {
        let found = self.inner().store.get_many(std::slice::from_ref(id)).await?.pop().flatten();
        Ok(found.map(|stored| stored.record))
    }
}

impl UserSessions {
    /// Ends all sessions, as [`end_all`](Self::end_all) does, and removes the user's list as well, so that the
    /// store keeps nothing of the user. Returns how many sessions were ended.
    ///
    /// Take the account away before: nobody can then log in again. A login that has begun before, with
    /// [`begin_login`](Self::begin_login), may succeed, because what would refuse it is removed with the list.
    ///
    /// # Errors
    /// - [`Conflict`](SessionError::Conflict), when the user logs in over and over meanwhile.
    /// - Those of [`list`](Self::list). Something may then be left; the call can be made again.
    pub async fn erase(&self) -> Result<usize, SessionError> {
        self.erase_all().await.map_err(SessionError::logged)
    }

    async fn erase_all(&self) -> Result<usize, SessionError> {
        let mut ended = 0;
        for _ in 0..ATTEMPTS {
            ended += self.end_all_but(None).await?;
            if self.remove_lists().await? {
                return Ok(ended);
            }
        }
        Err(SessionError::Conflict)
    }

    /// Returns whether the lists of all secrets are gone.
    async fn remove_lists(&self) -> Result<bool, SessionError> {
        let logs = self.logs()?;
        for user in &self.users {
            if !logs.remove(user).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
