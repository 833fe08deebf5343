//! [`Membership`]: the lists of users in which a session is to stand, and the steps by which it gets there.
//!
//! The session is noted in the lists first, then its record is created, and then the lists are read again. So
//! whoever ends all sessions of a user either finds the note and destroys the record, or marks the note
//! before it is read again; and a process that is killed leaves no record that is in no list.

use std::sync::OnceLock;

use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::config::ConfigInner;
use crate::config::event::{EndReason, SessionEventKind};
use crate::config::policy::AtLimit;
use crate::error::SessionError;
use crate::id::SessionId;
use crate::record::metadata::Metadata;
use crate::session::metadata_change::LoggedIn;
use crate::session::snapshot::Snapshot;
use crate::store::users::calls::UserLogs;
use crate::store::users::log::{Event, LogIn, Move, UserLog};

/// The lists of users in which a new record is to stand.
pub(super) struct Membership<'c> {
    config: &'c ConfigInner,
    logs: UserLogs<'c>,
    /// Two, where one user acts as another.
    lists: SmallVec<[List; 1]>,
}

/// A user's list, and how the session gets into it.
struct List {
    /// The keyed hash of the user.
    user: SmolStr,
    /// The old id of a session of the same user, whose place the session keeps.
    from: Option<SessionId>,
    /// Without a login, a session whose old id is over is over as well.
    login: Option<Login>,
    /// The epoch of the list when the session was noted.
    noted: OnceLock<SmolStr>,
}

/// A session that gets a place of its own.
struct Login {
    /// The epoch with which the login began, if it began before the commit.
    epoch: Option<SmolStr>,
    /// The hashes of the user by older secrets, newest first.
    older: Vec<SmolStr>,
    /// The id that the session had before, in the list of an older secret. Its place there does not count,
    /// because the session leaves it.
    old: Option<SessionId>,
    /// Whether somebody else acts as the user. Such a session does not count.
    acted: bool,
}

impl List {
    fn needs_old(&self) -> bool {
        self.from.is_some() || self.login.as_ref().is_some_and(|login| login.old.is_some())
    }
}

impl<'c> Membership<'c> {
    /// What a record with this metadata needs that takes the place of `old`. `None`: the record stands in no
    /// list, or the store keeps none.
    pub(super) fn of(
        config: &'c ConfigInner,
        new: &Metadata,
        old: Option<&Snapshot>,
        logged_in: Option<&LoggedIn>,
    ) -> Option<Self> {
        new.user.as_ref()?;
        let logs = UserLogs::of(&config.store, &config.clock, config.policy.limits())?;
        let before = Metadata::of_any(old.map(|old| &old.record));
        let list = |user: &SmolStr| {
            let logged_in = logged_in.filter(|login| login.user.first() == Some(user));
            // Where somebody else acted as the user, the place does not count, and a login gets one that
            // does.
            let was_acted = before.user.as_ref() == Some(user) && before.actor.is_some();
            // The place of the user's own session counts: whoever acts as the user from now on leaves it.
            let acts = new.user.as_ref() == Some(user) && new.actor.is_some() && !was_acted;
            let stays = before.is_of(user) && !(logged_in.is_some() && was_acted) && !acts;
            let from = old.filter(|_| stays).map(|old| old.id.clone());
            let login = match logged_in {
                Some(login) => {
                    let older = login.user[1..].to_vec();
                    let old = old.filter(|_| older.iter().any(|user| before.is_of(user)));
                    let old = old.map(|old| old.id.clone());
                    Some(Login { epoch: login.epoch.clone(), older, old, acted: false })
                }
                None if from.is_some() => None,
                None => Some(Login { epoch: None, older: Vec::new(), old: None, acted: new.actor.is_some() }),
            };
            List { user: user.clone(), from, login, noted: OnceLock::new() }
        };
        Some(Self { config, logs, lists: new.users().map(list).collect() })
    }

    /// Notes in every list that a record is about to be created under this id.
    pub(super) async fn note(&self, id: &SessionId) -> Result<(), SessionError> {
        for list in &self.lists {
            self.note_in(list, id).await?;
        }
        Ok(())
    }

