//! What the facts mean. Pure.

use super::facts::{Facts, OwnerFacts};
use super::finding::{Finding, Findings, Kind, Remedy};
use super::runtime::Runtime;
use crate::names::{is_name, told};
use crate::redis::Oddity;
use maestro_core::rules::validation::valid_name;
use std::collections::BTreeSet;

/// Everything that does not fit together, by scheduler.
pub fn compare(facts: &Facts, runtime: Option<&Runtime>) -> Vec<Finding> {
    let mut found = Findings::default();
    foreign_names(facts, &mut found);
    rows(facts, &mut found);
    names(facts, &mut found);
    order(facts, &mut found);
    keys(facts, &mut found);
    if let Some(runtime) = runtime {
        runtime.compare(facts, &mut found);
    }
    found.0.sort_by(|a, b| a.scheduler.cmp(&b.scheduler));
    for of_one in found.0.chunk_by_mut(|a, b| a.scheduler == b.scheduler) {
        promise_nothing_else(facts, of_one);
    }
    found.0
}

/// What `--repair` would refuse is not promised: each of these is a reason why it cannot act for this scheduler.
fn promise_nothing_else(facts: &Facts, of_one: &mut [Finding]) {
    let Some(first) = of_one.first() else {
        return;
    };
    let owner = facts.owners.get(&first.scheduler);
    let alive = owner.and_then(|owner| owner.alive.as_deref());
    let Some(remedy) = prevented(of_one, alive) else {
        return;
    };
    for finding in of_one {
        if let Remedy::Repair(_) = finding.remedy {
            finding.remedy = remedy.clone();
        }
    }
}

/// Why a scheduler with these findings cannot be repaired now, as what is to be done first.
fn prevented(findings: &[Finding], alive: Option<&str>) -> Option<Remedy> {
    let is = |kind| findings.iter().any(|finding| finding.kind == kind);
    if let Some(address) = alive {
        return Some(Remedy::ByHand(owned_by(address)));
    }
    if is(Kind::Behind) || is(Kind::Outbox) {
        return Some(Remedy::ByHand(OWNER_FIRST.to_owned()));
    }
    if is(Kind::BadFence) || is(Kind::Unreadable) {
        let text = "mend first what cannot be read of this scheduler, then repair";
        return Some(Remedy::ByHand(text.to_owned()));
    }
    None
}

/// To load it would hide from its next owner that rooms are to be doubted.
pub(super) const OWNER_FIRST: &str =
    "its next owner has to complete it first: start a node, then repair again";

pub(super) fn owned_by(address: &str) -> String {
    format!(
        "the node at {address} owns it; it deletes such remains when it loads the scheduler: reload it there (POST \
         /debug/actors/NAME/reload), or stop the node and repair then"
    )
}

/// Whether it can be the name of a scheduler, of which Redis has something. One that is no UTF-8 is shown with
/// replacement characters.
fn can_be_name(text: &str) -> bool {
    is_name(text) && !text.contains(char::REPLACEMENT_CHARACTER)
}

/// Nothing else is said of them: they can be written to neither store.
fn foreign_names(facts: &Facts, found: &mut Findings) {
    let names: BTreeSet<&String> = facts.fences.keys().chain(facts.redis.keys()).collect();
    for name in names.into_iter().filter(|name| !can_be_name(name)) {
        let text = "Redis has something under this name, which no scheduler can have".to_owned();
        let remedy = "ask whoever put it there; it is passed over".to_owned();
        found.add(&told(name), Kind::OddName, text, Remedy::ByHand(remedy));
    }
}

