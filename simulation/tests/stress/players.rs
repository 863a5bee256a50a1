//! The games in the rooms as their players see them, and what Maestro has promised to the players.

use maestro_core::domain::*;
use maestro_core::state::*;
use maestro_simulation::World;
use std::collections::{BTreeMap, BTreeSet};

/// The program in a room.
#[derive(Clone, Debug, PartialEq)]
pub struct Game {
    uid: String,
    pub playing: bool,
    /// The last acknowledged ping.
    acknowledged: PingStatus,
    /// The turn in which its last match ended.
    ended: u64,
    /// The turn in which a match began or ended last.
    changed: u64,
}

/// What a caller waits for.
#[derive(Clone, Debug)]
enum Waiting {
    Allocation {
        since: Mono,
        turn: u64,
    },
    Ping {
        room: RoomId,
        status: PingStatus,
        turn: u64,
    },
}

#[derive(Default)]
pub struct Players {
    games: BTreeMap<RoomId, Game>,
    /// Allocated rooms whose caller knows of them, with the start of their hold time.
    held: BTreeMap<RoomId, Mono>,
    waiting: BTreeMap<Caller, Waiting>,
    /// Rooms whose end was decided and already checked.
    judged: BTreeSet<RoomId>,
    turn: u64,
    pub allocations: u32,
    /// Matches that were begun and ended by their players.
    pub matches: u32,
}

impl Players {
    /// Callers of the dead owner stop waiting.
    pub fn owner_died(&mut self) {
        self.waiting.clear();
    }

    pub fn is_held(&self, room: &RoomId) -> bool {
        self.held.contains_key(room)
    }

    pub fn allocate(&mut self, world: &mut World) {
        let (since, turn) = (world.clock.mono, self.turn);
        let caller = world.command(Command::Allocate);
        let waiting = Waiting::Allocation { since, turn };
        self.waiting.insert(caller, waiting);
    }

    /// The game in this room ends or begins a match, if asked to and possible, and pings.
    pub fn ping(&mut self, world: &mut World, room: &RoomId, ends: bool, begins: bool) {
        let Some(instance) = world.machine.running.get(room) else {
            return;
        };
        self.turn += 1;
        let known = self.games.remove(room).filter(|g| g.uid == instance.uid);
        let mut game = known.unwrap_or(Game {
            uid: instance.uid.clone(),
            playing: false,
            acknowledged: PingStatus::Unknown,
            ended: 0,
            changed: 0,
        });
        if game.playing && ends {
            game.playing = false;
            // What was or will be acknowledged of a match that is over says nothing of the next.
            (game.acknowledged, game.changed) = (PingStatus::Unknown, self.turn);
            game.ended = self.turn;
            self.matches += 1;
            self.held.remove(room);
        } else if !game.playing && begins {
            (game.playing, game.changed) = (true, self.turn);
        }
        let status = match game.playing {
            true => PingStatus::Occupied,
            false => PingStatus::Ready,
        };
        self.games.insert(room.clone(), game);
        let caller = world.ping_owner(room, status, i64::from(status == PingStatus::Occupied));
        let (room, turn) = (room.clone(), self.turn);
        let waiting = Waiting::Ping { room, status, turn };
        self.waiting.insert(caller, waiting);
    }

    /// Handles the received answers. `leaves` says whether the caller of an allocation has left.
    pub fn hear(&mut self, world: &mut World, mut leaves: impl FnMut() -> bool) {
        while let Some((caller, answer)) = world.answers.pop_first() {
            let waiting = self.waiting.remove(&caller);
            match (waiting, answer) {
                (Some(Waiting::Allocation { since, turn }), Ok(Reply::Allocated { room, .. })) => {
                    if leaves() {
                        world.untaken_by(&room, caller);
                    } else {
                        self.given(world, room, since, turn);
                    }
                }
                (Some(Waiting::Ping { room, status, turn }), Ok(_)) => {
                    // A room that the runtime has not reported yet stays pending, whatever it
                    // pings.
                    let stored = world.stored.rooms.get(&room);
                    let pending = stored.is_none_or(|r| r.reported.status == RoomStatus::Pending);
                    if let Some(game) = self.games.get_mut(&room)
                        && !pending
                        && turn >= game.changed
                    {
                        game.acknowledged = status;
                    }
                }
                _ => {}
            }
        }
    }

    /// Checks an allocation: no room is given to two callers, or given out during a match.
    fn given(&mut self, world: &World, room: RoomId, since: Mono, turn: u64) {
        if !world.forgetful {
            let twice = self.is_held_now(world, &room);
            assert!(!twice, "{room} is given to two callers");
            let played = self.is_played_in(&room);
            assert!(!played, "{room} is given out during a match");
        }
        self.allocations += 1;
        // The room may have ended, or played a whole match, before the answer reached the caller.
        let runs = world.machine.running.contains_key(&room);
        if runs && self.games.get(&room).is_none_or(|g| g.ended < turn) {
            self.held.insert(room, since);
        }
    }

    fn is_held_now(&self, world: &World, room: &RoomId) -> bool {
        let hold = world.settings.allocation_hold;
        let since = self.held.get(room);
        since.is_some_and(|since| world.clock.mono.since(*since) < hold)
    }

    fn is_played_in(&self, room: &RoomId) -> bool {
        let known = |g: &Game| g.playing && g.acknowledged == PingStatus::Occupied;
        self.games.get(room).is_some_and(known)
    }

    /// Drops the games of rooms that are gone. Checks that no room in use is ended by a scale-down
    /// or a rollout, whatever state the owner takes it to be in.
    pub fn check(&mut self, world: &World) {
        let runs = |room: &RoomId| world.machine.running.contains_key(room);
        self.games.retain(|room, _| runs(room));
        self.held.retain(|room, _| runs(room));
        self.judged.retain(|room| runs(room));
        for room in world.state.rooms().iter() {
            let id = &room.record.id;
            let Some(removal) = room.record.intent.end() else {
                continue;
            };
            let ours = [
                RemovalReason::ScaleDown,
                RemovalReason::RollingUpdateReplace,
            ];
            if !self.judged.insert(id.clone()) || world.forgetful || !ours.contains(&removal.reason)
            {
                continue;
            }
            assert!(!self.is_played_in(id), "{id} is ended in a match");
            assert!(
                !self.is_held_now(world, id),
                "{id} is ended while it is held"
            );
        }
    }

    /// Acknowledged changes survive a take-over.
    pub fn promises_hold(&self, world: &World) {
        if world.forgetful {
            return;
        }
        for room in self.games.keys().filter(|room| self.is_played_in(room)) {
            // What a room said that was found in the runtime is only known again when it pings.
            if let Some(stored) = world.stored.rooms.get(room)
                && stored.intent.made_by.is_some()
            {
                let known = [RoomStatus::Occupied, RoomStatus::Terminating];
                assert!(
                    known.contains(&stored.reported.status),
                    "{room}: {stored:?}"
                );
            }
        }
    }
}
