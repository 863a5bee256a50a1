//! Callers and players: they ask any node, which passes the call on to the owner that it knows of.

use super::promises::{Asked, Game, HOLD, Held, SKEW};
use super::{Cluster, Event};
use maestro_core::domain::*;
use maestro_core::state::*;
use std::time::Duration;

impl Cluster {
    /// Somebody asks for something, and again soon.
    pub(super) fn client(&mut self) {
        if !self.faulty {
            return;
        }
        let names: Vec<_> = self.machines.keys().cloned().collect();
        let name = names[self.dice.usize(..names.len())].clone();
        let amount = self.dice.i32(1..3);
        let (asked, command) = match self.dice.u32(..8) {
            0..5 => (Asked::Allocation(name.clone()), Command::Allocate),
            5 => (
                Asked::Operation(name.clone()),
                Command::AddRooms {
                    amount,
                    version: None,
                },
            ),
            6 => {
                let command = Command::RemoveRooms {
                    amount,
                    force: false,
                    version: None,
                };
                (Asked::Operation(name.clone()), command)
            }
            _ => {
                let command = Command::TestOperation { sleep_seconds: 1 };
                (Asked::Operation(name.clone()), command)
            }
        };
        let caller = self.caller(asked);
        let input = Input::Command {
            caller,
            request: None,
            command,
        };
        self.route(name, input);
        self.at(50..500, Event::Client);
    }

    fn caller(&mut self, asked: Asked) -> Caller {
        self.count += 1;
        let caller = Caller(self.count);
        self.asked.insert(caller, asked);
        caller
    }

    /// Any node passes it on to the owner that it knows of, which may be one no more.
    fn route(&mut self, name: SchedulerName, input: Input) {
        let entry = self.dice.usize(..self.nodes.len());
        let node = &self.nodes[entry];
        if !node.up {
            return;
        }
        let known = node.known.get(&name);
        let remote = known.and_then(|session| {
            let mut nodes = self.nodes.iter();
            nodes.position(|node| node.member.session == *session)
        });
        let Some(to) = node.owners.get(&name).map(|_| entry).or(remote) else {
            return;
        };
        // Between nodes a call is lost, or arrives once.
        if to != entry && self.faulty && self.one_in(30) {
            return;
        }
        let place = self.place(to);
        self.at(1..100, Event::Asked(place, name, input));
    }

    /// All rooms of a scheduler ping, and again soon. A match begins in a room that somebody holds, and ends later.
    pub(super) fn rooms_ping(&mut self, name: SchedulerName) {
        let running: Vec<_> = self.machines[&name].running.values().cloned().collect();
        for instance in running {
            let key = (name.clone(), instance.room.clone());
            let known = self.games.remove(&key).filter(|g| g.uid == instance.uid);
            let mut game = known.unwrap_or(Game {
                uid: instance.uid,
                playing: false,
            });
            let held = self.held.get(&key).is_some_and(|held| held.uid == game.uid);
            if game.playing && (!self.faulty || self.one_in(3)) {
                game.playing = false;
                self.held.remove(&key);
                self.figures.matches += 1;
            } else if !game.playing && held && self.faulty && self.one_in(2) {
                game.playing = true;
            }
            let status = match game.playing {
                true => PingStatus::Occupied,
                false => PingStatus::Ready,
            };
            let asked = Asked::Occupied(name.clone(), instance.room.clone(), game.uid.clone());
            let playing = game.playing;
            self.games.insert(key, game);
            let caller = match playing {
                true => self.caller(asked),
                false => Caller(0),
            };
            let ping = Ping {
                room: instance.room,
                status,
                running_matches: i64::from(playing),
                metadata: "".into(),
            };
            self.route(name.clone(), Input::Ping { caller, ping });
        }
        self.at(2_000..4_000, Event::Pings(name));
    }

    /// An owner answers; its answer arrives at once.
    pub(super) fn answered(&mut self, caller: Caller, answer: CommandResult) {
        match (self.asked.remove(&caller), answer) {
            (Some(Asked::Allocation(name)), Ok(Reply::Allocated { room, .. })) => {
                self.allocated(name, room);
            }
            (Some(Asked::Operation(name)), Ok(Reply::Operation(id))) => {
                self.figures.operations += 1;
                if let Some(row) = self.store.rows.get_mut(&name)
                    && row.stored.operations.contains_key(&id)
                {
                    row.promised.insert(id);
                }
            }
            (Some(Asked::Occupied(name, room, uid)), Ok(_)) => {
                let key = (name, room);
                let plays = |game: &Game| game.playing && game.uid == uid;
                if self.games.get(&key).is_some_and(plays)
                    && let Some(held) = self.held.get_mut(&key)
                {
                    held.occupied = true;
                }
            }
            _ => {}
        }
    }

    /// No room is given to a second caller while the first one may come, or plays in it.
    fn allocated(&mut self, name: SchedulerName, room: RoomId) {
        self.note(|| format!("{room} of {name} is given to a caller"));
        self.figures.allocations += 1;
        let Some(instance) = self.machines[&name].running.get(&room) else {
            return; // it has ended before its caller came
        };
        if self.store.rows[&name].forgetful {
            return;
        }
        let uid = instance.uid.clone();
        let held = Held {
            uid: uid.clone(),
            at: self.now,
            occupied: false,
        };
        // The moment of the allocation is stored by one clock, and may be read by another.
        let hold = HOLD - Duration::from_secs(2 * SKEW.unsigned_abs() + 1);
        let before = self.held.insert((name, room.clone()), held);
        let twice = before.filter(|before| {
            before.uid == uid && (before.occupied || self.now.since(before.at) < hold)
        });
        assert!(twice.is_none(), "{room} is given to two callers");
    }
}