/// Names, versions and states that no Maestro writes.
fn names(facts: &Facts, found: &mut Findings) {
    for (name, row) in &facts.schedulers {
        if !valid_name(name) {
            let text = "its name is none that a scheduler can be created with".to_owned();
            let remedy = "create it anew under a name of lower-case letters, digits and hyphens, and delete this one";
            found.add(name, Kind::OddName, text, Remedy::ByHand(remedy.to_owned()));
        }
        if let Some(state) = &row.foreign_state {
            let text = format!(
                "its state {state:?} is none of creating, in-sync, on-error and terminating"
            );
            let remedy = "set it to in-sync; its owner corrects that if rooms fail".to_owned();
            found.add(name, Kind::ForeignState, text, Remedy::Repair(remedy));
        }
        for version in &row.odd_versions {
            let text = format!("its version {version:?} is no version number such as v1.2.0");
            let remedy = "delete its row in scheduler_versions, unless it is the active one: then post a new version first";
            found.add(
                name,
                Kind::OddVersion,
                text,
                Remedy::ByHand(remedy.to_owned()),
            );
        }
    }
}

fn rows(facts: &Facts, found: &mut Findings) {
    for (name, row) in &facts.schedulers {
        if let Some(why) = &row.unreadable {
            let text = format!("a row in Postgres cannot be read: {why}");
            let remedy = "correct the column that is named".to_owned();
            found.add(name, Kind::Unreadable, text, Remedy::ByHand(remedy));
        } else if !row.has_version {
            let text = format!(
                "its active version {:?} has no row in scheduler_versions",
                row.version
            );
            let remedy = "insert it with the yaml of its row in schedulers".to_owned();
            found.add(name, Kind::NoActiveVersion, text, Remedy::ByHand(remedy));
        }
    }
    for (name, owner) in &facts.owners {
        if owner.is_held && owner.alive.is_none() {
            let text = "its owner's session has ended".to_owned();
            let remedy = Remedy::Owner("the next node that runs takes it over".to_owned());
            found.add(name, Kind::DeadOwner, text, remedy);
        }
    }
}

/// Fences and outbox.
fn order(facts: &Facts, found: &mut Findings) {
    // Whoever takes a name that was forgotten begins after this.
    let nobody = OwnerFacts {
        epoch: facts.forgotten,
        ..OwnerFacts::default()
    };
    for (name, fence) in facts.fences.iter().filter(|(name, _)| can_be_name(name)) {
        let owner = facts.owners.get(name).unwrap_or(&nobody);
        match fence {
            Err(text) => {
                let text = told(text);
                let text = format!("maestro:fence has {text:?}, which no Maestro writes");
                let remedy =
                    format!("type HDEL maestro:fence {name}; its owner writes everything again");
                found.add(name, Kind::BadFence, text, Remedy::ByHand(remedy));
            }
            Ok((epoch, _)) if *epoch > owner.epoch => {
                let text = format!(
                    "Redis knows owner {epoch}, and Postgres only {}: it was restored",
                    owner.epoch
                );
                let remedy =
                    "count owners on from there, so that a node can take it over".to_owned();
                found.add(name, Kind::Ahead, text, Remedy::Repair(remedy));
            }
            Ok(_) => {}
        }
    }
    for (name, owner) in &facts.owners {
        let seq = match facts.fences.get(name) {
            Some(Ok((_, seq))) => *seq,
            Some(Err(_)) => continue,
            None => 0,
        };
        // The owner has them in memory, and its batch may be between the stores at this moment.
        if owner.alive.is_some() {
            continue;
        }
        if facts.outbox.get(name).is_some_and(|last| *last > seq) {
            let text = "a change is stored in Postgres and not yet in Redis".to_owned();
            let remedy = Remedy::Owner("the next owner completes it".to_owned());
            found.add(name, Kind::Outbox, text, remedy);
        } else if seq < owner.seq {
            let text = format!(
                "Redis lost changes: it is at {seq}, and Postgres at {}",
                owner.seq
            );
            let remedy =
                "the next owner takes rooms from the runtime, and doubts them for the hold time";
            found.add(name, Kind::Behind, text, Remedy::Owner(remedy.to_owned()));
        }
    }
}

