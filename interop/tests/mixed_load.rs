//! Hundreds of requests on both servers at once, over one Redis, planned by a seed: `SESSILE_SEED` repeats a plan.

mod load;

use load::{Load, Rules};

/// Requests of axum run in parallel with each other and with Express' reads; Express' writes have the session for
/// themselves, as they overwrite whatever they did not load. Then every single thing both wrote is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_that_was_written_is_lost() {
    let Some(load) = Load::plan(500) else { return };
    let tally = load.run(Rules::ExpressWritesAlone).await;
    tally.print("Express writes alone");
    tally.assert_no_failure();
    assert_eq!(tally.lost, 0, "something that was written is gone");
    assert!(tally.checked > 100, "only {} values were compared", tally.checked);
    assert!(tally.together > 40, "only {} requests ran beside another one of their session", tally.together);
}

/// Everything at once. What Express overwrites is counted; that nothing is corrupted, and that nobody fails, holds
/// all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_corrupted_when_express_races() {
    let Some(load) = Load::plan(500) else { return };
    let tally = load.run(Rules::None).await;
    tally.print("no rules");
    tally.assert_no_failure();
    assert!(tally.checked > 20, "only {} values were compared", tally.checked);
}
