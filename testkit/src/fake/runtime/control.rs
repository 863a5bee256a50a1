//! What a test can do with a fake runtime, and what it can inspect.

use super::{FakeRuntime, RuntimeCall, state::Key};
use maestro_core::{domain::*, ports::*};

fn key(scheduler: &str, room: &RoomId) -> Key {
    (scheduler.into(), room.clone())
}

impl FakeRuntime {
    /// The room's process ends by itself.
    pub fn crash(&self, scheduler: &str, room: &RoomId, exit: Exit) {
        let key = key(scheduler, room);
        self.inner.lock().rooms.gone(&key, Some(exit));
    }
    /// A room with an order to end has ended.
    pub fn finish(&self, scheduler: &str, room: &RoomId) {
        self.inner.lock().rooms.gone(&key(scheduler, room), None);
    }
    /// Changes the instance and notifies watchers.
    pub fn set_status(
        &self,
        scheduler: &str,
        room: &RoomId,
        status: InstanceStatus,
        description: &str,
    ) {
        let edit = |instance: &mut Instance| {
            instance.status = status;
            instance.description = description.into();
            instance.restarting = None;
            instance.trouble = None;
        };
        self.inner.lock().rooms.change(&key(scheduler, room), edit);
    }
    /// The instance does not come up for this reason, until [`Self::set_status`].
    pub fn set_trouble(&self, scheduler: &str, room: &RoomId, trouble: Trouble, description: &str) {
        let edit = |instance: &mut Instance| {
            instance.status = InstanceStatus::Pending;
            instance.description = description.into();
            instance.trouble = Some(trouble);
        };
        self.inner.lock().rooms.change(&key(scheduler, room), edit);
    }
    /// A container of the room has ended and waits for its restart in place, until
    /// [`Self::set_status`] reports it running.
    pub fn restart(&self, scheduler: &str, room: &RoomId, restart: Restart) {
        let edit = |instance: &mut Instance| {
            instance.status = InstanceStatus::Error;
            instance.description = "CrashLoopBackOff".into();
            instance.restarting = Some(restart);
        };
        self.inner.lock().rooms.change(&key(scheduler, room), edit);
    }
    /// The place of a scheduler's rooms is there, and no operation of ours made it.
    pub fn insert_place(&self, scheduler: &str) {
        let mut inner = self.inner.lock();
        inner.rooms.places.insert(scheduler.into(), None);
    }
    /// Removing a place is answered this often with [`RuntimeError::Terminating`] before it is gone.
    pub fn set_removal_takes(&self, answers: u32) {
        self.inner.lock().rooms.removal_takes = answers;
    }
    /// Whether the scheduler has a place that is not being removed.
    pub fn has_place(&self, scheduler: &str) -> bool {
        let inner = self.inner.lock();
        inner.rooms.places.contains_key(scheduler)
    }
    /// Adds an instance that was not ordered here: a leftover of another owner, or a namesake.
    pub fn insert(&self, scheduler: &str, instance: Instance) {
        let key = key(scheduler, &instance.room);
        self.inner.lock().rooms.put(key, instance, None);
    }
    /// The room is gone, and no watcher is notified.
    pub fn vanish(&self, scheduler: &str, room: &RoomId) {
        let mut inner = self.inner.lock();
        inner.rooms.running.remove(&key(scheduler, room));
        inner.rooms.reserved.remove(room);
    }
    /// Watchers get no events from now on.
    pub fn mute(&self, scheduler: &str) {
        self.inner.lock().rooms.muted.insert(scheduler.into());
    }
    /// Watchers get the complete list again, and all changes from now on.
    pub fn relist(&self, scheduler: &str) {
        let mut inner = self.inner.lock();
        let name = SchedulerName::from(scheduler);
        inner.rooms.muted.remove(&name);
        let list = RuntimeEvent::Listed(inner.rooms.list(&name));
        inner.rooms.tell(&name, list);
    }
    /// The watches of a scheduler end, as when a runtime goes down.
    pub fn end_watches(&self, scheduler: &str) {
        self.inner.lock().rooms.end_watches(&scheduler.into());
    }
    /// What [`Runtime::processes`] answers for a room.
    pub fn set_processes(&self, room: &RoomId, processes: Vec<ContainerProcess>) {
        let mut inner = self.inner.lock();
        inner.rooms.processes.insert(room.clone(), processes);
    }
    pub fn set_log(&self, room: &RoomId, lines: &[&str]) {
        let lines = lines.iter().map(|l| (*l).to_owned()).collect();
        self.inner.lock().rooms.logs.insert(room.clone(), lines);
    }

    /// Rooms of one scheduler that are protected from evictions, and the number in its budget; `None` if there is no
    /// budget.
    pub fn protected(&self, scheduler: &str) -> (Vec<RoomId>, Option<usize>) {
        let inner = self.inner.lock();
        let name = SchedulerName::from(scheduler);
        let of_it = inner.rooms.protected.iter();
        let rooms = of_it.filter(|(scheduler, _)| *scheduler == name);
        let rooms = rooms.map(|(_, room)| room.clone()).collect();
        (rooms, inner.rooms.budgets.get(&name).copied())
    }
    /// Instances of one scheduler, by id.
    pub fn instances(&self, scheduler: &str) -> Vec<Instance> {
        self.inner.lock().rooms.list(&scheduler.into())
    }
    /// Ids of the rooms of one scheduler.
    pub fn rooms(&self, scheduler: &str) -> Vec<RoomId> {
        let instances = self.instances(scheduler);
        instances.into_iter().map(|i| i.room).collect()
    }
    /// The order that a room was made from; `None` for one that was inserted.
    pub fn order_of(&self, scheduler: &str, room: &RoomId) -> Option<RoomOrder> {
        let inner = self.inner.lock();
        inner
            .rooms
            .running
            .get(&key(scheduler, room))?
            .order
            .clone()
    }
    /// Rooms that were told to end and why, in order.
    pub fn terminations(&self) -> Vec<(RoomId, RemovalReason)> {
        self.inner.lock().rooms.ended.clone()
    }
    /// The highest number of rooms that ran at the same time.
    pub fn peak(&self) -> usize {
        self.inner.lock().rooms.peak
    }
    /// The number of calls so far, failed ones included.
    pub fn calls(&self, call: RuntimeCall) -> u64 {
        self.inner.lock().script.calls(call)
    }
    /// Names of the threads from which it was called.
    pub fn threads(&self) -> Vec<String> {
        self.inner.lock().threads.iter().cloned().collect()
    }
    /// Rooms that share a host port; should be empty.
    pub fn violations(&self) -> Vec<String> {
        self.inner.lock().rooms.shared_ports()
    }
    /// Panics when a rule of the port was broken.
    pub fn assert_clean(&self) {
        let found = self.violations();
        assert!(found.is_empty(), "the runtime was misused: {found:#?}");
    }
}
