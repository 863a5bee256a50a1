//! How this node came to own its schedulers, and how long they were without an owner, for `/metrics`. It knows what it
//! sees: who owned a scheduler at its last look, and when that ended.

use dashmap::DashMap;
use maestro_core::domain::SchedulerName;
use maestro_core::ports::{Member, Outbox, Owner};
use parking_lot::Mutex;
use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// Sessions that have ended lately are remembered for what they owned.
const ENDED_MAX: usize = 64;
/// Upper bounds in seconds. A hand-over takes a fraction of a second, a take-over after a crash a lease.
const BOUNDS: [f64; 11] = [0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0];

/// Why a scheduler had no owner before this node took it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Cause {
    /// Nobody owned it when this node began to look.
    Start,
    /// It was created.
    Created,
    /// Its owner's session ended.
    Crash,
    /// Its owner gave it back.
    HandOver,
    /// This node itself had lost it.
    Lost,
}

/// The label of each [`Cause`].
pub(crate) const CAUSES: [&str; 5] = ["start", "created", "crash", "hand_over", "lost"];

#[derive(Default)]
pub(crate) struct Taken {
    /// Schedulers without an owner: why, and since when if that is known.
    free: DashMap<SchedulerName, (Cause, Option<Instant>)>,
    looks: Mutex<Looks>,
    taken: [AtomicU64; CAUSES.len()],
    waits: [AtomicU64; BOUNDS.len()],
    waits_count: AtomicU64,
    waits_us: AtomicU64,
    /// Owners that were loaded from a store which had lost changes.
    pub behind: AtomicU64,
    outbox: Mutex<Outbox>,
}

/// What the last looks at the members have shown.
#[derive(Default)]
struct Looks {
    at: Option<Instant>,
    alive: HashSet<Uuid>,
    /// Sessions that are gone, and when they were last seen.
    ended: VecDeque<(Uuid, Instant)>,
}

impl Taken {
    /// The members were looked at.
    pub fn looked(&self, members: &[Member]) {
        let alive: HashSet<Uuid> = members.iter().map(|member| member.session).collect();
        let mut looks = self.looks.lock();
        if let Some(at) = looks.at {
            let gone: Vec<_> = looks.alive.difference(&alive).map(|s| (*s, at)).collect();
            looks.ended.extend(gone);
            let surplus = looks.ended.len().saturating_sub(ENDED_MAX);
            looks.ended.drain(..surplus);
        }
        looks.alive = alive;
        looks.at = Some(Instant::now());
    }

    /// A scheduler has no owner: it had `before`, if this node knew it.
    pub fn freed(&self, name: &SchedulerName, before: Option<Uuid>, unseen: Cause) {
        let freed = match before {
            None if unseen == Cause::Lost => (Cause::Lost, Some(Instant::now())),
            None => (unseen, None),
            Some(session) => {
                let looks = self.looks.lock();
                let ended = looks.ended.iter().rev().find(|(gone, _)| *gone == session);
                match ended {
                    // No sooner than when its owner was last seen alive.
                    Some((_, at)) => (Cause::Crash, Some(*at)),
                    None => (Cause::HandOver, Some(Instant::now())),
                }
            }
        };
        self.free.entry(name.clone()).or_insert(freed);
    }

    /// Another node owns it, or it is gone.
    pub fn forget(&self, name: &SchedulerName) {
        self.free.remove(name);
    }

    /// Its owner on this node is loaded. Not counted if it only was loaded again.
    pub fn served(&self, name: &SchedulerName) {
        let Some((_, (cause, since))) = self.free.remove(name) else {
            return;
        };
        self.taken[cause as usize].fetch_add(1, Relaxed);
        if let Some(since) = since {
            self.waited(since.elapsed());
        }
    }

    fn waited(&self, time: Duration) {
        let seconds = time.as_secs_f64();
        if let Some(bucket) = BOUNDS.iter().position(|bound| seconds <= *bound) {
            self.waits[bucket].fetch_add(1, Relaxed);
        }
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.waits_us.fetch_add(us, Relaxed);
        self.waits_count.fetch_add(1, Relaxed);
    }

    /// How many were taken for each cause.
    pub fn by_cause(&self) -> impl Iterator<Item = (&'static str, u64)> {
        CAUSES
            .into_iter()
            .zip(self.taken.iter().map(|n| n.load(Relaxed)))
    }

    /// How long they had no owner: bounds in seconds with the cumulative count up to each.
    pub fn waits(&self) -> impl Iterator<Item = (f64, u64)> {
        let mut up_to = 0;
        BOUNDS.into_iter().zip(&self.waits).map(move |(bound, n)| {
            up_to += n.load(Relaxed);
            (bound, up_to)
        })
    }

    /// The sum of these times in seconds, and their number.
    pub fn waits_in_all(&self) -> (f64, u64) {
        let seconds = self.waits_us.load(Relaxed) as f64 / 1e6;
        (seconds, self.waits_count.load(Relaxed))
    }

    pub fn set_outbox(&self, outbox: Outbox) {
        *self.outbox.lock() = outbox;
    }
    /// As it was at the last listing.
    pub fn outbox(&self) -> Outbox {
        *self.outbox.lock()
    }

    /// Who owns a scheduler that this node does not own has been heard.
    pub fn heard(&self, name: &SchedulerName, before: Option<Uuid>, owner: &Owner, unseen: Cause) {
        match owner {
            Owner::Nobody => self.freed(name, before, unseen),
            Owner::Held(_) | Owner::Unknown => self.forget(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(n: u128) -> Member {
        Member {
            session: Uuid::from_u128(n),
            name: String::new(),
            address: String::new(),
            hosts: true,
            draining: false,
            runtime_domain: String::new(),
            version: String::new(),
        }
    }

    fn counts(taken: &Taken) -> Vec<(&'static str, u64)> {
        taken.by_cause().filter(|(_, n)| *n > 0).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn each_cause_is_told_from_what_was_seen() {
        let taken = Taken::default();
        let [a, b] = [1, 2].map(Uuid::from_u128);
        let name = |name: &str| SchedulerName::from(name);
        taken.looked(&[member(1), member(2)]);
        tokio::time::advance(Duration::from_secs(1)).await;
        taken.looked(&[member(2)]);
        taken.freed(&name("crashed"), Some(a), Cause::Start);
        taken.freed(&name("given"), Some(b), Cause::Start);
        taken.freed(&name("found"), None, Cause::Start);
        taken.freed(&name("lost"), None, Cause::Lost);
        taken.freed(&name("other"), Some(b), Cause::Start);
        taken.forget(&name("other"));
        tokio::time::advance(Duration::from_millis(100)).await;
        for served in ["crashed", "given", "found", "lost", "other", "lost"] {
            taken.served(&name(served));
        }
        let once = [("start", 1), ("crash", 1), ("hand_over", 1), ("lost", 1)];
        assert_eq!(counts(&taken), once);
        // It was seen alive for the last time 1.1 s ago.
        let waits: Vec<_> = taken
            .waits()
            .filter(|(bound, _)| [0.1, 1.0, 2.0].contains(bound))
            .collect();
        assert_eq!(waits, [(0.1, 2), (1.0, 2), (2.0, 3)]);
        let (seconds, count) = taken.waits_in_all();
        assert!((seconds - 1.3).abs() < 1e-3 && count == 3, "{seconds}");
    }
}
