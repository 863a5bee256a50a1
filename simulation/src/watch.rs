//! The watch on the runtime: its events wait until they are delivered to the owner.

use crate::world::World;
use maestro_core::domain::*;
use maestro_core::ports::*;
use maestro_core::state::*;
use std::sync::Arc;

impl World {
    /// Delivers the next event of the watch.
    #[must_use = "a story asserts that it happens"]
    pub fn event(&mut self) -> bool {
        let Some(event) = self.machine.events.pop_front() else {
            return false;
        };
        self.decide(Input::Runtime(event));
        true
    }

    /// An allocation ends when the room's instance does, or is not ready any more.
    pub(crate) fn heard(&mut self, event: &RuntimeEvent) {
        match event {
            RuntimeEvent::Gone { room, .. } => drop(self.held.remove(room)),
            RuntimeEvent::Changed(instance) => self.instance_heard(instance),
            RuntimeEvent::Listed(instances) => {
                instances.iter().for_each(|i| self.instance_heard(i));
            }
        }
    }

    fn instance_heard(&mut self, instance: &Instance) {
        if instance.status != InstanceStatus::Ready || self.hold_is_over(&instance.room) {
            self.held.remove(&instance.room);
        }
    }

    /// Delivers a list that is outdated or incomplete; a correct one follows.
    pub fn wrong_list(&mut self, missing: usize) {
        let mut some: Vec<_> = self.machine.running.values().cloned().collect();
        if !some.is_empty() {
            some.remove(missing % some.len());
        }
        self.decide(Input::Runtime(RuntimeEvent::Listed(some)));
        self.machine.relist();
        self.allowed = self.allowed.saturating_add(1);
    }

    /// Another instance takes a room's name. Without `heard`, the watch reports only the new one
    /// and not the end of the old one.
    pub fn replace_by_namesake(&mut self, room: &RoomId, heard: bool) {
        self.machine.replace_by_namesake(room, heard);
        self.allowed = self.allowed.saturating_add(1);
    }

    /// An unknown room appears in the runtime.
    pub fn stranger(&mut self, number: u8) -> RoomId {
        let order = RoomOrder {
            room: format!("arena-stranger-{number}").into(),
            scheduler: Arc::new(Scheduler {
                spec: Spec {
                    version: SchedulerVersion::initial(),
                    ..Spec::default()
                },
                ..Scheduler::default()
            }),
            validation: number.is_multiple_of(4),
            host_ports: [].into(),
            config: ConfigPairs::default(),
        };
        if !self.machine.running.contains_key(&order.room) {
            self.machine.make(&order);
        }
        self.allowed = self.allowed.saturating_add(1);
        order.room
    }
}
