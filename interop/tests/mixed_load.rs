//! Hundreds of requests on both servers at once, planned by a seed: `SESSILE_SEED` repeats a plan.

mod load;

use load::{Load, Rules};
use sessile_interop::shared_store::Kind;

/// Requests of axum run in parallel with each other and with Express' reads; Express' writes have the session
/// for themselves, as they overwrite whatever they did not load. Then every single thing both wrote is there.
async fn nothing_that_was_written_is_lost(kind: Kind, requests: usize) {
    let Some(load) = Load::plan(kind, requests) else { return };
    let tally = load.run(Rules::ExpressWritesAlone).await;
    tally.print(&format!("{kind:?}, Express writes alone"));
    tally.assert_no_failure(requests);
    assert_eq!(tally.lost, 0, "something that was written is gone");
    assert!(tally.checked > requests / 5, "only {} values were compared", tally.checked);
    assert!(
        tally.together > requests / 12,
        "only {} requests ran beside another of their session",
        tally.together
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_on_redis() {
    nothing_that_was_written_is_lost(Kind::Redis, 500).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_on_postgres() {
    nothing_that_was_written_is_lost(Kind::Postgres, 250).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_on_mariadb() {
    nothing_that_was_written_is_lost(Kind::MySql, 250).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_on_sqlite() {
    nothing_that_was_written_is_lost(Kind::Sqlite, 250).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_on_files() {
    nothing_that_was_written_is_lost(Kind::File, 500).await;
}

/// Everything at once. What Express overwrites is counted; that nothing is corrupted, and that nobody fails,
/// holds all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_corrupted_when_express_races() {
    let Some(load) = Load::plan(Kind::Redis, 500) else { return };
    let tally = load.run(Rules::None).await;
    tally.print("Redis, no rules");
    tally.assert_no_failure(500);
    assert!(tally.checked > 20, "only {} values were compared", tally.checked);
}
