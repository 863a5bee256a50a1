//! The rooms of a scheduler as people see them: pages, single rooms, rooms that have ended.

use super::*;
use serde::Serialize;

/// Rooms of one page at the most.
pub const ROOMS_PAGE_MAX: usize = 500;
/// Ended rooms that are remembered.
const ENDED_MAX: usize = 50;

/// Which rooms a listing shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomQuery {
    pub status: Option<RoomStatus>,
    /// Rooms that have ended instead, the newest first, as far as they are remembered.
    pub ended: bool,
    pub version: Option<SchedulerVersion>,
    pub offset: usize,
    /// At most [`ROOMS_PAGE_MAX`].
    pub limit: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RoomPage {
    /// Rooms that match, on all pages.
    pub total: usize,
    pub rooms: Vec<RoomRow>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RoomRow {
    #[serde(flatten)]
    pub room: RoomView,
    /// How it ended, with the last line that it printed; `None` while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<EndView>,
}

/// Rooms by status and what else is to be known of a fleet at one glance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RoomsSummary {
    pub name: SchedulerName,
    pub state: String,
    pub version: SchedulerVersion,
    pub paused: bool,
    pub rooms_pending: u64,
    pub rooms_unready: u64,
    pub rooms_ready: u64,
    pub rooms_allocated: u64,
    pub rooms_active: u64,
    pub rooms_occupied: u64,
    pub rooms_terminating: u64,
    pub rooms_terminated: u64,
    pub rooms_error: u64,
    /// All of these.
    pub rooms_total: u64,
    /// Of those in error, to be started again in place (D31).
    pub rooms_restarting: u64,
    /// Rooms that go when their match ends.
    pub rooms_draining: u64,
    /// Rooms that count toward the desired ones.
    pub rooms_available: u64,
    /// `None`: nothing has been planned since the load.
    pub rooms_desired: Option<i64>,
    pub running_matches: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RoomView {
    pub id: RoomId,
    pub status: RoomStatus,
    pub version: SchedulerVersion,
    /// Where players reach it; `None` until it is placed.
    pub host: Option<String>,
    pub ports: Vec<Port>,
    pub created_at: jiff::Timestamp,
    pub last_ping_at: jiff::Timestamp,
    pub running_matches: i64,
    /// Is to be removed when its match ends.
    pub draining: bool,
    /// A container of it waits to be started again in place (D31).
    pub restarting: bool,
    pub validation: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RoomDetail {
    #[serde(flatten)]
    pub room: RoomView,
    pub instance: InstanceStatus,
    /// What the runtime has to say of it.
    pub description: String,
    pub allocated_at: Option<jiff::Timestamp>,
    /// Why it is to go.
    pub removal: Option<RemovalReason>,
    /// How it ended; `None` while it runs.
    pub ended: Option<EndView>,
    pub events: Vec<RoomEvent>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EndView {
    pub at: jiff::Timestamp,
    /// `None`: unknown.
    pub exit_code: Option<i32>,
    pub signal: Option<i32>,
    pub reason: String,
    pub last_log_lines: Vec<String>,
}

/// A room that is gone, as it was at its end.
#[derive(Clone, Debug, PartialEq)]
pub struct EndedRoom(RoomDetail);

fn view_of(room: &Room) -> RoomView {
    let record = &room.record;
    let address = record.instance.as_ref().and_then(|i| i.address.as_ref());
    RoomView {
        id: record.id.clone(),
        status: record.status,
        version: record.version.clone(),
        host: address.map(|a| a.host.clone()),
        ports: address.map(|a| a.ports.clone()).unwrap_or_default(),
        created_at: record.created_at,
        last_ping_at: record.last_ping_at,
        running_matches: record.running_matches,
        draining: room.is_draining(),
        restarting: room.is_restarting(),
        validation: record.validation,
    }
}

fn detail_of(room: &Room) -> RoomDetail {
    let record = &room.record;
    let instance = record.instance.as_ref();
    RoomDetail {
        room: view_of(room),
        instance: instance.map_or(InstanceStatus::Unknown, |i| i.status),
        description: instance.map(|i| i.description.clone()).unwrap_or_default(),
        allocated_at: record.allocated_at,
        removal: record.removal.map(|r| r.reason),
        ended: None,
        events: room.events.iter().copied().collect(),
    }
}

impl SchedulerState {
    pub(super) fn rooms_page(&self, query: &RoomQuery) -> RoomPage {
        if query.ended {
            return self.ended_page(query);
        }
        let matches = |room: &&Room| {
            query
                .status
                .is_none_or(|status| room.record.status == status)
                && query
                    .version
                    .as_ref()
                    .is_none_or(|version| room.record.version == *version)
        };
        let limit = query.limit.min(ROOMS_PAGE_MAX);
        let (mut total, mut rooms) = (0, Vec::new());
        for room in self.rooms.in_order().filter(matches) {
            if total >= query.offset && rooms.len() < limit {
                rooms.push(RoomRow {
                    room: view_of(room),
                    ended: None,
                });
            }
            total += 1;
        }
        RoomPage { total, rooms }
    }

    fn ended_page(&self, query: &RoomQuery) -> RoomPage {
        let of_version = |detail: &&RoomDetail| {
            (query.version.as_ref()).is_none_or(|v| detail.room.version == *v)
        };
        let ended = self.ended_rooms.iter().rev().map(|ended| &ended.0);
        let matching: Vec<&RoomDetail> = ended.filter(of_version).collect();
        let limit = query.limit.min(ROOMS_PAGE_MAX);
        let rows = matching.iter().skip(query.offset).take(limit);
        let rooms = rows.map(|detail| {
            let mut ended = detail.ended.clone();
            if let Some(end) = &mut ended {
                // The room itself has all of them.
                let others = end.last_log_lines.len().saturating_sub(1);
                end.last_log_lines.drain(..others);
            }
            let room = detail.room.clone();
            RoomRow { room, ended }
        });
        RoomPage {
            rooms: rooms.collect(),
            total: matching.len(),
        }
    }

    pub(super) fn rooms_summary(&self) -> Answer {
        let scheduler = self.active(super::commands::missing)?;
        let counts = self.rooms.counts();
        let restarting = match counts.of(RoomStatus::Error) {
            0 => 0,
            _ => self.rooms.iter().filter(|r| r.is_restarting()).count() as u64,
        };
        Ok(Reply::Summary(Box::new(RoomsSummary {
            name: self.name.clone(),
            state: scheduler.state.clone(),
            version: scheduler.version().clone(),
            paused: self.is_paused(),
            rooms_pending: counts.of(RoomStatus::Pending),
            rooms_unready: counts.of(RoomStatus::Unready),
            rooms_ready: counts.of(RoomStatus::Ready),
            rooms_allocated: counts.of(RoomStatus::Allocated),
            rooms_active: counts.of(RoomStatus::Active),
            rooms_occupied: counts.of(RoomStatus::Occupied),
            rooms_terminating: counts.of(RoomStatus::Terminating),
            rooms_terminated: counts.of(RoomStatus::Terminated),
            rooms_error: counts.of(RoomStatus::Error),
            rooms_total: counts.total(),
            rooms_restarting: restarting,
            rooms_draining: self.rooms.by_version().values().map(|v| v.draining).sum(),
            rooms_available: self.rooms.available(),
            rooms_desired: self.desired,
            running_matches: self.rooms.running_matches(),
        })))
    }

    pub(super) fn room_detail(&self, id: &RoomId) -> Answer {
        if let Some(room) = self.rooms.get(id.as_str()) {
            return Ok(Reply::Room(Box::new(detail_of(room))));
        }
        let ended = self
            .ended_rooms
            .iter()
            .rev()
            .find(|ended| ended.0.room.id == *id);
        match ended {
            Some(ended) => Ok(Reply::Room(Box::new(ended.0.clone()))),
            None => Err(Refusal::new(
                RefusalKind::NotFound,
                format!("room {id} not found in scheduler {}", self.name),
            )),
        }
    }

    /// Keeps what is known of a room beyond its end, so that somebody can still ask why.
    pub(super) fn remember_end(&mut self, now: Now, id: &RoomId, exit: Option<Exit>) {
        let at = now.wall;
        let Some(room) = self.rooms.get(id.as_str()) else {
            return;
        };
        let mut detail = detail_of(room);
        let exit = exit.unwrap_or_default();
        detail.room.status = RoomStatus::Terminated;
        detail.room.restarting = false;
        detail.events.push(RoomEvent {
            at,
            event: RoomHappening::Ended,
        });
        detail.ended = Some(EndView {
            at,
            exit_code: exit.code,
            signal: exit.signal,
            reason: exit.reason,
            last_log_lines: exit.log_tail,
        });
        if self.ended_rooms.len() >= ENDED_MAX {
            self.ended_rooms.pop_front();
        }
        self.ended_rooms.push_back(EndedRoom(detail));
    }

    pub(super) fn note_instance(&mut self, now: Now, id: &RoomId) {
        let at = now.wall;
        if let Some(room) = self.rooms.touch(id.as_str())
            && let Some(status) = room.record.instance.as_ref().map(|i| i.status)
        {
            room.events.push(at, RoomHappening::Instance(status));
        }
    }
}
