//! What every store must do, as checks over its ports.
//!
//! An adapter's tests pass their [`Harness`] to [`store_contract!`](crate::store_contract); each
//! check becomes a test of its own, on an empty store.
#![allow(clippy::unwrap_used, reason = "a panic is how a check fails")]

mod harness;
pub mod live;
pub mod operations;
pub mod order;
pub mod rooms;
pub mod runtimes;
pub mod samples;
pub mod schedulers;

pub use harness::{Harness, Owner, Ports};

/// One test for each check. `$harness` is evaluated in each of them.
#[macro_export]
macro_rules! store_contract {
    ($harness:expr) => {
        $crate::store_contract! { @each $harness;
            schedulers::a_created_scheduler_is_there_for_all_readers,
            schedulers::a_second_creation_is_refused_as_a_whole,
            schedulers::an_update_leaves_the_creation_time_of_the_row,
            schedulers::an_update_brings_back_a_row_that_was_lost,
            schedulers::versions_are_listed_newest_first_and_never_overwritten,
            schedulers::a_versions_document_is_changed_where_it_stands,
            schedulers::filters_are_exact_and_all_have_to_match,
            schedulers::a_deletion_keeps_one_operation_and_no_namesake_is_touched,
            schedulers::a_name_can_be_created_again_and_starts_clean,
            rooms::rooms_are_counted_by_status,
            rooms::the_address_of_a_room_is_read_without_its_owner,
            rooms::a_touch_changes_what_a_steady_ping_says,
            rooms::a_touch_of_a_room_that_is_gone_is_passed_over,
            operations::the_queue_has_priority_ones_first_and_the_latest_of_them_before,
            operations::an_operation_goes_from_stage_to_stage,
            operations::the_history_is_cut_by_when_operations_ended,
            operations::operations_without_action_stay_out_of_the_history,
            operations::a_lease_is_renewed_while_the_operation_runs,
            operations::deleted_operations_are_gone_from_every_stage,
            schedulers::a_deleted_version_is_gone_and_the_operators_word_stays,
            live::states_of_versions_are_kept_and_go_with_their_versions,
            runtimes::a_runtime_needs_no_scheduler_and_goes_with_one,
            operations::ended_operations_are_known_to_the_next_owner,
            order::a_take_over_fences_the_owner_before,
            order::a_gap_in_the_order_is_answered_with_what_is_stored,
            order::a_batch_sent_twice_is_applied_once,
            order::all_changes_of_a_batch_are_applied_or_none,
            order::a_snapshot_replaces_rooms_and_open_operations,
            order::an_earlier_owner_loads_nothing,
            order::everything_is_there_after_opening_again,
            order::sixty_four_writers_do_not_disturb_each_other,
            order::a_held_scheduler_can_be_renewed,
        }
    };
    (@each $harness:expr; $($area:ident :: $check:ident),* $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $check() {
            let harness = $harness;
            $crate::contract::store::$area::$check(&harness).await;
        }
    )*};
}
