//! Checks of sessions over a store, each for one of the crate's [promises](crate#what-it-promises).
//!
//! A check panics and says what it found. Races are arranged by holding calls at a barrier; no check sleeps.

mod changes_of_id;
mod failure;
mod forwarding;
mod identity;
mod parallel;
mod setup;
mod two_steps;

pub use changes_of_id::{
    a_lost_answer_costs_no_session, a_message_after_logout_is_delivered,
    a_second_commit_sends_no_dead_cookie, an_id_that_was_taken_is_forgotten,
    an_unanswered_removal_ends_in_one_session,
};
pub use failure::{
    a_dropped_request_leaves_no_half, a_failed_commit_can_be_repeated, a_failed_load_writes_nothing,
    a_failed_regenerate_leaves_the_old_session, an_undecodable_record_is_left_alone,
    nothing_happens_before_commit,
};
pub use forwarding::check_reaches_the_store;
pub use identity::{
    a_cycled_id_takes_nothing_from_a_gone_session, a_cycled_id_takes_what_others_wrote,
    a_late_request_replaces_no_cookie, a_miss_clears_no_cookie, an_old_id_is_worth_nothing,
    logout_beats_a_reader, logout_beats_a_slow_writer, only_minted_ids_are_written,
    planted_cookies_hide_no_session,
};
pub use parallel::{
    a_flash_message_pushed_during_a_drain_is_kept, different_keys_both_survive,
    every_change_survives_a_conflict, no_update_is_lost,
};
pub use two_steps::{
    a_bare_wrapper_loses_no_update, a_bare_wrapper_touches_and_moves_safely, a_cut_off_write_loses_no_other,
    a_cut_off_write_revives_no_session,
};
