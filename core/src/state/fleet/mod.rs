//! The fleet of one scheduler: its rooms, the documents they are made from, and everything
//! that happens to a room. What is *done* about them, operation by operation, is decided
//! elsewhere.

mod allocation;
mod audience;
mod crash_loop;
mod documents;
mod ended;
mod ends;
mod forwarding;
mod graveyard;
mod health;
mod inventory;
mod listing;
mod orders;
mod pings;
mod plan;
mod removal;
mod room;
mod rows;
mod status;
mod table;
mod touches;
mod work;

use crate::domain::*;
use crate::ports::OperatorRecord;
use crate::settings::CoreSettings;
use crate::state::input::Refusal;
use audience::Audience;
use ended::{EndedRooms, Replaced};
use graveyard::Graveyard;
use listing::Listing;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use work::WorkTable;

pub(super) use listing::{INTENTS_AT_ONCE, Reconciliation, Step};
pub use room::Room;
pub use table::RoomTable;
pub(super) use work::Purpose;

/// Everything that is true about the rooms of one scheduler while it is owned.
pub(in crate::state) struct Fleet {
    pub name: SchedulerName,
    pub settings: Arc<CoreSettings>,
    /// The active document. `None`: there is no such scheduler (yet, or any more).
    pub scheduler: Option<Arc<Scheduler>>,
    pub versions: BTreeMap<SchedulerVersion, Arc<Scheduler>>,
    /// Versions whose rooms have to be replaced by ones of the active version.
    pub outdated: BTreeSet<SchedulerVersion>,
    /// The version that is being validated.
    pub trial: Option<Trial>,
    pub operator: OperatorRecord,
    pub rooms: RoomTable,
    /// Rooms whose time is over.
    pub expired: BTreeSet<RoomId>,
    /// Rooms whose last ping is to be written.
    pub touched: VecDeque<RoomId>,
    pub graveyard: Graveyard,
    pub ended: EndedRooms,
    pub replaced: Replaced,
    pub crash_loop: CrashLoop,
    /// Somebody was told that the scheduler is on-error.
    pub on_error_told: bool,
    /// Who is told of what happens in the rooms. `None`: nobody.
    pub audience: Option<Audience>,
    /// The calls on the runtime that are under way.
    pub work: WorkTable,
    pub listing: Listing,
    pub scaling: Scaling,
    pub timers: FleetTimers,
}

/// What the last plan came to.
#[derive(Default)]
pub(in crate::state) struct Scaling {
    /// Rooms wanted apart from the surge, as the plan before had it.
    pub level: Option<i64>,
    /// Rooms there should be after the last plan.
    pub desired: Option<i64>,
    /// Scaling found nothing that it could do: it waits until then.
    pub hold_until: Option<Mono>,
}

/// Moments at which the fleet has to be looked at. `None`: not needed.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::state) struct FleetTimers {
    pub touches: Option<Mono>,
    /// The end of a cooldown or a back-off that `consider` waits for.
    pub consider: Option<Mono>,
    /// While there is a back-off: when a room may have been up for long enough (D30).
    pub proof: Option<Mono>,
}

/// A version that is tried in validation rooms before it is stored.
pub(in crate::state) struct Trial {
    pub candidate: Arc<Scheduler>,
    /// The room that is to become ready; `None` between two attempts.
    pub room: Option<RoomId>,
}

/// Failures in a row of the active version.
#[derive(Clone, Debug, Default)]
pub(in crate::state) struct CrashLoop {
    pub version: SchedulerVersion,
    pub failures: u32,
    /// No new room before then.
    pub until: Option<Mono>,
    /// What happened last, for people.
    pub cause: String,
    /// When the last failure happened that counted: who was up before then proves nothing.
    pub last: Option<Mono>,
}

impl Fleet {
    /// A fleet without rooms, of the documents that are stored.
    pub fn new(
        name: SchedulerName,
        settings: Arc<CoreSettings>,
        scheduler: Option<Arc<Scheduler>>,
        versions: Vec<Arc<Scheduler>>,
        operator: OperatorRecord,
    ) -> Self {
        let versions = versions.into_iter().map(|v| (v.version().clone(), v));
        Self {
            name,
            settings,
            scheduler,
            versions: versions.collect(),
            outdated: BTreeSet::new(),
            trial: None,
            operator,
            rooms: RoomTable::default(),
            expired: BTreeSet::new(),
            touched: VecDeque::new(),
            graveyard: Graveyard::default(),
            ended: EndedRooms::default(),
            replaced: Replaced::default(),
            crash_loop: CrashLoop::default(),
            on_error_told: false,
            audience: None,
            work: WorkTable::default(),
            listing: Listing::default(),
            scaling: Scaling::default(),
            timers: FleetTimers::default(),
        }
    }

    pub fn is_paused(&self) -> bool {
        self.operator.held.unwrap_or(self.settings.paused)
    }

    pub fn is_terminating(&self) -> bool {
        self.is_in(SchedulerPhase::Terminating)
    }

    /// The active document is in this state.
    pub fn is_in(&self, phase: SchedulerPhase) -> bool {
        self.scheduler.as_ref().is_some_and(|s| s.state == phase)
    }

    pub fn active(
        &self,
        missing: fn(&SchedulerName) -> Refusal,
    ) -> Result<Arc<Scheduler>, Refusal> {
        self.scheduler.clone().ok_or_else(|| missing(&self.name))
    }
}
