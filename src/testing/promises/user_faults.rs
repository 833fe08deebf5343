//! Promises 8 to 10 where a call to the store fails, its answer is lost, or the request is dropped: at each
//! call in turn.
//!
//! The checks pass without a test for a store that keeps no lists of users.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};

use super::setup::{Act, Probed, open, value};
use super::user_scene::{Deed, Scene, Work};
use crate::config::policy::AtLimit;
use crate::error::SessionError;
use crate::session::Session;
use crate::session::origin::Origin;
use crate::store::SessionStore;
use crate::testing::probe::Op;

const DEEDS: [Deed; 14] = [
    Deed::LogIn,
    Deed::LogInWith,
    Deed::LogInOfGuest,
    Deed::LogInAgain,
    Deed::LogInOverStaff,
    Deed::Move,
    Deed::Impersonate,
    Deed::StopImpersonating,
    Deed::MoveImpersonated,
    Deed::LogOut,
    Deed::List,
    Deed::EndSecond,
    Deed::EndOthers,
    Deed::EndAll,
];

const OPS: [Op; 11] = [
    Op::Get,
    Op::Set,
    Op::Destroy,
    Op::Touch,
    Op::Create,
    Op::Replace,
    Op::DestroyIf,
    Op::GetMany,
    Op::ReadUser,
    Op::AppendUser,
    Op::ReplaceUser,
];

/// Makes the call with this number go wrong.
type Fault<S> = fn(&Probed<S>, u64);

