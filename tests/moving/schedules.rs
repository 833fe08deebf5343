//! One call of a deed is failed, left without an answer, dropped, or held while another deed is done.

use std::pin::pin;

use futures_util::future::{Either, select};
use sessile::MemoryStore;
use sessile::testing::Probe;

use super::{Alive, DEEDS, Deed, Outcome, PHASES, Phase, Scene};

/// More calls than a deed makes to one of the stores.
const CALLS: u64 = 24;

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Fails,
    GetsNoAnswer,
    IsDropped,
}

fn probe(scene: &Scene, in_new: bool) -> &Probe<MemoryStore> {
    if in_new { &scene.new } else { &scene.old }
}

/// Judges what is left after these deeds of two processes.
async fn judge(scene: &Scene, what: &str, deeds: &[(Deed, Outcome)]) {
    let mut cookies = vec![scene.cookie.clone()];
    for (_, outcome) in deeds {
        if let Outcome::Done(Some(cookie)) = outcome {
            cookies.push(cookie.clone());
        }
    }
    let moves = |deed: Deed| matches!(deed, Deed::Cycle | Deed::LogIn);
    let (alive, listed) = scene.finish(what, &cookies, !deeds.iter().any(|(deed, _)| moves(*deed))).await;
    let is =
        |deed: Deed| deeds.iter().any(|(did, outcome)| *did == deed && matches!(outcome, Outcome::Done(_)));
    let tried = |deed: fn(Deed) -> bool| deeds.iter().any(|(did, _)| deed(*did));
    // A login whose session has got another id, or has ended meanwhile, begins anew.
    let begins_anew = is(Deed::LogIn) && deeds.len() > 1;
    for Alive { cart, is_user, .. } in alive.iter().flatten().filter(|alive| !alive.is_guest()) {
        assert!(*is_user && (*cart == Some(3) || begins_anew), "{what}: data is lost");
    }
    if is(Deed::EndAll) && !tried(|deed| deed == Deed::LogIn) || is(Deed::LogOut) && !tried(moves) {
        assert!(alive.iter().flatten().all(Alive::is_guest), "{what}: an end was undone");
    }
    if !tried(Deed::ends) {
        // Nobody may have been told of the new id.
        let is_told =
            |(deed, outcome): &(Deed, Outcome)| !moves(*deed) || matches!(outcome, Outcome::Done(_));
        let is_alive =
            alive.iter().flatten().any(|alive| !alive.is_guest()) || !deeds.iter().all(is_told) && listed > 0;
        assert!(is_alive, "{what}: the session is lost");
        let found = deeds.iter().all(|(_, outcome)| !matches!(outcome, Outcome::NoSession));
        assert!(found || tried(moves), "{what}: a request found no session");
        if is(Deed::Write) {
            let written = |alive: &Alive| alive.note.as_deref() == Some("written");
            assert!(alive.iter().flatten().any(written), "{what}: a write is lost");
        }
    }
    // An id that was left is worth nothing.
    if deeds.iter().any(|(deed, outcome)| moves(*deed) && matches!(outcome, Outcome::Done(Some(_)))) {
        assert!(alive[0].is_none(), "{what}: the old id is alive");
    }
}

#[tokio::test]
async fn any_call_may_fail_or_be_dropped() {
    let mut hit = 0;
    for phase in PHASES {
        for deed in DEEDS {
            for fault in [Fault::Fails, Fault::GetsNoAnswer, Fault::IsDropped] {
                for (n, in_new) in (0..CALLS).flat_map(|n| [(n, false), (n, true)]) {
                    let scene = Scene::new(phase).await;
                    let probe = probe(&scene, in_new);
                    probe.reset();
                    let work = || deed.run(scene.first.clone(), scene.cookie.clone());
                    let outcome = match fault {
                        Fault::Fails => {
                            probe.fail(None, n);
                            work().await
                        }
                        Fault::GetsNoAnswer => {
                            probe.lose_answer(None, n);
                            work().await
                        }
                        Fault::IsDropped => {
                            let hold = probe.hold_nth(None, n);
                            match select(pin!(work()), pin!(hold.reached())).await {
                                Either::Left((outcome, _)) => outcome,
                                Either::Right(_) => Outcome::Failed,
                            }
                        }
                    };
                    if probe.total() <= n {
                        continue;
                    }
                    hit += u64::from(matches!(outcome, Outcome::Failed));
                    let what = format!("{phase:?}: {deed:?}, call {n} (new: {in_new}) {fault:?}");
                    judge(&scene, &what, &[(deed, outcome)]).await;
                }
            }
        }
    }
    assert!(hit > 500, "only {hit} deeds were hit");
}

/// A process that is killed at any call, and again at any call of what begins anew, loses and doubles nothing.
#[tokio::test]
async fn a_drain_that_is_cut_off_goes_on() {
    let mut cut = 0;
    for phase in PHASES {
        for first in 0..CALLS {
            for second in 0..CALLS {
                let scene = Scene::new(phase).await;
                for (n, in_new) in [(first, first % 2 == 0), (second, second % 2 == 1)] {
                    let hold = probe(&scene, in_new).hold_nth(None, n / 2);
                    let work = Deed::Drain.run(scene.first.clone(), scene.cookie.clone());
                    if let Either::Right(_) = select(pin!(work), pin!(hold.reached())).await {
                        cut += 1;
                    }
                }
                judge(&scene, &format!("{phase:?}: cut off at {first}, then at {second}"), &[]).await;
            }
        }
    }
    assert!(cut > 500, "only {cut} drains were cut off");
}

/// Every deed, held at every call, beside every deed of another process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_call_may_wait_for_another_process() {
    let mut held = 0;
    for phase in PHASES {
        for (deed, other) in DEEDS.iter().flat_map(|deed| DEEDS.map(|other| (*deed, other))) {
            for in_new in [false, true] {
                let mut n = 0;
                while hold_at(phase, (deed, other), n, in_new).await {
                    n += 1;
                }
                held += n;
            }
        }
    }
    assert!(held > 1500, "only {held} calls were held");
}

/// Returns whether the first deed made the call.
async fn hold_at(phase: Phase, (deed, other): (Deed, Deed), n: u64, in_new: bool) -> bool {
    let scene = Scene::new(phase).await;
    let hold = probe(&scene, in_new).hold_nth(None, n);
    let work = tokio::spawn(deed.run(scene.first.clone(), scene.cookie.clone()));
    let mut work = pin!(work);
    let reached = matches!(select(&mut work, pin!(hold.reached())).await, Either::Right(_));
    if !reached {
        return false;
    }
    let others = other.run(scene.second.clone(), scene.cookie.clone()).await;
    drop(hold);
    let outcome = work.await.unwrap();
    let what = format!("{phase:?}: {deed:?} is held at call {n} (new: {in_new}), {other:?} comes");
    if matches!(deed, Deed::Read | Deed::Write | Deed::List | Deed::Drain) {
        assert!(!matches!(others, Outcome::NoSession), "{what}: no session while the other one waits");
    }
    judge(&scene, &what, &[(deed, outcome), (other, others)]).await;
    true
}
