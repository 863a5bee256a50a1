//! The fleet of one scheduler: its rooms, the documents they are created from, and everything that happens to a room.
//! What is *done* about it, operation by operation, is decided elsewhere.

mod allocation;
mod audience;
mod away;
mod counts;
mod crash_loop;
mod documents;
mod ended;
mod ends;
mod exposure;
mod forwarding;
mod graveyard;
mod hashed;
mod health;
mod inventory;
mod listing;
mod live;
mod live_plan;
mod moved;
mod nodes;
mod orders;
mod pings;
mod plan;
mod protection;
mod removal;
mod room;
mod rows;
mod showing;
mod status;
mod table;
mod touches;
mod work;

use crate::domain::*;
use crate::ports::{OperatorRecord, Shown};
use crate::settings::CoreSettings;
use crate::state::command::Refusal;
use crate::state::work::WorkId;
use audience::Audience;
use ended::{EndedRooms, Replaced};
use exposure::Exposure;
use graveyard::Graveyard;
use listing::Listing;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use work::WorkTable;

pub use counts::LiveCount;
pub(super) use listing::{INTENTS_AT_ONCE, Reconciliation, Step};
pub(super) use live_plan::LiveNeed;
pub use room::Room;
pub use table::RoomTable;
pub(super) use work::Purpose;

/// Everything that is known about the rooms of one scheduler while it is owned.
pub(in crate::state) struct Fleet {
    pub name: SchedulerName,
    pub settings: Arc<CoreSettings>,
    /// The active document; `None` if the scheduler does not exist (yet, or any more).
    pub scheduler: Option<Arc<Scheduler>>,
    pub versions: BTreeMap<SchedulerVersion, Arc<Scheduler>>,
    /// The states of versions of a managed scheduler, and of those that are configured before it is one.
    pub live: BTreeMap<SchedulerVersion, LiveVersion>,
    /// Failures in a row of started versions that are not the active one.
    pub loops: BTreeMap<SchedulerVersion, CrashLoop>,
    /// Versions whose rooms must be replaced by rooms of the active version.
    pub outdated: BTreeSet<SchedulerVersion>,
    /// The version under validation.
    pub trial: Option<Trial>,
    pub operator: OperatorRecord,
    /// The runtime that was created by itself.
    pub runtime: Option<RuntimeRecord>,
    pub showing: Showing,
    pub rooms: RoomTable,
    /// Rooms that have expired.
    pub expired: BTreeSet<RoomId>,
    /// Rooms whose last ping has to be written.
    pub touched: VecDeque<RoomId>,
    pub graveyard: Graveyard,
    pub ended: EndedRooms,
    pub replaced: Replaced,
    pub crash_loop: CrashLoop,
    pub away: Away,
    pub protection: Protector,
    /// It was reported that the scheduler is `on-error`.
    pub on_error_told: bool,
    /// The receivers of the rooms' events; `None` if there are none.
    pub audience: Option<Audience>,
    /// Calls on the runtime in flight.
    pub work: WorkTable,
    pub listing: Listing,
    pub scaling: Scaling,
    pub timers: FleetTimers,
}

/// Results of the last plan.
#[derive(Default)]
pub(in crate::state) struct Scaling {
    /// Desired number of rooms without the surge, according to the last plan.
    pub level: Option<i64>,
    /// Desired number of rooms after the last plan.
    pub desired: Option<i64>,
    /// The version of a managed scheduler that was acted for last.
    pub last: Option<SchedulerVersion>,
    /// Scaling could not do anything and waits until then.
    pub hold_until: Option<Mono>,
}

/// When the fleet has to be evaluated; `None` if it need not be.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::state) struct FleetTimers {
    pub touches: Option<Mono>,
    /// The end of a cooldown or a back-off that `consider` waits for.
    pub consider: Option<Mono>,
    /// During a back-off, the time at which a room may have been up for long enough (D30).
    pub proof: Option<Mono>,
}

