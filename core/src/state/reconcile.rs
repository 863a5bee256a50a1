//! Comparing what is known with the runtime's complete list, a piece a turn: a fleet of ten
//! thousand rooms must not keep its actor from answering (architecture 4).

use super::*;
use crate::ports::RoomOrder;

/// A comparison that is under way. What the runtime reports meanwhile is newer than the list.
pub(super) struct Reconciliation {
    /// Tells the rooms that this list has from others.
    number: u64,
    step: Step,
    /// Not looked at yet.
    instances: Vec<Instance>,
    /// Reported anew since the list was made: what it says of them is old.
    overtaken: HashSet<RoomId>,
    /// Same id, another start.
    namesakes: Vec<Instance>,
}

enum Step {
    /// Takes in what is on the list.
    Listed,
    /// Looks for rooms that are not on it, in the order of their ids.
    Absent(Option<RoomId>),
    /// What had the names of these is gone: they are instances that no row knows.
    Namesakes,
    /// Orders what is written down and not done.
    Intents(Option<RoomId>),
}

/// Calls on the runtime that may be open when an intent is repeated.
const INTENTS_AT_ONCE: usize = 64;

impl SchedulerState {
    /// A complete list: what is not on it is gone, what was ordered is ordered again. A newer
    /// one takes the place of one that is still being compared.
    pub(super) fn on_listed(&mut self, turn: &mut Turn, instances: Vec<Instance>) {
        self.lists += 1;
        self.parked = None;
        self.reconciliation = Some(Reconciliation {
            number: self.lists,
            step: Step::Listed,
            instances,
            overtaken: HashSet::new(),
            namesakes: Vec::new(),
        });
        self.reconcile(turn);
    }

    /// After a pause: what the last list lacks is gone after all, and what an owner before, or
    /// the pause, may have left undone is ordered: the runtime takes every order twice.
    pub(super) fn reconcile_again(&mut self, turn: &mut Turn) {
        // A comparison that is under way ends with just this.
        if self.reconciliation.is_none() {
            let intents = || Reconciliation {
                number: self.lists,
                step: Step::Intents(None),
                instances: Vec::new(),
                overtaken: HashSet::new(),
                namesakes: Vec::new(),
            };
            self.reconciliation = Some(self.parked.take().unwrap_or_else(intents));
        }
        self.reconcile(turn);
    }

    pub(super) fn overtakes_list(&mut self, room: &RoomId) {
        for reconciliation in self.reconciliation.iter_mut().chain(&mut self.parked) {
            reconciliation.overtaken.insert(room.clone());
        }
    }

    /// There is something to do that waits for nothing but a turn.
    pub(super) fn reconciles_now(&self) -> bool {
        match self.reconciliation.as_ref().map(|r| &r.step) {
            Some(Step::Intents(_)) => self.work.len() < INTENTS_AT_ONCE,
            Some(_) => true,
            None => false,
        }
    }

    /// Goes on with it, for one turn's worth of rooms.
    pub(super) fn reconcile(&mut self, turn: &mut Turn) {
        let mut left = self.settings.rooms_per_turn.max(1);
        while left > 0
            && let Some(mut reconciliation) = self.reconciliation.take()
        {
            let (used, more) = self.reconcile_step(turn, &mut reconciliation, left);
            left -= used.min(left);
            match reconciliation.step {
                _ if more => self.reconciliation = Some(reconciliation),
                // To be gone on with after the pause.
                Step::Absent(_) if self.scheduler.is_some() => self.parked = Some(reconciliation),
                _ => {}
            }
            if used == 0 {
                return;
            }
        }
    }

    /// One step, or a part of it: the rooms that it looked at (at least 1, 0 when it has to
    /// wait), and whether anything is left.
    fn reconcile_step(
        &mut self,
        turn: &mut Turn,
        r: &mut Reconciliation,
        left: usize,
    ) -> (usize, bool) {
        match &mut r.step {
            Step::Listed => {
                for used in 0..left {
                    let Some(instance) = r.instances.pop() else {
                        r.step = Step::Absent(None);
                        return (used.max(1), true);
                    };
                    self.take_listed(turn, r.number, instance, &r.overtaken, &mut r.namesakes);
                }
                (left, true)
            }
            // A paused scheduler takes absence for an unfinished report (architecture 6).
            Step::Absent(_) if self.is_paused() || self.scheduler.is_none() => {
                self.list_is_complete(turn);
                (1, false)
            }
            Step::Absent(after) => {
                let ids = self.rooms.ids_after(after.as_ref(), left);
                for id in &ids {
                    self.look_for(turn, id, r.number, &r.overtaken, &r.namesakes);
                }
                match ids.last() {
                    Some(last) => *after = Some(last.clone()),
                    None => r.step = Step::Namesakes,
                }
                (ids.len().max(1), true)
            }
            Step::Namesakes => {
                let namesake = r.namesakes.pop();
                match namesake {
                    Some(instance) => self.on_instance(turn, instance),
                    None => {
                        self.list_is_complete(turn);
                        r.step = Step::Intents(None);
                    }
                }
                (1, true)
            }
            // What is to be ended is told so by the deletion.
            Step::Intents(_) if self.is_paused() || self.is_deleting() => (1, false),
            Step::Intents(_) if self.work.len() >= INTENTS_AT_ONCE => (0, true),
            Step::Intents(after) => {
                let ids = self.rooms.ids_after(after.as_ref(), left);
                for (used, id) in ids.iter().enumerate() {
                    if self.work.len() >= INTENTS_AT_ONCE {
                        return (used.max(1), true);
                    }
                    self.repeat_intent(turn, id);
                    *after = Some(id.clone());
                }
                (ids.len().max(1), !ids.is_empty())
            }
        }
    }

