//! Promises 8 to 10: the sessions of a user, their list and their end. One process is held at each of its
//! calls to the store in turn, while another one does what it does to the end.
//!
//! The checks pass without a test for a store that keeps no lists of users.

use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, select};

use super::setup::{open, value};
use super::user_scene::{Deed, Options, Scene, Work, log_in};
use crate::config::builder::SessionConfigBuilder;
use crate::config::policy::AtLimit;
use crate::error::SessionError;
use crate::session::handle::SessionHandle;
use crate::session::origin::Origin;
use crate::store::SessionStore;
use crate::testing::visitor::Visitor;

/// What one process does that is held at each of its calls.
const DEEDS: [Deed; 16] = [
    Deed::LogIn,
    Deed::LogInWith,
    Deed::LogInOfGuest,
    Deed::LogInAgain,
    Deed::LogInOverStaff,
    Deed::Move,
    Deed::MoveSecond,
    Deed::Impersonate,
    Deed::StopImpersonating,
    Deed::MoveImpersonated,
    Deed::Write,
    Deed::LogOut,
    Deed::List,
    Deed::EndSecond,
    Deed::EndOthers,
    Deed::EndAll,
];

type Answer = Result<Vec<SessionHandle>, SessionError>;

/// A deed that was held at one of its calls, while a rival did another one.
struct Race<S> {
    scene: Scene<S>,
    what: String,
    deed: Deed,
    work: Work,
    answer: Answer,
    rival: Work,
    rivals_answer: Answer,
    /// Whether the deed had written to the user's list when the rival came.
    has_begun: bool,
    step: u64,
}

/// Holds each of the deeds at each of its calls in turn, lets a rival run to its end, releases the call, and
/// checks.
async fn race<S: SessionStore>(
    store: S,
    options: Options,
    deeds: impl IntoIterator<Item = Deed>,
    rival: Deed,
    check: impl AsyncFn(Race<S>),
) {
    if store.users().is_none() {
        return;
    }
    let store = Arc::new(store);
    for deed in deeds {
        for step in 0.. {
            let scene = Scene::new(&store, options).await;
            let mut work = scene.prepare(deed, &scene.config).await;
            let mut rivals = scene.prepare(rival, &scene.rival).await;
            let before = scene.text().await;
            let hold = scene.probe.hold_nth(None, step);
            let mut task = tokio::spawn(async move {
                let answer = work.run().await;
                (work, answer)
            });
            let is_held = match select(pin!(hold.reached()), &mut task).await {
                Either::Left(_) => true,
                Either::Right((done, _)) => {
                    done.expect("no panic").1.expect("nobody disturbs this one");
                    false
                }
            };
            if !is_held {
                assert!(step > 0, "{deed:?} makes no call");
                break;
            }
            let has_begun = scene.text().await != before;
            let rivals_answer = rivals.run().await;
            drop(hold);
            let (work, answer) = task.await.expect("no panic");
            let what = format!("{deed:?}, held at call {step}, while another process does {rival:?}");
            check(Race { scene, what, deed, work, answer, rival: rivals, rivals_answer, has_begun, step })
                .await;
        }
    }
}

impl<S: SessionStore> Race<S> {
    /// A login that begins with its commit begins when it is noted in the list.
    fn began_later(&self) -> bool {
        let begins_now =
            (self.deed.logs_in() && self.deed != Deed::LogInWith) || self.deed == Deed::LogInAgain;
        begins_now && !self.has_begun
    }

    /// An answer is a success, or says that the session is over.
    fn success_or_gone(&self) {
        let what = &self.what;
        for answer in [&self.answer, &self.rivals_answer] {
            assert!(matches!(answer, Ok(_) | Err(SessionError::Gone)), "{what}: {answer:?}");
        }
    }

    /// The browser with the user's first session, as the deed and the rival have left it.
    fn first(&self) -> &Visitor {
        let moved = self.work.visitor().filter(|_| self.deed.moves_first());
        moved.unwrap_or(&self.scene.first)
    }