    async fn note_in(&self, list: &List, id: &SessionId) -> Result<(), SessionError> {
        if let Some(from) = &list.from {
            let moved = Move {
                from: from.key().as_str().into(),
                to: id.key().as_str().into(),
                at: self.logs.now(),
                epoch: list.login.as_ref().and_then(|login| login.epoch.clone()),
            };
            let log = self.logs.append(&list.user, &Event::Move(moved)).await?;
            if log.has(id) {
                list.noted.get_or_init(|| log.epoch());
                return Ok(());
            }
        }
        let Some(login) = &list.login else { return Err(SessionError::Gone) };
        // Where there is no room, sessions that have expired are dropped, and the second attempt decides.
        for is_last in [false, true] {
            let event = LogIn {
                id: id.key().as_str().into(),
                at: self.logs.now(),
                epoch: login.epoch.clone(),
                limit: self.room(login).await?,
                acted: login.acted,
            };
            let log = self.logs.append(&list.user, &Event::LogIn(event)).await?;
            if log.has(id) {
                list.noted.get_or_init(|| log.epoch());
                return Ok(());
            }
            if log.entry(id).is_some() || login.epoch.as_ref().is_some_and(|epoch| *epoch != log.epoch()) {
                return Err(SessionError::Gone);
            }
            if is_last {
                // Logins that are refused leave lines as well.
                self.logs.shorten(&list.user, log).await;
            } else {
                self.sift_older(login).await?;
                self.logs.sift(&list.user, log).await?;
            }
        }
        Err(SessionError::TooManySessions)
    }

    /// The number of sessions in the user's list from which on a login is refused.
    async fn room(&self, login: &Login) -> Result<Option<usize>, SessionError> {
        match self.config.policy.per_user {
            Some((most, AtLimit::Refuse)) if !login.acted => {
                Ok(Some(most.saturating_sub(self.older_places(login).await?.len())))
            }
            _ => Ok(None),
        }
    }

    /// The last step of a session that has no place to move from: looks whether it still stands in the list
    /// after its record was created. If not, its record is destroyed.
    pub(super) async fn look(&self, id: &SessionId) -> Result<(), SessionError> {
        for list in self.lists.iter().filter(|list| list.from.is_none()) {
            // A call without an answer is made once more: the old record may be gone already.
            let log = match self.logs.read(&list.user).await {
                Ok(log) => log,
                Err(_) => self.logs.read(&list.user).await?,
            };
            if !log.has(id) {
                self.config.store.destroy(id).await?;
                return Err(SessionError::Gone);
            }
            self.settle(list, log, id).await?;
        }
        Ok(())
    }

    /// The last step of a session that has moved: takes the place for its own, where others may have wanted
    /// to move it as well. Returns `false` if the session is over, or another one has come first.
    pub(super) async fn arrive(&self, id: &SessionId) -> Result<bool, SessionError> {
        for list in &self.lists {
            let Some(from) = &list.from else { continue };
            let (from, to) = (from.key().as_str().into(), id.key().as_str().into());
            let arrival = Event::Arrive { from, to };
            let log = match self.logs.append(&list.user, &arrival).await {
                Ok(log) => log,
                Err(_) => self.logs.append(&list.user, &arrival).await?,
            };
            if !log.has(id) {
                return Ok(false);
            }
            self.settle(list, log, id).await?;
        }
        Ok(true)
    }

    /// Keeps the limit, for a session that stands in the list.
    async fn settle(&self, list: &List, log: UserLog, id: &SessionId) -> Result<(), SessionError> {
        let log = match (&list.login, self.config.policy.per_user) {
            (Some(login), Some((most, at_limit))) if !login.acted => {
                // A session does not count that is over, so it must not live on if its end was not finished.
                self.logs.finish(&list.user, &log).await?;
                match at_limit {
                    AtLimit::EndOldest => self.end_oldest(list, login, most, log).await?,
                    AtLimit::Refuse => log,
                }
            }
            _ => log,
        };
        if !log.has(id) {
            return Err(SessionError::Gone);
        }
        self.logs.shorten(&list.user, log).await;
        Ok(())
    }

    /// Ends the user's sessions that logged in first, until at most `most` are left.
    async fn end_oldest(
        &self,
        list: &List,
        login: &Login,
        most: usize,
        log: UserLog,
    ) -> Result<UserLog, SessionError> {
        let older = self.older_places(login).await?.len();
        if older + log.places().len() <= most {
            return Ok(log);
        }
        // Sessions that have expired do not count.
        self.sift_older(login).await?;
        let log = self.logs.sift(&list.user, log).await?.log;
        self.logs.finish(&list.user, &log).await?;
        let (older, places) = (self.older_places(login).await?, log.places());
        let surplus = (older.len() + places.len()).saturating_sub(most);
        for (user, place) in older.iter().take(surplus) {
            let (_, ended) = self.logs.end(user, vec![*place]).await?;
            self.tell_of_limit(user, ended);
        }
        let lowest: Vec<_> = places.into_iter().take(surplus.saturating_sub(older.len())).collect();
        if lowest.is_empty() {
            return Ok(log);
        }
        let (log, ended) = self.logs.end(&list.user, lowest).await?;
        self.tell_of_limit(&list.user, ended);
        Ok(log)
    }