    /// From now on absence means something.
    fn list_is_complete(&mut self, turn: &mut Turn) {
        self.listed = true;
        turn.reconsider = true;
    }

    fn take_listed(
        &mut self,
        turn: &mut Turn,
        number: u64,
        instance: Instance,
        overtaken: &HashSet<RoomId>,
        namesakes: &mut Vec<Instance>,
    ) {
        let id = instance.room.clone();
        if overtaken.contains(&id) {
            return;
        }
        if self.is_namesake(&instance) {
            namesakes.push(instance);
            return;
        }
        self.on_instance(turn, instance);
        if let Some(room) = self.rooms.touch(id.as_str()) {
            room.marks.met = number;
        }
    }

    /// A room that is not on the list is gone, unless the list may be older than it.
    fn look_for(
        &mut self,
        turn: &mut Turn,
        id: &RoomId,
        number: u64,
        overtaken: &HashSet<RoomId>,
        namesakes: &[Instance],
    ) {
        let met = self.rooms.get(id.as_str()).map(|room| room.marks.met);
        if met.is_none_or(|met| met == number) || overtaken.contains(id) {
            return;
        }
        let replaced = namesakes.iter().any(|i| i.room == *id);
        if replaced || !self.is_just_made(turn.now, id) {
            self.on_absent(turn, id);
        }
    }

    /// A row without an instance: it was never made (the intent is repeated), or it has ended.
    fn on_absent(&mut self, turn: &mut Turn, id: &RoomId) {
        if self.work.is_about(id) {
            return;
        }
        let Some(room) = self.rooms.get(id.as_str()) else {
            return;
        };
        let validation = room.record.validation;
        let unmade = room.record.instance.is_none() && !room.is_leaving();
        // Its intent stands: it is ordered again.
        if unmade && self.order_of(id).is_some() {
            return;
        }
        if room.is_leaving() {
            // A creation of an owner before may still come to life.
            self.bury(turn.now, id.clone());
        }
        self.ended_unwatched(turn, id);
        self.forget_room(turn, id);
        if validation {
            let text = format!("room {id} is not in the runtime any more");
            self.validation_room_ended(turn, id, text);
        }
    }

    fn repeat_intent(&mut self, turn: &mut Turn, id: &RoomId) {
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
        match room.record.removal {
            Some(removal) if !removal.drain => self.order_termination(turn, id, None),
            None if room.record.instance.is_none() => self.recreate(turn, id),
            _ => {}
        }
    }

    fn recreate(&mut self, turn: &mut Turn, id: &RoomId) {
        if let Some(order) = self.order_of(id) {
            let purpose = Purpose::Recreate { room: id.clone() };
            self.run(turn, purpose, Work::CreateRoom(order));
        }
    }

    /// A list may be older than the answer to a creation: that it lacks the room says nothing.
    fn is_just_made(&self, now: Now, id: &RoomId) -> bool {
        let room = self.rooms.get(id.as_str());
        let made = room.and_then(|room| room.made_at);
        made.is_some_and(|at| now.mono.since(at) < self.settings.runtime_timeout)
    }

    /// Same id, another start: foreign (architecture 3).
    pub(super) fn is_namesake(&self, instance: &Instance) -> bool {
        let known = self.rooms.get(instance.room.as_str());
        known
            .and_then(|room| room.record.instance.as_ref())
            .is_some_and(|known| known.uid != instance.uid)
    }

    /// A room of a validation that nobody goes on with. That somebody wanted it drained
    /// keeps it no longer, and may be taken back.
    fn is_stray(&self, room: &Room) -> bool {
        let told = room.record.removal.is_some_and(|removal| !removal.drain);
        room.record.validation && !told && !self.is_on_trial(&room.record.id)
    }

    pub(super) fn end_stray_validation_rooms(&mut self, turn: &mut Turn) {
        let strays = self.rooms.iter().filter(|room| self.is_stray(room));
        let strays: Vec<RoomId> = strays.map(|r| r.record.id.clone()).collect();
        for id in strays {
            self.mark_removal(
                turn,
                &id,
                RemovalReason::NewVersionValidationFinished,
                false,
            );
            if !self.work.is_about(&id) {
                self.order_termination(turn, &id, None);
            }
        }
    }

    pub(super) fn order_of(&self, id: &RoomId) -> Option<RoomOrder> {
        let room = self.rooms.get(id.as_str())?;
        let scheduler = self.document_of(&room.record.version)?;
        Some(RoomOrder {
            room: id.clone(),
            scheduler,
            validation: room.record.validation,
            host_ports: room.record.host_ports.clone(),
        })
    }
}
