//! The rooms of a scheduler as people see them: pages, single rooms, ended rooms.

use crate::domain::*;
use crate::state::command::{CommandResult, Refusal, RefusalKind, Reply};
use crate::state::fleet::Fleet;
use crate::state::fleet::room::Room;
use crate::state::report::Figures;
use crate::state::views::{
    EndView, ROOMS_PAGE_MAX, RoomDetail, RoomPage, RoomQuery, RoomRow, RoomView, RoomsSummary,
};

fn view_of(room: &Room) -> RoomView {
    let record = &room.record;
    let address = record.address();
    RoomView {
        id: record.id.clone(),
        status: record.reported.status,
        version: record.intent.version.clone(),
        host: address.map(|a| a.host.clone()),
        ports: address.map(|a| a.ports.clone()).unwrap_or_default(),
        created_at: record.intent.created_at,
        last_ping_at: record.reported.last_ping_at,
        running_matches: record.reported.matches,
        draining: room.is_draining(),
        restarting: room.is_restarting(),
        validation: record.intent.validation,
    }
}

fn detail_of(room: &Room) -> RoomDetail {
    let record = &room.record;
    let instance = record.instance.as_ref();
    RoomDetail {
        room: view_of(room),
        instance: record.instance_status(),
        description: instance.map(|i| i.description.clone()).unwrap_or_default(),
        allocated_at: record.intent.allocated_at,
        removal: record.intent.removal.map(|r| r.reason),
        ended: None,
        events: room.events.iter().copied().collect(),
    }
}

impl Fleet {
    pub fn figures(&self) -> Figures {
        Figures {
            scheduler: self.scheduler.clone(),
            rooms: *self.rooms.counts(),
            instances: *self.rooms.instances(),
            running_matches: self.rooms.running_matches(),
            available: self.rooms.available(),
            desired: self.scaling.desired,
            ends: self.ended.last_run,
            paused: self.is_paused(),
        }
    }

    pub fn rooms_page(&self, query: &RoomQuery) -> RoomPage {
        if query.ended {
            return self.ended_page(query);
        }
        let matches = |room: &&Room| {
            query
                .status
                .is_none_or(|status| room.record.reported.status == status)
                && query
                    .version
                    .as_ref()
                    .is_none_or(|version| room.record.intent.version == *version)
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
        let matching: Vec<&RoomDetail> = self.ended.newest_first().filter(of_version).collect();
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

    pub fn rooms_summary(&self) -> CommandResult {
        let scheduler = self.active(crate::state::refusals::missing)?;
        let counts = self.rooms.counts();
        let restarting = match counts.of(RoomStatus::Error) {
            0 => 0,
            _ => self.rooms.iter().filter(|r| r.is_restarting()).count() as u64,
        };
        Ok(Reply::Summary(Box::new(RoomsSummary {
            name: self.name.clone(),
            state: scheduler.state.to_string(),
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
            rooms_desired: self.scaling.desired,
            running_matches: self.rooms.running_matches(),
        })))
    }

    pub fn room_detail(&self, id: &RoomId) -> CommandResult {
        if let Some(room) = self.rooms.get(id.as_str()) {
            return Ok(Reply::Room(Box::new(detail_of(room))));
        }
        let ended = self.ended.newest_first().find(|ended| ended.room.id == *id);
        match ended {
            Some(ended) => Ok(Reply::Room(Box::new(ended.clone()))),
            None => Err(Refusal::new(
                RefusalKind::NotFound,
                format!("room {id} not found in scheduler {}", self.name),
            )),
        }
    }

    /// Remembers a room after its end, so that people can still see why it ended.
    pub fn remember_end(&mut self, now: Now, id: &RoomId, exit: Option<Exit>) {
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
        self.ended.remember(detail);
    }

    pub fn note_instance(&mut self, now: Now, id: &RoomId) {
        let at = now.wall;
        if let Some(room) = self.rooms.touch(id.as_str())
            && let Some(status) = room.record.instance.as_ref().map(|i| i.status)
        {
            room.events.push(at, RoomHappening::Instance(status));
        }
    }
}
