//! Looks which schedulers there are, who owns them, and which of them belong on this node (architecture 5, Becoming the
//! owner). It reads only: the supervisor takes schedulers and hands them over.

use crate::Directory;
use crate::parts::NodeParts;
use crate::supervisor_messages::{Notice, SupervisorLink};
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use maestro_core::domain::{Mono, SchedulerName};
use maestro_core::ports::{Member, Owner, OwnerChange, StoreError};
use maestro_core::rules::placement::{Placement, Plan, Situation};
use std::collections::{BTreeSet, HashMap};
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info};
use uuid::Uuid;

/// All schedulers and their owners are listed this often. In between the changes are followed, and a change that was
/// missed is made good by the next listing.
const LISTING: Duration = Duration::from_secs(10);
/// Maximum number of changes that are taken before the next plan.
const CHANGES_MAX: usize = 1024;

/// When schedulers become free, the members are asked for this often at most.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How long the store may take to say who owns a scheduler.
const OWNER_MAX: Duration = Duration::from_secs(2);
/// How often it is asked if the owner changes meanwhile.
const ASKED_MAX: usize = 4;

/// Runs on the I/O runtime until `stop`.
pub(crate) async fn run(
    parts: NodeParts,
    directory: Directory,
    supervisor: SupervisorLink,
    stop: CancellationToken,
) {
    let every = parts.settings.lease_renewal;
    let look_again = parts.look_again.clone();
    let mut survey = Survey::new(parts, directory, supervisor);
    let mut next_look = Instant::now();
    loop {
        let woken = tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep_until(next_look) => Woken::Time,
            () = look_again.notified() => Woken::Asked,
            change = survey.changes.next() => Woken::Change(change),
        };
        // If this task ended, no scheduler would get an owner any more: a panic ends only the round.
        let round = AssertUnwindSafe(survey.round(woken));
        tokio::select! {
            () = stop.cancelled() => return,
            _ = round.catch_unwind() => {}
        }
        if next_look <= Instant::now() {
            next_look = Instant::now() + every;
        }
    }
}

/// Looks up who owns a scheduler that this node does not own, and tells the directory. If nobody does, it may belong
/// here.
///
/// # Errors
/// If the store cannot be read: then nothing is known.
pub(crate) async fn find_owner(
    parts: &NodeParts,
    directory: &Directory,
    name: &SchedulerName,
) -> Result<(), StoreError> {
    let ask = || async {
        let asked = parts.ownership.owner(name);
        let late = |_| Err(StoreError::Unavailable("it does not answer".into()));
        let owner = tokio::time::timeout(OWNER_MAX, asked).await;
        owner.unwrap_or_else(late)
    };
    let owner = newest(|| directory.noted(name), ask).await?;
    note(parts, directory, name, owner);
    parts.look_again.notify_one();
    Ok(())
}

/// Asks again if something was noted before the answer came: that may be newer than what the answer tells.
async fn newest<N, T, E, F>(noted: impl Fn() -> N, ask: impl Fn() -> F) -> Result<T, E>
where
    N: PartialEq,
    F: Future<Output = Result<T, E>>,
{
    let mut before = noted();
    for _ in 1..ASKED_MAX {
        let answer = ask().await?;
        let now = noted();
        if now == before {
            return Ok(answer);
        }
        before = now;
    }
    ask().await
}

/// What is owned here is known better than any listing could tell.
fn note(parts: &NodeParts, directory: &Directory, name: &SchedulerName, owner: Owner) {
    if directory.is_local(name) {
        return;
    }
    let owner = match owner {
        // An earlier owner on this node, which has ended.
        Owner::Held(holder) if holder.session == parts.ownership.myself().session => Owner::Nobody,
        owner => owner,
    };
    directory.note(name, owner);
}

/// Why a round begins.
enum Woken {
    Time,
    Asked,
    Change(Option<OwnerChange>),
}

struct Survey {
    parts: NodeParts,
    directory: Directory,
    supervisor: SupervisorLink,
    changes: BoxStream<'static, OwnerChange>,
    /// The living nodes at the last look; empty before the first one.
    members: Vec<Member>,
    looked_at: Option<Mono>,
    listed_at: Option<Mono>,
    /// There was a listing because of its time: what nobody waits for follows, once schedulers without an owner are
    /// taken.
    chores: bool,
    placement: Placement,
    /// The last look failed. Used to log it once, not each second.
    failing: bool,
}

impl Survey {
    fn new(parts: NodeParts, directory: Directory, supervisor: SupervisorLink) -> Self {
        let lease = parts.settings.lease_ttl;
        Self {
            changes: parts.ownership.changes(),
            parts,
            directory,
            supervisor,
            members: Vec::new(),
            looked_at: None,
            listed_at: None,
            chores: false,
            placement: Placement::new(lease),
            failing: false,
        }
    }

    async fn round(&mut self, woken: Woken) {
        match woken {
            Woken::Asked => {}
            Woken::Change(Some(change)) => {
                // It may have been released by a node that drains, or for one that has just begun.
                if self.follow(change) && self.is_old() {
                    let looked = self.look().await;
                    self.report(looked);
                }
            }
            // A stream that ended is not asked again; listings go on.
            Woken::Change(None) => self.changes = futures_util::stream::pending().boxed(),
            Woken::Time => {
                let looked = self.look().await;
                self.report(looked);
            }
        }
        if self.listed_at.is_some() {
            self.plan();
        }
        if std::mem::take(&mut self.chores) {
            self.sample().await;
            self.tidy().await;
        }
    }

