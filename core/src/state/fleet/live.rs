//! The versions of a managed scheduler, each started, stopped and published by itself (architecture 6, Live versions).

use crate::domain::*;
use crate::ports::Change;
use crate::state::fleet::Fleet;
use crate::state::fleet::room::Room;
use crate::state::turn::Turn;
use std::sync::Arc;

impl Fleet {
    /// Whether its versions are started and published one by one. Otherwise the active version has all rooms.
    pub fn is_managed(&self) -> bool {
        self.operator.managed
    }

    /// The active version of a scheduler that is not managed counts as published.
    pub fn phase_of(&self, version: &SchedulerVersion) -> VersionPhase {
        if self.is_managed() {
            return self
                .live
                .get(version)
                .map(|live| live.phase)
                .unwrap_or_default();
        }
        match self.is_active(version) {
            true => VersionPhase::Published,
            false => VersionPhase::Stopped,
        }
    }

    pub fn is_active(&self, version: &SchedulerVersion) -> bool {
        self.scheduler
            .as_ref()
            .is_some_and(|s| s.version() == version)
    }

    /// The published version of a managed scheduler, which is always the active one.
    pub fn published(&self) -> Option<SchedulerVersion> {
        let active = self.scheduler.as_ref()?.version();
        let is_published = self.is_managed() && self.phase_of(active) == VersionPhase::Published;
        is_published.then(|| active.clone())
    }

    /// Another program may have made another version the active one while it owned the scheduler. That one is
    /// published then, because its callers get rooms of it.
    pub fn follow_active(&mut self) {
        let Some(active) = self.scheduler.as_ref().map(|s| s.version().clone()) else {
            return;
        };
        let published = self
            .live
            .values()
            .filter(|live| live.phase == VersionPhase::Published);
        let former = published
            .map(|live| live.version.clone())
            .find(|version| *version != active);
        let Some(former) = former else { return };
        let rooms = self
            .versions
            .get(&former)
            .map_or(0, |of| wanted_at_start(of));
        if let Some(live) = self.live.get_mut(&former) {
            (live.phase, live.rooms) = (VersionPhase::Started, rooms);
        }
        let live = self.live.entry(active.clone());
        live.or_insert_with(|| LiveVersion::stopped(active)).phase = VersionPhase::Published;
    }

    /// Whether rooms of this version may be created.
    pub fn wants_rooms_of(&self, version: &SchedulerVersion) -> bool {
        !self.is_managed() || self.phase_of(version).wants_rooms()
    }

    /// Changes the state of a version, which is stored with this decision.
    pub fn edit_live(
        &mut self,
        turn: &mut Turn,
        version: &SchedulerVersion,
        edit: impl FnOnce(&mut LiveVersion),
    ) {
        let live = self.live.entry(version.clone());
        let live = live.or_insert_with(|| LiveVersion::stopped(version.clone()));
        let had = live.phase.wants_rooms();
        edit(live);
        let wanted_again = !had && live.phase.wants_rooms();
        let change = Change::PutLiveVersion(Box::new(live.clone()));
        turn.changes.push(change);
        self.showing.changed();
        turn.reconsider = true;
        if wanted_again {
            self.keep_rooms_of_version(turn, version);
        }
    }

    /// From now on the scheduler is managed. Its active version stays published, unless it is the one to start: then it
    /// begins like any other, and keeps its rooms.
    fn manage(&mut self, turn: &mut Turn, starting: &SchedulerVersion) {
        let Some(active) = self.scheduler.clone() else {
            return;
        };
        self.operator.managed = true;
        turn.changes.push(Change::PutOperator(self.operator));
        if active.version() != starting {
            self.edit_live(turn, active.version(), |live| {
                live.phase = VersionPhase::Published;
            });
        }
    }

    /// The version gets its rooms from the next evaluation of the fleet.
    pub fn start_live(&mut self, turn: &mut Turn, document: &Scheduler) {
        let version = document.version();
        let mut rooms = wanted_at_start(document);
        if !self.is_managed() {
            if self.is_active(version) {
                rooms = self.published_rooms();
            }
            self.manage(turn, version);
        }
        self.edit_live(turn, version, |live| {
            live.phase = VersionPhase::Starting;
            live.rooms = rooms;
            live.force = false;
            live.failure.clear();
        });
        self.loops.remove(version);
        self.active_changed(turn);
    }

    /// Rooms that were to go after their matches, because their version was stopped, stay if it is to have rooms again.
    fn keep_rooms_of_version(&mut self, turn: &mut Turn, version: &SchedulerVersion) {
        let of_version = |room: &&Room| room.record.intent.version == *version;
        let leaves = |room: &&Room| {
            let removal = room.record.intent.removal;
            removal.is_some_and(|r| r.drain && r.reason == RemovalReason::VersionStopped)
        };
        let rooms = self.rooms.iter().filter(of_version).filter(leaves);
        let rooms: Vec<RoomId> = rooms.map(|room| room.record.id.clone()).collect();
        for id in rooms {
            self.rooms
                .update(id.as_str(), |room| room.record.intent.removal = None);
            turn.changes.put_room(&id);
            self.schedule_health(turn.now, &id);
        }
    }

