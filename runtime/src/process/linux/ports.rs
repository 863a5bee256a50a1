//! The registry of rooms and their host ports: one per machine, because schedulers share ranges. A port is given to one
//! room at a time, whatever the protocol.
//!
//! A room is registered from its reservation, or from when it is found, until its end, even if it has no ports. So the
//! registry knows how many rooms this process has, and enforces `limits.rooms.perNode`. Nothing else counts them.

mod proof;
mod ranges;

pub use proof::{Proof, bind};

use super::shortage::is_shortage;
use crate::limit::no_place;
use maestro_core::{domain::*, ports::RuntimeError};
use parking_lot::Mutex;
use ranges::{Wanted, exhausted, wanted};
use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    io,
    sync::Arc,
};

pub type RoomKey = (SchedulerName, RoomId);

pub struct PortBook {
    /// For ports without a range of their own.
    fallback: Option<PortRange>,
    rooms_max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    taken: HashMap<u16, RoomKey>,
    rooms: HashMap<RoomKey, Held>,
    /// Schedulers whose skipped ports were logged.
    told: HashSet<SchedulerName>,
}

#[derive(Clone)]
struct Held {
    ports: Arc<[u16]>,
    /// Held by a created room rather than only reserved.
    by_room: bool,
}

impl PortBook {
    pub fn new(fallback: Option<PortRange>, rooms_max: usize) -> Self {
        Self {
            fallback,
            rooms_max,
            state: Mutex::default(),
        }
    }

    /// Draws one port per port of the spec. The search starts at a position that depends on the
    /// room, so that rooms seldom collide. Blocking: each candidate is bound.
    pub fn reserve(
        &self,
        room: &RoomId,
        scheduler: &Scheduler,
        proof: Proof,
    ) -> Result<Arc<[u16]>, RuntimeError> {
        let key = (scheduler.name.clone(), room.clone());
        let known = self.state.lock().known(&key, self.rooms_max)?;
        let wanted =
            wanted(scheduler, self.fallback).map_err(|text| RuntimeError::Invalid(text.into()))?;
        if let Some(held) = known
            && (held.by_room || held.ports.len() == wanted.len())
        {
            return Ok(held.ports);
        }
        let mut drawn = Vec::with_capacity(wanted.len());
        let mut skipped = Vec::new();
        for range in &wanted {
            let refusal = match self.draw(&key, range, proof, &mut skipped) {
                Ok(Some(port)) => {
                    drawn.push(port);
                    continue;
                }
                Ok(None) => exhausted(scheduler, range, &skipped),
                Err(error) => format!("host ports cannot be looked at for now: {error}"),
            };
            self.free(&key, &drawn);
            return Err(RuntimeError::Exhausted(refusal.into()));
        }
        self.tell(&scheduler.name, &skipped);
        self.keep(key, drawn)
    }