    fn report(&mut self, looked: Result<(), StoreError>) {
        match looked {
            Ok(()) if std::mem::take(&mut self.failing) => {
                info!("the schedulers and their owners can be listed again");
            }
            Ok(()) => {}
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    error!(%error, "the schedulers cannot be listed; trying again");
                }
            }
        }
    }

    /// Which nodes are alive; then all schedulers, if that has changed or the last listing is too old.
    async fn look(&mut self) -> Result<(), StoreError> {
        if self.members.is_empty() {
            // Begins the session, without which this node would not be among the members.
            self.parts.ownership.renew(&[]).await?;
        }
        let members = self.parts.ownership.members().await?;
        let me = self.parts.ownership.myself().session;
        if !members.iter().any(|member| member.session == me) {
            // A database that takes no changes, or has just been away, shows the sessions of all nodes as ended, and
            // whoever believed that could not pass pings on to owners that live.
            let text = "this node's session has ended, and is not renewed yet; what is known of owners stays";
            return Err(StoreError::Unavailable(text.into()));
        }
        let sessions = |members: &[Member]| -> BTreeSet<Uuid> {
            members.iter().map(|member| member.session).collect()
        };
        let changed = sessions(&members) != sessions(&self.members);
        self.directory.set_members(&members);
        self.members = members;
        let now = self.parts.clock.now().mono;
        self.looked_at = Some(now);
        let due = self.listed_at.is_none_or(|at| now.since(at) >= LISTING);
        if changed || due {
            self.listed_at = None;
            self.list().await?;
            self.listed_at = Some(now);
            self.chores |= due;
        }
        Ok(())
    }

    async fn list(&mut self) -> Result<(), StoreError> {
        let names = self.parts.ownership.discover().await?;
        let mut owners: HashMap<_, _> = self.parts.ownership.owners().await?.into_iter().collect();
        let mut known: BTreeSet<SchedulerName> = names.into_iter().collect();
        // Being created by their owner, for example.
        known.extend(owners.keys().cloned());
        for (name, _) in self.directory.elsewhere() {
            if !known.contains(&name) {
                self.note(&name, Owner::Unknown);
            }
        }
        for name in known {
            let owner = owners.remove(&name).map_or(Owner::Nobody, Owner::Held);
            self.note(&name, owner);
        }
        Ok(())
    }

    /// Names that nobody needs any more would otherwise be kept and listed for ever. The next listing tries again.
    async fn tidy(&mut self) {
        match tokio::time::timeout(OWNER_MAX, self.parts.ownership.forget_unneeded()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(%error, "unneeded names are not forgotten"),
            Err(_) => debug!("unneeded names are not forgotten in time"),
        }
    }

    /// Reads what metrics show of the store. Nothing else depends on it.
    async fn sample(&mut self) {
        match tokio::time::timeout(OWNER_MAX, self.parts.ownership.outbox()).await {
            Ok(Ok(outbox)) => self.directory.counters().taken.set_outbox(outbox),
            Ok(Err(error)) => debug!(%error, "the outbox cannot be counted"),
            Err(_) => debug!("the outbox is not counted in time"),
        }
    }

    /// Takes a change, and the others that have come with it. Returns whether a scheduler has become free.
    fn follow(&mut self, change: OwnerChange) -> bool {
        let mut freed = change.owner == Owner::Nobody;
        self.note(&change.scheduler, change.owner);
        for _ in 0..CHANGES_MAX {
            let Some(Some(change)) = self.changes.next().now_or_never() else {
                break;
            };
            freed |= change.owner == Owner::Nobody;
            self.note(&change.scheduler, change.owner);
        }
        freed
    }

    /// Whether the last look was so long ago that another one is worth it.
    fn is_old(&self) -> bool {
        let now = self.parts.clock.now().mono;
        self.looked_at.is_none_or(|at| now.since(at) >= LOOK_AGAIN)
    }

    fn note(&self, name: &SchedulerName, owner: Owner) {
        note(&self.parts, &self.directory, name, owner);
    }

    /// Tells the supervisor which schedulers to take, and which to hand over.
    fn plan(&mut self) {
        let mine = self.directory.all();
        let mine: Vec<_> = mine.iter().map(|handle| handle.name().clone()).collect();
        let elsewhere = self.directory.elsewhere().into_iter();
        let free = elsewhere.filter(|(_, holder)| holder.is_none());
        let free: Vec<_> = free.map(|(name, _)| name).collect();
        // If there are more to acquire, the supervisor asks for the next round when it has loaded these.
        let Plan {
            acquire, hand_over, ..
        } = self.placement.plan(&Situation {
            now: self.parts.clock.now().mono,
            me: self.parts.ownership.myself().session,
            members: &self.members,
            mine: &mine,
            free: &free,
            leaves_rooms: self.directory.leaves_rooms(),
        });
        if !acquire.is_empty() || !self.directory.is_complete() {
            self.supervisor.tell(Notice::Take(acquire));
        }
        if !hand_over.is_empty() {
            self.supervisor.tell(Notice::HandOver(hand_over));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[tokio::test]
    async fn an_answer_from_before_a_change_does_not_undo_it() {
        let (noted, asked) = (Cell::new("nobody"), Cell::new(0));
        let ask = || async {
            let stored = if asked.get() == 0 { "nobody" } else { "node" };
            // The change is told while the first answer is under way.
            noted.set("node");
            asked.set(asked.get() + 1);
            Ok::<_, ()>(stored)
        };
        assert_eq!(newest(|| noted.get(), ask).await, Ok("node"));
        assert_eq!(asked.get(), 2);
    }
}
