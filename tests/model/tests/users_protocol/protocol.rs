//! What the protocol consists of, so that a test can take out one part after the other.

use crate::state::Ids;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Protocol {
    pub(crate) looks_last: bool,
    pub(crate) entry_first: bool,
    pub(crate) marks: bool,
    pub(crate) moves_keep_place: bool,
    pub(crate) moves_ask_the_mark: bool,
    pub(crate) forgets_the_old_only: bool,
    pub(crate) age_before_absence: bool,
    pub(crate) forgets_the_absent_only: bool,
    pub(crate) closes_before_forgetting: bool,
    pub(crate) closes_ids_alone: bool,
    pub(crate) looks_after_closing: bool,
    pub(crate) replaces: bool,
    pub(crate) finishes_others: bool,
    pub(crate) ends_whole_places: bool,
    pub(crate) checks_epoch: bool,
    pub(crate) epochs_count: bool,
    pub(crate) epoch_outlives_entries: bool,
    pub(crate) repeats_are_ignored: bool,
    pub(crate) condemned_end_nobody: bool,
    pub(crate) logout_destroys_first: bool,
    pub(crate) gone_ends_the_move: bool,
    pub(crate) moves_check_epoch: bool,
    pub(crate) arrivals_end_others: bool,
    pub(crate) arrivals_ask_the_mark: bool,
    pub(crate) arrivals_ask_the_move: bool,
    pub(crate) looks_at_arrival: bool,
    pub(crate) logout_ends_place: bool,
    pub(crate) logout_finishes: bool,
    pub(crate) logout_asks_for_moves: bool,
    pub(crate) logins_remove_once: bool,
    pub(crate) goes_apart: bool,
    pub(crate) failed_go_apart: bool,
    pub(crate) apart_keeps_epoch: bool,
    pub(crate) destroys_the_tried: bool,
    pub(crate) limit_counts_older: bool,
    pub(crate) limit_finishes: bool,
    pub(crate) full_sifts: bool,
    pub(crate) newest_text_last: bool,
    pub(crate) ages: Ages,
    /// Whether what a lost answer may cost is counted as a violation.
    pub(crate) loses_nothing: bool,
    /// Whether the text that an append returns is read in a second step, and may have later lines.
    pub(crate) reads_later: bool,
    /// Whether many records are looked up in one step.
    pub(crate) looks_up_at_once: bool,
}

impl Default for Protocol {
    fn default() -> Self {
        Self {
            looks_last: true,
            entry_first: true,
            marks: true,
            moves_keep_place: true,
            moves_ask_the_mark: true,
            forgets_the_old_only: true,
            age_before_absence: true,
            forgets_the_absent_only: true,
            closes_before_forgetting: true,
            closes_ids_alone: true,
            looks_after_closing: true,
            replaces: true,
            finishes_others: true,
            ends_whole_places: true,
            checks_epoch: true,
            epochs_count: true,
            epoch_outlives_entries: true,
            repeats_are_ignored: true,
            condemned_end_nobody: true,
            logout_destroys_first: true,
            gone_ends_the_move: true,
            moves_check_epoch: true,
            arrivals_end_others: true,
            arrivals_ask_the_mark: true,
            arrivals_ask_the_move: true,
            looks_at_arrival: true,
            logout_ends_place: true,
            logout_finishes: true,
            logout_asks_for_moves: true,
            logins_remove_once: true,
            goes_apart: true,
            failed_go_apart: true,
            apart_keeps_epoch: true,
            destroys_the_tried: true,
            limit_counts_older: true,
            limit_finishes: true,
            full_sifts: true,
            newest_text_last: true,
            ages: Ages::InTime,
            loses_nothing: false,
            reads_later: false,
            looks_up_at_once: false,
        }
    }
}

/// When an entry without a record is old enough to be forgotten.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ages {
    Never,
    /// When nobody can create its record any more: the time to wait is longer than a call to the store can
    /// take.
    InTime,
    /// At any time, as where a process stands still between two steps.
    TooSoon,
}

impl Protocol {
    /// Those of the ids that may be old. `pending`: the sessions whose record somebody is about to create.
    pub(crate) fn old(&self, ids: Ids, pending: Ids) -> Ids {
        match self.ages {
            Ages::Never => 0,
            Ages::InTime if self.forgets_the_old_only => ids & !pending,
            Ages::InTime | Ages::TooSoon => ids,
        }
    }
}

/// A step of a call: what it may read, and what becomes of it.
#[derive(Clone, Copy)]
pub(crate) struct Context<'p> {
    pub(crate) protocol: &'p Protocol,
    pub(crate) pending: Ids,
    /// The call's own random epoch.
    pub(crate) drawn: u8,
    /// Whether the append that the call is at was carried out, and its text is to be read now.
    pub(crate) sent: bool,
    /// Whether the answer to a removal may be lost.
    pub(crate) may_lose: bool,
}