    /// Draws a port; `None` if none is left.
    ///
    /// # Errors
    /// The ports are unknown: no descriptor is left to try them.
    fn draw(
        &self,
        key: &RoomKey,
        range: &Wanted,
        proof: Proof,
        skipped: &mut Vec<(u16, io::Error)>,
    ) -> io::Result<Option<u16>> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let first = (hasher.finish() % u64::from(range.len())) as u32;
        for step in 0..range.len() {
            let port = range.start + ((first + step) % range.len()) as u16;
            if skipped.iter().any(|(skip, _)| *skip == port) {
                continue;
            }
            {
                let mut state = self.state.lock();
                if state.taken.contains_key(&port) {
                    continue;
                }
                state.taken.insert(port, key.clone());
            }
            match proof(port, range.protocol) {
                Ok(()) => return Ok(Some(port)),
                Err(error) => {
                    self.free(key, &[port]);
                    if is_shortage(&error) {
                        return Err(error);
                    }
                    skipped.push((port, error));
                }
            }
        }
        Ok(None)
    }

    fn keep(&self, key: RoomKey, drawn: Vec<u16>) -> Result<Arc<[u16]>, RuntimeError> {
        let mut state = self.state.lock();
        // Others may have taken the last place meanwhile.
        let known = match state.known(&key, self.rooms_max) {
            Ok(known) => known,
            Err(refused) => {
                state.free(&key, &drawn);
                return Err(refused);
            }
        };
        match known {
            // Two draws for the same room at once: the first wins.
            Some(held) if held.by_room || held.ports.len() == drawn.len() => {
                state.free(&key, &drawn);
                return Ok(held.ports);
            }
            // Reserved before its scheduler wanted another number of ports.
            Some(held) => state.free(&key, &held.ports),
            None => {}
        }
        let ports: Arc<[u16]> = drawn.into();
        let held = Held {
            ports: ports.clone(),
            by_room: false,
        };
        state.rooms.insert(key, held);
        Ok(ports)
    }

    fn free(&self, key: &RoomKey, ports: &[u16]) {
        self.state.lock().free(key, ports);
    }

    /// Records the ports of a room that is to be created. `Err`: the port that another room has, and that room.
    pub fn claim(&self, key: &RoomKey, ports: &[u16]) -> Result<(), (u16, RoomId)> {
        let mut state = self.state.lock();
        match state.conflict(key, ports) {
            Some(conflict) => Err(conflict),
            None => {
                state.enter(key, ports);
                Ok(())
            }
        }
    }

    /// Records a room that was found: it has what it has. The answer: the first port that another room has too.
    pub fn enter_found(&self, key: &RoomKey, ports: &[u16]) -> Option<(u16, RoomId)> {
        let mut state = self.state.lock();
        let conflict = state.conflict(key, ports);
        state.enter(key, ports);
        conflict
    }

    /// Releases what was reserved for a room that will not be created; a created one keeps its
    /// ports.
    pub fn release_reserved(&self, room: &RoomId) {
        let mut state = self.state.lock();
        let keys: Vec<_> = state
            .rooms
            .iter()
            .filter(|(key, held)| key.1 == *room && !held.by_room)
            .map(|(key, _)| key.clone())
            .collect();
        for key in keys {
            state.release(&key);
        }
    }

    /// A failed creation: its ports are reserved as before.
    pub fn unclaim(&self, key: &RoomKey) {
        if let Some(held) = self.state.lock().rooms.get_mut(key) {
            held.by_room = false;
        }
    }

    pub fn release_scheduler(&self, scheduler: &SchedulerName) {
        let mut state = self.state.lock();
        let keys: Vec<_> = state
            .rooms
            .keys()
            .filter(|key| key.0 == *scheduler)
            .cloned()
            .collect();
        for key in keys {
            state.release(&key);
        }
        state.told.remove(scheduler);
    }

    pub fn release(&self, key: &RoomKey) {
        self.state.lock().release(key);
    }

    fn tell(&self, scheduler: &SchedulerName, skipped: &[(u16, io::Error)]) {
        let Some((port, error)) = skipped.first() else {
            return;
        };
        if self.state.lock().told.insert(scheduler.clone()) {
            tracing::warn!(
                scheduler_name = %scheduler, skipped = skipped.len(), first = port, why = %error,
                "host ports that may not be bound are skipped"
            );
        }
    }
}

impl State {
    /// What a room has; `None`: it may have a place. At the limit, only known rooms go on.
    fn known(&self, key: &RoomKey, rooms_max: usize) -> Result<Option<Held>, RuntimeError> {
        match self.rooms.get(key) {
            None if self.rooms.len() >= rooms_max => Err(no_place(self.rooms.len())),
            known => Ok(known.cloned()),
        }
    }

    fn conflict(&self, key: &RoomKey, ports: &[u16]) -> Option<(u16, RoomId)> {
        ports.iter().find_map(|port| {
            let holder = self.taken.get(port).filter(|holder| *holder != key)?;
            Some((*port, holder.1.clone()))
        })
    }

    /// Ports of other rooms stay theirs.
    fn enter(&mut self, key: &RoomKey, ports: &[u16]) {
        self.release(key);
        for port in ports.iter().filter(|port| **port != 0) {
            self.taken.entry(*port).or_insert_with(|| key.clone());
        }
        let held = Held {
            ports: ports.into(),
            by_room: true,
        };
        self.rooms.insert(key.clone(), held);
    }

    fn free(&mut self, key: &RoomKey, ports: &[u16]) {
        for port in ports {
            if self.taken.get(port) == Some(key) {
                self.taken.remove(port);
            }
        }
    }
    fn release(&mut self, key: &RoomKey) {
        if let Some(held) = self.rooms.remove(key) {
            self.free(key, &held.ports);
        }
    }
}

#[cfg(test)]
impl PortBook {
    pub fn is_empty(&self) -> bool {
        let state = self.state.lock();
        state.taken.is_empty() && state.rooms.is_empty() && state.told.is_empty()
    }
}

#[cfg(test)]
mod tests;
