//! Calls on the runtime about rooms: creations, terminations, and intents that are repeated.

use crate::domain::*;
use crate::ports::RoomOrder;
use crate::state::decision::Effect;
use crate::state::fleet::Fleet;
use crate::state::fleet::work::Purpose;
use crate::state::turn::Turn;
use crate::state::work::{Work, WorkId};
use std::sync::Arc;
use std::time::Duration;

/// Whether it was not created as far as is known, or is listed as begun: its creation may have been cut short, or its
/// runtime may have lost track of it. One order fixes either, and is harmless for a room that is only slow.
fn is_unfinished(instance: Option<&Instance>) -> bool {
    let begun = |i: &Instance| i.status == InstanceStatus::Pending && i.address.is_none();
    instance.is_none_or(begun)
}

/// Orders to create one room that may remain without an answer, before it is given up.
const CREATIONS_MAX: u32 = 3;

impl Fleet {
    /// Starts a call on the runtime; `purpose` determines what its result means.
    pub fn run(&mut self, turn: &mut Turn, purpose: Purpose, work: Work) -> WorkId {
        let timeout = match &work {
            Work::CreateRoom(_) | Work::ReservePorts { .. } => self.settings.add_timeout,
            _ => self.settings.runtime_timeout,
        };
        let id = self.work.give_out(purpose);
        turn.effects.push(Effect::Run { id, work, timeout });
        id
    }

    pub fn order_of(&self, id: &RoomId) -> Option<RoomOrder> {
        let room = self.rooms.get(id.as_str())?;
        let scheduler = self.document_of(&room.record.intent.version)?;
        Some(RoomOrder {
            room: id.clone(),
            scheduler,
            validation: room.record.intent.validation,
            host_ports: room.record.intent.host_ports.clone(),
            config: self.config_of(&room.record.intent.version).0,
        })
    }

    fn recreate(&mut self, turn: &mut Turn, id: &RoomId) {
        self.order_once_more(turn, id, None);
    }

    fn order_once_more(
        &mut self,
        turn: &mut Turn,
        id: &RoomId,
        operation: Option<OperationId>,
    ) -> bool {
        let Some(order) = self.order_of(id) else {
            return false;
        };
        let room = id.clone();
        let purpose = match operation {
            Some(operation) => Purpose::Create { operation, room },
            None => Purpose::Recreate { room },
        };
        self.run(turn, purpose, Work::CreateRoom(order));
        true
    }

    /// Orders a room again whose order had no answer in time: a runtime that is slow has carried it out by then, and
    /// answers with the same room. Whether it does so, up to a few times.
    pub fn order_unanswered(
        &mut self,
        turn: &mut Turn,
        id: &RoomId,
        operation: Option<OperationId>,
    ) -> bool {
        let counted = self.rooms.update(id.as_str(), |room| {
            room.marks.unanswered += 1;
            room.marks.unanswered
        });
        counted.is_some_and(|count| count < CREATIONS_MAX)
            && self.order_once_more(turn, id, operation)
    }

    pub fn repeat_intent(&mut self, turn: &mut Turn, id: &RoomId) {
        if self
            .rooms
            .get(id.as_str())
            .is_some_and(|r| self.is_stray(r))
        {
            self.mark_removal(turn, id, RemovalReason::NewVersionValidationFinished, false);
        }
        let Some(room) = self
            .rooms
            .get(id.as_str())
            .filter(|_| !self.work.is_about(id))
        else {
            return;
        };
        match room.record.intent.removal {
            Some(removal) if !removal.drain => self.order_termination(turn, id, None),
            None if is_unfinished(room.record.instance.as_ref()) => self.recreate(turn, id),
            _ => {}
        }
    }

    pub fn order_room(
        &mut self,
        turn: &mut Turn,
        scheduler: Arc<Scheduler>,
        validation: bool,
        operation: OperationId,
        room: RoomId,
        ports: Arc<[u16]>,
    ) {
        let (config, config_revision) = self.config_of(scheduler.version());
        let intent = RoomIntent {
            validation,
            made_by: Some(operation),
            host_ports: ports.clone(),
            config_revision,
            ..RoomIntent::new(scheduler.version().clone(), turn.now.wall)
        };
        self.insert_room(turn, RoomRecord::new(room.clone(), intent));
        let order = RoomOrder {
            room: room.clone(),
            scheduler,
            validation,
            host_ports: ports,
            config,
        };
        self.run(
            turn,
            Purpose::Create { operation, room },
            Work::CreateRoom(order),
        );
    }

    /// Tells the runtime to end a room, once the intent is durable.
    pub fn order_termination(
        &mut self,
        turn: &mut Turn,
        id: &RoomId,
        operation: Option<OperationId>,
    ) {
        let Some(room) = self.rooms.get(id.as_str()) else {
            return;
        };
        let reason = room
            .record
            .intent
            .removal
            .map_or(RemovalReason::RequestedByUser, |r| r.reason);
        let instance = room.record.instance.as_ref();
        let uid = instance.and_then(Instance::known_uid).map(str::to_owned);
        let document = self.document_of(&room.record.intent.version);
        let grace = document
            .or(self.scheduler.clone())
            .map_or(Duration::ZERO, |s| s.spec.grace());
        let work = Work::TerminateRoom {
            room: id.clone(),
            uid: uid.clone(),
            grace,
            reason,
        };
        let purpose = Purpose::Terminate {
            operation,
            room: id.clone(),
            uid,
        };
        // It is not told again before this call is answered, however long that takes.
        let now = turn.now.mono;
        self.rooms
            .update(id.as_str(), |room| room.terminated_at = Some(now));
        self.schedule_health(turn.now, id);
        self.run(turn, purpose, work);
    }
}