    /// Tells the program that a login has ended so many older sessions.
    fn tell_of_limit(&self, user: &str, sessions: usize) {
        if sessions > 0 {
            let kind = SessionEventKind::Ended { reason: EndReason::Limit, sessions };
            self.config.tell(kind, None, Some(user));
        }
    }

    /// Drops what has expired from the lists of older secrets.
    async fn sift_older(&self, login: &Login) -> Result<(), SessionError> {
        for user in &login.older {
            let log = self.logs.read(user).await?;
            self.logs.sift(user, log).await?;
        }
        Ok(())
    }

    /// The user's sessions in the lists of older secrets, in the order of their logins: each by its list and
    /// its place. The session that logs in is not among them: it leaves its place there.
    async fn older_places(&self, login: &Login) -> Result<Vec<(SmolStr, u64)>, SessionError> {
        let mut sessions = Vec::new();
        for user in login.older.iter().rev() {
            let log = self.logs.read(user).await?;
            self.logs.finish(user, &log).await?;
            let own = login.old.as_ref().and_then(|old| log.entry(old)).map(|entry| entry.place);
            let others = log.places().into_iter().filter(|place| own != Some(*place));
            sessions.extend(others.map(|place| (user.clone(), place)));
        }
        Ok(sessions)
    }

    /// Whether sessions of these users were ended together since this one was noted.
    pub(super) async fn were_ended(&self) -> Result<bool, SessionError> {
        for list in &self.lists {
            let epoch = self.logs.read(&list.user).await?.epoch();
            if list.noted.get().is_some_and(|noted| *noted != epoch) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the session keeps a place of its old id, or counts on its being left.
    pub(super) fn needs_old(&self) -> bool {
        self.lists.iter().any(List::needs_old)
    }

    /// The same for a login.
    pub(super) fn has_login_in_place(&self) -> bool {
        self.lists.iter().any(|list| list.login.is_some() && list.needs_old())
    }

    /// The same lists, for a login that gets a place of its own. It began when the session was noted, so an
    /// end that has come since ends it.
    pub(super) fn apart(&self) -> Self {
        let list = |list: &List| {
            let login = list.login.as_ref().map(|login| Login {
                epoch: login.epoch.clone().or_else(|| list.noted.get().cloned()),
                older: login.older.clone(),
                // Another session may have the place by now.
                old: None,
                acted: login.acted,
            });
            List { user: list.user.clone(), from: None, login, noted: OnceLock::new() }
        };
        Self { config: self.config, logs: self.logs, lists: self.lists.iter().map(list).collect() }
    }

    /// Takes an id out of the lists that another session's record has; `None`, if that is gone. If it is a
    /// session of the user, it was in the list before, and stays there.
    pub(super) async fn leave_to(&self, id: &SessionId, other: Option<&Metadata>) {
        let others = |list: &&List| !other.is_some_and(|other| other.is_of(&list.user));
        for list in self.lists.iter().filter(others) {
            self.logs.forget(&list.user, id).await;
        }
    }

    /// Whether a session moves away from this id.
    pub(super) fn is_from(&self, id: &SessionId) -> bool {
        self.lists.iter().any(|list| list.from.as_ref() == Some(id))
    }

    /// Marks an id as over in every list, under which a record may be or come to be that nobody is to have.
    /// Whoever reads the list destroys it.
    pub(super) async fn close(&self, id: &SessionId) {
        for list in &self.lists {
            self.logs.close(&list.user, id).await;
        }
    }

    /// Takes an id out of every list, under which no record of the user is or will be.
    pub(super) async fn leave(&self, id: &SessionId) {
        for list in &self.lists {
            self.logs.forget(&list.user, id).await;
        }
    }

    /// Whether the session keeps the place that it has in this user's list.
    pub(super) fn moves_in(&self, user: &SmolStr) -> bool {
        self.lists.iter().any(|list| list.from.is_some() && list.user == *user)
    }
}
