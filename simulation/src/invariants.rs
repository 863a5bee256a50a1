//! What must hold after every decision, whatever happened before.

use crate::world::{Held, World};
use maestro_core::domain::*;
use maestro_core::state::*;
use std::collections::{BTreeMap, BTreeSet};

/// Operations without action that the retention keeps (contract 5.11).
const NO_ACTION_KEPT: usize = 100;

/// Of each room its status and removal, and of each version its phase.
type Removals = (
    BTreeMap<RoomId, (RoomStatus, Option<Removal>)>,
    BTreeMap<SchedulerVersion, VersionPhase>,
);

impl World {
    pub(crate) fn allocated(&mut self, room: &RoomId, caller: Caller) {
        let known = self.state.rooms().get(room.as_str());
        let instance = known.and_then(|room| room.record.instance.as_ref());
        let uid = instance.map(|instance| instance.uid.clone());
        let held = Held {
            caller,
            uid: uid.clone(),
            at: self.clock.mono,
            acknowledged: false,
        };
        // No owner knows of it for longer (D33).
        let is_over = self.hold_is_over(room);
        let before = self.held.insert(room.clone(), held).filter(|_| !is_over);
        let version = known.map(|room| &room.record.intent.version);
        assert!(
            self.is_given(version),
            "{room} is of {version:?}, which is not published"
        );
        let twice = before.is_some_and(|before| before.uid == uid);
        assert!(!twice || self.forgetful, "{room} was given to two callers");
    }

    /// Whether callers get rooms of this version.
    fn is_given(&self, version: Option<&SchedulerVersion>) -> bool {
        let phase = version
            .and_then(|version| self.written.live.get(version))
            .map(|l| l.phase);
        !self.written.operator.managed || phase == Some(VersionPhase::Published)
    }

    /// At most one version is published, and that is the active one.
    fn check_published(&self) {
        let live = self.written.live.values();
        let published = live.filter(|live| live.phase == VersionPhase::Published);
        let published: Vec<_> = published.map(|live| &live.version).collect();
        let active = self.written.scheduler.as_ref().map(|s| s.version());
        assert!(published.len() <= 1, "{published:?} are published");
        assert!(published.iter().all(|version| Some(*version) == active));
        assert!(published.is_empty() || self.written.operator.managed);
    }

    /// No version of a managed scheduler loses a room for another's sake.
    fn check_removal_of(&self, room: &RoomRecord, reason: RemovalReason, was: VersionPhase) {
        let live = self.written.live.get(&room.intent.version);
        let phase = live.map(|live| live.phase).unwrap_or_default();
        let id = &room.id;
        if !self.written.operator.managed {
            return assert_ne!(reason, RemovalReason::VersionStopped, "{id} is not managed");
        }
        match reason {
            // The decision that chose it may also have heard that the stop is canceled.
            RemovalReason::VersionStopped => {
                assert!(
                    !phase.wants_rooms() || !was.wants_rooms(),
                    "{id} goes, and its version is {phase}"
                );
            }
            RemovalReason::RollingUpdateReplace => {
                let from = live.map_or(0, |live| live.fresh_from);
                let revision = room.intent.config_revision;
                assert!(
                    revision < from,
                    "{id} goes, and its configuration is up to date"
                );
            }
            _ => {}
        }
    }

    pub(crate) fn removals(&self) -> Removals {
        let rooms = self.state.rooms().iter();
        let known = rooms.map(|r| (r.record.id.clone(), (r.status(), r.record.intent.removal)));
        let live = self.written.live.values();
        let phases = live.map(|live| (live.version.clone(), live.phase));
        (known.collect(), phases.collect())
    }

    /// A scale-down or a rollout waits for matches (invariant 11).
    pub(crate) fn check_removals(&self, (before, phases): Removals, what: &str) {
        for (id, (was, before)) in before {
            let busy = matches!(
                was,
                RoomStatus::Occupied | RoomStatus::Active | RoomStatus::Allocated
            );
            let Some(room) = self.state.rooms().get(id.as_str()) else {
                continue;
            };
            if let (None, Some(now)) = (before, room.record.intent.removal)
                && !self.foreign
            {
                let of = phases.get(&room.record.intent.version);
                // Or chosen by the rollout of a scheduler that is managed since the same decision.
                if !phases.is_empty() || now.reason != RemovalReason::RollingUpdateReplace {
                    self.check_removal_of(
                        &room.record,
                        now.reason,
                        of.copied().unwrap_or_default(),
                    );
                }
            }
            let told = |r: Option<Removal>| r.filter(|r| !r.drain);
            let Some(now) = told(room.record.intent.removal) else {
                continue;
            };
            let ours = matches!(
                now.reason,
                RemovalReason::ScaleDown | RemovalReason::RollingUpdateReplace
            );
            assert!(
                !(busy && room.is_busy() && ours && told(before).is_none()) || self.foreign,
                "{id} was {was:?} and is to end by {:?} after {what}",
                now.reason
            );
        }
    }

