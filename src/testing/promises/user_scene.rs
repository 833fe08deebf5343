//! A user with sessions, and what requests and the program do with them: what the checks of promises 8 to 10
//! need.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use super::setup::{Act, Probed, key, open, options};
use crate::config::SessionConfig;
use crate::config::builder::SessionConfigBuilder;
use crate::error::SessionError;
use crate::id::SessionId;
use crate::record::metadata::Metadata;
use crate::session::Session;
use crate::session::handle::SessionHandle;
use crate::store::SessionStore;
use crate::sync::lock;
use crate::testing::probe::Probe;
use crate::testing::visitor::Visitor;
use crate::users::UserSessions;

/// Options beside those of the kit.
pub(super) type Options = fn(SessionConfigBuilder) -> SessionConfigBuilder;

/// A user with two sessions, and two processes over one store.
pub(super) struct Scene<S> {
    /// The process whose calls are held. Its store is `probe`.
    pub(super) config: SessionConfig,
    pub(super) probe: Probed<S>,
    /// Another process with the same secret.
    pub(super) rival: SessionConfig,
    pub(super) user: String,
    pub(super) staff: String,
    pub(super) first: Visitor,
    pub(super) second: Visitor,
    made: Arc<Mutex<Vec<SessionId>>>,
}

/// What a request does to a session, or the program to the user's sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    LogIn,
    /// With a login that has begun before.
    LogInWith,
    LogInOfGuest,
    /// In the user's first session.
    LogInAgain,
    LogInOverStaff,
    Move,
    MoveSecond,
    Impersonate,
    StopImpersonating,
    MoveImpersonated,
    Write,
    LogOut,
    List,
    EndSecond,
    EndOthers,
    EndAll,
}

impl Deed {
    /// Whether the user has a session more after it.
    pub(super) fn logs_in(self) -> bool {
        use Deed::{Impersonate, LogIn, LogInOfGuest, LogInOverStaff, LogInWith};
        matches!(self, LogIn | LogInWith | LogInOfGuest | LogInOverStaff | Impersonate)
    }

    /// Whether the first session has another id after it.
    pub(super) fn moves_first(self) -> bool {
        matches!(self, Deed::LogInAgain | Deed::Move)
    }

    /// Whether it is a commit that leaves a session.
    pub(super) fn writes(self) -> bool {
        !matches!(self, Deed::LogOut | Deed::List | Deed::EndSecond | Deed::EndOthers | Deed::EndAll)
    }

    /// Whether the session has what it had before.
    pub(super) fn keeps(self) -> bool {
        !matches!(self, Deed::LogIn | Deed::LogInWith | Deed::LogInOverStaff)
    }

    /// Whether it begins with a session in which staff acts as the user.
    pub(super) fn is_impersonated(self) -> bool {
        matches!(self, Deed::StopImpersonating | Deed::MoveImpersonated)
    }

    /// The number of the user's sessions after it, where nothing else happens.
    pub(super) fn leaves(self) -> usize {
        match self {
            Deed::EndAll => 0,
            Deed::LogOut | Deed::EndSecond | Deed::EndOthers => 1,
            Deed::MoveImpersonated => 3,
            deed => 2 + usize::from(deed.logs_in()),
        }
    }
}

/// A deed that is about to be done.
pub(super) enum Work {
    Commit(Visitor, Session),
    Others(UserSessions, Session),
    One(UserSessions, SessionHandle),
    List(UserSessions),
    All(UserSessions),
}

impl Work {
    /// Does it. The answer is the list of the user's sessions, if it was asked for.
    pub(super) async fn run(&mut self) -> Result<Vec<SessionHandle>, SessionError> {
        match self {
            Self::Commit(visitor, session) => {
                visitor.commit(session).await?;
            }
            Self::Others(sessions, own) => {
                sessions.end_others(own).await?;
            }
            Self::One(sessions, handle) => {
                sessions.end(handle).await?;
            }
            Self::All(sessions) => {
                sessions.end_all().await?;
            }
            Self::List(sessions) => {
                return Ok(sessions.list().await?.iter().map(|one| one.handle()).collect());
            }
        }
        Ok(Vec::new())
    }

    /// The browser of the request.
    pub(super) fn visitor(&self) -> Option<&Visitor> {
        match self {
            Self::Commit(visitor, _) => Some(visitor),
            _ => None,
        }
    }
}

impl<S: SessionStore> Scene<S> {
    pub(super) async fn new(store: &Arc<S>, add: Options) -> Self {
        let made = Arc::<Mutex<Vec<_>>>::default();
        let process = |probe: &Probed<S>| {
            let made = Arc::clone(&made);
            let genid = move || {
                let id = SessionId::random();
                lock(&made).push(id.clone());
                id
            };
            add(options(probe)).genid(genid).build().expect("the kit's own options")
        };
        let probe = Probe::new(Arc::clone(store));
        let (config, rival) = (process(&probe), process(&Probe::new(Arc::clone(store))));
        let name = |role: &str| format!("{role} {}", SessionId::random().as_str());
        let (user, staff) = (name("user"), name("staff"));
        let first = log_in(&config, &user).await;
        let second = log_in(&config, &user).await;
        Self { config, probe, rival, user, staff, first, second, made }
    }

