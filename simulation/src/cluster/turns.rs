//! The turns of owners: their inputs, their writes, and their calls on the runtime.

use super::node::Purpose;
use super::owner::Next;
use super::{Cluster, Event, OwnerId, Place};
use crate::world::BEGINNING;
use maestro_core::domain::*;
use maestro_core::ports::*;
use maestro_core::state::*;
use std::time::Duration;

/// No call on the runtime begins with less than this left of the lease.
const LEFT_MIN: Duration = Duration::from_secs(1);

impl Cluster {
    /// The time on the clocks of a node.
    pub(super) fn now_of(&self, number: usize) -> Now {
        let begun: jiff::Timestamp = "2026-01-02T03:04:05Z".parse().expect("a moment");
        let skew = jiff::SignedDuration::from_secs(self.nodes[number].skew);
        let wall = begun
            .saturating_add(self.now.since(BEGINNING))
            .and_then(|wall| wall.saturating_add(skew));
        Now {
            wall: wall.expect("a near moment"),
            mono: self.now,
        }
    }

    /// One input of an owner. While its thread is blocked the input waits.
    pub(super) fn turn(&mut self, place: Place, id: OwnerId, input: Input) {
        let now = self.now_of(place.0);
        let dice = &mut self.dice;
        let Some(owner) = self.nodes[place.0].owner(&id.0, id.1) else {
            return;
        };
        if owner.blocked_until > self.now {
            let until = owner.blocked_until;
            return self.put_off(until, Event::Waits(place, id, input));
        }
        owner.decide(input, now, || dice.u128(..));
        self.write(place, &id);
        self.arm(place, &id);
    }

    pub(super) fn wake(&mut self, place: Place, id: OwnerId) {
        let now = self.now;
        let Some(owner) = self.nodes[place.0].owner(&id.0, id.1) else {
            return;
        };
        owner.wake = None;
        match owner.state.next_wake() {
            Some(at) if at <= now => self.turn(place, id, Input::Wake),
            _ => self.arm(place, &id),
        }
    }

    /// Sees to it that the owner is woken when it asks for it.
    pub(super) fn arm(&mut self, place: Place, id: &OwnerId) {
        let now = self.now;
        let Some(owner) = self.nodes[place.0].owner(&id.0, id.1) else {
            return;
        };
        let Some(at) = owner.state.next_wake() else {
            return;
        };
        // At least a millisecond later, as timers are.
        let at = at.max(now.plus(Duration::from_millis(1)));
        if owner.wake.is_none_or(|known| at < known) {
            owner.wake = Some(at);
            self.schedule(at, Event::Wake(place, id.clone()));
        }
    }

    /// Begins the next write, unless one is under way.
    fn write(&mut self, place: Place, id: &OwnerId) {
        while let Some(owner) = self.nodes[place.0].owner(&id.0, id.1) {
            if owner.is_writing() {
                return;
            }
            match owner.write() {
                Some(effects) => self.carry_out(place, id, effects),
                None => return self.write_again(place, id.clone()),
            }
        }
    }

    /// Sends the batch that is being written, if there is one.
    pub(super) fn write_again(&mut self, place: Place, id: OwnerId) {
        let owner = self.nodes[place.0].owner(&id.0, id.1);
        if let Some(request) = owner.and_then(|owner| owner.request()) {
            self.send(place, Purpose::Commit(id.0, id.1), request);
        }
    }

    pub(super) fn follow(&mut self, place: Place, id: OwnerId, next: Next) {
        match next {
            Next::Effects(effects) => {
                self.carry_out(place, &id, effects);
                self.write(place, &id);
            }
            Next::Pause => self.at(20..300, Event::Again(place, id)),
            Next::LookUp => {
                let epoch = self.nodes[place.0].owner(&id.0, id.1).map(|o| o.epoch);
                if let Some(epoch) = epoch {
                    let request = super::Request::StoredSeq(id.0.clone(), epoch);
                    self.send(place, Purpose::LookUp(id.0, id.1), request);
                }
            }
            Next::Over => {
                self.note(|| format!("the owner of {} on node {} ends", id.0, place.0));
                self.end_owner(place, &id.0, true);
            }
        }
    }

    fn carry_out(&mut self, place: Place, id: &OwnerId, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Reply { caller, answer, .. } => self.answered(caller, answer),
                Effect::Run {
                    id: number, work, ..
                } => {
                    self.at(1..200, Event::Work(place, id.clone(), number, work));
                }
                Effect::Abandon(ids) => {
                    if let Some(owner) = self.nodes[place.0].owner(&id.0, id.1) {
                        owner.abandoned.extend(ids);
                    }
                }
                Effect::Forward(_) => {}
                Effect::Ended => self.end_owner(place, &id.0, true),
            }
        }
    }

    /// A call on the runtime begins and ends. It may fail before or after it took effect, or not be answered in time.
    pub(super) fn work(&mut self, place: Place, id: OwnerId, number: WorkId, work: Work) {
        let Some(owner) = self.nodes[place.0].owner(&id.0, id.1) else {
            return;
        };
        if owner.abandoned.remove(&number) {
            return;
        }
        if !self.is_leased(place, &id.0, LEFT_MIN) {
            return self.at(100..200, Event::Work(place, id, number, work));
        }
        let unavailable = || WorkResult::Failed(RuntimeError::Unavailable("away".into()));
        let unknown = || WorkResult::Unknown("took too long".into());
        let fate = if self.faulty { self.dice.u32(..40) } else { 40 };
        let machine = self.machines.entry(id.0.clone()).or_default();
        let result = match fate {
            0 => unavailable(),
            1 => unknown(),
            fate => {
                let result = machine.call(&work);
                match fate {
                    2 => unavailable(),
                    3 => unknown(),
                    _ => result,
                }
            }
        };
        self.broadcast(&id.0);
        self.at(1..200, Event::WorkDone(place, id, number, result));
    }

    /// Every owner that watches the rooms of this scheduler is told what happened to them.
    pub(super) fn broadcast(&mut self, name: &SchedulerName) {
        let machine = self.machines.get_mut(name);
        let events: Vec<_> = machine
            .map(|m| m.events.drain(..).collect())
            .unwrap_or_default();
        for event in events {
            for number in 0..self.nodes.len() {
                let life = self.nodes[number].owners.get(name).map(|owner| owner.life);
                if let Some(life) = life {
                    self.tell(self.place(number), (name.clone(), life), event.clone());
                }
            }
        }
    }

    /// The events of a watch arrive in their order.
    pub(super) fn tell(&mut self, place: Place, id: OwnerId, event: RuntimeEvent) {
        let at = self.now.plus(Duration::from_millis(self.dice.u64(1..200)));
        if let Some(owner) = self.nodes[place.0].owner(&id.0, id.1) {
            let at = at.max(owner.watch_at);
            owner.watch_at = at;
            self.schedule(at, Event::Watch(place, id, event));
        }
    }
}
