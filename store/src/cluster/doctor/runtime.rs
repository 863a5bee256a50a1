//! The rooms that run, compared with the stored ones. Pure.

use super::facts::{Facts, OwnerFacts};
use super::finding::{Findings, Kind, Remedy};
use maestro_core::domain::RoomId;
use std::collections::{BTreeMap, BTreeSet};

/// Where the rooms of a runtime are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// All pods of a cluster.
    Pods,
    /// The processes of this machine. Those of other machines are not seen.
    Processes,
}

/// The rooms that a runtime has.
#[derive(Clone, Debug)]
pub struct Runtime {
    /// What they are.
    pub place: Place,
    /// The runtime's name in the rows of nodes: owners of another one have their rooms elsewhere.
    pub domain: String,
    /// By scheduler, each with what people find it by: the id of a process, or the name of a pod.
    pub rooms: BTreeMap<String, BTreeMap<RoomId, String>>,
    /// What was stored before the runtime was asked. A room that has come or gone meanwhile fits.
    pub before: Facts,
}

impl Runtime {
    pub(super) fn compare(&self, facts: &Facts, found: &mut Findings) {
        let stored = facts.redis.keys().chain(self.rooms.keys());
        let names: BTreeSet<&String> = stored.collect();
        for name in names {
            let is_readable = |facts: &Facts| {
                let redis = facts.redis.get(name);
                redis.is_none_or(|redis| redis.unreadable.is_none())
            };
            if is_readable(facts) && is_readable(&self.before) {
                self.compare_one(name, facts, found);
            }
        }
    }

    fn compare_one(&self, name: &str, facts: &Facts, found: &mut Findings) {
        let nothing = BTreeMap::new();
        let running = self.rooms.get(name).unwrap_or(&nothing);
        let owner = facts.owners.get(name);
        if self.has_rooms_of(owner) {
            let made = |facts: &Facts| {
                let rooms = facts.redis.get(name).map(|redis| redis.rooms.iter());
                let made = rooms.into_iter().flatten().filter(|(_, is_made)| **is_made);
                made.map(|(room, _)| room.clone())
                    .collect::<BTreeSet<RoomId>>()
            };
            let missing = &made(facts) & &made(&self.before);
            for room in missing.iter().filter(|room| !running.contains_key(*room)) {
                self.not_running(name, room, found);
            }
        }
        let is_stored = |facts: &Facts, room: &RoomId| {
            let redis = facts.redis.get(name);
            redis.is_some_and(|redis| redis.rooms.contains_key(room))
        };
        for (room, place) in running {
            if !is_stored(facts, room) && !is_stored(&self.before, room) {
                let has_row = facts.schedulers.contains_key(name);
                self.not_stored(name, (room, place), has_row, found);
            }
        }
    }

    /// Whether all rooms of a scheduler with this owner are among those that are seen here.
    fn has_rooms_of(&self, owner: Option<&OwnerFacts>) -> bool {
        match owner.and_then(|owner| owner.domain.as_ref()) {
            Some(domain) => *domain == self.domain,
            // The last owner may have been a node of any machine.
            None => self.place == Place::Pods,
        }
    }

    fn not_running(&self, name: &str, room: &RoomId, found: &mut Findings) {
        let text = match self.place {
            Place::Pods => format!("room {room} is stored, and Kubernetes has no such pod"),
            Place::Processes => {
                format!("room {room} is stored, and has no process on this machine")
            }
        };
        let remedy =
            "its owner replaces it; without one, the next node that takes the scheduler over"
                .to_owned();
        found.add(name, Kind::NotRunning, text, Remedy::Owner(remedy));
    }

