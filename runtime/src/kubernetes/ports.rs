//! The host ports in use, and the draw of new ones (contract 4.7, D9).
//!
//! A number is drawn among those that no room known here has, on any node: which node a pod gets is decided later, by
//! kube-scheduler. Draws of two processes may meet; kube-scheduler keeps such pods apart, and one that finds no node is
//! replaced by a room with other ports.

use maestro_core::domain::{PortRange, RoomId, Scheduler, SchedulerName};
use std::collections::{BTreeSet, HashMap};
use std::ops::RangeInclusive;
use std::sync::Arc;
use uuid::Uuid;

pub type RoomKey = (SchedulerName, RoomId);

/// Random numbers that are tried before all free ones are listed.
const PROBES: u32 = 16;
/// Rooms that wait at once for a node that nobody knows of.
const GUESSES_MAX: usize = 8;

/// Which ports the rooms have.
#[derive(Default)]
pub struct PortUse {
    /// Number of rooms for each port; taken-over rooms of several nodes may share one.
    uses: HashMap<u16, u32>,
    /// How often each port was the reason why no node had a place, among which are those that others have on all nodes:
    /// nobody here uses them, and they would be drawn before all ports that are used on one node.
    clashes: HashMap<u16, u32>,
    rooms: HashMap<RoomKey, Held>,
    /// Rooms without a pod yet.
    reserved: BTreeSet<(RoomId, SchedulerName)>,
}

struct Held {
    ports: Arc<[u16]>,
    /// Held by a pod rather than only reserved.
    by_pod: bool,
}

impl PortUse {
    /// One port per range, distinct; those that the room has already, if it has as many. A port is shared between
    /// rooms only when all of its range are in use, and by fewer rooms than there are nodes. `nodes` are those with
    /// rooms: a few rooms at once are let through for others, which kube-scheduler finds or tells that there are none.
    ///
    /// # Errors
    /// If a range has no port left.
    pub fn reserve(
        &mut self,
        key: &RoomKey,
        ranges: &[RangeInclusive<u16>],
        nodes: u32,
    ) -> Result<Arc<[u16]>, String> {
        if let Some(held) = self.rooms.get(key)
            && held.ports.len() == ranges.len()
        {
            return Ok(held.ports.clone());
        }
        self.free(key);
        let mut drawn = Vec::with_capacity(ranges.len());
        for range in ranges {
            let port = self.draw(range, &drawn, nodes);
            drawn.push(port.ok_or_else(|| exhausted(&key.0, range))?);
        }
        let ports: Arc<[u16]> = drawn.into();
        self.put(key, ports.clone(), false);
        Ok(ports)
    }

    /// Records what a pod has.
    pub fn set(&mut self, key: &RoomKey, ports: Arc<[u16]>) {
        match self.rooms.get_mut(key) {
            Some(held) if held.ports == ports => {
                if !std::mem::replace(&mut held.by_pod, true) {
                    self.reserved.remove(&by_room(key));
                }
            }
            _ => {
                self.free(key);
                self.put(key, ports, true);
            }
        }
    }

    /// No node has a place for a pod with these ports, since others have one of them.
    pub fn clashed(&mut self, ports: impl IntoIterator<Item = u16>) {
        for port in ports {
            let clashes = self.clashes.entry(port).or_default();
            *clashes = clashes.saturating_add(1);
        }
    }

    /// Frees what a room has.
    pub fn free(&mut self, key: &RoomKey) {
        let Some(held) = self.rooms.remove(key) else {
            return;
        };
        if !held.by_pod {
            self.reserved.remove(&by_room(key));
        }
        for port in held.ports.iter() {
            if let Some(uses) = self.uses.get_mut(port) {
                *uses -= 1;
                if *uses == 0 {
                    self.uses.remove(port);
                }
            }
        }
    }

