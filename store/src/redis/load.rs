//! Everything about schedulers that their new owner needs from Redis.

use super::RedisStore;
use super::asking::{Ask, QUEUE_MAX, Reply, WrongType, ask};
use super::keys::Keys;
use super::oddity::{Oddity, is_text};
use super::operation::{OperationValues, operation_id};
use super::room::RoomValues;
use crate::names::told;
use maestro_core::domain::{
    Definition, Epoch, OperationId, OperationRecord, OperationStatus, RoomId, RoomRecord,
    SchedulerName, Seq,
};
use maestro_core::ports::{EndedOperation, StoreError};
use std::collections::{BTreeMap, HashMap, HashSet};
use tracing::warn;

/// Ended operations of each set that an owner is told of, the newest. Older ones stay where they are.
const ENDED_MAX: i64 = 1000;
/// Fields of one command.
const FIELDS: usize = 500;
/// Oddities of one scheduler that are logged; all of them are returned.
const LOGGED: usize = 5;

/// What Redis has of one scheduler.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// What the fence said before it was raised; `None` if it said nothing, as in data of the original, or where the
    /// server has lost its data.
    pub fence: Option<(Epoch, Seq)>,
    /// Its rooms, in the order of their ids.
    pub rooms: Vec<RoomRecord>,
    /// Operations that have not ended: the running ones, then the queue from its head.
    pub operations: Vec<OperationRecord>,
    /// Ended operations, oldest first.
    pub ended: Vec<EndedOperation>,
    /// What was passed over.
    pub oddities: Vec<Oddity>,
}

/// The names that are in a scheduler's sets and lists.
struct Names {
    status: HashMap<String, i64>,
    ping: HashMap<String, i64>,
    occupancy: HashMap<String, i64>,
    /// Rooms of the three sets, in order.
    rooms: Vec<RoomId>,
    /// Rooms that have an instance.
    instances: Vec<String>,
    active: Vec<(String, i64)>,
    leases: HashMap<String, i64>,
    /// Ids that wait, in the order in which they will run.
    waiting: Vec<String>,
    history: Vec<(String, i64)>,
    no_action: Vec<(String, i64)>,
    /// Operations of the history that are kept for a limited time only, and those whose time is over already.
    periodic: HashSet<String>,
    oddities: Vec<Oddity>,
}

impl RedisStore {
    /// Refuses the earlier owners' writes from here on, then reads everything about these schedulers: one result per
    /// scheduler, in order.
    ///
    /// # Errors
    /// As for [`Store::load`](maestro_core::ports::Store::load). A key of another type than the contract says is
    /// [`StoreError::Corrupt`] for its scheduler alone.
    pub async fn load(&self, owned: &[(SchedulerName, Epoch)]) -> Vec<Result<Stored, StoreError>> {
        let fences = match self.raise(owned).await {
            Ok(fences) => fences,
            Err(error) => return owned.iter().map(|_| Err(error.clone())).collect(),
        };
        let names: Vec<&SchedulerName> = owned.iter().map(|(name, _)| name).collect();
        // Before the queues are read: what is pushed afterwards is found by the feed.
        self.watched.lock().extend(names.iter().copied().cloned());
        let stored = match self.stored(&names).await {
            Ok(stored) => stored,
            Err(error) => return owned.iter().map(|_| Err(error.clone())).collect(),
        };
        let both = fences.into_iter().zip(stored).zip(names);
        let loaded = both.map(|((fence, stored), name)| {
            let stored = Stored {
                fence: fence?,
                ..stored?
            };
            report(name, &stored.oddities);
            let remains = stored.oddities.iter().filter_map(Oddity::remains);
            self.memory
                .remember_remains(name, remains.cloned().collect());
            Ok(stored)
        });
        loaded.collect()
    }

    /// Reads without touching the fence: for reports and tools.
    ///
    /// # Errors
    /// If Redis cannot be read; for one scheduler, if one of its keys has another type.
    pub async fn stored(
        &self,
        schedulers: &[&SchedulerName],
    ) -> Result<Vec<Result<Stored, StoreError>>, StoreError> {
        let client = &self.connections.reads()?;
        let asked = schedulers.iter().flat_map(|name| questions(name));
        let mut replies = ask(client, asked.collect()).await?.into_iter();
        let mut named = Vec::with_capacity(schedulers.len());
        for name in schedulers {
            let part: Vec<Reply> = replies.by_ref().take(QUESTIONS).collect();
            let names = Names::read(Keys(name.as_str()), part);
            named.push(names.map_err(|WrongType| wrong_type(name)));
        }
        let known = schedulers.iter().zip(&named);
        let asked = known.filter_map(|(name, names)| Some(names.as_ref().ok()?.questions(name)));
        let mut replies = ask(client, asked.flatten().collect()).await?.into_iter();
        let stored = schedulers.iter().zip(named).map(|(name, names)| {
            let stored = names?.stored(name, &mut replies);
            stored.map_err(|WrongType| wrong_type(name))
        });
        Ok(stored.collect())
    }
}