fn faults<S>() -> [(&'static str, Fault<S>); 2] {
    [
        ("fails", |probe: &Probed<S>, step| probe.fail(None, step)),
        ("loses its answer", |probe: &Probed<S>, step| probe.lose_answer(None, step)),
    ]
}

/// How often a check looks again while a call that a dropped request has left behind may still be running.
const LOOKS: usize = 100;
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

impl<S: SessionStore> Scene<S> {
    /// Promise 8: an end of all sessions of the user, and of those who act as the user, finds whatever was
    /// left behind.
    async fn nothing_outlives_its_end(&self, what: &str) {
        for user in [&self.user, &self.staff] {
            let left = self.left_after_the_end(user).await;
            assert_eq!(left, 0, "{what}: records outlive the end of all");
        }
    }

    /// The same after a request was dropped. A record that is created after the end, by a call that was left
    /// behind, is known to nobody, since its cookie was never sent; another end finds it.
    async fn nothing_left_behind_outlives_its_end(&self, what: &str) {
        for user in [&self.user, &self.staff] {
            let mut left = self.left_after_the_end(user).await;
            for _ in 0..LOOKS {
                if left == 0 {
                    break;
                }
                tokio::time::sleep(BETWEEN_LOOKS).await;
                left = self.left_after_the_end(user).await;
            }
            assert_eq!(left, 0, "{what}: records outlive the end of all");
        }
    }

    async fn left_after_the_end(&self, user: &str) -> usize {
        self.rival.sessions_of(user).end_all().await.expect("the sessions are ended");
        self.alive(user).await.len()
    }
}

/// Promises 5 and 8: after a failed call or a lost answer the old session lives or the new one; the call can
/// be made again, and then everything is as if nothing had failed.
pub async fn a_failed_step_can_be_repeated<S: SessionStore>(store: S) {
    if store.users().is_none() {
        return;
    }
    let store = Arc::new(store);
    for (fault, fail) in faults::<S>() {
        for deed in DEEDS {
            for step in 0.. {
                let scene = Scene::new(&store, |options| options).await;
                let mut work = scene.prepare(deed, &scene.config).await;
                let before = scene.probe.total();
                fail(&scene.probe, step);
                let answer = work.run().await;
                if scene.probe.total() - before <= step {
                    assert!(step > 0, "{deed:?} makes no call");
                    break;
                }
                let what = format!("{deed:?}, whose call {step} {fault} ({answer:?})");
                if answer.is_err() {
                    one_of_the_two_lives(&scene, deed, &work, &what).await;
                    let again = work.run().await;
                    assert!(again.is_ok(), "{what}: the second attempt: {again:?}");
                }
                assert_eq!(scene.count(&what).await, deed.leaves(), "{what}");
                if let Work::Commit(visitor, _) = &work
                    && deed != Deed::LogOut
                {
                    let session = open(visitor).await;
                    assert_eq!(session.origin(), Origin::Loaded, "{what}: the session is lost");
                    assert_eq!(value(visitor, "written").await, Some(1), "{what}: a change is lost");
                }
                scene.nothing_outlives_its_end(&what).await;
            }
        }
        an_id_that_nobody_was_told_is_not_listed(&store, (fault, fail)).await;
    }
}

/// Promises 9 and 10: a record that was to be created, without an answer, is removed, is not listed and takes no place.
async fn an_id_that_nobody_was_told_is_not_listed<S: SessionStore>(
    store: &Arc<S>,
    (fault, fail): (&str, Fault<S>),
) {
    let scene = Scene::new(store, |options| options.per_user(3, AtLimit::Refuse)).await;
    let mut work = scene.prepare(Deed::LogIn, &scene.config).await;
    // The first call notes it in the list.
    fail(&scene.probe, 1);
    let answer = work.run().await;
    assert!(matches!(answer, Err(SessionError::Store(_))), "{answer:?}");
    let what = format!("a login whose record's creation {fault}");
    assert_eq!(scene.alive(&scene.user).await.len(), 2, "{what}: the record is left behind");
    assert_eq!(scene.count(&what).await, 2, "{what}");
    let again = work.run().await;
    assert!(again.is_ok(), "{what}: the second attempt: {again:?}");
    assert_eq!(scene.count(&what).await, 3, "{what}");
}

/// After an attempt that failed, the session from before works, or the new one does.
async fn one_of_the_two_lives<S: SessionStore>(scene: &Scene<S>, deed: Deed, work: &Work, what: &str) {
    if !deed.moves_first() {
        return;
    }
    let Work::Commit(_, session) = work else { return };
    let (old, new) = (open(&scene.first).await, scene.visitor_of(&session.id()));
    let lives = old.belongs_to(&scene.user) || open(&new).await.belongs_to(&scene.user);
    assert!(lives, "{what}: neither the old session lives nor the new one");
}

/// Promises 7 and 8: when a request is dropped, or a call fails and is never made again, an end of all
/// sessions ends whatever was left behind, and the user's other session is as before.
pub async fn a_dropped_step_leaves_nothing_behind<S: SessionStore>(store: S) {
    if store.users().is_none() {
        return;
    }
    let store = Arc::new(store);
    for deed in DEEDS {
        for step in 0.. {
            let scene = Scene::new(&store, |options| options).await;
            let mut work = scene.prepare(deed, &scene.config).await;
            let hold = scene.probe.hold_nth(None, step);
            let mut task = tokio::spawn(async move { work.run().await.map(drop) });
            let is_held = matches!(select(pin!(hold.reached()), &mut task).await, Either::Left(_));
            if !is_held {
                assert!(step > 0, "{deed:?} makes no call");
                break;
            }
            task.abort();
            drop((task.await, hold));
            let what = format!("{deed:?}, dropped at call {step}");
            if !matches!(deed, Deed::EndSecond | Deed::EndOthers | Deed::EndAll) {
                assert!(open(&scene.second).await.belongs_to(&scene.user), "{what}: another session is lost");
            }
            // A call that the request has left behind may still make or end a session between the two looks.
            let mut is_right = false;
            for _ in 0..LOOKS {
                let alive = scene.alive(&scene.user).await.len();
                let listed = scene.rival.sessions_of(&scene.user).count().await.expect("the list is read");
                is_right = listed <= alive;
                if is_right {
                    break;
                }
                tokio::time::sleep(BETWEEN_LOOKS).await;
            }
            assert!(is_right, "{what}: a listed session is dead");
            scene.nothing_left_behind_outlives_its_end(&what).await;
        }
    }
}

/// Promises 5 and 7: when a commit is dropped at any of its calls and made again, the session has what it had and what
/// the request did, and is listed.
pub async fn a_dropped_step_can_be_repeated<S: SessionStore>(store: S) {
    if store.users().is_none() {
        return;
    }
    let store = Arc::new(store);
    let mut is_dropped_after_removal = false;
    for deed in DEEDS.into_iter().filter(|deed| deed.writes()) {
        for op in OPS {
            for n in 0.. {
                let scene = Scene::new(&store, |options| options).await;
                let mut work = scene.prepare(deed, &scene.config).await;
                let removals = scene.probe.calls(Op::DestroyIf);
                let hold = scene.probe.hold_nth(op, n);
                if matches!(select(pin!(hold.reached()), pin!(work.run())).await, Either::Right(_)) {
                    break;
                }
                drop(hold);
                let is_removed = scene.probe.calls(Op::DestroyIf) > removals;
                let what = format!("{deed:?}, dropped at call {n} of {op:?} and made again");
                // Where the removal has no answer, nobody can tell whether it or somebody else has removed the record.
                // The list is read beside it.
                let is_unsure = matches!(op, Op::DestroyIf | Op::ReadUser);
                match work.run().await {
                    Ok(_) => is_dropped_after_removal |= is_removed,
                    Err(SessionError::Gone) if is_unsure => continue,
                    Err(error) => panic!("{what}: {error:?}"),
                }
                let Work::Commit(visitor, _) = &work else { continue };
                let session = open(visitor).await;
                assert_eq!(session.origin(), Origin::Loaded, "{what}: the session is lost");
                let kept = session.get::<u64>("kept").expect("a number");
                if !is_unsure {
                    assert_eq!(kept, deed.keeps().then_some(1), "{what}: what was there is lost");
                }
                assert_eq!(value(visitor, "written").await, Some(1), "{what}: a change is lost");
                let listed = scene.rival.sessions_of(&scene.user).list().await.expect("the list is read");
                let own = session.handle();
                let is_listed = listed.iter().any(|one| one.handle() == own);
                assert_eq!(is_listed, session.belongs_to(&scene.user), "{what}: it is alive and not listed");
                scene.nothing_left_behind_outlives_its_end(&what).await;
            }
        }
    }
    assert!(is_dropped_after_removal, "no commit was dropped after it had removed the old record");
}

/// Promises 2 and 8: when a commit is dropped at any of its calls, and the request then ends its session, nothing of the
/// session lives, under the old id or the new one.
pub async fn a_logout_after_a_dropped_step_is_whole<S: SessionStore>(store: S) {
    if store.users().is_none() {
        return;
    }
    let store = Arc::new(store);
    let ends: [(&str, Act); 2] = [("destroy", Session::destroy), ("regenerate", Session::regenerate)];
    // A record may be created by a call that was left behind; nobody was told its id, and an end of all finds it.
    for op in OPS.into_iter().filter(|op| *op != Op::Create) {
        for (deed, (end, act)) in
            DEEDS.into_iter().filter(|deed| deed.writes()).flat_map(|deed| ends.map(|end| (deed, end)))
        {
            for n in 0.. {
                let scene = Scene::new(&store, |options| options).await;
                let mut work = scene.prepare(deed, &scene.config).await;
                let hold = scene.probe.hold_nth(op, n);
                if matches!(select(pin!(hold.reached()), pin!(work.run())).await, Either::Right(_)) {
                    break;
                }
                drop(hold);
                let what = format!("{deed:?}, dropped at call {n} of {op:?}, and then {end}");
                let Work::Commit(visitor, session) = &mut work else { break };
                act(session);
                visitor.commit(session).await.unwrap_or_else(|error| panic!("{what}: {error:?}"));
                let others = if deed.moves_first() { 1 } else { 2 };
                assert_eq!(scene.alive(&scene.user).await.len(), others, "{what}: the session lives");
                assert_eq!(scene.alive(&scene.staff).await.len(), 0, "{what}: the session of staff lives");
            }
        }
    }
}