/// A version that is being tested in validation rooms before it is stored.
pub(in crate::state) struct Trial {
    pub candidate: Arc<Scheduler>,
    /// The room that must become ready; `None` between two attempts.
    pub room: Option<RoomId>,
}

/// Failures of one version in a row.
#[derive(Clone, Debug, Default)]
pub(in crate::state) struct CrashLoop {
    pub version: SchedulerVersion,
    pub failures: u32,
    /// No new rooms before then.
    pub until: Option<Mono>,
    /// The last failure, for people.
    pub cause: String,
    /// When the last counted failure happened; rooms that were up before prove nothing.
    pub last: Option<Mono>,
}

/// Reasons to create no rooms for a while that are no failures of a version.
#[derive(Clone, Debug, Default)]
pub(in crate::state) struct Away {
    /// Calls that the runtime was away for, in a row.
    failures: u32,
    /// Rooms in a row whose host ports were taken where they should have run.
    clashes: u32,
    /// No new rooms before then.
    until: Option<Mono>,
}

/// What is to be protected, and the orders for it.
#[derive(Debug, Default)]
pub(in crate::state) struct Protector {
    exposure: Exposure,
    under_way: Option<WorkId>,
    failures: u32,
    /// When everything is ordered again, whether anything changed or not: somebody may have edited the budget, and an
    /// earlier order may have failed. `None`: at once.
    due: Option<Mono>,
}

/// The order to show what there is that is under way, and when the next one is due.
#[derive(Debug, Default)]
pub(in crate::state) struct Showing {
    under_way: Option<Arc<Shown>>,
    /// What the platform shows, as far as that is known: not while an order is under way, or after one that failed.
    is_there: Option<Arc<Shown>>,
    /// Something to show has changed since the last order.
    is_changed: bool,
    failures: u32,
    /// When everything is ordered again, whether anything changed or not: somebody may have edited the objects, and an
    /// earlier owner's order may have been lost. `None`: at once.
    due: Option<Mono>,
    /// The last failure that was reported.
    told: String,
    /// Why the last order failed, if the next one will too until somebody does something about it.
    refused: Option<String>,
}

impl Showing {
    /// What is to be shown has changed.
    pub fn changed(&mut self) {
        self.is_changed = true;
    }

    /// Somebody waits: failures of the past do not delay the next order.
    pub fn hurry(&mut self) {
        self.failures = 0;
        self.refused = None;
        if self.under_way.is_none() {
            self.due = None;
        }
    }

    /// Whether this version is the one that is reached; `None` while that is not known.
    pub fn reaches(&self, version: &SchedulerVersion) -> Option<bool> {
        let shown = self.is_there.as_ref()?;
        let published = shown.published.as_ref();
        Some(published.is_some_and(|published| published.version == *version))
    }

    /// Why nothing can be shown, if it takes more than time to change that.
    pub fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    /// The last failure.
    pub fn failure(&self) -> &str {
        &self.told
    }
}

impl Fleet {
    /// A fleet without rooms, with the stored documents.
    pub fn new(
        name: SchedulerName,
        settings: Arc<CoreSettings>,
        scheduler: Option<Arc<Scheduler>>,
        versions: Vec<Arc<Scheduler>>,
        operator: OperatorRecord,
    ) -> Self {
        let versions = versions.into_iter().map(|v| (v.version().clone(), v));
        let mut rooms = RoomTable::default();
        if settings.protection.is_some() {
            rooms.note_moves();
        }
        Self {
            name,
            settings,
            scheduler,
            versions: versions.collect(),
            live: BTreeMap::new(),
            loops: BTreeMap::new(),
            outdated: BTreeSet::new(),
            trial: None,
            operator,
            runtime: None,
            showing: Showing::default(),
            rooms,
            expired: BTreeSet::new(),
            touched: VecDeque::new(),
            graveyard: Graveyard::default(),
            ended: EndedRooms::default(),
            replaced: Replaced::default(),
            crash_loop: CrashLoop::default(),
            away: Away::default(),
            protection: Protector::default(),
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

    /// Whether the active document is in this state.
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
