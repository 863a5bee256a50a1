//! Becoming the owner: from what is stored to a state that goes on (architecture 5, 6).

use super::room::Marks;
use super::*;
use crate::ports::Loaded;

impl SchedulerState {
    /// The state of an owner that begins now. Rooms get their times from this moment: a
    /// silence counts from the take-over, never from an older stored time.
    pub fn load(
        name: SchedulerName,
        loaded: Loaded,
        settings: Arc<CoreSettings>,
        now: Now,
        entropy: u128,
    ) -> Self {
        let mut state = Self {
            name,
            settings,
            scheduler: loaded.scheduler,
            versions: loaded
                .versions
                .into_iter()
                .map(|v| (v.version().clone(), v))
                .collect(),
            outdated: BTreeSet::new(),
            rooms: RoomTable::default(),
            level: None,
            desired: None,
            hold_scaling_until: None,
            operator: loaded.operator,
            ended_rooms: VecDeque::new(),
            operations: Operations::default(),
            crash_loop: CrashLoop::default(),
            on_error_told: false,
            replaced: Replaced::default(),
            audience: None,
            work: WorkTable::default(),
            listed: false,
            lists: 0,
            graveyard: HashMap::new(),
            expired: BTreeSet::new(),
            touched: VecDeque::new(),
            reconciliation: None,
            parked: None,
            fleet_timers: FleetTimers::default(),
            lane_timers: LaneTimers::default(),
            trial: None,
            stale_results: 0,
            measured: Measured::default(),
            orphans_due: None,
        };
        let mut turn = Turn::new(now, entropy);
        state.restore_crash_loop();
        for record in loaded.rooms {
            state.restore_room(now, record);
        }
        // What had begun goes on before what was waiting.
        let (begun, waiting): (Vec<_>, Vec<_>) = loaded
            .operations
            .into_iter()
            .partition(|record| record.status == OperationStatus::InProgress);
        for record in begun.into_iter().chain(waiting) {
            state.operations.restore(record);
        }
        state.operations.restore_ended(loaded.ended);
        if let Some(active) = state.scheduler.clone() {
            state
                .versions
                .entry(active.version().clone())
                .or_insert(active);
            state.arm_periodic(&mut turn);
        }
        state.active_changed(&mut turn);
        let on_error = |s: &Arc<Scheduler>| s.state == scheduler_state::ON_ERROR;
        state.on_error_told = state.scheduler.as_ref().is_some_and(on_error);
        state.arm_proof(now);
        state.orphans_due = state.orphans_wake(now);
        state
    }

    fn restore_room(&mut self, now: Now, mut record: RoomRecord) {
        let allocated = record.allocated_at.map(|at| now.mono_of(at));
        let id = record.id.clone();
        let first_ready = record.first_ready_at.map(|at| now.mono_of(at));
        // What pinged once was up: its end after the restart is no crash at start.
        let was_ready = first_ready.is_some() || record.ping_status != PingStatus::Unknown;
        record.played |= matches!(record.status, RoomStatus::Occupied | RoomStatus::Active);
        let restarting = record.instance.as_ref().and_then(|i| i.restarting);
        // Found in the runtime by an owner before: still nobody knows whether it is held.
        let found = record.made_by.is_none().then(|| {
            let found = now.mono_of(record.created_at);
            found.plus(self.settings.allocation_hold)
        });
        let silence = now.wall.duration_since(record.last_ping_at);
        let fresh = self.settings.allocation_fresh;
        let silent =
            fresh.is_some_and(|fresh| silence.unsigned_abs() > fresh && !silence.is_negative());
        // It said so before anybody knew where it is, and no forwarder was told (D34).
        let placed = record
            .instance
            .as_ref()
            .is_some_and(|i| i.address.is_some());
        let lives = matches!(record.ping_status, PingStatus::Ready | PingStatus::Occupied);
        let untold = (lives && !placed).then_some(record.ping_status);
        let mut events = RoomEvents::default();
        events.push(now.wall, RoomHappening::Adopted);
        self.rooms.insert(Room {
            record,
            clock: RoomClock {
                created: now.mono,
                last_ping: now.mono,
                allocated,
                first_ready,
                status_since: now.mono,
            },
            was_ready,
            restart_since: restarting.map(|_| now.mono),
            quarantined_until: found.filter(|until| *until > now.mono),
            terminated_at: None,
            untold,
            made_at: None,
            events,
            marks: Marks::default(),
        });
        // Its silence before the take-over is no reason to end it, but one to prefer others (D33).
        if silent {
            self.rooms.pass_over(id.as_str());
        }
        self.schedule_health(now, &id);
    }

    pub(super) fn arm_periodic(&mut self, turn: &mut Turn) {
        let wait = self.cleanup_wait(turn);
        // The first tick after one full period, not at start (contract 5.3).
        self.lane_timers.health = Some(turn.now.mono.plus(self.settings.health_interval));
        self.lane_timers.cleanup = Some(turn.now.mono.plus(wait));
    }
}