fn keys(facts: &Facts, found: &mut Findings) {
    for (name, redis) in facts.redis.iter().filter(|(name, _)| can_be_name(name)) {
        if let Some(why) = &redis.unreadable {
            let remedy = Remedy::ByHand("rename the key that is named".to_owned());
            found.add(name, Kind::Unreadable, why.clone(), remedy);
            continue;
        }
        if !facts.schedulers.contains_key(name) && redis.rooms.len() + redis.operations > 0 {
            let text = format!(
                "Redis has {} rooms and {} open operations, and Postgres no such scheduler",
                redis.rooms.len(),
                redis.operations
            );
            let remedy = "restore its row if Postgres lost it; otherwise delete the keys of its name, and its rooms";
            found.add(
                name,
                Kind::NoScheduler,
                text,
                Remedy::ByHand(remedy.to_owned()),
            );
        }
        for oddity in &redis.oddities {
            self::oddity(name, oddity, found);
        }
        if !redis.lost_rooms.is_empty() {
            let count = redis.lost_rooms.len();
            let text = format!(
                "{count} hashes of rooms are in no index (such as {})",
                redis.lost_rooms[0]
            );
            let remedy = Remedy::Repair("delete them: late pings leave them behind".to_owned());
            let finding = found.add(name, Kind::Remains, text, remedy);
            finding.rooms.clone_from(&redis.lost_rooms);
        }
        for id in &redis.lost_operations {
            let text = format!("operation {id} has not ended, and is in no queue");
            let remedy = Remedy::Repair(
                "end it as canceled: nobody can say whether it is still wanted".to_owned(),
            );
            let finding = found.add(name, Kind::NoQueue, text, remedy);
            finding.operations.push(*id);
        }
    }
}