    /// How many rooms the active version is to have while it is published.
    pub fn published_rooms(&self) -> i32 {
        let Some(active) = &self.scheduler else {
            return 0;
        };
        match is_scaled(active) {
            // Before its first plan it keeps the rooms that it has.
            true => {
                let counts = self.rooms.by_version().get(active.version());
                let rooms = counts.map_or(0, |counts| signed(counts.available));
                let level = self.scaling.level.unwrap_or(rooms);
                i32::try_from(level).unwrap_or(i32::MAX)
            }
            false => active.rooms_replicas,
        }
    }

    /// The published version becomes a started one that keeps its rooms. False: no version is published.
    pub fn unpublish(&mut self, turn: &mut Turn) -> bool {
        let Some(published) = self.published() else {
            return false;
        };
        let rooms = self.published_rooms();
        self.edit_live(turn, &published, |live| {
            live.phase = VersionPhase::Started;
            live.rooms = rooms;
        });
        self.scaling.level = None;
        self.active_changed(turn);
        true
    }

    /// Makes a started version the active one, in the same commit in which the one before it is unpublished.
    pub fn publish(&mut self, turn: &mut Turn, document: &Arc<Scheduler>) {
        self.unpublish(turn);
        let version = document.version();
        self.edit_live(turn, version, |live| live.phase = VersionPhase::Published);
        let before = self.scheduler.as_ref().map(|s| s.version().clone());
        if before.as_ref() != Some(version) {
            let mut next = Scheduler::clone(document);
            next.state = SchedulerPhase::InSync;
            self.scheduler = Some(Arc::new(next));
            turn.changes.put_scheduler();
            self.swap_loops(version);
        }
        self.active_changed(turn);
    }

    /// Failures are counted for the active version and for each other one.
    fn swap_loops(&mut self, active: &SchedulerVersion) {
        let next = self.loops.remove(active).unwrap_or_default();
        let before = std::mem::replace(&mut self.crash_loop, next);
        if before.failures > 0 {
            self.loops.insert(before.version.clone(), before);
        }
    }

    /// A room of a started version that is not the active one ended too soon. Failures long after the last one begin
    /// anew: nothing else proves that such a version works.
    pub fn live_version_failed(
        &mut self,
        turn: &mut Turn,
        version: &SchedulerVersion,
        cause: String,
    ) {
        if !self.is_managed() || !self.phase_of(version).wants_rooms() {
            return;
        }
        let now = turn.now.mono;
        let known = self.loops.remove(version);
        let known = known.filter(|known| !known.is_over(now, self.settings.room_min_uptime));
        let mut known = known.unwrap_or_default();
        known.version = version.clone();
        known.fail(now, cause, self.settings.crash_backoff_max);
        self.loops.insert(version.clone(), known);
        turn.reconsider = true;
    }

    /// The configuration of rooms that are created now, and its revision.
    pub fn config_of(&self, version: &SchedulerVersion) -> (ConfigPairs, u64) {
        let live = self.live.get(version).filter(|_| self.is_managed());
        live.map(|live| (live.config.clone(), live.revision))
            .unwrap_or_default()
    }

    /// Replaces the configuration as a whole.
    pub fn replace_config(
        &mut self,
        turn: &mut Turn,
        version: &SchedulerVersion,
        config: ConfigPairs,
        restart: ConfigRestart,
    ) {
        self.edit_live(turn, version, |live| {
            live.config = config;
            live.revision += 1;
            if restart != ConfigRestart::None {
                live.fresh_from = live.revision;
                live.at_once = restart == ConfigRestart::All;
            }
        });
    }

    /// An order to add or remove rooms of one version. Otherwise the next evaluation of the fleet would undo it (D15).
    pub fn move_rooms(&mut self, turn: &mut Turn, version: Option<&SchedulerVersion>, by: i32) {
        let other = version.filter(|version| {
            self.is_managed() && self.phase_of(version) != VersionPhase::Published
        });
        let Some(version) = other else {
            return self.move_replicas(turn, by);
        };
        self.edit_live(turn, version, |live| {
            live.rooms = live.rooms.saturating_add(by).max(0);
        });
        if self.is_active(version) {
            return self.move_replicas(turn, by);
        }
        if let Some(document) = self.versions.get_mut(version).filter(|of| !is_scaled(of)) {
            let replicas = document.rooms_replicas.saturating_add(by).max(0);
            Arc::make_mut(document).rooms_replicas = replicas;
            turn.changes.push(Change::UpdateVersion(document.clone()));
        }
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn is_scaled(document: &Scheduler) -> bool {
    document.autoscaling.as_ref().is_some_and(|a| a.enabled)
}

/// Nobody plays in a version that is not published, so no policy has anything to go by.
fn wanted_at_start(document: &Scheduler) -> i32 {
    let least = document
        .autoscaling
        .as_ref()
        .filter(|a| a.enabled)
        .map(|a| a.min);
    document.rooms_replicas.max(least.unwrap_or(0))
}
