//! The store that the nodes share: sessions and owners beside what is stored of each scheduler, whose writes it fences.

use crate::stored::Stored;
use maestro_core::domain::*;
use maestro_core::ports::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// How long a session lasts without a renewal.
pub const LEASE: Duration = Duration::from_secs(3);
/// Commits of one scheduler that a fail-over may lose.
const PAST_MAX: usize = 4;

/// A request of a node.
#[derive(Clone, Debug)]
pub(super) enum Request {
    /// Which nodes, schedulers and owners there are.
    Look,
    Renew(Vec<(SchedulerName, Epoch)>),
    Acquire(Vec<SchedulerName>),
    Release(Vec<(SchedulerName, Epoch)>),
    Load(SchedulerName, Epoch),
    Commit(Fence, Arc<[Change]>),
    StoredSeq(SchedulerName, Epoch),
}

/// The answer to it.
#[derive(Debug)]
pub(super) enum Answer {
    Looked {
        members: Vec<Member>,
        owners: BTreeMap<SchedulerName, Uuid>,
        names: Vec<SchedulerName>,
    },
    Renewed(Vec<Renewal>),
    Acquired(Vec<Claim>),
    Released,
    Loaded(Box<Result<Loaded, StoreError>>),
    Committed(Result<(), CommitError>),
    StoredSeq(Result<Seq, CommitError>),
}

/// What is stored of one scheduler.
#[derive(Default)]
pub(super) struct Row {
    /// The session and the epoch of its owner, in the part of the store that loses nothing.
    owner: Option<Uuid>,
    pub epoch: Epoch,
    /// The epoch that writes are compared with; a loss of everything takes it along.
    fence: Option<Epoch>,
    /// The highest epoch that has loaded it: no lower one may write any more.
    loaded: Epoch,
    pub stored: Stored,
    past: VecDeque<Stored>,
    /// It lost changes, and nobody has repaired it since.
    pub lost: bool,
    /// Acknowledged operations that no durable change removed.
    pub promised: BTreeSet<OperationId>,
    pub repairs: u32,
    /// It lost changes that no owner repaired and the next one could not see. From then on nobody can say to whom its
    /// rooms were promised.
    pub forgetful: bool,
}

#[derive(Default)]
pub(super) struct SharedStore {
    sessions: BTreeMap<Uuid, (Member, Mono)>,
    pub rows: BTreeMap<SchedulerName, Row>,
}

impl SharedStore {
    pub fn insert(&mut self, scheduler: Scheduler) {
        let name = scheduler.name.clone();
        let mut stored = Stored::with(scheduler);
        // Its owner has written it.
        stored.seq = Seq(1);
        let row = Row {
            stored,
            ..Row::default()
        };
        self.rows.insert(name, row);
    }

    pub fn answer(&mut self, now: Mono, by: &Member, request: &Request) -> Answer {
        match request {
            Request::Look => self.look(now),
            Request::Renew(held) => {
                self.extend(now, by);
                let renewal = |(name, epoch): &(SchedulerName, Epoch)| match self.rows[name]
                    .is_owned(by.session, *epoch)
                {
                    true => Renewal::Held(LEASE),
                    false => Renewal::Lost,
                };
                Answer::Renewed(held.iter().map(renewal).collect())
            }
            Request::Acquire(names) => {
                self.extend(now, by);
                let claims = names.iter().map(|name| self.claim(now, by, name));
                Answer::Acquired(claims.collect())
            }
            Request::Release(held) => {
                for (name, epoch) in held {
                    let row = self.rows.get_mut(name);
                    if let Some(row) = row.filter(|row| row.is_owned(by.session, *epoch)) {
                        row.owner = None;
                    }
                }
                Answer::Released
            }
            Request::Load(name, epoch) => Answer::Loaded(Box::new(self.load(name, *epoch))),
            Request::Commit(fence, changes) => Answer::Committed(self.commit(fence, changes)),
            Request::StoredSeq(name, epoch) => {
                let row = &self.rows[name];
                let seq = row.check(*epoch).map(|()| row.stored.seq);
                Answer::StoredSeq(seq)
            }
        }
    }

    fn extend(&mut self, now: Mono, by: &Member) {
        let until = now.plus(LEASE);
        self.sessions.insert(by.session, (by.clone(), until));
    }

