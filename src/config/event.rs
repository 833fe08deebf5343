//! [`SessionEvent`]: what happens to sessions, for a function of the program.

use std::fmt;

use crate::cookie::derived::DerivedKeys;
use crate::id::SessionId;

/// Something that has happened to a session: what [`on_event`](crate::SessionConfigBuilder::on_event) hands to the
/// program.
///
/// It names the session by its [`handle`](Self::handle) and the user by a [keyed hash](Self::user); it has no
/// id, no cookie and no data, so it may go into any log.
pub struct SessionEvent<'a> {
    pub(crate) kind: SessionEventKind,
    /// What the handles are made with.
    pub(crate) keys: &'a DerivedKeys,
    pub(crate) id: Option<&'a SessionId>,
    pub(crate) old_id: Option<&'a SessionId>,
    pub(crate) user: Option<&'a str>,
}

/// What has happened to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SessionEventKind {
    /// A new session was stored, or one was [adopted](crate::Adopt) from another library.
    Created,
    /// A user has logged in, with [`log_in`](crate::Session::log_in). `Created` or `IdChanged` comes before
    /// it.
    LoggedIn,
    /// A session has got a new id and keeps its data: [`cycle_id`](crate::Session::cycle_id), a login by a
    /// guest or by the same user, or the begin or end of [acting as](crate::Session::impersonate) somebody.
    IdChanged,
    /// A session was bound to a device (feature `dbsc`).
    DeviceBound,
    /// A session, or several sessions of one user, came to an end.
    Ended {
        /// Why.
        reason: EndReason,
        /// How many: one, but where the sessions of a user are ended together.
        sessions: usize,
    },
    /// A request did not get the session that its cookie names, or its changes were not stored.
    Refused(RefusalReason),
    /// Other requests had written the record first, so that the changes were made again on what they had
    /// written. The write has succeeded, unless `Refused` with [`RefusalReason::Conflict`] comes with it.
    Conflict {
        /// How often the write was repeated.
        retries: u32,
    },
}

/// Why a session came to its end.
///
/// Of a session that expires nobody is told: its record is simply gone, and a request that still brings its
/// cookie is refused as [`RefusalReason::Unknown`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndReason {
    /// [`destroy`](crate::Session::destroy) or [`log_out`](crate::Session::log_out).
    Destroyed,
    /// A new session took its place: [`regenerate`](crate::Session::regenerate), or the login of another
    /// user.
    Regenerated,
    /// It was ended from the list of its user: [`UserSessions`](crate::UserSessions).
    Listed,
    /// Its user had too many sessions: [`AtLimit::EndOldest`](crate::AtLimit::EndOldest).
    Limit,
}

/// Why a request did not get a session, or why its changes were not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusalReason {
    /// None of the secrets has signed the cookie: it is forged, or the secret was changed.
    BadSignature,
    /// The cookie is signed, and there is no such session any more.
    Unknown,
    /// The session has reached its absolute timeout, or belongs to a user of a secret that is no longer in the
    /// list.
    Over,
    /// The stored record cannot be read.
    Undecodable,
    /// A session that is bound to a device came without its proof.
    Unproven,
    /// The session ended while the request was running.
    Gone,
    /// Other requests kept writing the record first.
    Conflict,
    /// The user has as many sessions as [`per_user`](crate::SessionConfigBuilder::per_user) allows.
    TooManySessions,
    /// The store has failed, or a value could not be written.
    Failed,
}

impl SessionEvent<'_> {
    /// What has happened.
    #[must_use]
    pub fn kind(&self) -> SessionEventKind {
        self.kind
    }

    /// The keyed hash of the user to whom the session belongs: the same for all events of a user, as long as
    /// the secrets stay. `None`: nobody is logged in, or no session was loaded.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user
    }
}

impl SessionEventKind {
    /// A short name for logs and counters: `created`, `logged_in`, `id_changed`, `device_bound`, `ended`,
    /// `refused` or `conflict`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::LoggedIn => "logged_in",
            Self::IdChanged => "id_changed",
            Self::DeviceBound => "device_bound",
            Self::Ended { .. } => "ended",
            Self::Refused(_) => "refused",
            Self::Conflict { .. } => "conflict",
        }
    }

    /// The reason as a short name for logs and counters, such as `bad_signature`. `None`, where the kind says
    /// it all.
    #[must_use]
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Self::Ended { reason, .. } => Some(reason.name()),
            Self::Refused(reason) => Some(reason.name()),
            Self::Created | Self::LoggedIn | Self::IdChanged | Self::DeviceBound | Self::Conflict { .. } => {
                None
            }
        }
    }
}

impl EndReason {
    fn name(self) -> &'static str {
        match self {
            Self::Destroyed => "destroyed",
            Self::Regenerated => "regenerated",
            Self::Listed => "listed",
            Self::Limit => "limit",
        }
    }
}

impl RefusalReason {
    fn name(self) -> &'static str {
        match self {
            Self::BadSignature => "bad_signature",
            Self::Unknown => "unknown",
            Self::Over => "over",
            Self::Undecodable => "undecodable",
            Self::Unproven => "unproven",
            Self::Gone => "gone",
            Self::Conflict => "conflict",
            Self::TooManySessions => "too_many_sessions",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Debug for SessionEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionEvent")
            .field("kind", &self.kind)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// The program's function.
pub(crate) type EventHook = Box<dyn Fn(&SessionEvent<'_>) + Send + Sync>;
