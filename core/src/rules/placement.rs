//! Which node owns which scheduler. Every node computes this by itself, from the same list of members, by rendezvous
//! hashing (highest random weight; Thaler and Ravishankar, IEEE/ACM Transactions on Networking 6(1), 1998): a scheduler
//! belongs to the member with the highest hash of (member, scheduler). So a node that joins or leaves moves its own
//! share only, and nodes need not agree on anything else. The store decides who owns a scheduler (architecture 5): if
//! nodes see different members for a moment, one of them is refused.

use crate::domain::{Mono, SchedulerName};
use crate::ports::Member;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use uuid::Uuid;

/// Most schedulers that a node acquires in one round.
pub const ACQUIRE_MOST: usize = 100;
/// Most schedulers that a node hands over at once. The next ones follow a third of a lease later, unless it drains.
pub const HAND_OVER_MOST: usize = 16;
/// A free scheduler is left to each member that ranks higher for this number of leases.
const LEASES_LEFT_TO_OTHERS: u32 = 2;
/// For this number of leases nothing is handed over to a member that did not take it the last time. It doubles each
/// time.
const LEASES_PASSED_OVER: u32 = 20;
/// The number above is doubled at most this often: an hour with leases of three seconds.
const DOUBLED_MOST: u32 = 6;

/// The member that should own the scheduler. `None` if there is none that hosts owners and is not draining.
pub fn target<'a>(name: &SchedulerName, members: &'a [Member]) -> Option<&'a Member> {
    candidates(members).max_by_key(|member| weight(member, name))
}

/// Whether a scheduler of `me` stays there although it drains: the node that should own it cannot see its rooms.
pub fn stays(name: &SchedulerName, me: &Member, members: &[Member]) -> bool {
    let others = candidates(members).filter(|member| member.session != me.session);
    let to = others.max_by_key(|member| weight(member, name));
    to.is_none_or(|to| to.runtime_domain != me.runtime_domain)
}

fn candidates(members: &[Member]) -> impl Iterator<Item = &Member> {
    members.iter().filter(|m| m.hosts && !m.draining)
}

/// A process keeps its weights when it is restarted under the same name and address, so that a quick restart moves
/// nothing. Sessions only tell members apart that have both in common.
fn weight(member: &Member, name: &SchedulerName) -> (u64, u64) {
    let place = [&member.name, "\0", &member.address, "\0", name.as_str()];
    let place = place.iter().flat_map(|part| part.bytes());
    let session = member.session.as_bytes().iter().copied();
    (hash(place), hash(session.chain(name.as_str().bytes())))
}

/// FNV-1a with the final mix of MurmurHash3, because the last bytes change too few bits of FNV alone. All versions of
/// the program must agree on it.
fn hash(bytes: impl Iterator<Item = u8>) -> u64 {
    let mut hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(factor);
    }
    hash ^ (hash >> 33)
}

/// What a node knows at the beginning of a round.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The time of the round.
    pub now: Mono,
    /// The session of this node.
    pub me: Uuid,
    /// All nodes that are alive. A node that is not among them does nothing.
    pub members: &'a [Member],
    /// The schedulers that this node owns, or is about to.
    pub mine: &'a [SchedulerName],
    /// All schedulers without an owner.
    pub free: &'a [SchedulerName],
    /// This node drains, and its operator gives up the rooms that only it can see.
    pub leaves_rooms: bool,
}

/// What a node does in one round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Schedulers to acquire, at most [`ACQUIRE_MOST`].
    pub acquire: Vec<SchedulerName>,
    /// Schedulers to release, so that their target takes them: at most [`HAND_OVER_MOST`].
    pub hand_over: Vec<SchedulerName>,
    /// More schedulers are to be acquired: the next round should follow when these are loaded.
    pub more: bool,
}

/// One node's plans for the placement of schedulers, with what it has to remember between rounds.
#[derive(Debug)]
pub struct Placement {
    lease: Duration,
    /// Since when members are known.
    seen: HashMap<Uuid, Mono>,
    /// Since when schedulers are without an owner.
    free: HashMap<SchedulerName, Mono>,
    /// When schedulers were handed over to balance the load.
    handed_over: Option<Mono>,
    /// Schedulers that this node took because their target did not.
    passed_over: HashMap<SchedulerName, PassedOver>,
}

/// A member that did not take a scheduler which was free.
#[derive(Clone, Copy, Debug)]
struct PassedOver {
    session: Uuid,
    until: Mono,
    times: u32,
}

impl Placement {
    /// `lease` is the duration of a lease.
    pub fn new(lease: Duration) -> Self {
        Self {
            lease,
            seen: HashMap::new(),
            free: HashMap::new(),
            handed_over: None,
            passed_over: HashMap::new(),
        }
    }

