//! The view at `/debug/actors`, assembled without asking or locking any actor.

use crate::gauge::{Gauge, Totals};
use crate::handle::SchedulerHandle;
use crate::owner_status::OwnerStatus;
use crate::published::WatchView;
use crate::restart::RestartView;
use jiff::Timestamp;
use maestro_core::domain::{Epoch, Mono};
use maestro_core::ports::Outage;
use maestro_core::state::{StateView, TimersView};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// All actors of this node.
#[derive(Clone, Debug, Serialize)]
pub struct DebugView {
    /// When the view was made.
    pub at: Timestamp,
    /// The current outage of the store, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<Arc<Outage>>,
    /// The supervisor first, then the others by name.
    pub actors: Vec<ActorView>,
}

/// One actor. Durations are in microseconds where the name says so.
#[derive(Clone, Debug, Serialize)]
pub struct ActorView {
    /// `supervisor`, `catalog` or `scheduler`.
    pub kind: &'static str,
    /// The scheduler's name; for other actors the same as `kind`.
    pub name: String,
    /// `running`, `stuck`, `loading`, `degraded`, `gone`, `shutting-down`.
    pub state: &'static str,
    /// Number of waiting messages.
    pub mailbox_depth: u64,
    /// How long the oldest message has been waiting.
    pub oldest_message_us: u64,
    /// The current turn with its age, so a stuck actor is visible while it is stuck.
    pub turn: Option<TurnView>,
    /// The kind of the last message.
    pub last_message: &'static str,
    /// Number of messages by kind since the start.
    pub handled: BTreeMap<&'static str, u64>,
    /// Durations of turns by kind; kinds without any turn are omitted.
    pub turn_times: BTreeMap<&'static str, TurnTimesView>,
    /// The longest turn since the start.
    pub longest_turn_us: u64,
    /// Timers that fired late because the thread was busy.
    pub late_wakes: u64,
    /// Number of restarts, and the last cause.
    pub restarts: RestartView,
    /// Why it is not restarted any more, or could not be loaded at the last attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub degraded_because: Option<String>,
    /// Details of a scheduler's owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<SchedulerView>,
}

/// Percentiles in microseconds, rounded up to the bound of a bucket. `None` if above the last bound, 8.4 s.
#[derive(Clone, Copy, Debug, Serialize, PartialEq, Eq)]
pub struct TurnTimesView {
    pub p50_us: Option<u64>,
    pub p99_us: Option<u64>,
}

pub(crate) fn turn_times(totals: &Totals) -> BTreeMap<&'static str, TurnTimesView> {
    let seen = totals.times.all().filter(|(_, times)| times.count() > 0);
    seen.map(|(kind, times)| {
        let view = TurnTimesView {
            p50_us: times.quantile_us(0.5),
            p99_us: times.quantile_us(0.99),
        };
        (kind, view)
    })
    .collect()
}

#[derive(Clone, Debug, Serialize)]
pub struct TurnView {
    pub message: &'static str,
    pub age_us: u64,
}

/// Details of a scheduler's owner.
#[derive(Clone, Debug, Serialize)]
pub struct SchedulerView {
    /// When the actor published it.
    pub as_of: Timestamp,
    pub epoch: Epoch,
    pub lease_left_ms: u64,
    pub next_wake_ms: Option<u64>,
    pub timers: TimersView,
    pub watch: WatchView,
    pub writer: WriterView,
    pub board: PingCacheView,
    #[serde(flatten)]
    pub state: StateView,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct WriterView {
    pub waiting: u64,
    pub seq: u64,
    pub commits: u64,
    pub retries: u64,
}

/// Pings answered by the cache.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PingCacheView {
    /// Number of pings answered in this incarnation.
    pub answered: u64,
    /// Rooms whose last ping has not been reported to the actor yet.
    pub waiting: usize,
}

pub(crate) fn turn_of(gauge: &Gauge) -> Option<TurnView> {
    let turn = gauge.turn();
    turn.map(|(message, age_us)| TurnView { message, age_us })
}

pub(crate) fn view_of(handle: &SchedulerHandle, now: Mono) -> ActorView {
    let totals = handle.totals();
    let (mut depth, mut oldest, mut turn) = (0, 0, None);
    let (mut lease_left_ms, mut writer, mut because) = (0, WriterView::default(), None);
    let mut board = PingCacheView::default();
    let state = match handle.status() {
        OwnerStatus::Live(live) => {
            (depth, oldest) = (live.gauge.depth(), live.gauge.oldest_us());
            turn = turn_of(&live.gauge);
            lease_left_ms = live.lease.left(now).as_millis() as u64;
            board = PingCacheView {
                answered: live.ping_cache.answered(),
                waiting: live.ping_cache.waiting(),
            };
            writer = WriterView {
                waiting: live.writer.waiting.load(Relaxed),
                seq: live.writer.seq.load(Relaxed),
                commits: live.writer.commits.load(Relaxed),
                retries: live.writer.retries.load(Relaxed),
            };
            if live.gauge.is_stuck() {
                "stuck"
            } else {
                "running"
            }
        }
        OwnerStatus::Loading => "loading",
        OwnerStatus::Unloaded { cause } => {
            because = Some(cause);
            "loading"
        }
        OwnerStatus::Gone => "gone",
        OwnerStatus::ShuttingDown => "shutting-down",
        OwnerStatus::Degraded { cause } => {
            because = Some(cause);
            "degraded"
        }
    };
    let published = handle.published();
    ActorView {
        kind: "scheduler",
        name: handle.name().to_string(),
        state,
        mailbox_depth: depth,
        oldest_message_us: oldest,
        turn,
        last_message: totals.last_kind(),
        handled: totals.handled().collect(),
        turn_times: turn_times(totals),
        longest_turn_us: totals.longest_turn_us(),
        late_wakes: totals.late_wakes(),
        restarts: handle.restarts(),
        degraded_because: because,
        scheduler: published.map(|p| SchedulerView {
            as_of: p.at,
            epoch: p.epoch,
            lease_left_ms,
            next_wake_ms: p.next_wake_ms,
            timers: p.timers,
            watch: p.watch.clone(),
            writer,
            board,
            state: p.state.clone(),
        }),
    }
}
