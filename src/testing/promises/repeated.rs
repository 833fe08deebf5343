//! Checks of commits that are made again because nobody knows what became of the first one.

use std::pin::pin;

use futures_util::future::{Either, select};

use super::setup::{Act, Probed, increment, open, setup, user, value};
use crate::error::SessionError;
use crate::session::Session;
use crate::store::SessionStore;
use crate::testing::contract::poll_only;
use crate::testing::probe::Op;
use crate::testing::visitor::Visitor;

async fn commit_without_answer(session: &Session) {
    let failed = session.commit().await;
    assert!(matches!(failed, Err(SessionError::Store(_))), "{failed:?}");
}

/// A request whose `update` of `n` was carried out, and whose commit got no answer.
async fn updated_without_answer<S: SessionStore>(visitor: &Visitor, probe: &Probed<S>) -> Session {
    let session = open(visitor).await;
    session.update("n", increment).expect("update");
    probe.lose_answer(Op::Replace, 0);
    commit_without_answer(&session).await;
    session
}

async fn messages(visitor: &Visitor) -> Vec<u64> {
    open(visitor).await.peek_flash("info").expect("numbers")
}

/// A commit whose answer was lost can be made again: an `update` counts once and a message is queued once,
/// however many answers are lost, whether or not the store carried the writes out, and whatever the request
/// does in between.
pub async fn a_repeated_commit_counts_once<S: SessionStore>(store: S) {
    let (config, probe) = setup(store);

    // Each digit is a commit whose answer is lost, and says whether the store carries it out.
    for lost in [&[true][..], &[false, true], &[true, true], &[true, false], &[true, false, true]] {
        let mut visitor = user(&config).await;
        let session = open(&visitor).await;
        session.update("n", increment).expect("update");
        session.flash("info", 1).expect("flash");
        session.insert("last", 0).expect("insert");
        for (round, carried_out) in (1..).zip(lost) {
            if *carried_out {
                probe.lose_answer(Op::Replace, 0);
            } else {
                probe.fail(Op::Replace, 0);
            }
            commit_without_answer(&session).await;
            assert_eq!(session.get::<u64>("n").expect("a number"), Some(1), "{lost:?}");
            session.insert("last", round).expect("insert");
            session.update("m", increment).expect("update");
        }
        visitor.commit(&session).await.expect("the last try");
        let rounds = lost.len() as u64;
        assert_eq!(value(&visitor, "n").await, Some(1), "{lost:?}");
        assert_eq!(value(&visitor, "m").await, Some(rounds), "{lost:?}");
        assert_eq!(value(&visitor, "last").await, Some(rounds), "{lost:?}");
        assert_eq!(messages(&visitor).await, [1], "{lost:?}");
        // The next commit of the same handle counts from there.
        session.update("n", increment).expect("update");
        visitor.commit(&session).await.expect("commit");
        assert_eq!(value(&visitor, "n").await, Some(2), "{lost:?}");
    }
}

/// The same where the second commit finds that the first one was carried out, and then gets an error itself, and another
/// request writes to the session.
pub async fn a_commit_that_was_recognised_counts_once<S: SessionStore>(store: S) {
    let (config, probe) = setup(store);
    let mut visitor = user(&config).await;
    let session = updated_without_answer(&visitor, &probe).await;
    // The first call meets the conflict.
    probe.fail(Op::Replace, 1);
    commit_without_answer(&session).await;
    let rival = open(&visitor).await;
    rival.insert("other", 1).expect("insert");
    visitor.commit(&rival).await.expect("commit");
    visitor.commit(&session).await.expect("the third try");
    assert_eq!(value(&visitor, "n").await, Some(1));
    assert_eq!(value(&visitor, "other").await, Some(1));
}