    /// Plans a round.
    ///
    /// A free scheduler is acquired by its target at once. A target that cannot load it must not leave it without an
    /// owner, so the second in rank takes it after two leases, the third after four. Own schedulers are handed over to
    /// their target if it
    /// - is in the same runtime domain, because the rooms cannot be moved, unless an operator gives them up;
    /// - has been alive for a lease, so that a process that ends again and again gets nothing;
    /// - did not fail to take it lately.
    ///
    /// A node that drains has no share, so it hands over everything in this way.
    pub fn plan(&mut self, situation: &Situation<'_>) -> Plan {
        self.remember(situation);
        let me = situation.members.iter().find(|m| m.session == situation.me);
        let Some(me) = me.filter(|m| m.hosts) else {
            return Plan::default();
        };
        let mut plan = Plan::default();
        self.acquire(me, situation, &mut plan);
        self.hand_over(me, situation, &mut plan);
        plan
    }

    fn acquire(&mut self, me: &Member, situation: &Situation<'_>, plan: &mut Plan) {
        if me.draining {
            return;
        }
        let wait = self.lease * LEASES_LEFT_TO_OTHERS;
        let mut others = Vec::new();
        for name in situation.free {
            let own = weight(me, name);
            let higher = candidates(situation.members).filter(|m| weight(m, name) > own);
            match u32::try_from(higher.count()).unwrap_or(u32::MAX) {
                0 => plan.acquire.push(name.clone()),
                rank if self.free_for(name, situation.now) >= wait.saturating_mul(rank) => {
                    others.push(name.clone());
                }
                _ => {}
            }
        }
        plan.acquire.append(&mut others);
        plan.more = plan.acquire.len() > ACQUIRE_MOST;
        plan.acquire.truncate(ACQUIRE_MOST);
        for name in &plan.acquire {
            self.pass_over(name, situation);
        }
    }

    fn hand_over(&mut self, me: &Member, situation: &Situation<'_>, plan: &mut Plan) {
        let now = situation.now;
        let waits = |last: Mono| now.since(last) < self.lease / 3;
        if !me.draining && self.handed_over.is_some_and(waits) {
            return;
        }
        let others = candidates(situation.members).filter(|m| m.session != me.session);
        let most = match me.draining {
            true => HAND_OVER_MOST,
            // A node that joins is the target of all others. It must not get more than it can acquire in a round.
            false => (ACQUIRE_MOST / others.count().max(1)).clamp(1, HAND_OVER_MOST),
        };
        let leaves_rooms = situation.leaves_rooms && me.draining;
        let leaves = |name: &&SchedulerName| {
            target(name, situation.members).is_some_and(|to| {
                let passed_over = |p: &PassedOver| p.session == to.session && now < p.until;
                to.session != me.session
                    && (to.runtime_domain == me.runtime_domain || leaves_rooms)
                    && self
                        .seen
                        .get(&to.session)
                        .is_some_and(|first| now.since(*first) >= self.lease)
                    && !self.passed_over.get(*name).is_some_and(passed_over)
            })
        };
        let leaving = situation.mine.iter().filter(leaves).take(most);
        plan.hand_over = leaving.cloned().collect();
        if !plan.hand_over.is_empty() {
            self.handed_over = Some(now);
        }
    }

    /// Remembers that the scheduler is taken because its target did not take it.
    fn pass_over(&mut self, name: &SchedulerName, situation: &Situation<'_>) {
        let target = target(name, situation.members).map(|to| to.session);
        let Some(session) = target.filter(|session| *session != situation.me) else {
            return;
        };
        let before = self.passed_over.get(name).filter(|p| p.session == session);
        let times = before.map_or(0, |p| (p.times + 1).min(DOUBLED_MOST));
        let leases = LEASES_PASSED_OVER << times;
        let until = situation.now.plus(self.lease * leases);
        let entry = PassedOver {
            session,
            until,
            times,
        };
        self.passed_over.insert(name.clone(), entry);
    }

    fn free_for(&self, name: &SchedulerName, now: Mono) -> Duration {
        self.free
            .get(name)
            .map_or(Duration::ZERO, |since| now.since(*since))
    }

    /// Keeps what is known about members and schedulers that are still there.
    fn remember(&mut self, situation: &Situation<'_>) {
        let now = situation.now;
        let sessions = situation.members.iter().map(|m| m.session);
        self.seen = sessions
            .map(|session| (session, self.seen.get(&session).copied().unwrap_or(now)))
            .collect();
        let free = situation.free.iter();
        self.free = free
            .map(|name| (name.clone(), self.free.get(name).copied().unwrap_or(now)))
            .collect();
        if !self.passed_over.is_empty() {
            let known: HashSet<_> = situation.mine.iter().chain(situation.free).collect();
            self.passed_over.retain(|name, _| known.contains(name));
        }
    }
}

#[cfg(test)]
mod tests;
