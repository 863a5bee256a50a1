//! The counts of rooms by version, and the properties of a room that they depend on.

use super::room::Room;
use crate::domain::*;
use crate::ports::RoomCounts;
use std::collections::BTreeMap;

/// The properties of a room that counts depend on.
#[derive(Clone, PartialEq)]
pub(super) struct Class {
    pub status: RoomStatus,
    pub counted: bool,
    pub kept: bool,
    /// It was being drained and is idle now.
    pub drained: bool,
    pub available: bool,
    pub busy: bool,
    pub draining: bool,
    pub starting: bool,
    pub allocatable: bool,
    pub silent: bool,
    pub matches: i64,
    pub instance: Option<InstanceStatus>,
    pub version: SchedulerVersion,
    pub config_revision: u64,
}

impl Class {
    pub fn of(room: &Room) -> Self {
        Self {
            status: room.record.reported.status,
            counted: !room.record.intent.validation,
            kept: !room.record.intent.validation && (!room.is_leaving() || room.is_draining()),
            drained: room.record.intent.removal.is_some_and(|r| r.drain) && !room.may_be_busy(),
            available: room.is_available(),
            busy: room.may_be_busy(),
            draining: room.is_draining(),
            starting: room.is_restarting()
                || matches!(
                    room.record.reported.status,
                    RoomStatus::Pending | RoomStatus::Unready
                ),
            allocatable: room.is_allocatable(),
            silent: room.marks.silent,
            matches: room.record.reported.matches.max(0),
            instance: room.record.instance.as_ref().map(|i| i.status),
            version: room.record.intent.version.clone(),
            config_revision: room.record.intent.config_revision,
        }
    }
}

/// Available rooms of one version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VersionCount {
    /// How many there are.
    pub available: u64,
    /// How many of these are not up yet.
    pub starting: u64,
    /// How many of these have a match or are about to have one, as far as is known.
    pub busy: u64,
    /// How many of the busy ones wait for their match to end.
    pub draining: u64,
}

/// Rooms of one version of a managed scheduler, validation rooms left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveCount {
    /// All of them, also those that are ending.
    pub rooms: u64,
    /// Those that are not to be removed, by status.
    pub kept: RoomCounts,
    /// Matches in these.
    pub running_matches: i64,
    /// Available rooms by the revision of their configuration.
    pub revisions: BTreeMap<u64, VersionCount>,
}

impl LiveCount {
    /// Available rooms whose configuration is older than this revision.
    pub fn before(&self, revision: u64) -> VersionCount {
        let mut sum = VersionCount::default();
        for count in self.revisions.range(..revision).map(|(_, count)| count) {
            sum.available += count.available;
            sum.starting += count.starting;
            sum.busy += count.busy;
            sum.draining += count.draining;
        }
        sum
    }
}

pub(super) fn step(number: &mut u64, add: bool) {
    *number = match add {
        true => *number + 1,
        false => number.saturating_sub(1),
    };
}

impl VersionCount {
    pub(super) fn count(&mut self, class: &Class, add: bool) {
        step(&mut self.available, add);
        if class.starting {
            step(&mut self.starting, add);
        }
        if class.busy {
            step(&mut self.busy, add);
        }
        if class.draining {
            step(&mut self.draining, add);
        }
    }
}

pub(super) fn count_live(
    live: &mut BTreeMap<SchedulerVersion, LiveCount>,
    class: &Class,
    add: bool,
) {
    if !class.counted {
        return;
    }
    let count = live.entry(class.version.clone()).or_default();
    step(&mut count.rooms, add);
    if class.kept {
        step(&mut count.kept.0[class.status as usize], add);
        count.running_matches += if add { class.matches } else { -class.matches };
    }
    if class.available {
        let revision = count.revisions.entry(class.config_revision).or_default();
        revision.count(class, add);
        if revision.available == 0 {
            count.revisions.remove(&class.config_revision);
        }
    }
    if count.rooms == 0 {
        live.remove(&class.version);
    }
}
