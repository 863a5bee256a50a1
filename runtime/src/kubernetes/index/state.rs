//! What is known of pods, and all that follows from it: ports, marks and the number of pods on each node change with
//! the pod that they are of.

use crate::kubernetes::dead::Suspects;
use crate::kubernetes::nodes::NodeCache;
use crate::kubernetes::ports::{PortUse, RoomKey};
use crate::kubernetes::seen::SeenPod;
use crate::kubernetes::server_clock::ServerClock;
use k8s_openapi::jiff::Timestamp;
use maestro_core::domain::*;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// How many ended pods are remembered by their uid.
const ENDED_MAX: usize = 1024;

#[derive(Default)]
pub struct State {
    pub pods: HashMap<RoomKey, Known>,
    pub ports: PortUse,
    /// Rooms with the label of protected ones.
    pub protected: HashMap<SchedulerName, HashSet<RoomId>>,
    pub nodes: NodeCache,
    /// Pods that are deleted, and still there.
    pub ending: HashSet<RoomKey>,
    pub suspects: Suspects,
    pub clock: ServerClock,
    /// Number of pods on each node.
    pub on_node: HashMap<Arc<str>, u32>,
    /// Incremented with the beginning of each list.
    pub lists: u64,
    /// Uids of the last pods that ended: the answer to a creation may come after the end of what it created.
    pub ended: VecDeque<String>,
}

pub struct Known {
    pub seen: SeenPod,
    pub host: Option<Arc<str>>,
    /// The last list that had begun when the answer of a call told of this pod: it, and those before, may not have it.
    pub told_in: Option<u64>,
    /// The watch has told of it, or a list.
    pub is_confirmed: bool,
    /// Its node is dead: nobody is told of it any more.
    pub is_over: bool,
}

impl Known {
    pub fn instance(&self) -> Instance {
        let mut instance = self.seen.instance.clone();
        instance.address = self.host.as_ref().map(|host| {
            Arc::new(Address {
                host: host.to_string(),
                ports: self.seen.ports.to_vec(),
            })
        });
        // Players could not reach it: until its address is known, the room is not ready.
        if instance.address.is_none()
            && instance.status == InstanceStatus::Ready
            && let Some(node) = &self.seen.node
        {
            instance.status = InstanceStatus::Pending;
            instance.description = format!("the address of node {node} is not known yet");
        }
        instance
    }
}

impl State {
    /// Deleted pods that do not end, with their nodes.
    pub fn suspicious(&self, now: Timestamp) -> impl Iterator<Item = (&RoomKey, Arc<str>)> {
        self.ending.iter().filter_map(move |key| {
            let seen = &self.pods.get(key)?.seen;
            let ending = seen.ending.filter(|ending| ending.is_suspicious(now));
            ending.and(seen.node.clone()).map(|node| (key, node))
        })
    }

    pub fn put(&mut self, key: RoomKey, seen: SeenPod, told_in: Option<u64>) -> &Known {
        // First: with its last pod a node is forgotten.
        if let Some(node) = &seen.node {
            *self.on_node.entry(node.clone()).or_default() += 1;
        }
        let before = self.remove_pod(&key);
        self.ports.set(&key, seen.host_ports());
        let trouble = before
            .as_ref()
            .and_then(|known| known.seen.instance.trouble);
        if seen.instance.trouble == Some(Trouble::PortsTaken) && trouble != seen.instance.trouble {
            self.ports.clashed(seen.numbers());
        }
        if seen.protected {
            let of_scheduler = self.protected.entry(key.0.clone()).or_default();
            of_scheduler.insert(key.1.clone());
        }
        if seen.ending.is_some() {
            self.ending.insert(key.clone());
        }
        let same = before.filter(|before| before.seen.instance.uid == seen.instance.uid);
        // Until its kubelet has told where it is, it may have got the address of a machine that was there before.
        let is_told = |before: &&Known| before.seen.host_ip.is_some() || seen.host_ip.is_none();
        let kept = same.as_ref().filter(is_told);
        let kept = kept.and_then(|before| before.host.clone());
        let found = || self.nodes.host_at(seen.node.as_ref()?, seen.host_ip);
        let known = Known {
            host: kept.or_else(found),
            is_over: same.as_ref().is_some_and(|before| before.is_over),
            is_confirmed: told_in.is_none()
                || same.as_ref().is_some_and(|before| before.is_confirmed),
            told_in: told_in.or(same.and_then(|before| before.told_in)),
            seen,
        };
        self.pods.entry(key).insert_entry(known).into_mut()
    }

    /// The answer is the uid of the pod, if there was one.
    pub fn remove(&mut self, key: &RoomKey) -> Option<String> {
        let known = self.remove_pod(key)?;
        self.ports.free(key);
        Some(known.seen.instance.uid)
    }

    /// Forgets the pods of other schedulers. They may be running.
    pub fn retain(&mut self, is_listed: impl Fn(&SchedulerName) -> bool) {
        let keys = self.pods.keys().filter(|key| !is_listed(&key.0));
        for key in keys.cloned().collect::<Vec<_>>() {
            self.remove(&key);
        }
    }

    fn remove_pod(&mut self, key: &RoomKey) -> Option<Known> {
        let known = self.pods.remove(key)?;
        self.ending.remove(key);
        if known.seen.protected
            && let Some(rooms) = self.protected.get_mut(&key.0)
        {
            rooms.remove(&key.1);
            if rooms.is_empty() {
                self.protected.remove(&key.0);
            }
        }
        if let Some(node) = &known.seen.node
            && let Some(count) = self.on_node.get_mut(node)
        {
            *count -= 1;
            if *count == 0 {
                self.on_node.remove(node);
                self.nodes.forget(node);
            }
        }
        Some(known)
    }

    pub fn has_ended(&mut self, uid: String) {
        if self.ended.len() >= ENDED_MAX {
            self.ended.pop_front();
        }
        self.ended.push_back(uid);
    }
}