    /// Frees what was reserved for a room that will not be created.
    pub fn release(&mut self, room: &RoomId) {
        let first = (room.clone(), SchedulerName::from(""));
        let of_room = self.reserved.range(first..);
        let of_room = of_room.take_while(|(reserved, _)| reserved == room);
        let of_room: Vec<_> = of_room.cloned().collect();
        for (room, scheduler) in of_room {
            self.free(&(scheduler, room));
        }
    }

    fn put(&mut self, key: &RoomKey, ports: Arc<[u16]>, by_pod: bool) {
        for port in ports.iter() {
            *self.uses.entry(*port).or_default() += 1;
        }
        if !by_pod {
            self.reserved.insert(by_room(key));
        }
        self.rooms.insert(key.clone(), Held { ports, by_pod });
    }

    fn draw(&self, range: &RangeInclusive<u16>, drawn: &[u16], nodes: u32) -> Option<u16> {
        let of = |counts: &HashMap<u16, u32>, port| counts.get(&port).copied().unwrap_or(0);
        let uses = |port| of(&self.uses, port);
        let cost = |port| uses(port).saturating_add(of(&self.clashes, port));
        let count = u32::from(range.end() - range.start()) + 1;
        for _ in 0..PROBES {
            let port = range.start() + u16::try_from(random(count)).ok()?;
            if cost(port) == 0 && !drawn.contains(&port) {
                return Some(port);
            }
        }
        let others = || range.clone().filter(|port| !drawn.contains(port));
        let guesses = others().filter(|port| uses(*port) > nodes).count();
        let known = nodes.max(1);
        let most = match others().any(|port| uses(port) < known) {
            true => known,
            false => nodes + u32::from(nodes > 0 && guesses < GUESSES_MAX),
        };
        let left = || others().filter(|port| uses(*port) < most);
        let least = left().map(cost).min()?;
        let best: Vec<u16> = left().filter(|port| cost(*port) == least).collect();
        let count = u32::try_from(best.len()).ok()?;
        best.get(random(count) as usize).copied()
    }
}

#[cfg(test)]
impl PortUse {
    pub fn is_empty(&self) -> bool {
        self.uses.is_empty() && self.rooms.is_empty() && self.reserved.is_empty()
    }
}

fn by_room((scheduler, room): &RoomKey) -> (RoomId, SchedulerName) {
    (room.clone(), scheduler.clone())
}

/// Less than `bound`.
fn random(bound: u32) -> u32 {
    let number = Uuid::new_v4().as_u128() % u128::from(bound.max(1));
    u32::try_from(number).unwrap_or(0)
}

fn exhausted(scheduler: &SchedulerName, range: &RangeInclusive<u16>) -> String {
    format!(
        "port range {}-{} of scheduler {scheduler} has no port that is free; widen portRange or lower the number of rooms",
        range.start(),
        range.end()
    )
}