/// Number of [`questions`] about one scheduler.
const QUESTIONS: usize = 11;

fn questions(name: &SchedulerName) -> [Ask; QUESTIONS] {
    let keys = Keys(name.as_str());
    [
        Ask::scores(keys.status()),
        Ask::scores(keys.ping()),
        Ask::scores(keys.occupancy()),
        Ask::new("HKEYS", [keys.instances().into()]),
        Ask::list(keys.taken(), QUEUE_MAX),
        Ask::list(keys.queue(), QUEUE_MAX),
        Ask::scores(keys.active()),
        Ask::scores(keys.leases()),
        Ask::newest(keys.history(), ENDED_MAX),
        Ask::newest(keys.no_action(), ENDED_MAX),
        Ask::behind_newest(
            keys.history(),
            ENDED_MAX,
            &keys.operations(),
            "definitionName",
        ),
    ]
}

impl Names {
    fn read(keys: Keys<'_>, replies: Vec<Reply>) -> Result<Self, WrongType> {
        let mut replies = replies.into_iter();
        // There are as many replies as questions.
        let mut next = || replies.next().unwrap_or(Reply::WrongType);
        let mut status: HashMap<_, _> = next().scores()?.into_iter().collect();
        let mut ping: HashMap<_, _> = next().scores()?.into_iter().collect();
        let mut occupancy: HashMap<_, _> = next().scores()?.into_iter().collect();
        let mut instances = next().texts()?;
        let mut odd = Vec::new();
        let sets = [
            (keys.status(), &mut status),
            (keys.ping(), &mut ping),
            (keys.occupancy(), &mut occupancy),
        ];
        for (key, set) in sets {
            set.retain(|room, _| is_text(&key, room, &mut odd));
        }
        instances.retain(|room| is_text(&keys.instances(), room, &mut odd));
        let (taken, queue) = (next().texts()?, next().texts()?);
        let sets = [&status, &ping, &occupancy];
        let rooms: HashSet<&String> = sets.iter().flat_map(|set| set.keys()).collect();
        let mut rooms: Vec<RoomId> = rooms.into_iter().map(|id| id.as_str().into()).collect();
        rooms.sort_unstable();
        let mut names = Self {
            status,
            ping,
            occupancy,
            rooms,
            instances,
            active: next().scores()?,
            leases: next().scores()?.into_iter().collect(),
            waiting: Vec::new(),
            history: next().scores()?,
            no_action: next().scores()?,
            periodic: periodic(next())?,
            oddities: Vec::new(),
        };
        for (key, ids) in [(keys.taken(), taken), (keys.queue(), queue)] {
            for id in ids {
                if operation_id(&id).is_some() {
                    names.waiting.push(id);
                } else {
                    let key = key.clone();
                    odd.push(Oddity::NoUuid { key, text: id });
                }
            }
        }
        for (key, set) in [
            (keys.active(), &mut names.active),
            (keys.history(), &mut names.history),
            (keys.no_action(), &mut names.no_action),
        ] {
            set.retain(|(id, _)| {
                let is_id = operation_id(id).is_some();
                if !is_id {
                    let (key, text) = (key.clone(), id.clone());
                    odd.push(Oddity::NoUuid { key, text });
                }
                is_id
            });
        }
        names.oddities = odd;
        Ok(names)
    }

    /// Ids of operations that may not have ended, without repetition: the running ones first.
    fn open(&self) -> Vec<OperationId> {
        let active = self.active.iter().map(|(id, _)| id);
        let mut seen = HashSet::new();
        let ids = active
            .chain(&self.waiting)
            .filter_map(|id| operation_id(id));
        ids.filter(|id| seen.insert(*id)).collect()
    }

    /// The hashes behind the names.
    fn questions(&self, name: &SchedulerName) -> Vec<Ask> {
        let keys = Keys(name.as_str());
        let mut asked = Vec::new();
        asked.extend(self.rooms.iter().map(|room| Ask::hash(keys.room(room))));
        let parts = self.rooms.chunks(FIELDS);
        asked.extend(parts.map(|rooms| Ask::fields(keys.instances(), rooms)));
        let open = self.open();
        asked.extend(open.iter().map(|id| Ask::hash(keys.operation(*id))));
        let parts = open.chunks(FIELDS);
        asked.extend(parts.map(|ids| Ask::fields(keys.journal(), ids)));
        asked
    }

    fn stored(
        self,
        name: &SchedulerName,
        replies: &mut impl Iterator<Item = Reply>,
    ) -> Result<Stored, WrongType> {
        let mut stored = Stored::default();
        // All replies are taken, also when one of them is of no use, because those of others follow.
        let mut take = |count: usize| -> Vec<Reply> { replies.by_ref().take(count).collect() };
        let (hashes, pods) = (take(self.rooms.len()), take(parts(self.rooms.len())));
        let open = self.open();
        let (open_hashes, entries) = (take(open.len()), take(parts(open.len())));
        let history = self
            .history
            .iter()
            .filter_map(|(id, second)| ended(id, *second, false, self.periodic.contains(id)));
        // Only periodic operations end there.
        let no_action = self.no_action.iter();
        let no_action = no_action.filter_map(|(id, second)| ended(id, *second, true, true));
        stored.ended = history.chain(no_action).collect();
        stored.ended.sort_by_key(|ended| (ended.ended_at, ended.id));
        stored.operations =
            self.operations(name, &open, open_hashes, entries, &mut stored.oddities)?;
        self.rooms(hashes, pods, &mut stored)?;
        let mut oddities = self.oddities;
        oddities.append(&mut stored.oddities);
        stored.oddities = oddities;
        Ok(stored)
    }

