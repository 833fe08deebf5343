//! The conformance kit: it holds a store to its contract, and sessions over the store to their promises.
//!
//! The kit is for authors of stores, behind the feature `testing`. One line makes a test of each check:
//!
//! ```
//! mod my_store {
//!     sessile::session_store_tests!(async || sessile::MemoryStore::new());
//! }
//! # fn main() {}
//! ```
//!
//! The argument is an async closure that returns a store, or an `Option` of one. With `None`, for instance
//! because no server is installed, the test passes and says that it was skipped. Each test calls the closure
//! once. All stores may share one server, because every check makes ids of its own. In the closure, names
//! mean what they mean where the macro stands, except for paths that begin with `super::`. The tests need
//! `tokio` with the features `macros` and `rt-multi-thread`.
//!
//! [`Probe`], [`Visitor`] and [`TestClock`] are the tools of the kit, and they serve tests of your own as
//! well: a store whose calls can be counted, held back and made to fail; a browser that keeps one cookie; and
//! a clock that stands still.
//!
//! # Which check holds which promise
//! The [`promises`] are those of [the crate](crate#what-it-promises), with the same numbers. A check that
//! holds two of them stands in two rows.
//!
//! | promise | check |
//! |---|---|
//! | 1. No lost update | [`promises::different_keys_both_survive`] |
//! | | [`promises::no_update_is_lost`] |
//! | | [`promises::every_change_survives_a_conflict`] |
//! | | [`promises::a_flash_message_pushed_during_a_drain_is_kept`] |
//! | | [`promises::a_cycled_id_takes_what_others_wrote`] |
//! | | [`promises::a_cut_off_write_loses_no_other`] |
//! | | [`promises::a_bare_wrapper_loses_no_update`] |
//! | | [`promises::a_bare_wrapper_touches_and_moves_safely`] |
//! | 2. Logout wins | [`promises::logout_beats_a_slow_writer`] |
//! | | [`promises::logout_beats_a_waiting_writer`] |
//! | | [`promises::logout_beats_one_who_joins_a_conflict`] |
//! | | [`promises::logout_beats_a_reader`] |
//! | | [`promises::a_cycled_id_takes_nothing_from_a_gone_session`] |
//! | | [`promises::a_message_after_logout_is_delivered`] |
//! | | [`promises::a_cut_off_write_revives_no_session`] |
//! | | [`promises::a_bare_wrapper_revives_no_session`] |
//! | | [`promises::a_half_wrapper_revives_no_session`] |
//! | | [`promises::an_unanswered_removal_ends_in_one_session`] |
//! | 3. A late response never overwrites a newer cookie | [`promises::logout_beats_a_reader`] |
//! | | [`promises::a_miss_clears_no_cookie`] |
//! | | [`promises::a_second_commit_sends_no_dead_cookie`] |
//! | | [`promises::a_late_request_replaces_no_cookie`] |
//! | | [`promises::planted_cookies_hide_no_session`] |
//! | 4. Only ids made here or known to the store are written | [`promises::only_minted_ids_are_written`] |
//! | | [`promises::an_old_id_is_worth_nothing`] |
//! | | [`promises::an_id_that_was_taken_is_forgotten`] |
//! | 5. Regenerating is safe | [`promises::a_failed_regenerate_leaves_the_old_session`] |
//! | | [`promises::a_lost_answer_costs_no_session`] |
//! | | [`promises::nothing_happens_before_commit`] |
//! | | [`promises::an_old_id_is_worth_nothing`] |
//! | 6. Nothing is written after a failed load | [`promises::a_failed_load_writes_nothing`] |
//! | | [`promises::an_undecodable_record_is_left_alone`] |
//! | 7. Cancelling is safe | [`promises::a_dropped_request_leaves_no_half`] |
//! | 8. End all means all | [`promises::an_end_of_all_ends_what_is_under_way`] |
//! | | [`promises::an_end_of_the_others_spares_the_session`] |
//! | | [`promises::an_end_of_one_session_ends_no_other`] |
//! | | [`promises::a_session_is_ended_wherever_it_moves`] |
//! | | [`promises::a_failed_step_can_be_repeated`] |
//! | | [`promises::a_dropped_step_leaves_nothing_behind`] |
//! | | [`promises::a_dropped_step_can_be_repeated`] |
//! | | [`promises::a_logout_after_a_dropped_step_is_whole`] |
//! | 9. A listed session is live, a live one is listed | [`promises::a_list_shows_what_lives`] |
//! | | [`promises::a_session_that_moves_stays_one`] |
//! | 10. Never more than the limit | [`promises::the_oldest_sessions_end_beyond_the_limit`] |
//! | | [`promises::logins_beyond_the_limit_are_refused`] |
//! | A commit that failed can be repeated | [`promises::a_failed_commit_can_be_repeated`] |
//! | | [`promises::a_repeated_commit_counts_once`] |
//! | | [`promises::a_repeated_commit_counts_once_after_a_change_of_id`] |
//! | | [`promises::a_commit_made_again_after_a_drop_counts_once`] |
//! | | [`promises::a_commit_that_was_recognised_counts_once`] |
//! | | [`promises::a_commit_dropped_after_its_write_counts_once`] |
//! | | [`promises::a_change_taken_back_is_not_there`] |
//! | `check` asks the store, also through wrappers | [`promises::check_reaches_the_store`] |
//!
//! A store that is wrapped into [`HashedIds`] is held to them with
//! [`hash_ids`](crate::SessionConfigBuilder::hash_ids).
//!
//! A store whose `get` returns no version takes two steps for a conditional write. Its sessions are held to
//! the promises among the requests of one configuration, in one process.
//!
//! # Which check holds which duty of a store
//! The duties are those that [`SessionStore`](crate::SessionStore#what-a-store-promises) lists. The checks of
//! atomic steps pass without a test for a store whose `get` returns no version.
//!
//! | duty | check |
//! |---|---|
//! | The store keeps `ttl` | [`contract::every_writer_sets_an_expiry`] |
//! | | [`contract::touch_changes_expiry_only`] |
//! | An expired record is absent | [`contract::touch_revives_nothing`] |
//! | | [`contract::create_is_exclusive`] |
//! | Bytes are kept | [`contract::bytes_survive`] |
//! | | [`contract::a_large_record_fits`] |
//! | Ids are compared byte by byte | [`contract::distinct_ids_never_meet`] |
//! | Only `set` and `create` make a record; absent is an answer | [`contract::absent_is_no_error`] |
//! | A method that has returned has taken effect | [`contract::what_is_set_is_read`] |
//! | | [`contract::replace_compares`] |
//! | | [`contract::destroy_if_compares`] |
//! | A method has its whole effect or none | [`contract::a_dropped_write_is_whole`] |
//! | Each conditional method is one atomic step | [`contract::one_of_many_creates`] |
//! | | [`contract::one_of_many_replaces`] |
//! | | [`contract::destroy_beats_replace`] |
//! | `ids` lists what is live | [`users::every_live_id_is_listed`] |
//! | `get_many` answers like `get` | [`users::many_are_read_like_one`] |
//! | A user's text is kept, and replaced only if it is the expected one | [`users::users_are_kept`] |
//! | Lines are appended in one atomic step each | [`users::lines_of_a_user_are_not_lost`] |
//!
//! The kit can neither damage a record in your store nor stop its server. So it does not check that the store
//! returns [`StoreError::corrupt`](crate::StoreError::corrupt) and
//! [`StoreError::unavailable`](crate::StoreError::unavailable) where it should; test these two yourself.