    fn not_stored(
        &self,
        name: &str,
        (room, place): (&RoomId, &str),
        has_row: bool,
        found: &mut Findings,
    ) {
        let text = format!("room {room} runs ({place}), and is not stored");
        let remedy = match (has_row, &self.place) {
            (true, _) => Remedy::Owner(
                "its owner adopts it with the next reload, or the next one when it takes the scheduler over, and \
                 allocates it after the hold time only"
                    .to_owned(),
            ),
            (false, Place::Pods) => Remedy::ByHand(format!(
                "Postgres has no such scheduler: unless another installation made it, type kubectl delete pod -n {name} {room}"
            )),
            (false, Place::Processes) => {
                Remedy::ByHand("Postgres has no such scheduler: end the process".to_owned())
            }
        };
        found.add(name, Kind::NotStored, text, remedy);
    }
}

#[cfg(test)]
mod tests {
    use super::super::compare::compare;
    use super::super::facts::{RedisFacts, SchedulerFacts};
    use super::*;

    /// Two stored rooms that have been made, and one that has not.
    fn stored(domain: Option<&str>) -> Facts {
        let mut facts = Facts::default();
        let row = SchedulerFacts {
            version: "v1.0.0".into(),
            has_version: true,
            ..SchedulerFacts::default()
        };
        facts.schedulers.insert("arena".into(), row);
        let owner = OwnerFacts {
            domain: domain.map(Into::into),
            ..OwnerFacts::default()
        };
        facts.owners.insert("arena".into(), owner);
        let rooms = [("a", true), ("b", true), ("unmade", false)];
        let redis = RedisFacts {
            rooms: rooms.map(|(room, made)| (room.into(), made)).into(),
            ..RedisFacts::default()
        };
        facts.redis.insert("arena".into(), redis);
        facts
    }

    fn running(place: Place, rooms: &[(&str, &str)], before: &Facts) -> Runtime {
        let mut all: BTreeMap<String, BTreeMap<RoomId, String>> = BTreeMap::new();
        for (scheduler, room) in rooms {
            let of_one = all.entry((*scheduler).to_owned()).or_default();
            of_one.insert((*room).into(), "process 7".into());
        }
        Runtime {
            place,
            domain: "here".into(),
            rooms: all,
            before: before.clone(),
        }
    }

    fn told(facts: &Facts, runtime: &Runtime) -> Vec<(Kind, String)> {
        let all = compare(facts, Some(runtime));
        all.into_iter().map(|one| (one.kind, one.text)).collect()
    }

    #[test]
    fn rooms_that_run_and_are_stored_fit() {
        let facts = stored(None);
        let both = [("arena", "a"), ("arena", "b")];
        for place in [Place::Pods, Place::Processes] {
            assert_eq!(told(&facts, &running(place, &both, &facts)), []);
        }
    }

    #[test]
    fn both_directions_are_told() {
        let facts = stored(Some("here"));
        let rooms = [("arena", "a"), ("arena", "stray"), ("gone", "late")];
        for place in [Place::Pods, Place::Processes] {
            let all = told(&facts, &running(place, &rooms, &facts));
            let kinds: Vec<Kind> = all.iter().map(|(kind, _)| *kind).collect();
            assert_eq!(kinds, [Kind::NotRunning, Kind::NotStored, Kind::NotStored]);
            let rooms = ["room b", "room stray", "room late"];
            for ((_, text), room) in all.iter().zip(rooms) {
                assert!(text.starts_with(room), "{text}");
            }
        }
    }

    #[test]
    fn rooms_of_other_machines_are_not_missed() {
        for (domain, place) in [
            (Some("there"), Place::Processes),
            (Some("there"), Place::Pods),
            (None, Place::Processes),
        ] {
            let facts = stored(domain);
            assert_eq!(told(&facts, &running(place, &[], &facts)), []);
        }
    }

    #[test]
    fn what_came_or_went_meanwhile_fits() {
        let (earlier, later) = (Facts::default(), stored(Some("here")));
        let rooms = [("arena", "a")];
        let came = running(Place::Processes, &rooms, &earlier);
        assert_eq!(told(&later, &came), []);
        let mut without = stored(Some("here"));
        without.redis.clear();
        let went = running(Place::Processes, &rooms, &later);
        assert_eq!(told(&without, &went), []);
    }
}