    /// Acknowledged changes survive a take-over.
    pub(crate) fn check_promises(&mut self) {
        if self.forgetful {
            return self.promised.clear();
        }
        for id in &self.promised {
            let there = self.stored.operations.contains_key(id);
            assert!(there, "operation {id} was acknowledged and is lost");
        }
    }

    pub(crate) fn check(&self) {
        let rooms = self.state.rooms();
        let memory: BTreeMap<_, _> = rooms.iter().map(|r| (&r.record.id, &r.record)).collect();
        let known: Vec<_> = memory.keys().copied().collect();
        let written: Vec<_> = self.written.rooms.keys().collect();
        assert_eq!(known, written, "rooms in memory and rows");
        for (id, stored) in &self.written.rooms {
            let known = memory[id];
            assert_eq!(known.reported.status, stored.reported.status, "{id}");
            assert_eq!(known.intent, stored.intent, "{id}");
            let uid = |r: &RoomRecord| r.instance.as_ref().map(|i| i.uid.clone());
            assert_eq!(uid(known), uid(stored), "{id}");
        }
        assert_eq!(self.state.scheduler(), self.written.scheduler.as_ref());
        if let Some(active) = &self.written.scheduler {
            let version = &self.written.versions[active.version()];
            assert_eq!(version.rooms_replicas, active.rooms_replicas);
        }
        let unknown = self.board.keys().find(|room| !memory.contains_key(room));
        assert_eq!(unknown, None, "pings are answered for no room");
        self.check_published();
        self.check_counts();
        self.check_operations();
        self.machine.check_ports();
    }

    /// Counts and indexes agree with the rooms.
    fn check_counts(&self) {
        let rooms = self.state.rooms();
        let mut recount = RoomTable::default();
        if let Some(active) = self.state.scheduler() {
            recount.set_active(active.version());
        }
        if self.written.operator.managed {
            recount.set_managed(
                self.written
                    .live
                    .values()
                    .any(|l| l.phase == VersionPhase::Published),
            );
        }
        rooms.iter().cloned().for_each(|room| recount.insert(room));
        assert_eq!(rooms.counts(), recount.counts());
        assert_eq!(rooms.kept(), recount.kept());
        assert_eq!(rooms.instances(), recount.instances());
        assert_eq!(rooms.drained(), recount.drained());
        assert_eq!(rooms.available(), recount.available());
        assert_eq!(rooms.by_version(), recount.by_version());
        assert_eq!(rooms.running_matches(), recount.running_matches());
        for version in self.written.versions.keys() {
            assert_eq!(rooms.live(version), recount.live(version));
        }
        assert!(rooms.live_versions().eq(recount.live_versions()));
        assert_eq!(rooms.next_allocatable(), recount.next_allocatable());
        let available = rooms.available();
        assert!(available <= self.allowed, "{available} rooms run away");
    }

    fn check_operations(&self) {
        let all = || self.written.operations.values();
        let open: BTreeSet<_> = all()
            .filter(|o| !o.status.is_final())
            .map(|o| o.id)
            .collect();
        assert_eq!(
            open,
            self.state.open_operations(),
            "open ones stored and known: {:?}",
            self.state.view()
        );
        for lane in [Lane::Version, Lane::Room] {
            let running = all()
                .filter(|o| o.status == OperationStatus::InProgress && o.definition.lane() == lane)
                // Those have left it.
                .filter(|o| !o.definition.observes());
            assert!(running.count() <= 1, "two operations in the {lane:?} lane");
        }
        let (history, queue) = (self.settings.history_limit, self.settings.queue_limit);
        let ended = all().filter(|o| o.status.is_final()).count();
        // Ordinary operations, those without action, and some of an earlier scheduler of this name.
        let kept = history + NO_ACTION_KEPT + 8;
        assert!(ended <= kept, "{ended} ended operations are kept");
        assert!(all().all(|o| o.history.len() <= 200));
        assert!(self.state.view().queued <= queue + 12, "the queue grows");
    }
}