mod clock;
pub mod contract;
mod hashed_ids;
mod probe;
pub mod promises;
pub mod users;
mod visitor;

pub use clock::TestClock;
pub use hashed_ids::HashedIds;
pub use probe::{Hold, Op, Probe};
pub use visitor::{Answer, Visitor};

/// What the closure of [`session_store_tests!`](crate::session_store_tests) returns: a store, or an `Option`
/// of one.
///
/// With `None`, for instance because no server is installed, the tests pass and say that they were skipped.
pub trait Provided {
    /// The type of the store.
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

/// Makes a test of each check of the conformance kit. The argument is an async closure that returns a store:
/// see [`testing`](crate::testing).
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
        $crate::session_store_tests! { @users $make;
            users_are_kept
            lines_of_a_user_are_not_lost
            many_are_read_like_one
            every_live_id_is_listed
        }
        $crate::session_store_tests! { @promises $make;
            different_keys_both_survive
            no_update_is_lost
            every_change_survives_a_conflict
            a_flash_message_pushed_during_a_drain_is_kept
            logout_beats_a_slow_writer
            logout_beats_a_waiting_writer
            logout_beats_one_who_joins_a_conflict
            logout_beats_a_reader
            a_cycled_id_takes_nothing_from_a_gone_session
            a_cycled_id_takes_what_others_wrote
            a_miss_clears_no_cookie
            a_late_request_replaces_no_cookie
            planted_cookies_hide_no_session
            only_minted_ids_are_written
            an_old_id_is_worth_nothing
            a_failed_regenerate_leaves_the_old_session
            nothing_happens_before_commit
            a_failed_load_writes_nothing
            an_undecodable_record_is_left_alone
            a_failed_commit_can_be_repeated
            a_repeated_commit_counts_once
            a_repeated_commit_counts_once_after_a_change_of_id
            a_commit_made_again_after_a_drop_counts_once
            a_commit_that_was_recognised_counts_once
            a_commit_dropped_after_its_write_counts_once
            a_change_taken_back_is_not_there
            a_dropped_request_leaves_no_half
            a_lost_answer_costs_no_session
            a_message_after_logout_is_delivered
            a_second_commit_sends_no_dead_cookie
            an_id_that_was_taken_is_forgotten
            an_unanswered_removal_ends_in_one_session
            a_bare_wrapper_loses_no_update
            a_bare_wrapper_revives_no_session
            a_bare_wrapper_touches_and_moves_safely
            a_half_wrapper_revives_no_session
            a_cut_off_write_loses_no_other
            a_cut_off_write_revives_no_session
            check_reaches_the_store
            an_end_of_all_ends_what_is_under_way
            an_end_of_the_others_spares_the_session
            an_end_of_one_session_ends_no_other
            a_session_is_ended_wherever_it_moves
            a_failed_step_can_be_repeated
            a_dropped_step_leaves_nothing_behind
            a_dropped_step_can_be_repeated
            a_logout_after_a_dropped_step_is_whole
            a_list_shows_what_lives
            a_session_that_moves_stays_one
            the_oldest_sessions_end_beyond_the_limit
            logins_beyond_the_limit_are_refused
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