/// One range per port of the spec, both ends included (contract 4.7).
///
/// # Errors
/// If a port has no range, or none that can be used.
pub fn ranges(
    scheduler: &Scheduler,
    fallback: Option<PortRange>,
) -> Result<Vec<RangeInclusive<u16>>, String> {
    let ports = scheduler.spec.containers.iter().flat_map(|c| &c.ports);
    let range = |port: &maestro_core::domain::ContainerPort| {
        let range = scheduler.port_range.or(port.host_port_range).or(fallback);
        let range = range.ok_or_else(|| {
            format!(
                "port {:?} has no range: set portRange or its hostPortRange",
                port.name
            )
        })?;
        let number = |value: i32| u16::try_from(value).ok().filter(|number| *number > 0);
        match (number(range.start), number(range.end)) {
            (Some(start), Some(end)) if start <= end => Ok(start..=end),
            (Some(start), Some(end)) => {
                Err(format!("port range {start}-{end} ends before it starts"))
            }
            _ => Err(format!(
                "port range {}-{} is not within 1-65535",
                range.start, range.end
            )),
        }
    };
    ports.map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, HashSet};

    /// What may happen to the room with this number.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Reserve(u32),
        /// The watch, or the answer to its creation, tells of its pod.
        Appears(u32),
        Ends(u32),
        /// It is not created after all.
        Release(u32),
    }

    /// Two ports a room, of a range of 40: 95 % of it are 19 rooms.
    const RANGE: RangeInclusive<u16> = 30_000..=30_039;
    const MOST: usize = 19;

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = (0..60_u32, 0..8_u32).prop_map(|(room, kind)| match kind {
            0..=3 => Step::Reserve(room),
            4 | 5 => Step::Appears(room),
            6 => Step::Ends(room),
            _ => Step::Release(room),
        });
        prop::collection::vec(step, 1..400)
    }

    proptest! {
        #[test]
        fn rooms_that_come_and_go_never_have_the_port_of_another_up_to_95_percent(
            steps in steps(), nodes in 0..4_u32,
        ) {
            let mut ports = PortUse::default();
            // Its ports, and whether a pod has them.
            let mut expected: BTreeMap<u32, (Arc<[u16]>, bool)> = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Reserve(room) if expected.contains_key(&room) || expected.len() < MOST => {
                        let drawn = ports.reserve(&key(room), &[RANGE, RANGE], nodes).unwrap();
                        let before = expected.entry(room).or_insert((drawn.clone(), false));
                        prop_assert_eq!(&drawn, &before.0, "it is asked for once more");
                    }
                    Step::Appears(room) => if let Some((drawn, by_pod)) = expected.get_mut(&room) {
                        *by_pod = true;
                        ports.set(&key(room), drawn.clone());
                    },
                    Step::Ends(room) => {
                        expected.remove(&room);
                        ports.free(&key(room));
                    }
                    Step::Release(room) => {
                        ports.release(&key(room).1);
                        expected.retain(|other, (_, by_pod)| *other != room || *by_pod);
                    }
                    Step::Reserve(_) => {}
                }
                let all: Vec<u16> = expected.values().flat_map(|(drawn, _)| drawn.to_vec()).collect();
                let distinct: HashSet<u16> = all.iter().copied().collect();
                prop_assert_eq!(distinct.len(), all.len(), "{:?}", expected);
                prop_assert!(all.iter().all(|port| RANGE.contains(port)));
                let used: HashSet<u16> = ports.uses.keys().copied().collect();
                prop_assert_eq!(used, distinct);
            }
        }
    }

    fn key(number: u32) -> RoomKey {
        ("s".into(), format!("s-{number}").into())
    }

    #[test]
    fn a_range_is_used_up_without_a_clash() {
        let mut ports = PortUse::default();
        let ranges = [20_000..=20_999, 20_000..=20_999];
        let mut seen = HashSet::new();
        for number in 0..500 {
            for port in ports.reserve(&key(number), &ranges, 0).unwrap().iter() {
                assert!(seen.insert(*port), "{port} twice");
            }
        }
        let text = ports.reserve(&key(500), &ranges, 0).unwrap_err();
        assert!(text.contains("20000-20999"), "{text}");
        ports.free(&key(7));
        assert!(ports.reserve(&key(500), &ranges, 0).is_ok());
        for number in 0..=500 {
            ports.release(&key(number).1);
        }
        assert!(ports.is_empty());
    }

    #[test]
    fn a_reservation_is_repeated_and_kept_by_the_pod() {
        let mut ports = PortUse::default();
        let ranges = [1..=9];
        let drawn = ports.reserve(&key(1), &ranges, 1).unwrap();
        assert_eq!(ports.reserve(&key(1), &ranges, 1).unwrap(), drawn);
        ports.set(&key(1), drawn.clone());
        ports.release(&key(1).1);
        assert!(!ports.is_empty(), "the pod has them");
        ports.set(&key(1), [7, 7].into());
        ports.free(&key(1));
        assert!(ports.is_empty());
    }

    #[test]
    fn with_several_nodes_a_full_range_is_shared_evenly() {
        let mut ports = PortUse::default();
        let ranges = [1..=10];
        for number in 0..20 {
            ports.reserve(&key(number), &ranges, 2).unwrap();
        }
        assert!(ports.uses.values().all(|uses| *uses == 2));
        assert!(ports.reserve(&key(20), &ranges, 1).is_err());
    }

    #[test]
    fn rooms_find_nodes_that_have_none_yet_a_few_at_once() {
        let mut ports = PortUse::default();
        let ranges = [1..=100];
        for number in 0..100 {
            ports.reserve(&key(number), &ranges, 1).unwrap();
        }
        let more = |ports: &mut PortUse, from: u32, nodes: u32| {
            let mut more = from..;
            more.find(|number| ports.reserve(&key(*number), &ranges, nodes).is_err())
                .unwrap()
        };
        let refused = more(&mut ports, 100, 1);
        assert_eq!(refused, 100 + u32::try_from(GUESSES_MAX).unwrap());
        // One of them was bound: there is room for all others.
        let refused = more(&mut ports, refused, 2);
        assert_eq!(refused, 200 + u32::try_from(GUESSES_MAX).unwrap());
    }

    /// Pods that are not ours have it on each node.
    #[test]
    fn a_port_that_others_have_everywhere_does_not_keep_the_rest_of_a_range_from_being_shared() {
        const TAKEN: u16 = 4;
        let mut ports = PortUse::default();
        let ranges = [1..=10];
        let mut clashes = 0;
        for number in 0..500 {
            let key = key(number);
            let Ok(drawn) = ports.reserve(&key, &ranges, 3) else {
                break;
            };
            if drawn[0] == TAKEN {
                clashes += 1;
                ports.clashed(drawn.iter().copied());
                ports.free(&key);
            }
        }
        let placed = ports.rooms.len();
        assert_eq!(placed, 27, "nine ports of three nodes");
        assert!(ports.uses.values().all(|uses| *uses == 3));
        // It may be free by now, so it is tried again when all others are full.
        let mut early = PortUse::default();
        early.put(&key(0), [TAKEN].into(), false);
        early.clashed([TAKEN]);
        early.free(&key(0));
        let first: Vec<u16> = (1..10)
            .map(|number| early.reserve(&key(number), &ranges, 1).unwrap()[0])
            .collect();
        assert!(!first.contains(&TAKEN), "{first:?}");
        assert_eq!(*early.reserve(&key(10), &ranges, 1).unwrap(), [TAKEN]);
        assert!(clashes > 0);
    }

    #[test]
    fn of_two_reservations_of_one_name_both_are_released() {
        let mut ports = PortUse::default();
        let room: RoomId = "s-1".into();
        for scheduler in ["s", "t", "u"] {
            ports
                .reserve(&(scheduler.into(), room.clone()), &[1..=9], 1)
                .unwrap();
        }
        ports.set(&("t".into(), room.clone()), [4].into());
        ports.release(&room);
        assert_eq!(ports.rooms.len(), 1);
        ports.free(&("t".into(), room.clone()));
        assert!(ports.is_empty());
    }

    #[test]
    fn a_port_without_a_usable_range_is_refused() {
        let mut scheduler = Scheduler::default();
        let port = maestro_core::domain::ContainerPort::default();
        scheduler.spec.containers = vec![maestro_core::domain::Container {
            ports: vec![port],
            ..Default::default()
        }];
        assert!(ranges(&scheduler, None).is_err());
        for (start, end, good) in [
            (1, 1, true),
            (0, 9, false),
            (9, 1, false),
            (1, 70_000, false),
        ] {
            let range = Some(PortRange { start, end });
            assert_eq!(ranges(&scheduler, range).is_ok(), good, "{start}-{end}");
        }
    }
}
