//! Checks of commits that are made again because nobody knows what became of the first one.

use super::setup::{increment, open, setup, user, value};
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

/// The same where the session changes its id, or reads the store again, before the second commit.
pub async fn a_repeated_commit_counts_once_after_a_change_of_id<S: SessionStore>(store: S) {
    let (config, probe) = setup(store);

    let mut visitor = user(&config).await;
    let session = open(&visitor).await;
    session.update("n", increment).expect("update");
    probe.lose_answer(Op::Replace, 0);
    commit_without_answer(&session).await;
    session.cycle_id();
    visitor.commit(&session).await.expect("the second try");
    assert_eq!(value(&visitor, "n").await, Some(1), "after cycle_id");

    let session = open(&visitor).await;
    session.update("n", increment).expect("update");
    probe.lose_answer(Op::Replace, 0);
    commit_without_answer(&session).await;
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