    fn rooms(
        &self,
        hashes: Vec<Reply>,
        pods: Vec<Reply>,
        stored: &mut Stored,
    ) -> Result<(), WrongType> {
        let pods: Result<Vec<_>, _> = pods.into_iter().map(Reply::optional).collect();
        let pods = pods?.into_iter().flatten();
        let mut known = HashSet::new();
        for ((room, hash), instance) in self.rooms.iter().zip(hashes).zip(pods) {
            let score = |set: &HashMap<String, i64>| set.get(room.as_str()).copied();
            let values = RoomValues {
                status: score(&self.status),
                ping: score(&self.ping),
                occupancy: score(&self.occupancy),
                hash: hash.hash()?,
                instance,
            };
            known.insert(room.as_str());
            match values.record(room) {
                Ok(record) => stored.rooms.push(record),
                Err(reason) => {
                    let room = room.clone();
                    stored.oddities.push(Oddity::Room { room, reason });
                }
            }
        }
        let left = self
            .instances
            .iter()
            .filter(|id| !known.contains(id.as_str()));
        let left = left.map(|id| Oddity::Instance {
            room: id.as_str().into(),
        });
        stored.oddities.extend(left);
        Ok(())
    }

    fn operations(
        &self,
        name: &SchedulerName,
        open: &[OperationId],
        hashes: Vec<Reply>,
        entries: Vec<Reply>,
        oddities: &mut Vec<Oddity>,
    ) -> Result<Vec<OperationRecord>, WrongType> {
        let active: BTreeMap<&str, i64> = self
            .active
            .iter()
            .map(|(id, s)| (id.as_str(), *s))
            .collect();
        let entries: Result<Vec<_>, _> = entries.into_iter().map(Reply::optional).collect();
        let entries = entries?.into_iter().flatten();
        let mut records = Vec::new();
        for ((id, hash), journal) in open.iter().zip(hashes).zip(entries) {
            let text = id.to_string();
            let values = OperationValues {
                hash: hash.hash()?,
                journal,
                since: active.get(text.as_str()).copied(),
                lease: self.leases.get(&text).copied(),
            };
            match values.record(name, *id) {
                // One that was canceled while it waited stays in its queue (contract 5.10).
                Ok(record) if record.status.is_final() => {}
                Ok(record) => records.push(record),
                Err(reason) => {
                    let operation = *id;
                    oddities.push(Oddity::Operation { operation, reason });
                }
            }
        }
        records.sort_by_key(|record| record.status != OperationStatus::InProgress);
        Ok(records)
    }
}

/// How many commands ask for so many fields.
fn parts(fields: usize) -> usize {
    fields.div_ceil(FIELDS)
}

/// One whose hash has expired was periodic; it is listed so that its owner deletes the rest of it.
fn periodic(reply: Reply) -> Result<HashSet<String>, WrongType> {
    let mut items = reply.optional()?.into_iter();
    let mut periodic = HashSet::new();
    while let (Some(id), Some(name)) = (items.next(), items.next()) {
        let kind = name.map(|name| Definition::from_contract(&name, "{}"));
        if kind.is_none_or(|kind| kind.is_periodic()) {
            periodic.extend(id);
        }
    }
    Ok(periodic)
}

fn ended(id: &str, second: i64, no_action: bool, periodic: bool) -> Option<EndedOperation> {
    Some(EndedOperation {
        id: operation_id(id)?,
        ended_at: jiff::Timestamp::from_second(second).ok()?,
        no_action,
        periodic,
    })
}

fn wrong_type(name: &SchedulerName) -> StoreError {
    let text = format!(
        "Redis: a key of scheduler {name} has another type than Maestro gives it; another program wrote it: rename it \
         (type TYPE on scheduler:{name}:*, operations:{name}:* and pending_operations:{name}*)"
    );
    StoreError::Corrupt(text.into())
}

fn report(scheduler: &SchedulerName, oddities: &[Oddity]) {
    for oddity in oddities.iter().take(LOGGED) {
        let fate = match oddity.remains() {
            Some(_) => "it is deleted with the next change",
            None => "it is passed over",
        };
        let what = told(&oddity.to_string());
        warn!(%scheduler, "in Redis: {what}; {fate}");
    }
    let more = oddities.len().saturating_sub(LOGGED);
    if more > 0 {
        warn!(%scheduler, more, "there is more in Redis that is passed over");
    }
}
