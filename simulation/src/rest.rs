//! The end of all faults: everything broken is repaired, and the fleet must reach its wanted state.

use crate::calls::Outcome;
use crate::world::{TURNS_MAX, WAKES_MAX, World};
use maestro_core::domain::*;
use maestro_core::rules::version::is_major;
use maestro_core::state::*;
use std::collections::BTreeSet;
use std::time::Duration;

impl World {
    /// Ends all faults: the runtime works, its rooms are ready, and the scheduler is resumed.
    pub fn heal(&mut self) {
        self.machine.slow_endings = false;
        self.machine.creation_fails = None;
        self.commit_all();
        while self.late(0) {}
        while self.machine.finish_ending() {}
        for room in self.machine.running.keys().cloned().collect::<Vec<_>>() {
            self.machine.change(&room, InstanceStatus::Ready);
        }
        // The list comes before the end of a pause: the owner must still act on it afterwards.
        self.machine.relist();
        self.command(Command::SetPaused(false));
        self.settle();
    }

    /// Delivers everything that is pending; all calls succeed.
    pub fn settle(&mut self) {
        for _ in 0..TURNS_MAX {
            let more = self.go_on()
                || self.commit()
                || self.finish(0)
                || self.work(0, Outcome::Works)
                || self.event();
            if !more {
                return;
            }
        }
        panic!("never comes to rest: {:?}", self.state.view());
    }

    /// Half a minute without faults, in which all rooms ping ready.
    pub fn quiet_moment(&mut self) {
        for room in self.machine.running.keys().cloned().collect::<Vec<_>>() {
            self.ping(&room, PingStatus::Ready, 0);
        }
        self.settle();
        let end = self.clock.mono.plus(Duration::from_secs(30));
        let mut wakes = 0;
        while let Some(wake) = self.state.next_wake().filter(|wake| *wake <= end) {
            wakes += 1;
            assert!(wakes < WAKES_MAX, "wakes without end");
            let step = wake.since(self.clock.mono).max(Duration::from_millis(1));
            self.pass(step);
            self.settle();
        }
        self.pass(end.since(self.clock.mono));
    }

    /// Why the fleet has not reached its wanted state yet.
    pub fn unsettled(&self) -> Option<String> {
        let open = self.state.open_operations();
        if !open.is_empty() {
            return Some(format!("operations are open: {:?}", self.state.view()));
        }
        if !self.works.is_empty() || !self.begun.is_empty() {
            return Some(format!("calls are open: {:?}", self.works));
        }
        if let Some(room) = self
            .stored
            .rooms
            .values()
            .find(|r| r.intent.removal.is_some())
        {
            return Some(format!("{} is to go", room.id));
        }
        let rooms: BTreeSet<_> = self.stored.rooms.keys().collect();
        if let Some(why) = self.unshown() {
            return Some(why);
        }
        let Some(scheduler) = self.state.scheduler() else {
            return (!rooms.is_empty()).then(|| "rooms of no scheduler".into());
        };
        let may_be_played_in = self.state.rooms().iter().any(|room| room.may_be_busy());
        let is_protected = !self.machine.protected.is_empty() || self.machine.budget > 0;
        if is_protected && !may_be_played_in {
            let machine = &self.machine;
            let (rooms, number) = (&machine.protected, machine.budget);
            return Some(format!(
                "nobody plays, and {number} are protected: {rooms:?}"
            ));
        }
        let instances: BTreeSet<_> = self.machine.running.keys().collect();
        if rooms != instances {
            return Some(format!("rows {rooms:?}, instances {instances:?}"));
        }
        let ready = self.count(RoomStatus::Ready);
        let wanted = match scheduler.state {
            SchedulerPhase::Terminating => 0,
            _ if self.stored.operator.managed => self.wanted_of_live(scheduler),
            _ => wanted(scheduler),
        };
        if ready != wanted || rooms.len() as u64 != wanted {
            let view = self.state.view();
            return Some(format!("{ready} of {wanted} rooms are ready: {view:?}"));
        }
        let in_sync = matches!(
            scheduler.state,
            SchedulerPhase::InSync | SchedulerPhase::Terminating
        );
        if !in_sync && wanted > 0 {
            return Some(format!("the scheduler is {}", scheduler.state));
        }
        if scheduler.state == SchedulerPhase::Terminating {
            // Whatever its versions were to have.
            return None;
        }
        if self.stored.operator.managed {
            return self.unsettled_live(scheduler);
        }
        let outdated = self.stored.rooms.values().find(|room| {
            let document = self.stored.versions.get(&room.intent.version);
            document.is_some_and(|d| is_major(d, scheduler))
        });
        outdated.map(|room| format!("{} is of {}", room.id, room.intent.version))
    }
}