fn oddity(name: &str, oddity: &Oddity, found: &mut Findings) {
    let text = told(&oddity.to_string());
    let by_hand = |what: &str| Remedy::ByHand(what.to_owned());
    match (oddity, oddity.remains()) {
        (_, Some(room)) => {
            let remedy = Remedy::Repair("delete what is left of it".to_owned());
            let room = room.clone();
            found
                .add(name, Kind::Remains, text, remedy)
                .rooms
                .push(room);
        }
        (Oddity::NoUuid { .. }, _) => {
            found.add(
                name,
                Kind::ForeignId,
                text,
                by_hand("ask whoever put it there; it is passed over"),
            );
        }
        (Oddity::NoText { .. }, _) => {
            found.add(
                name,
                Kind::ForeignId,
                text,
                by_hand("ask whoever put it there, and remove it by its bytes; it is passed over"),
            );
        }
        (Oddity::Operation { .. }, _) => {
            found.add(
                name,
                Kind::NoOperation,
                text,
                by_hand("remove the id from its list; it is passed over"),
            );
        }
        _ => {
            found.add(
                name,
                Kind::Unreadable,
                text,
                by_hand("correct the value; the room is passed over"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::{RedisFacts, SchedulerFacts};
    use super::*;
    use maestro_core::domain::OperationId;

    fn whole(name: &str) -> Facts {
        let mut facts = Facts::default();
        let row = SchedulerFacts {
            version: "v1.0.0".into(),
            has_version: true,
            ..SchedulerFacts::default()
        };
        facts.schedulers.insert(name.into(), row);
        let owner = OwnerFacts {
            epoch: 3,
            seq: 5,
            ..OwnerFacts::default()
        };
        facts.owners.insert(name.into(), owner);
        facts.fences.insert(name.into(), Ok((3, 9)));
        facts.redis.insert(name.into(), RedisFacts::default());
        facts
    }

    fn kinds(facts: &Facts) -> Vec<Kind> {
        compare(facts, None)
            .into_iter()
            .map(|finding| finding.kind)
            .collect()
    }

    #[test]
    fn what_fits_together_is_not_mentioned() {
        assert_eq!(compare(&whole("arena"), None), []);
        // As the original left it: no owner, no fence.
        let mut facts = whole("arena");
        facts.owners.clear();
        facts.fences.clear();
        assert_eq!(compare(&facts, None), []);
        // Deleted, and forgotten by Postgres while Redis was away.
        let mut facts = whole("arena");
        facts.owners.clear();
        assert_eq!(kinds(&facts), [Kind::Ahead]);
        facts.forgotten = 3;
        assert_eq!(compare(&facts, None), []);
    }

    #[test]
    fn each_kind_of_drift_is_found_alone() {
        type Edit = fn(&mut Facts);
        let cases: [(Kind, Edit); 13] = [
            (Kind::NoScheduler, |f| {
                f.schedulers.clear();
                f.redis
                    .values_mut()
                    .for_each(|redis| redis.rooms.extend([("r".into(), true)]));
            }),
            (Kind::NoActiveVersion, |f| {
                f.schedulers
                    .values_mut()
                    .for_each(|row| row.has_version = false);
            }),
            (Kind::Unreadable, |f| {
                f.schedulers
                    .values_mut()
                    .for_each(|row| row.unreadable = Some("x".into()));
            }),
            (Kind::Remains, |f| {
                f.redis
                    .values_mut()
                    .for_each(|redis| redis.lost_rooms.push("r".into()));
            }),
            (Kind::ForeignId, |f| {
                let (key, text) = ("k".into(), "7".into());
                let odd = Oddity::NoUuid { key, text };
                f.redis
                    .values_mut()
                    .for_each(|redis| redis.oddities.push(odd.clone()));
            }),
            (Kind::NoQueue, |f| {
                let id = OperationId(uuid::Uuid::nil());
                f.redis
                    .values_mut()
                    .for_each(|redis| redis.lost_operations.push(id));
            }),
            (Kind::Behind, |f| {
                f.fences.clear();
            }),
            (Kind::Ahead, |f| {
                f.owners.values_mut().for_each(|owner| owner.epoch = 2);
            }),
            (Kind::BadFence, |f| {
                f.fences
                    .values_mut()
                    .for_each(|fence| *fence = Err("x".into()));
            }),
            (Kind::Outbox, |f| {
                f.outbox.insert("arena".into(), 10);
            }),
            (Kind::DeadOwner, |f| {
                f.owners.values_mut().for_each(|owner| owner.is_held = true);
            }),
            (Kind::ForeignState, |f| {
                let state = Some("banana".to_owned());
                f.schedulers
                    .values_mut()
                    .for_each(|row| row.foreign_state.clone_from(&state));
            }),
            (Kind::OddVersion, |f| {
                f.schedulers
                    .values_mut()
                    .for_each(|row| row.odd_versions.push("latest".into()));
            }),
        ];
        for (kind, edit) in cases {
            let mut facts = whole("arena");
            edit(&mut facts);
            assert_eq!(kinds(&facts), [kind]);
        }
    }

    #[test]
    fn a_batch_of_a_living_owner_may_be_between_the_stores() {
        let mut facts = whole("arena");
        facts.outbox.insert("arena".into(), 10);
        for owner in facts.owners.values_mut() {
            (owner.seq, owner.is_held, owner.alive) = (10, true, Some("10.0.0.1:7".into()));
        }
        assert_eq!(compare(&facts, None), []);
    }

    #[test]
    fn a_name_that_cannot_be_created_is_reported() {
        assert_eq!(kinds(&whole("Arena EU")), [Kind::OddName]);
    }

    #[test]
    fn nothing_is_promised_that_a_repair_refuses() {
        type Edit = fn(&mut Facts);
        let reasons: [Edit; 4] = [
            |f| {
                let owners = f.owners.values_mut();
                owners.for_each(|o| (o.is_held, o.alive) = (true, Some("10.0.0.1:7".into())));
            },
            |f| f.fences.clear(),
            |f| f.outbox.extend([("arena".into(), 10)]),
            |f| {
                let fences = f.fences.values_mut();
                fences.for_each(|fence| *fence = Err("x".into()));
            },
        ];
        let remains = |facts: &Facts| {
            let all = compare(facts, None);
            let one = all.into_iter().find(|one| one.kind == Kind::Remains);
            one.expect("it was put there").remedy
        };
        let mut facts = whole("arena");
        let redis = facts.redis.values_mut();
        redis.for_each(|redis| redis.lost_rooms.push("r".into()));
        assert!(matches!(remains(&facts), Remedy::Repair(_)));
        for edit in reasons {
            let mut facts = facts.clone();
            edit(&mut facts);
            let remedy = remains(&facts);
            assert!(matches!(remedy, Remedy::ByHand(_)), "{remedy:?}");
        }
    }
}
