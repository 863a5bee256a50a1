//! The rounds of a node, its requests to the store, and what follows from the answers.

use super::node::{Purpose, ROUND};
use super::owner::{Next, Owner};
use super::store::{Answer, Request};
use super::{Cluster, Event, Place};
use maestro_core::domain::*;
use maestro_core::ports::*;
use maestro_core::state::SchedulerState;
use std::collections::BTreeMap;
use std::time::Duration;
use uuid::Uuid;

impl Cluster {
    /// Renews the leases of owners that make progress, gives back those of stuck ones, and looks around.
    pub(super) fn round(&mut self, place: Place) {
        let now = self.now;
        let [alive, stuck] = self.nodes[place.0].judge(now);
        for (name, _) in stuck {
            self.note(|| format!("node {} releases {name}, which is stuck", place.0));
            self.end_owner(place, &name, true);
        }
        self.send(place, Purpose::Renew(alive.clone()), Request::Renew(alive));
        self.send(place, Purpose::Look, Request::Look);
        self.schedule(now.plus(ROUND), Event::Round(place));
    }

    /// The store carries out a request. It may fail before, and its answer may be lost.
    pub(super) fn ask(&mut self, place: Place, number: u64, by: &Member, request: &Request) {
        if self.nodes[place.0].cut_off_until > self.now {
            return;
        }
        let fails = self.faulty && self.one_in(50);
        let answer = match request {
            Request::Commit(..) if fails => {
                Answer::Committed(Err(CommitError::NotApplied("full".into())))
            }
            _ if fails => return,
            _ => self.store.answer(self.now, by, request),
        };
        if let Answer::Committed(Err(CommitError::Fenced { .. })) = &answer {
            self.figures.fenced += 1;
        }
        if self.nodes[place.0].cut_off_until > self.now || (self.faulty && self.one_in(60)) {
            return;
        }
        self.at(1..20, Event::ToNode(place, number, answer));
    }

    pub(super) fn answer(&mut self, place: Place, number: u64, answer: Answer) {
        let Some((purpose, sent)) = self.nodes[place.0].open.remove(&number) else {
            return; // it came twice, or too late
        };
        match (purpose, answer) {
            (Purpose::Renew(held), Answer::Renewed(answers)) => {
                for ((name, epoch), renewal) in held.into_iter().zip(answers) {
                    self.renewed(place, &name, epoch, sent, renewal);
                }
            }
            (
                Purpose::Look,
                Answer::Looked {
                    members,
                    owners,
                    names,
                },
            ) => self.looked(place, &members, owners, names),
            (Purpose::Acquire(names), Answer::Acquired(claims)) => {
                for (name, claim) in names.into_iter().zip(claims) {
                    match claim {
                        Claim::Owned { epoch, .. } => {
                            let purpose = Purpose::Load(name.clone(), epoch, sent);
                            self.send(place, purpose, Request::Load(name, epoch));
                        }
                        Claim::HeldBy(_) => drop(self.nodes[place.0].coming.remove(&name)),
                    }
                }
            }
            (Purpose::Load(name, epoch, asked), Answer::Loaded(loaded)) => {
                self.nodes[place.0].coming.remove(&name);
                if let Ok(loaded) = *loaded {
                    self.begin_owner(place, name, epoch, asked, loaded);
                }
            }
            (Purpose::Commit(name, life), Answer::Committed(outcome)) => {
                let leased = self.is_leased(place, &name, Duration::from_secs(1));
                let owner = self.nodes[place.0].owner(&name, life);
                if let Some(next) = owner.map(|owner| owner.committed(&outcome, leased)) {
                    self.follow(place, (name, life), next);
                }
            }
            (Purpose::LookUp(name, life), Answer::StoredSeq(seq)) => {
                let leased = self.is_leased(place, &name, Duration::from_secs(1));
                let owner = self.nodes[place.0].owner(&name, life);
                if let Some(next) = owner.map(|owner| owner.looked_up(seq, leased)) {
                    self.follow(place, (name, life), next);
                }
            }
            _ => {}
        }
    }

    pub(super) fn overdue(&mut self, place: Place, number: u64) {
        let Some((purpose, _)) = self.nodes[place.0].open.remove(&number) else {
            return;
        };
        match purpose {
            Purpose::Acquire(names) => {
                let coming = &mut self.nodes[place.0].coming;
                coming.retain(|name| !names.contains(name));
            }
            Purpose::Load(name, ..) => drop(self.nodes[place.0].coming.remove(&name)),
            Purpose::Commit(name, life) | Purpose::LookUp(name, life) => {
                if self.nodes[place.0].owner(&name, life).is_some() {
                    self.follow(place, (name, life), Next::LookUp);
                }
            }
            Purpose::Look | Purpose::Renew(_) | Purpose::Release => {}
        }
    }

    fn renewed(
        &mut self,
        place: Place,
        name: &SchedulerName,
        epoch: Epoch,
        sent: Mono,
        renewal: Renewal,
    ) {
        let owner = self.nodes[place.0].owners.get_mut(name);
        let Some(owner) = owner.filter(|owner| owner.epoch == epoch) else {
            return;
        };
        match renewal {
            Renewal::Held(time) => owner.lease_until = owner.lease_until.max(sent.plus(time)),
            Renewal::Lost => {
                self.note(|| format!("node {} has lost {name}", place.0));
                self.end_owner(place, name, false);
            }
        }
    }

    fn looked(
        &mut self,
        place: Place,
        members: &[Member],
        owners: BTreeMap<SchedulerName, Uuid>,
        names: Vec<SchedulerName>,
    ) {
        let now = self.now;
        let node = &mut self.nodes[place.0];
        let plan = node.plan(now, members, owners, names);
        for name in &plan.hand_over {
            self.note(|| format!("node {} hands {name} over", place.0));
            self.end_owner(place, name, true);
        }
        if !plan.acquire.is_empty() {
            self.note(|| format!("node {} asks for {:?}", place.0, plan.acquire));
            self.nodes[place.0].coming.extend(plan.acquire.clone());
            let purpose = Purpose::Acquire(plan.acquire.clone());
            self.send(place, purpose, Request::Acquire(plan.acquire));
        }
    }

    fn begin_owner(
        &mut self,
        place: Place,
        name: SchedulerName,
        epoch: Epoch,
        asked: Mono,
        loaded: Loaded,
    ) {
        self.note(|| {
            let behind = if loaded.behind {
                ", which is behind"
            } else {
                ""
            };
            format!("node {} owns {name} by {epoch:?}{behind}", place.0)
        });
        self.figures.owners += 1;
        self.count += 1;
        let (life, seq, now) = (self.count, loaded.seq, self.now_of(place.0));
        let bits = self.dice.u128(..);
        let state = SchedulerState::load(name.clone(), loaded, self.settings.clone(), now, bits);
        let owner = Owner::new(life, state, epoch, seq, asked.plus(super::store::LEASE));
        self.nodes[place.0].owners.insert(name.clone(), owner);
        let instances = self.machines[&name].running.values().cloned().collect();
        self.tell(place, (name.clone(), life), RuntimeEvent::Listed(instances));
        self.arm(place, &(name, life));
    }

    /// Ends an owner without waiting for what it has not written. It may tell the store so.
    pub(super) fn end_owner(&mut self, place: Place, name: &SchedulerName, releases: bool) {
        if let Some(owner) = self.nodes[place.0].owners.remove(name)
            && releases
        {
            let held = vec![(name.clone(), owner.epoch)];
            self.send(place, Purpose::Release, Request::Release(held));
        }
    }
}