/// A change whose commit got no answer, and that the request takes back, is not in the session after the next commit.
pub async fn a_change_taken_back_is_not_there<S: SessionStore>(store: S) {
    let (config, probe) = setup(store);
    let mut visitor = user(&config).await;
    let session = open(&visitor).await;
    session.insert("role", 1).expect("insert");
    visitor.commit(&session).await.expect("commit");
    for carried_out in [true, false] {
        let changes: [(Act, Act); 3] = [
            (
                |session| session.insert("role", 2).expect("insert"),
                |session| session.insert("role", 1).expect("insert"),
            ),
            (
                |session| session.insert("new", 1).expect("insert"),
                |session| {
                    session.remove::<u64>("new").expect("remove");
                },
            ),
            (
                |session| session.flash("info", 1).expect("flash"),
                |session| {
                    session.take_flash::<u64>("info").expect("take");
                },
            ),
        ];
        for (change, take_back) in changes {
            let session = open(&visitor).await;
            change(&session);
            if carried_out {
                probe.lose_answer(Op::Replace, 0);
            } else {
                probe.fail(Op::Replace, 0);
            }
            commit_without_answer(&session).await;
            take_back(&session);
            assert!(!session.is_modified());
            visitor.commit(&session).await.expect("the second try");
            assert_eq!(value(&visitor, "role").await, Some(1), "carried out: {carried_out}");
            assert_eq!(value(&visitor, "new").await, None, "carried out: {carried_out}");
            assert_eq!(messages(&visitor).await, [0; 0], "carried out: {carried_out}");
        }
    }
}

/// A commit that is dropped while its session leaves its user's list, and made again, counts once.
pub async fn a_commit_dropped_after_its_write_counts_once<S: SessionStore>(store: S) {
    if store.users().is_none() {
        return;
    }
    let (config, probe) = setup(store);
    let mut visitor = Visitor::new(&config);
    let session = open(&visitor).await;
    session.log_in("ada").expect("log_in");
    visitor.commit(&session).await.expect("commit");
    let session = open(&visitor).await;
    session.clear();
    session.flash("info", 1).expect("flash");
    let hold = probe.hold(Op::AppendUser);
    let is_held = matches!(select(pin!(session.commit()), pin!(hold.reached())).await, Either::Right(_));
    assert!(is_held, "the session leaves no list");
    drop(hold);
    visitor.commit(&session).await.expect("the second try");
    assert_eq!(messages(&visitor).await, [1]);
}

/// The same where the session changes its id, or reads the store again, before the second commit.
pub async fn a_repeated_commit_counts_once_after_a_change_of_id<S: SessionStore>(store: S) {
    let (config, probe) = setup(store);

    let mut visitor = user(&config).await;
    let session = updated_without_answer(&visitor, &probe).await;
    session.cycle_id();
    visitor.commit(&session).await.expect("the second try");
    assert_eq!(value(&visitor, "n").await, Some(1), "after cycle_id");

    let session = updated_without_answer(&visitor, &probe).await;
    session.reload().await.expect("reload");
    assert_eq!(session.get::<u64>("n").expect("a number"), Some(2), "after reload");
    session.update("n", increment).expect("update");
    visitor.commit(&session).await.expect("commit");
    assert_eq!(value(&visitor, "n").await, Some(3), "after reload");
}

/// The same where the first commit is not answered but dropped, at any point.
pub async fn a_commit_made_again_after_a_drop_counts_once<S: SessionStore>(store: S) {
    let (config, _) = setup(store);
    for polls in 0..40 {
        let mut visitor = user(&config).await;
        let session = open(&visitor).await;
        session.update("n", increment).expect("update");
        let done = poll_only(polls, session.commit()).await.is_some();
        session.update("m", increment).expect("update");
        visitor.commit(&session).await.expect("the second try");
        assert_eq!(value(&visitor, "n").await, Some(1), "dropped after {polls} polls");
        assert_eq!(value(&visitor, "m").await, Some(1), "dropped after {polls} polls");
        if done {
            break;
        }
    }
}
