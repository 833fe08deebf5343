//! The conformance kit: what a [`SessionStore`](crate::SessionStore) must hold, and what sessions over it promise.
//!
//! For authors of stores, behind the feature `testing`. One line makes a test of each check:
//!
//! ```
//! mod my_store {
//!     sessile::session_store_tests!(async || sessile::MemoryStore::new());
//! }
//! # fn main() {}
//! ```
//!
//! The expression is an async closure that gives a store, or `None` where there is no server; all of them may be handles on the same server, because the
//! checks use ids of their own. In it, names mean what they mean where the macro stands, apart from `super::`. The tests need `tokio` with the features `macros` and `rt-multi-thread`.
//!
//! [`contract`] holds a store to its methods' documentation. [`promises`] holds sessions over that store to what the
//! crate promises about parallel requests, failures and cancellation. Both adapt to one thing only: a store whose `get`
//! gives no version has the provided two-step methods, so its races are held to the promises among the requests of one
//! configuration, not to atomicity of each call.
//!
//! [`Probe`] wraps a store for tests of your own: it counts calls, lets the n-th one fail, gives way to other tasks at
//! every call, and holds a call at a barrier.

mod clock;
pub mod contract;
mod probe;
pub mod promises;
mod visitor;

pub use clock::TestClock;
pub use probe::{Hold, Op, Probe};
pub use visitor::{Answer, Visitor};

/// What the closure of [`session_store_tests!`](crate::session_store_tests) gives: a store, or `None` where there is no
/// server to test against; the checks then pass and say that they were skipped.
pub trait Provided {
    /// The store's type.
    type Store: crate::SessionStore;

    /// The store, if there is one.
    fn provided(self) -> Option<Self::Store>;
}

impl<S: crate::SessionStore> Provided for S {
    type Store = S;

    fn provided(self) -> Option<S> {
        Some(self)
    }
}

impl<S: crate::SessionStore> Provided for Option<S> {
    type Store = S;

    fn provided(self) -> Self {
        self
    }
}

/// Makes a test of each check of the conformance kit. See [`testing`](crate::testing).
#[macro_export]
macro_rules! session_store_tests {
    ($make:expr) => {
        $crate::session_store_tests! { @contract $make;
            absent_is_no_error
            what_is_set_is_read
            bytes_survive
            distinct_ids_never_meet
            a_large_record_fits
            create_is_exclusive
            one_of_many_creates
            replace_compares
            one_of_many_replaces
            destroy_if_compares
            destroy_beats_replace
            touch_changes_expiry_only
            every_writer_sets_an_expiry
            touch_revives_nothing
            a_dropped_write_is_whole
        }
        $crate::session_store_tests! { @promises $make;
            different_keys_both_survive
            no_update_is_lost
            every_change_survives_a_conflict
            a_flash_message_pushed_during_a_drain_is_kept
            logout_beats_a_slow_writer
            logout_beats_a_reader
            a_cycled_id_takes_nothing_from_a_gone_session
            a_cycled_id_takes_what_others_wrote
            a_miss_clears_no_cookie
            only_minted_ids_are_written
            an_old_id_is_worth_nothing
            a_failed_regenerate_leaves_the_old_session
            nothing_happens_before_commit
            a_failed_load_writes_nothing
            an_undecodable_record_is_left_alone
            a_failed_commit_can_be_repeated
            a_dropped_request_leaves_no_half
        }
    };
    (@$group:ident $make:expr; $($check:ident)*) => {
        mod $group {
            #[allow(unused_imports)]
            use super::*;
            $(
                #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $check() {
                    let make = $make;
                    match $crate::testing::Provided::provided(make().await) {
                        Some(store) => $crate::testing::$group::$check(store).await,
                        None => eprintln!("skipped: no store to test"),
                    }
                }
            )*
        }
    };
}
