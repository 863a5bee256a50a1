//! What holds after every event, and what must be reached once the faults end.

use super::Cluster;
use maestro_core::domain::*;
use std::time::Duration;

impl Cluster {
    /// At most one node may act as the owner of a scheduler, and no two of its rooms share a host port.
    pub(super) fn check(&self) {
        for name in self.machines.keys() {
            let may_act = |number: &usize| {
                let place = self.place(*number);
                self.nodes[*number].up && self.is_leased(place, name, Duration::ZERO)
            };
            let owners: Vec<_> = (0..self.nodes.len()).filter(may_act).collect();
            assert!(owners.len() <= 1, "{name} is owned by the nodes {owners:?}");
            self.machines[name].check_ports();
        }
    }

    /// Whether a node may act for the scheduler.
    pub(super) fn is_owned(&self, name: &SchedulerName) -> bool {
        let leased = |number| self.is_leased(self.place(number), name, Duration::ZERO);
        (0..self.nodes.len()).any(leased)
    }

    /// Why the schedulers have not reached their wanted state.
    pub(super) fn unsettled(&self) -> Option<String> {
        self.machines
            .keys()
            .find_map(|name| self.unsettled_one(name))
    }

    fn unsettled_one(&self, name: &SchedulerName) -> Option<String> {
        let mut owners = self.nodes.iter().filter_map(|node| node.owners.get(name));
        let Some(owner) = owners.next() else {
            return Some(format!("{name} has no owner"));
        };
        if !owner.state.open_operations().is_empty() {
            return Some(format!("{name} works: {:?}", owner.state.view()));
        }
        let stored = &self.store.rows[name].stored;
        let rooms: Vec<_> = stored.rooms.keys().collect();
        let running: Vec<_> = self.machines[name].running.keys().collect();
        if rooms != running {
            return Some(format!("{name}: rows {rooms:?}, instances {running:?}"));
        }
        let wanted = stored.scheduler.as_ref().map_or(0, |s| s.rooms_replicas);
        let wanted = usize::try_from(wanted).unwrap_or(0);
        (rooms.len() != wanted).then(|| format!("{name}: {} of {wanted} rooms", rooms.len()))
    }
}
