//! All keys of a server, by scheduler: for reports, which must also see what belongs to nobody.

use super::RedisStore;
use super::asking::{Ask, Reply, WrongType, ask};
use super::error::store_error;
use super::keys::{FENCE, JOURNALS, Keys, queue_of};
use super::operation::operation_id;
use fred::interfaces::KeysInterface;
use fred::types::Value;
use maestro_core::domain::{OperationId, RoomId};
use maestro_core::ports::StoreError;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Keys of one step of the scan.
const STEP: i64 = 1000;

/// What there is of one scheduler.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Rooms that have a hash.
    pub rooms: BTreeSet<RoomId>,
    /// Operations that have a hash.
    pub operations: BTreeSet<OperationId>,
}

/// All schedulers that have keys, and what the fence says of those that have an entry.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    pub schedulers: BTreeMap<String, Found>,
    pub fences: HashMap<String, String>,
}

impl RedisStore {
    /// Looks at the name of every key. It takes as many round trips as there are thousands of keys.
    ///
    /// # Errors
    /// If Redis cannot be read.
    pub async fn survey(&self) -> Result<Survey, StoreError> {
        let mut survey = Survey::default();
        let mut keys = BTreeSet::new();
        self.scan("*", |key| {
            keys.insert(key);
        })
        .await?;
        keys.iter().for_each(|key| survey.add(key));
        let asked = vec![Ask::hash(FENCE.to_owned())];
        let reply = ask(&self.connections.reads()?, asked)
            .await?
            .into_iter()
            .next();
        let fences = reply.unwrap_or(Reply::WrongType).hash();
        survey.fences = fences.map_err(|WrongType| {
            StoreError::Corrupt(format!("Redis: {FENCE} is no hash; rename it").into())
        })?;
        Ok(survey)
    }

    async fn scan(&self, pattern: &str, mut each: impl FnMut(String)) -> Result<(), StoreError> {
        let mut cursor = String::from("0");
        loop {
            let words = [
                cursor.as_str().into(),
                "MATCH".into(),
                pattern.into(),
                "COUNT".into(),
                STEP.into(),
            ];
            let asked = vec![Ask::new("SCAN", words)];
            let reply = ask(&self.connections.reads()?, asked)
                .await?
                .into_iter()
                .next();
            let Some(Reply::Value(Value::Array(parts))) = reply else {
                return Err(StoreError::Unavailable("Redis: SCAN has no answer".into()));
            };
            let mut parts = parts.into_iter();
            cursor = parts
                .next()
                .and_then(Value::into_string)
                .unwrap_or_default();
            let Some(Value::Array(keys)) = parts.next() else {
                return Ok(());
            };
            // A key that is no text is none of ours.
            keys.into_iter()
                .filter_map(Value::into_string)
                .for_each(&mut each);
            if cursor.is_empty() || cursor == "0" {
                return Ok(());
            }
        }
    }

    /// Which of these rooms still have a hash.
    ///
    /// # Errors
    /// If Redis cannot be read.
    pub async fn with_hash(
        &self,
        scheduler: &str,
        rooms: Vec<RoomId>,
    ) -> Result<Vec<RoomId>, StoreError> {
        let keys = Keys(scheduler);
        let asked = rooms
            .iter()
            .map(|room| Ask::new("EXISTS", [keys.room(room).into()]));
        let replies = ask(&self.connections.reads()?, asked.collect()).await?;
        let both = rooms.into_iter().zip(replies);
        let there = both.filter_map(|(room, reply)| (reply.number().ok()? == 1).then_some(room));
        Ok(there.collect())
    }

    /// Deletes all that only we store beside the keys of the contract: the fences and the journals.
    ///
    /// # Errors
    /// If Redis cannot be written. It can be repeated.
    pub async fn delete_own_keys(&self) -> Result<(), StoreError> {
        let mut keys = vec![FENCE.to_owned()];
        self.scan(&format!("{JOURNALS}*"), |key| keys.push(key))
            .await?;
        for part in keys.chunks(500) {
            let deleted: Result<i64, _> = self
                .connections
                .writes
                .connected()?
                .client
                .unlink(part.to_vec())
                .await;
            deleted.map_err(|error| store_error(&error))?;
        }
        Ok(())
    }
}

impl Survey {
    fn add(&mut self, key: &str) {
        let (name, rest) = match (key.strip_prefix("scheduler:"), queue_of(key)) {
            (_, Some(name)) => (name, ""),
            (Some(rest), _) => rest.split_once(':').unwrap_or((rest, "")),
            (None, None) => match key.strip_prefix("operations:") {
                Some(rest) => rest.split_once(':').unwrap_or((rest, "")),
                None => return,
            },
        };
        if name.is_empty() {
            return;
        }
        let found = self.schedulers.entry(name.to_owned()).or_default();
        if let Some(room) = rest.strip_prefix("rooms:") {
            found.rooms.insert(room.into());
        } else if let Some(id) = operation_id(rest) {
            found.operations.insert(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_apart_by_their_names() {
        let mut survey = Survey::default();
        let id = "00000000-0000-4000-8000-0000000000a1";
        for key in [
            "scheduler:arena",
            "scheduler:arena:rooms:r-1",
            "scheduler:lobby:status",
            &format!("operations:raid:{id}"),
            "operations:raid:lists:history",
            "pending_operations:newborn:auxiliary",
            "session:of-someone-else",
            "maestro:fence",
        ] {
            survey.add(key);
        }
        let names: Vec<&str> = survey.schedulers.keys().map(String::as_str).collect();
        assert_eq!(names, ["arena", "lobby", "newborn", "raid"]);
        assert_eq!(survey.schedulers["arena"].rooms, ["r-1".into()].into());
        assert_eq!(survey.schedulers["raid"].operations.len(), 1);
    }
}
