//! What an owner publishes about itself, for `/debug/actors` and the metrics, which ask no actor.

use jiff::Timestamp;
use maestro_core::domain::{Epoch, Now};
use maestro_core::state::{Figures, SchedulerState, StateView, TimersView};
use serde::Serialize;

/// A snapshot of a SchedulerActor, published at most every 100 ms.
pub(crate) struct Published {
    pub at: Timestamp,
    pub epoch: Epoch,
    pub next_wake_ms: Option<u64>,
    pub timers: TimersView,
    pub watch: WatchView,
    pub state: StateView,
    pub figures: Figures,
}

impl Published {
    pub fn of(state: &SchedulerState, now: Now, epoch: Epoch, watch: WatchView) -> Self {
        let wake = state.next_wake().map(|at| at.since(now.mono));
        Self {
            at: now.wall,
            epoch,
            next_wake_ms: wake.map(|wait| wait.as_millis() as u64),
            timers: state.timers(now.mono),
            watch,
            state: state.view(),
            figures: state.figures(),
        }
    }
}

/// The runtime watch of one incarnation of an owner, as `/debug/actors` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct WatchView {
    /// `alive`, or `ended`: the owner receives no more events of its rooms.
    pub state: &'static str,
    /// Number of handled events, including lists.
    pub events: u64,
    /// When the last complete list was processed.
    pub last_list_at: Option<Timestamp>,
}

impl Default for WatchView {
    fn default() -> Self {
        Self {
            state: "alive",
            events: 0,
            last_list_at: None,
        }
    }
}
