//! Which ids in the queues were pushed by others, and which of them are told already.

use super::asking::{Ask, QUEUE_MAX, Reply, WrongType, ask};
use super::keys::Keys;
use super::operation::{OperationValues, Unreadable, operation_id};
use crate::names::told;
use fred::clients::Client;
use maestro_core::domain::{OperationId, OperationRecord, OperationStatus, SchedulerName};
use maestro_core::ports::StoreError;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tracing::warn;

/// Ids at each end of a queue that a hint looks at: priority ones are pushed at the head, others at the tail. The next
/// scan finds what a larger burst left in between.
const ENDS: i64 = 64;
/// Another program may write the hash after the id; longer than this, and it is reported.
const HASH_PATIENCE: Duration = Duration::from_secs(1);
/// An operation that its owner has not written by then is told again: the owner may have ended before it could.
const TELL_AGAIN: Duration = Duration::from_secs(10);

/// The schedulers whose queues are scanned: those that this process has loaded.
pub type Watched = Arc<Mutex<HashSet<SchedulerName>>>;

/// An operation that somebody else pushed.
pub type Pushed = (SchedulerName, OperationRecord);

/// What is known of the queues. It holds no more than the ids that are in them.
#[derive(Default)]
pub struct Queues(HashMap<SchedulerName, Queue>);

#[derive(Default)]
struct Queue {
    /// Ids that are in the journal, or have ended while they waited.
    settled: HashSet<OperationId>,
    told: HashMap<OperationId, Instant>,
    /// Ids without a hash.
    missing: HashMap<OperationId, Instant>,
    /// Members that were reported as useless.
    reported: HashSet<String>,
}

impl Queues {
    /// Operations in these queues that others pushed and that are not told yet. `whole` looks at all of a queue rather
    /// than at its ends, and forgets what has left it.
    ///
    /// # Errors
    /// If Redis cannot be read. Nothing counts as told then.
    pub async fn look(
        &mut self,
        client: &Client,
        names: &[SchedulerName],
        whole: bool,
    ) -> Result<Vec<Pushed>, StoreError> {
        let now = Instant::now();
        let mut unknown: Vec<(SchedulerName, OperationId)> = Vec::new();
        for (name, members) in members(client, names, whole).await? {
            let queue = self.0.entry(name.clone()).or_default();
            if whole {
                queue.keep(&members);
            }
            let ids = queue.unknown(&name, members, now);
            if queue.is_empty() && ids.is_empty() {
                self.0.remove(&name);
            }
            unknown.extend(ids.into_iter().map(|id| (name.clone(), id)));
        }
        let asked = unknown.iter().flat_map(|(name, id)| {
            let keys = Keys(name.as_str());
            [
                Ask::fields(keys.journal(), [id]),
                Ask::hash(keys.operation(*id)),
            ]
        });
        let mut replies = ask(client, asked.collect()).await?.into_iter();
        let mut pushed = Vec::new();
        for (name, id) in unknown {
            let (Some(entry), Some(hash)) = (replies.next(), replies.next()) else {
                break;
            };
            let queue = self.0.entry(name.clone()).or_default();
            if let Some(record) = queue.judge(&name, id, entry, hash, now) {
                pushed.push((name, record));
            }
        }
        Ok(pushed)
    }

    /// The operation has been handed to somebody who listens.
    pub fn told(&mut self, name: &SchedulerName, id: OperationId) {
        if let Some(queue) = self.0.get_mut(name) {
            queue.told.insert(id, Instant::now());
        }
    }

    /// Schedulers of whose queues something is remembered.
    pub fn known(&self) -> HashSet<SchedulerName> {
        self.0.keys().cloned().collect()
    }

    /// Schedulers with ids whose hashes may still come.
    pub fn waiting_for_hashes(&self) -> Vec<SchedulerName> {
        let waiting = self.0.iter().filter(|(_, queue)| !queue.missing.is_empty());
        waiting.map(|(name, _)| name.clone()).collect()
    }
}

impl Queue {
    fn is_empty(&self) -> bool {
        let sets = self.settled.is_empty() && self.told.is_empty();
        sets && self.missing.is_empty() && self.reported.is_empty()
    }

    fn keep(&mut self, members: &[String]) {
        let there: HashSet<&str> = members.iter().map(String::as_str).collect();
        let stays = |id: &OperationId| there.contains(id.to_string().as_str());
        self.settled.retain(stays);
        self.told.retain(|id, _| stays(id));
        self.missing.retain(|id, _| stays(id));
        self.reported.retain(|text| there.contains(text.as_str()));
    }

    /// Ids that have to be looked at.
    fn unknown(
        &mut self,
        name: &SchedulerName,
        members: Vec<String>,
        now: Instant,
    ) -> Vec<OperationId> {
        let mut ids = Vec::new();
        for text in members {
            let Some(id) = operation_id(&text) else {
                if self.reported.insert(text.clone()) {
                    let text = told(&text);
                    warn!(scheduler = %name, "{text:?} in the queue is no UUID; it is left there");
                }
                continue;
            };
            let told = self.told.get(&id);
            let is_told = told.is_some_and(|at| now.duration_since(*at) < TELL_AGAIN);
            if !is_told && !self.settled.contains(&id) && !self.reported.contains(&text) {
                ids.push(id);
            }
        }
        ids
    }

    fn judge(
        &mut self,
        name: &SchedulerName,
        id: OperationId,
        entry: Reply,
        hash: Reply,
        now: Instant,
    ) -> Option<OperationRecord> {
        let ours = entry.optional().ok().into_iter().flatten().flatten().next();
        if ours.is_some() {
            self.settled.insert(id);
            return None;
        }
        let values = OperationValues {
            hash: hash.hash().unwrap_or_else(|WrongType| HashMap::new()),
            ..OperationValues::default()
        };
        let record = values.record(name, id);
        if let Err(Unreadable::NoHash(_)) = record {
            let since = *self.missing.entry(id).or_insert(now);
            if now.duration_since(since) < HASH_PATIENCE {
                return None;
            }
        }
        self.missing.remove(&id);
        match record {
            Ok(record) if record.status == OperationStatus::Pending => Some(record),
            // One that was canceled while it waited (contract 5.10), or that the original began.
            Ok(_) => {
                self.settled.insert(id);
                None
            }
            Err(reason) => {
                let reason = told(&reason.to_string());
                warn!(scheduler = %name, "an operation in the queue cannot be read: {reason}; it is left there");
                self.reported.insert(id.to_string());
                None
            }
        }
    }
}

/// The ids in the queues, in the order in which they will run. A key of another type has none; its owner's next load
/// says so.
async fn members(
    client: &Client,
    names: &[SchedulerName],
    whole: bool,
) -> Result<Vec<(SchedulerName, Vec<String>)>, StoreError> {
    /// Commands for one scheduler.
    const EACH: usize = 3;
    let first = if whole { QUEUE_MAX } else { ENDS };
    let asked = names.iter().flat_map(|name| {
        let keys = Keys(name.as_str());
        let tail = [keys.queue().into(), (-ENDS).into(), (-1).into()];
        [
            Ask::list(keys.taken(), first),
            Ask::list(keys.queue(), first),
            Ask::new("LRANGE", tail),
        ]
    });
    let mut replies = ask(client, asked.collect()).await?.into_iter();
    let members = names.iter().map(|name| {
        let mut seen = HashSet::new();
        let texts = replies
            .by_ref()
            .take(EACH)
            .flat_map(|reply| reply.texts().unwrap_or_default());
        let texts = texts.filter(|text| seen.insert(text.clone())).collect();
        (name.clone(), texts)
    });
    Ok(members.collect())
}
