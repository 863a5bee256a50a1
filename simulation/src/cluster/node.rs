//! A node: its session, what it knows of the others, and the owners that it hosts.

use super::owner::Owner;
use maestro_core::domain::*;
use maestro_core::ports::Member;
use maestro_core::rules::lease::{Judgement, patience};
use maestro_core::rules::placement::{Placement, Plan, Situation};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use uuid::Uuid;

use super::store::LEASE;

/// The time between two rounds of a node.
pub(super) const ROUND: Duration = Duration::from_secs(1);

/// What an answer of the store is for.
#[derive(Clone, Debug)]
pub(super) enum Purpose {
    Look,
    Renew(Vec<(SchedulerName, Epoch)>),
    Acquire(Vec<SchedulerName>),
    Load(SchedulerName, Epoch, Mono),
    Release,
    /// Of the owner with this life.
    Commit(SchedulerName, u64),
    LookUp(SchedulerName, u64),
}

pub(super) struct Node {
    pub member: Member,
    /// It runs; otherwise it is begun again later, as another session.
    pub up: bool,
    /// Its process is stopped until then, and goes on afterwards as if nothing had been.
    pub frozen_until: Mono,
    /// Nothing passes between it and the store until then.
    pub cut_off_until: Mono,
    /// What its clock on the wall is ahead of the true one, in seconds.
    pub skew: i64,
    pub owners: BTreeMap<SchedulerName, Owner>,
    /// Schedulers that are being acquired or loaded.
    pub coming: BTreeSet<SchedulerName>,
    /// Requests without an answer, with the time at which they were sent.
    pub open: BTreeMap<u64, (Purpose, Mono)>,
    /// Who owned what at the last look.
    pub known: BTreeMap<SchedulerName, Uuid>,
    placement: Placement,
}

impl Node {
    pub fn new(number: usize, sessions: &mut u128, skew: i64) -> Self {
        *sessions += 1;
        Self {
            member: Member {
                session: Uuid::from_u128(*sessions),
                name: format!("node-{number}"),
                address: format!("10.0.0.{number}"),
                hosts: true,
                draining: false,
                runtime_domain: "zone".into(),
                version: "1".into(),
            },
            up: true,
            frozen_until: Mono::default(),
            cut_off_until: Mono::default(),
            skew,
            owners: BTreeMap::new(),
            coming: BTreeSet::new(),
            open: BTreeMap::new(),
            known: BTreeMap::new(),
            placement: Placement::new(LEASE),
        }
    }

    /// The owners whose leases are to be renewed, and those that are stuck.
    pub fn judge(&mut self, now: Mono) -> [Vec<(SchedulerName, Epoch)>; 2] {
        let (mut alive, mut stuck) = (Vec::new(), Vec::new());
        let patience = patience(LEASE, ROUND);
        for (name, owner) in &mut self.owners {
            let held = (name.clone(), owner.epoch);
            let judged = owner.pulse.judge(owner.turns, patience);
            match judged {
                Judgement::Stuck | Judgement::StillStuck => stuck.push(held),
                _ => alive.push(held),
            }
            // It answers the probe of this round, or an earlier one.
            if owner.blocked_until <= now && judged != Judgement::Resting {
                owner.turns += 1;
            }
        }
        [alive, stuck]
    }

    pub fn plan(
        &mut self,
        now: Mono,
        members: &[Member],
        owners: BTreeMap<SchedulerName, Uuid>,
        names: Vec<SchedulerName>,
    ) -> Plan {
        let me = self.member.session;
        let mine: Vec<_> = self.owners.keys().chain(&self.coming).cloned().collect();
        let mut free = names;
        // What this session owns without an owner here is left from an earlier one.
        free.retain(|name| {
            !mine.contains(name) && owners.get(name).is_none_or(|session| *session == me)
        });
        self.known = owners;
        self.placement.plan(&Situation {
            now,
            me,
            members,
            mine: &mine,
            free: &free,
            leaves_rooms: false,
        })
    }

    /// An owner, unless another one has followed it.
    pub fn owner(&mut self, name: &SchedulerName, life: u64) -> Option<&mut Owner> {
        self.owners.get_mut(name).filter(|owner| owner.life == life)
    }
}