    /// A session that nobody ended has its data, and can move again.
    async fn lives_on(&self, visitor: &Visitor) {
        let what = &self.what;
        let mut visitor = visitor.clone();
        let session = open(&visitor).await;
        assert_eq!(session.origin(), Origin::Loaded, "{what}: a session is lost");
        assert!(session.belongs_to(&self.scene.user), "{what}: the user is logged out");
        session.cycle_id();
        visitor.commit(&session).await.expect("the session moves again");
        assert_eq!(value(&visitor, "kept").await, Some(1), "{what}: data is lost");
        assert!(open(&visitor).await.belongs_to(&self.scene.user), "{what}: the move logs out");
    }
}

/// Promise 8: after an end of all sessions nothing is alive that was alive, was moving, or had begun to log
/// in.
pub async fn an_end_of_all_ends_what_is_under_way<S: SessionStore>(store: S) {
    race(
        store,
        |options| options,
        DEEDS,
        Deed::EndAll,
        async |race: Race<S>| {
            let what = &race.what;
            race.success_or_gone();
            assert!(race.rivals_answer.is_ok(), "{what}: {:?}", race.rivals_answer);
            let alive = race.scene.count(what).await;
            let later = usize::from(race.began_later() && race.answer.is_ok());
            assert_eq!(alive, later, "{what}: a session outlives the end of all");
        },
    )
    .await;
}

/// Promise 8: an end of the other sessions ends them like an end of all, and spares the session, wherever it
/// moves.
pub async fn an_end_of_the_others_spares_the_session<S: SessionStore>(store: S) {
    let deeds = DEEDS.into_iter().filter(|deed| !matches!(deed, Deed::LogOut | Deed::EndAll));
    race(
        store,
        |options| options,
        deeds,
        Deed::EndOthers,
        async |race: Race<S>| {
            let what = &race.what;
            race.success_or_gone();
            assert!(race.rivals_answer.is_ok(), "{what}: {:?}", race.rivals_answer);
            let later = usize::from(race.deed.logs_in() && race.began_later() && race.answer.is_ok());
            assert_eq!(race.scene.count(what).await, 1 + later, "{what}: another session lives, or none");
            race.lives_on(race.first()).await;
        },
    )
    .await;
}

/// Promises 8 and 9: the end of one session ends it, wherever it moves, and no other.
pub async fn an_end_of_one_session_ends_no_other<S: SessionStore>(store: S) {
    race(
        store,
        |options| options,
        DEEDS,
        Deed::EndSecond,
        async |race: Race<S>| {
            let what = &race.what;
            race.success_or_gone();
            assert!(race.rivals_answer.is_ok(), "{what}: {:?}", race.rivals_answer);
            let leaves = match race.deed {
                Deed::EndAll => 0,
                Deed::LogOut => 0,
                Deed::EndSecond | Deed::EndOthers => 1,
                deed => deed.leaves() - 1,
            };
            assert!(race.answer.is_ok() || race.deed == Deed::MoveSecond, "{what}: {:?}", race.answer);
            assert_eq!(
                race.scene.count(what).await,
                leaves,
                "{what}: another session ended, or this one lives"
            );
            if !matches!(race.deed, Deed::EndAll | Deed::LogOut) {
                race.lives_on(race.first()).await;
            }
        },
    )
    .await;
}

/// Promise 9: a list shows every session that is live all the while, and ends none.
pub async fn a_list_shows_what_lives<S: SessionStore>(store: S) {
    race(
        store,
        |options| options,
        DEEDS,
        Deed::List,
        async |race: Race<S>| {
            let what = &race.what;
            assert!(race.answer.is_ok(), "{what}: {:?}", race.answer);
            let leaves = race.deed.leaves();
            let before = 2 + usize::from(race.deed.is_impersonated());
            let listed = race.rivals_answer.as_ref().expect("the list is read").len();
            assert!(
                (before.min(leaves)..=before.max(leaves)).contains(&listed),
                "{what}: {listed} are listed"
            );
            assert_eq!(race.scene.count(what).await, leaves, "{what}: a list has ended a session");
        },
    )
    .await;
}

