//! Checks of sessions over a store, each for one of the crate's [promises](crate#what-it-promises).
//!
//! A check panics and says what it found. Races are arranged by holding calls at a barrier; no check sleeps.

mod changes_of_id;
mod failure;
mod forwarding;
mod identity;
mod parallel;
mod repeated;
mod setup;
mod two_steps;
mod user_faults;
mod user_scene;
mod users;

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
    logout_beats_a_reader, logout_beats_a_slow_writer, logout_beats_a_waiting_writer,
    logout_beats_one_who_joins_a_conflict, only_minted_ids_are_written, planted_cookies_hide_no_session,
};
pub use parallel::{
    a_flash_message_pushed_during_a_drain_is_kept, different_keys_both_survive,
    every_change_survives_a_conflict, no_update_is_lost,
};
pub use repeated::{
    a_change_taken_back_is_not_there, a_commit_dropped_after_its_write_counts_once,
    a_commit_made_again_after_a_drop_counts_once, a_commit_that_was_recognised_counts_once,
    a_repeated_commit_counts_once, a_repeated_commit_counts_once_after_a_change_of_id,
};
pub use two_steps::{
    a_bare_wrapper_loses_no_update, a_bare_wrapper_revives_no_session,
    a_bare_wrapper_touches_and_moves_safely, a_cut_off_write_loses_no_other,
    a_cut_off_write_revives_no_session, a_half_wrapper_revives_no_session,
};
pub use user_faults::{
    a_dropped_step_can_be_repeated, a_dropped_step_leaves_nothing_behind, a_failed_step_can_be_repeated,
    a_logout_after_a_dropped_step_is_whole,
};
pub use users::{
    a_list_shows_what_lives, a_session_is_ended_wherever_it_moves, a_session_that_moves_stays_one,
    an_end_of_all_ends_what_is_under_way, an_end_of_one_session_ends_no_other,
    an_end_of_the_others_spares_the_session, logins_beyond_the_limit_are_refused,
    the_oldest_sessions_end_beyond_the_limit,
};