    /// Ends a session at once, as a process does that stops.
    pub fn leave(&mut self, session: Uuid) {
        self.sessions.remove(&session);
    }

    pub fn holder(&self, now: Mono, name: &SchedulerName) -> Option<Uuid> {
        let session = self.rows[name].owner?;
        let (_, until) = self.sessions.get(&session)?;
        (*until > now).then_some(session)
    }

    fn look(&self, now: Mono) -> Answer {
        let alive = self.sessions.values().filter(|(_, until)| *until > now);
        let names: Vec<_> = self.rows.keys().cloned().collect();
        let owned = |name: &SchedulerName| Some((name.clone(), self.holder(now, name)?));
        Answer::Looked {
            members: alive.map(|(member, _)| member.clone()).collect(),
            owners: names.iter().filter_map(owned).collect(),
            names,
        }
    }

    fn claim(&mut self, now: Mono, by: &Member, name: &SchedulerName) -> Claim {
        let holder = self.holder(now, name);
        let row = self.rows.entry(name.clone()).or_default();
        match holder.filter(|session| *session != by.session) {
            Some(session) => Claim::HeldBy(Holder {
                session,
                address: String::new(),
                epoch: row.epoch,
            }),
            None => {
                row.owner = Some(by.session);
                row.epoch.0 += 1;
                Claim::Owned {
                    epoch: row.epoch,
                    seq: row.stored.seq,
                }
            }
        }
    }

    /// The fence is raised before anything is read.
    fn load(&mut self, name: &SchedulerName, epoch: Epoch) -> Result<Loaded, StoreError> {
        let row = self.rows.entry(name.clone()).or_default();
        let known = row.fence.unwrap_or_default();
        if epoch < row.epoch || epoch < known {
            return Err(StoreError::Fenced { stored: row.epoch });
        }
        row.fence = Some(epoch);
        row.loaded = row.loaded.max(epoch);
        row.past.clear();
        if std::mem::take(&mut row.lost) {
            row.forget_lost();
            row.forgetful |= !row.stored.behind;
        }
        for id in &row.promised {
            let there = row.stored.operations.contains_key(id);
            assert!(there, "{name}: operation {id} was acknowledged and is lost");
        }
        Ok(row.stored.loaded())
    }

    fn commit(&mut self, fence: &Fence, changes: &[Change]) -> Result<(), CommitError> {
        let row = self.rows.entry(fence.scheduler.clone()).or_default();
        row.check(fence.epoch)?;
        let before = row.stored.clone();
        row.stored.commit(fence, changes, None)?;
        let name = &fence.scheduler;
        assert!(fence.epoch >= row.loaded, "{name}: an earlier owner writes");
        row.fence = Some(fence.epoch);
        row.past.push_back(before);
        if row.past.len() > PAST_MAX {
            row.past.pop_front();
        }
        for change in changes {
            match change {
                Change::DeleteOperations(ids) => row.promised.retain(|id| !ids.contains(id)),
                Change::Clear => row.repairs += 1,
                _ => {}
            }
        }
        if changes.contains(&Change::Clear) {
            row.lost = false;
            row.forget_lost();
        }
        Ok(())
    }
}

impl Row {
    fn is_owned(&self, session: Uuid, epoch: Epoch) -> bool {
        self.owner == Some(session) && self.epoch == epoch
    }

    /// Refuses an earlier owner; where the fence is lost, the part of the store that loses nothing tells who that is.
    fn check(&self, epoch: Epoch) -> Result<(), CommitError> {
        let stored = self.fence.unwrap_or(self.epoch);
        match stored > epoch {
            true => Err(CommitError::Fenced { stored }),
            false => Ok(()),
        }
    }

    /// Loses the last commits since the last load, or everything.
    pub fn lose(&mut self, commits: Option<usize>) {
        match commits {
            Some(commits) => {
                for _ in 0..commits {
                    if let Some(before) = self.past.pop_back() {
                        self.stored = before;
                        self.lost = true;
                    }
                }
            }
            None => {
                self.past.clear();
                self.stored.lose_everything();
                self.fence = None;
                self.lost = true;
            }
        }
    }

    /// Of the operations that were promised, those that are lost for good.
    pub fn forget_lost(&mut self) {
        let stored = &self.stored.operations;
        self.promised.retain(|id| stored.contains_key(id));
    }
}