/// Promises 8 and 9: a session that gets a new id stays one session, for lists, ends and other changes of id.
pub async fn a_session_that_moves_stays_one<S: SessionStore>(store: S) {
    race(
        store,
        |options| options,
        DEEDS,
        Deed::Move,
        async |race: Race<S>| {
            let what = &race.what;
            race.success_or_gone();
            let alive = race.scene.count(what).await;
            match race.deed {
                Deed::EndAll => assert_eq!(alive, 0, "{what}"),
                // The old id may have been moved on already when the logout arrives.
                Deed::LogOut => assert!((1..=2).contains(&alive), "{what}: {alive} live"),
                // Either comes first, and the other is over.
                Deed::EndOthers => {
                    assert!(race.answer.is_ok() || alive == 2, "{what}: {:?}, {alive} live", race.answer);
                    let moved = race.rival.visitor().filter(|_| race.rivals_answer.is_ok());
                    race.lives_on(moved.unwrap_or(&race.scene.first)).await;
                }
                Deed::LogInAgain => assert!((2..=3).contains(&alive), "{what}: {alive} live"),
                deed => assert_eq!(alive, deed.leaves(), "{what}: a session is lost"),
            }
            if let (Deed::List, Ok(listed)) = (race.deed, &race.answer) {
                assert_eq!(listed.len(), 2, "{what}: a live session is not listed");
            }
        },
    )
    .await;
}

/// Promises 8 and 9: the same of a session that another one looks at or ends.
pub async fn a_session_is_ended_wherever_it_moves<S: SessionStore>(store: S) {
    let deeds = [Deed::List, Deed::EndSecond, Deed::EndOthers, Deed::EndAll, Deed::LogIn, Deed::Impersonate];
    race(
        store,
        |options| options,
        deeds,
        Deed::MoveSecond,
        async |race: Race<S>| {
            let what = &race.what;
            race.success_or_gone();
            assert!(race.answer.is_ok(), "{what}: {:?}", race.answer);
            // A handle is that of an id, so an end that begins later finds no session.
            let missed = usize::from(race.deed == Deed::EndSecond && race.step == 0);
            assert_eq!(race.scene.count(what).await, race.deed.leaves() + missed, "{what}");
            if let (Deed::List, Ok(listed)) = (race.deed, &race.answer) {
                assert_eq!(listed.len(), 2, "{what}: a live session is not listed");
            }
        },
    )
    .await;
}

/// Promise 10: when all have answered, a user has no more sessions than the limit, and not fewer, if there
/// are as many logins.
pub async fn the_oldest_sessions_end_beyond_the_limit<S: SessionStore>(store: S) {
    let most = |options: SessionConfigBuilder| options.per_user(2, AtLimit::EndOldest);
    let logins = [Deed::LogIn, Deed::LogInWith, Deed::LogInOfGuest, Deed::LogInAgain, Deed::LogInOverStaff];
    race(store, most, logins, Deed::LogIn, async |race: Race<S>| {
        let what = &race.what;
        race.success_or_gone();
        assert!(race.rivals_answer.is_ok(), "{what}: {:?}", race.rivals_answer);
        assert_eq!(race.scene.count(what).await, 2, "{what}");
        log_in(&race.scene.config, &race.scene.user).await;
        assert_eq!(race.scene.count(what).await, 2, "{what}, and one login more");
    })
    .await;
}

/// Promise 10: of logins at the same time just so many are refused that the limit holds.
pub async fn logins_beyond_the_limit_are_refused<S: SessionStore>(store: S) {
    let most = |options: SessionConfigBuilder| options.per_user(3, AtLimit::Refuse);
    let logins = [Deed::LogIn, Deed::LogInWith, Deed::LogInOfGuest, Deed::LogInAgain, Deed::LogInOverStaff];
    race(store, most, logins, Deed::LogIn, async |race: Race<S>| {
        let what = &race.what;
        for answer in [&race.answer, &race.rivals_answer] {
            assert!(matches!(answer, Ok(_) | Err(SessionError::TooManySessions)), "{what}: {answer:?}");
        }
        let new = usize::from(race.answer.is_ok() && race.deed.logs_in());
        let new = new + usize::from(race.rivals_answer.is_ok());
        assert_eq!(new, 1, "{what}: {new} logins succeed");
        assert!(
            race.answer.is_ok() || race.deed.logs_in(),
            "{what}: a second login in one browser is refused"
        );
        assert_eq!(race.scene.count(what).await, 3, "{what}");
    })
    .await;
}
