//! The connections of all forwarders: one shared target per address, renewed once a day and closed when the last
//! scheduler that uses it ends (contract 6.4).

use super::keep_alive::KeepAlive;
use super::target::Target;
use maestro_core::domain::{Forwarder, SchedulerName};
use maestro_core::ports::Forwarding;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;

/// A connection is replaced after this time, used or not.
const RENEW_AFTER: Duration = Duration::from_secs(24 * 3600);
/// A target without calls for this long is closed: its schedulers may have no forwarders any more.
const UNUSED_AFTER: Duration = Duration::from_secs(1800);
/// How often unused targets are looked for while there are any targets.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Maximum number of targets; beyond it, the least recently used one is closed.
const TARGETS_MAX: usize = 1024;

pub(super) struct Connections {
    keep_alive: KeepAlive,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    targets: HashMap<String, Entry>,
    /// The forwarders that each scheduler used last.
    users: HashMap<SchedulerName, User>,
    look: Option<AbortOnDropHandle<()>>,
}

struct Entry {
    target: Arc<Target>,
    born: Instant,
    used: Instant,
}

struct User {
    to: Arc<[Forwarder]>,
    used: Instant,
}

impl Connections {
    pub fn new(keep_alive: KeepAlive) -> Self {
        Self {
            keep_alive,
            kept: Arc::default(),
        }
    }

    /// The target for an event. Calls in progress keep their target even if it is renewed or dropped meanwhile.
    pub fn target(&self, address: &str, event: &Forwarding) -> Arc<Target> {
        let now = Instant::now();
        let mut kept = self.kept.lock();
        kept.used_by(&event.scheduler, &event.to, now);
        if let Some(entry) = kept.targets.get_mut(address)
            && now - entry.born < RENEW_AFTER
        {
            entry.used = now;
            return entry.target.clone();
        }
        if kept.targets.len() >= TARGETS_MAX {
            let oldest = kept.targets.iter().min_by_key(|(_, entry)| entry.used);
            let oldest = oldest.map(|(address, _)| address.clone());
            oldest.map(|address| kept.targets.remove(&address));
        }
        let target = Arc::new(Target::new(address, self.keep_alive));
        let entry = Entry {
            target: target.clone(),
            born: now,
            used: now,
        };
        kept.targets.insert(address.to_owned(), entry);
        let kept_on = Arc::downgrade(&self.kept);
        kept.look
            .get_or_insert_with(|| AbortOnDropHandle::new(tokio::spawn(look(kept_on))));
        target
    }

    /// Closes the targets that only this scheduler used, once their calls have ended.
    pub fn ended(&self, scheduler: &SchedulerName) {
        let mut kept = self.kept.lock();
        if kept.users.remove(scheduler.as_str()).is_some() {
            kept.drop_unused();
        }
    }
}

impl Kept {
    /// Releases the targets that the scheduler used before and no longer uses.
    fn used_by(&mut self, scheduler: &SchedulerName, to: &Arc<[Forwarder]>, now: Instant) {
        if let Some(user) = self.users.get_mut(scheduler.as_str()) {
            user.used = now;
            if Arc::ptr_eq(&user.to, to) {
                return;
            }
            let before = std::mem::replace(&mut user.to, to.clone());
            let stays = |old: &Forwarder| to.iter().any(|new| new.address == old.address);
            if !before.iter().all(stays) {
                self.drop_unused();
            }
            return;
        }
        let user = User {
            to: to.clone(),
            used: now,
        };
        self.users.insert(scheduler.clone(), user);
    }

    fn drop_unused(&mut self) {
        let users = &self.users;
        self.targets.retain(|address, _| {
            let mut all = users.values().flat_map(|user| user.to.iter());
            all.any(|forwarder| forwarder.address == *address)
        });
    }
}