    /// Prepares a deed in one of the two processes. What comes before the deed itself is done at once.
    pub(super) async fn prepare(&self, deed: Deed, config: &SessionConfig) -> Work {
        let sessions = config.sessions_of(&self.user);
        let begun = sessions.begin_login().await.expect("the login begins");
        let visitor = match deed {
            Deed::LogIn | Deed::LogInWith => Visitor::new(config),
            Deed::LogInOfGuest => guest(config).await,
            Deed::LogInOverStaff | Deed::Impersonate => log_in(config, &self.staff).await,
            Deed::StopImpersonating | Deed::MoveImpersonated => {
                let mut staff = log_in(config, &self.staff).await;
                let session = open(&staff).await;
                session.impersonate(&self.user).expect("staff is logged in");
                staff.commit(&session).await.expect("staff acts as the user");
                staff
            }
            Deed::MoveSecond | Deed::EndSecond => in_process(config, &self.second),
            _ => in_process(config, &self.first),
        };
        let session = open(&visitor).await;
        match deed {
            Deed::LogInWith => session.log_in_with(begun).expect("the login was begun with these secrets"),
            Deed::Impersonate => session.impersonate(&self.user).expect("staff is logged in"),
            deed if deed.logs_in() || deed == Deed::LogInAgain => session.log_in(&self.user).expect("log_in"),
            Deed::StopImpersonating => session.stop_impersonating(),
            Deed::LogOut => session.log_out(),
            Deed::Write => {}
            Deed::EndSecond => return Work::One(sessions, session.handle()),
            Deed::EndOthers => return Work::Others(sessions, session),
            Deed::List => return Work::List(sessions),
            Deed::EndAll => return Work::All(sessions),
            _ => session.cycle_id(),
        }
        if deed != Deed::LogOut {
            session.insert("written", 1).expect("insert");
        }
        Work::Commit(visitor, session)
    }

    /// A browser with the cookie of this id.
    pub(super) fn visitor_of(&self, id: &SessionId) -> Visitor {
        Visitor::with_id(&self.rival, id)
    }

    /// The text of the user's list.
    pub(super) async fn text(&self) -> String {
        let index = self.probe.inner().users().expect("the store keeps lists");
        index.read(&self.hash(&self.user)).await.expect("the list is read")
    }

    /// What the store has of this user, under any id that was ever made.
    pub(super) async fn alive(&self, user: &str) -> HashSet<SessionHandle> {
        let ids: Vec<_> = lock(&self.made).iter().map(|id| key(&self.config, id)).collect();
        let records = self.probe.inner().get_many(&ids).await.expect("the records are read");
        let hash = self.hash(user);
        let alive = ids.iter().zip(records).filter(|(_, stored)| {
            stored.as_ref().is_some_and(|stored| Metadata::of(&stored.record).is_of(&hash))
        });
        alive.map(|(id, _)| SessionHandle::of(self.config.inner(), id)).collect()
    }

    /// Promise 9: what is listed is live, and what is live is listed. Returns the number of the user's
    /// sessions.
    pub(super) async fn count(&self, what: &str) -> usize {
        for user in [&self.user, &self.staff] {
            let listed = self.rival.sessions_of(user).list().await.expect("the list is read");
            let listed: HashSet<_> = listed.iter().map(|one| one.handle()).collect();
            assert_eq!(self.alive(user).await, listed, "{what}: the list is not what lives");
        }
        self.alive(&self.user).await.len()
    }

    fn hash(&self, user: &str) -> String {
        self.config.inner().keys().derived.users(user).first().map(ToString::to_string).unwrap_or_default()
    }
}

/// The same browser at another process.
fn in_process(config: &SessionConfig, visitor: &Visitor) -> Visitor {
    Visitor::with_id(config, &visitor.id().expect("the visitor has a cookie"))
}

async fn store(config: &SessionConfig, fill: impl FnOnce(&Session)) -> Visitor {
    let mut visitor = Visitor::new(config);
    let session = open(&visitor).await;
    fill(&session);
    session.insert("kept", 1).expect("insert");
    visitor.commit(&session).await.expect("commit");
    visitor
}

async fn guest(config: &SessionConfig) -> Visitor {
    let nothing: Act = |_| {};
    store(config, nothing).await
}

pub(super) async fn log_in(config: &SessionConfig, user: &str) -> Visitor {
    store(config, |session| session.log_in(user).expect("log_in")).await
}
