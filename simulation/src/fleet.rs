//! A world that carries everything out at once, unless the story holds it back.

use crate::calls::Outcome;
use crate::documents::spec;
use crate::stored::Stored;
use crate::world::{BEGINNING, TURNS_MAX, World};
use maestro_core::domain::*;
use maestro_core::ports::*;
use maestro_core::settings::CoreSettings;
use maestro_core::state::*;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// One fleet. Writes, calls and watch events take effect at once. Everything else is in its
/// [`World`].
pub struct Fleet {
    world: World,
    /// Calls wait in `works` until the story releases them.
    pub hold: bool,
    /// Events of the watch wait until the story calls [`World::event`] or this ends.
    pub deaf: bool,
}

impl Deref for Fleet {
    type Target = World;
    fn deref(&self) -> &World {
        &self.world
    }
}

impl DerefMut for Fleet {
    fn deref_mut(&mut self) -> &mut World {
        &mut self.world
    }
}

impl Fleet {
    /// Nothing is stored, and the watch has reported nothing yet.
    pub fn new(settings: CoreSettings) -> Self {
        let mut world = World::of(Stored::default(), settings);
        world.revives = false;
        Self {
            world,
            hold: false,
            deaf: false,
        }
    }

    /// A scheduler that is in sync, its rooms up and ready.
    pub fn up(replicas: i32) -> Self {
        Self::up_as(spec(replicas))
    }

    pub fn up_as(scheduler: Scheduler) -> Self {
        Self::up_with(scheduler, CoreSettings::default())
    }

    pub fn up_with(scheduler: Scheduler, settings: CoreSettings) -> Self {
        let mut fleet = Self::created(scheduler, settings);
        fleet.ping_all(PingStatus::Ready);
        fleet
    }

    /// A scheduler whose rooms run and have not pinged yet.
    pub fn created(scheduler: Scheduler, settings: CoreSettings) -> Self {
        let mut fleet = Self::new(settings);
        fleet
            .order(Command::CreateScheduler(Box::new(scheduler)))
            .expect("it is created");
        fleet.input(Input::Runtime(RuntimeEvent::Listed(vec![])));
        fleet
    }

    pub fn input(&mut self, input: Input) {
        self.world.decide(input);
        self.carry_on();
    }

    /// Carries out everything that is not held back.
    pub fn carry_on(&mut self) {
        for _ in 0..TURNS_MAX {
            let more = self.world.commit()
                || self.world.go_on()
                || (!self.deaf && self.world.event())
                || (!self.hold && self.world.finish(0))
                || (!self.hold && self.world.work(0, Outcome::Works));
            if !more {
                return;
            }
        }
        panic!("never comes to rest: {:?}", self.world.state.view());
    }

    /// Carries out the first held call.
    #[must_use = "a story asserts that it happens"]
    pub fn release_one(&mut self) -> bool {
        let released = self.world.work(0, Outcome::Works);
        self.carry_on();
        released
    }

    /// Ends the first held call with this outcome.
    #[must_use = "a story asserts that it happens"]
    pub fn release_with(&mut self, outcome: Outcome) -> bool {
        let released = self.world.work(0, outcome);
        self.carry_on();
        released
    }

    /// Ends the first held call of this kind with this outcome.
    ///
    /// # Panics
    /// If there is none.
    pub fn release_kind(&mut self, kind: &str, outcome: Outcome) {
        let at = self.world.position(kind);
        let at = at.unwrap_or_else(|| panic!("no {kind} among {:?}", self.world.works));
        let _ = self.world.work(at, outcome);
        self.carry_on();
    }

    /// Releases all held calls, and those that follow.
    pub fn release(&mut self) {
        self.hold = false;
        self.carry_on();
    }

    /// The owner dies; its calls that have not begun never happen. The next owner loads what was
    /// stored and lists the runtime.
    pub fn restart(&mut self) {
        self.hold = false;
        self.restart_held();
    }

    /// Like [`Fleet::restart`], but calls are still held back.
    pub fn restart_held(&mut self) {
        self.world.works.clear();
        self.world.restart();
        self.carry_on();
    }

    /// Sends a command to the owner.
    ///
    /// # Errors
    /// If the owner refuses it.
    pub fn order(&mut self, command: Command) -> CommandResult {
        self.order_of(None, command)
    }

    /// Sends a command with the id of its request.
    ///
    /// # Errors
    /// If the owner refuses it.
    pub fn order_of(&mut self, request: Option<Arc<str>>, command: Command) -> CommandResult {
        let caller = self.world.command_of(request, command);
        self.answer_of(caller)
    }

    /// Sends a ping of a room.
    ///
    /// # Errors
    /// If the owner refuses it.
    pub fn ping(&mut self, room: &RoomId, status: PingStatus, matches: i64) -> CommandResult {
        let caller = self.world.ping_owner(room, status, matches);
        self.answer_of(caller)
    }

    fn answer_of(&mut self, caller: Caller) -> CommandResult {
        self.carry_on();
        let answer = self.world.answers.remove(&caller);
        answer.expect("every caller is answered")
    }

    /// Every running room pings this status, without a number of running matches.
    pub fn ping_all(&mut self, status: PingStatus) {
        for room in self.rooms() {
            let _ = self.ping(&room, status, 0);
        }
    }

    /// Lets time pass, waking the state machine whenever it has asked for it.
    pub fn pass(&mut self, time: Duration) {
        let end = self.world.clock.mono.plus(time);
        let mut at_once = 0;
        while let Some(wake) = self.world.state.next_wake().filter(|wake| *wake <= end) {
            // Work that is too much for one turn continues in the next.
            let again = wake <= self.world.clock.mono;
            at_once = if again { at_once + 1 } else { 0 };
            assert!(
                at_once < 100,
                "asks to be woken now, again and again: {:?}",
                self.world.state.view()
            );
            self.world.advance_to(wake);
            self.input(Input::Wake);
        }
        self.world.advance_to(end);
        // A story that waits longer than a day waits for an event that never comes.
        let told = end.since(BEGINNING);
        assert!(told < DAY, "waits in vain: {:?}", self.world.state.view());
    }

    /// Lets time pass while running rooms ping `ready` every half minute.
    pub fn pass_pinging(&mut self, time: Duration, status: PingStatus) {
        let end = self.world.clock.mono.plus(time);
        loop {
            let left = end.since(self.world.clock.mono);
            self.pass(left.min(Duration::from_secs(30)));
            self.ping_all(status);
            if self.world.clock.mono >= end {
                return;
            }
        }
    }

    /// A room's process ends.
    pub fn crash(&mut self, room: &RoomId, code: i32) {
        assert!(self.world.machine.running.contains_key(room), "it runs");
        let exit = Exit {
            code: Some(code),
            log_tail: vec!["bye".into()],
            ..Exit::default()
        };
        self.world.machine.gone(room, Some(exit));
        self.carry_on();
    }

    /// Rooms that run, by id.
    pub fn rooms(&self) -> Vec<RoomId> {
        self.world.machine.running.keys().cloned().collect()
    }

    /// The room under validation.
    ///
    /// # Panics
    /// If none runs.
    pub fn trial(&self) -> RoomId {
        let mut running = self.world.machine.running.values();
        let trial = running.find(|i| i.validation);
        trial.expect("a validation room runs").room.clone()
    }
}