/// Runs until there is no target left to check.
async fn look(kept: Weak<Mutex<Kept>>) {
    loop {
        sleep(LOOK_EVERY).await;
        let Some(kept) = kept.upgrade() else {
            return;
        };
        let now = Instant::now();
        let mut kept = kept.lock();
        kept.targets
            .retain(|_, entry| now - entry.used < UNUSED_AFTER);
        kept.users.retain(|_, user| now - user.used < UNUSED_AFTER);
        if kept.targets.is_empty() {
            // The next target starts a new task. This is the task itself, so it must not abort itself on drop.
            drop(kept.look.take().map(AbortOnDropHandle::detach));
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use maestro_core::ports::ForwardedEvent;

    fn event(scheduler: &str, addresses: &[&str]) -> Forwarding {
        let forwarder = |address: &&str| Forwarder {
            name: "mm".into(),
            enabled: true,
            forward_type: "gRPC".into(),
            address: (*address).to_owned(),
            options: None,
        };
        Forwarding {
            scheduler: scheduler.into(),
            game: "g".into(),
            to: addresses.iter().map(forwarder).collect(),
            room: "r".into(),
            address: None,
            event: ForwardedEvent::Terminated,
            metadata: "".into(),
        }
    }

    impl Connections {
        /// Asks for the targets of all of these addresses on behalf of a scheduler.
        fn tell(&self, scheduler: &str, addresses: &[&str]) -> Vec<Arc<Target>> {
            let event = event(scheduler, addresses);
            let all = addresses.iter();
            all.map(|address| self.target(address, &event)).collect()
        }

        fn addresses(&self) -> Vec<String> {
            let kept = self.kept.lock();
            let mut all: Vec<_> = kept.targets.keys().cloned().collect();
            all.sort();
            all
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_has_one_connection_which_is_renewed_each_day() {
        let connections = Connections::new(KeepAlive::default());
        let first = connections.tell("arena", &["mm:80"]).remove(0);
        let often = Duration::from_secs(1000);
        for _ in 0..86 {
            tokio::time::sleep(often).await;
            let again = connections.tell("arena", &["mm:80"]).remove(0);
            assert!(Arc::ptr_eq(&first, &again));
        }
        tokio::time::sleep(often).await;
        let renewed = connections.tell("duel", &["mm:80"]).remove(0);
        assert!(!Arc::ptr_eq(&first, &renewed));
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_uses_is_dropped_and_the_number_is_bounded() {
        let connections = Connections::new(KeepAlive::default());
        for n in 0..=TARGETS_MAX {
            connections.tell(&format!("s{n}"), &[&format!("mm:{n}")]);
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        let known = |address: &str| connections.addresses().contains(&address.to_owned());
        assert_eq!(connections.addresses().len(), TARGETS_MAX);
        assert!(!known("mm:0") && known("mm:1"));
        // Unused targets are closed without any further call.
        tokio::time::sleep(UNUSED_AFTER + LOOK_EVERY * 2).await;
        assert_eq!(connections.addresses().len(), 0);
        assert_eq!(connections.kept.lock().users.len(), 0);
        assert!(connections.kept.lock().look.is_none());
        connections.tell("arena", &["mm:80"]);
        assert!(connections.kept.lock().look.is_some());
    }

    #[tokio::test]
    async fn a_connection_ends_with_the_last_scheduler_that_uses_it() {
        let connections = Connections::new(KeepAlive::default());
        let ended = |name: &str| connections.ended(&name.into());
        let target = connections.tell("arena", &["mm:1", "mm:2"]).remove(0);
        connections.tell("duel", &["mm:1"]);
        ended("nobody");
        ended("arena");
        assert_eq!(connections.addresses(), ["mm:1"]);
        // Another version of the scheduler has other forwarders.
        connections.tell("duel", &["mm:3", "mm:1"]);
        connections.tell("duel", &["mm:3"]);
        assert_eq!(connections.addresses(), ["mm:3"]);
        assert_eq!(Arc::strong_count(&target), 1, "nothing of ours holds it");
        ended("duel");
        assert!(connections.addresses().is_empty());
    }
}