impl World {
    /// What the platform shows must follow from what is stored, whatever became of earlier orders.
    fn unshown(&self) -> Option<String> {
        let (stored, machine) = (&self.stored, &self.machine);
        let is_runtime = stored
            .runtime
            .as_ref()
            .is_some_and(|r| r.failure.is_empty());
        if is_runtime && !machine.has_rights {
            return Some("the runtime has no rights".into());
        }
        let is_live = stored.operator.managed && !self.is_terminating();
        let live = stored.live.values().filter(|_| is_live);
        let with_rooms = live.filter(|live| live.phase != VersionPhase::Stopped);
        let configs: Vec<_> = with_rooms.map(|l| (&l.version, &l.config)).collect();
        let shown = machine.shown.configs.iter();
        let shown_configs: Vec<_> = shown.map(|c| (&c.version, &c.pairs)).collect();
        let published = stored
            .live
            .values()
            .find(|live| is_live && live.phase == VersionPhase::Published);
        let published = published.map(|live| &live.version);
        let shown = machine.shown.published.as_ref().map(|p| &p.version);
        let as_it_should = configs == shown_configs && published == shown;
        let is_kept = is_live || stored.runtime.is_some();
        (is_kept && !as_it_should).then(|| {
            format!(
                "{published:?} and {configs:?} are to be shown, not {:?}",
                machine.shown
            )
        })
    }

    fn is_terminating(&self) -> bool {
        let state = self.stored.scheduler.as_ref().map(|s| &s.state);
        state == Some(&SchedulerPhase::Terminating)
    }

    fn wanted_of_live(&self, active: &Scheduler) -> u64 {
        let live = self.stored.live.values();
        live.map(|live| self.wanted_of(live, active)).sum()
    }

    /// A version in error keeps what it has.
    fn wanted_of(&self, live: &LiveVersion, active: &Scheduler) -> u64 {
        match live.phase {
            VersionPhase::Published => wanted(active),
            VersionPhase::Starting | VersionPhase::Started => {
                live.rooms.max(0).unsigned_abs().into()
            }
            VersionPhase::Error => self.rooms_of(&live.version) as u64,
            _ => 0,
        }
    }

    fn rooms_of(&self, version: &SchedulerVersion) -> usize {
        let rooms = self.stored.rooms.values();
        rooms.filter(|room| room.intent.version == *version).count()
    }

    /// Each version must have its own number of rooms, with the last configuration that they are to have.
    fn unsettled_live(&self, active: &Scheduler) -> Option<String> {
        for live in self.stored.live.values() {
            let (rooms, wanted) = (self.rooms_of(&live.version), self.wanted_of(live, active));
            if rooms as u64 != wanted {
                return Some(format!("{rooms} of {wanted} rooms of {}", live.version));
            }
            if matches!(live.phase, VersionPhase::Starting | VersionPhase::Stopping) {
                return Some(format!("{} is {}", live.version, live.phase));
            }
        }
        let stale = self.stored.rooms.values().find(|room| {
            let live = self.stored.live.get(&room.intent.version);
            live.is_some_and(|live| {
                live.phase.wants_rooms() && room.intent.config_revision < live.fresh_from
            })
        });
        stale.map(|room| format!("{} has a former configuration", room.id))
    }
}

fn wanted(scheduler: &Scheduler) -> u64 {
    let scaled = scheduler.autoscaling.as_ref().filter(|a| a.enabled);
    let wanted = match scaled {
        None => i64::from(scheduler.rooms_replicas),
        // Without players the buffer is wanted, within its limits.
        Some(a) => {
            let buffer = a.policy.parameters.fixed_buffer.map_or(0, |b| b.amount);
            i64::from(buffer.clamp(a.min, a.max))
        }
    };
    wanted.max(0).unsigned_abs()
}
