//! All pods of rooms that this process observes, with their ports and nodes. What the watch and the answers of calls
//! tell comes together here, and goes from here to the watchers.
//!
//! The API server orders the states of one pod by their resource version. Those of two pods of the same name are not
//! compared, and a list is taken as it is: after a restore of etcd versions are lower than those that were seen before.
//! Of two namesakes the watch tells the older one first, and the answer to a creation is about the newer one, unless
//! the watch has told the end of that one already.

use super::dead::{Health, Limits};
use super::ports::{RoomKey, ranges};
use super::seen::SeenPod;
use crate::feeds::Feeds;
use k8s_openapi::jiff::Timestamp;
use maestro_core::domain::*;
use maestro_core::ports::RuntimeError;
use parking_lot::Mutex;
use state::{Known, State};
use std::collections::HashSet;
use std::sync::Arc;
use tokio::time::Instant;

pub struct Index {
    feeds: Arc<Feeds>,
    default_ports: Option<PortRange>,
    state: Mutex<State>,
}

impl Index {
    pub fn new(feeds: Arc<Feeds>, default_ports: Option<PortRange>) -> Self {
        Self {
            feeds,
            default_ports,
            state: Mutex::default(),
        }
    }

    pub fn feeds(&self) -> &Arc<Feeds> {
        &self.feeds
    }

    /// Draws host ports for a room.
    ///
    /// # Errors
    /// `Invalid` without a usable range, `Exhausted` if a range has no free port.
    pub fn reserve_ports(
        &self,
        room: &RoomId,
        scheduler: &Scheduler,
    ) -> Result<Arc<[u16]>, RuntimeError> {
        let ranges = ranges(scheduler, self.default_ports);
        let ranges = ranges.map_err(|text| RuntimeError::Invalid(text.into()))?;
        let mut state = self.state.lock();
        let nodes = u32::try_from(state.on_node.len()).unwrap_or(u32::MAX);
        let key = (scheduler.name.clone(), room.clone());
        let drawn = state.ports.reserve(&key, &ranges, nodes);
        drawn.map_err(|text| RuntimeError::Exhausted(text.into()))
    }

    /// Frees the ports of a room that will not be created.
    pub fn release_ports(&self, room: &RoomId) {
        self.state.lock().ports.release(room);
    }

    /// A new observation, by the watch or by the answer of a call that wrote the pod; an older one than the known is
    /// ignored. The answer is the instance as it is known now.
    pub fn apply(&self, seen: SeenPod, by_call: bool) -> Instance {
        let mut state = self.state.lock();
        let key = (seen.scheduler.clone(), seen.instance.room.clone());
        // A late answer about a scheduler that nobody lists here any more: nobody would tell when its pod ends.
        if by_call && !self.feeds.is_followed(&seen.scheduler) {
            state.ports.free(&key);
            return seen.instance;
        }
        if let Some(known) = state.pods.get(&key) {
            let before = &known.seen.instance;
            let same = before.uid == seen.instance.uid;
            if same && before.resource_version > seen.instance.resource_version {
                return known.instance();
            }
            // The watch is behind the call that told of this pod: its namesake has ended.
            if !same && !by_call && !known.is_confirmed {
                return known.instance();
            }
            if !same && by_call && state.ended.contains(&seen.instance.uid) {
                return seen.instance;
            }
            if !same {
                // The namesake's end was not told yet.
                state.remove(&key);
                self.feeds.end(&key.0, &key.1, None);
            }
        } else if by_call && state.ended.contains(&seen.instance.uid) {
            return seen.instance;
        }
        let told_in = by_call.then_some(state.lists);
        let known = state.put(key.clone(), seen, told_in);
        let instance = known.instance();
        if !known.is_over {
            self.feeds.report(&key.0, instance.clone());
        }
        instance
    }

    /// A pod no longer exists. A namesake stays.
    pub fn gone(&self, scheduler: &SchedulerName, room: &RoomId, uid: &str, exit: Option<Exit>) {
        let mut state = self.state.lock();
        let key = (scheduler.clone(), room.clone());
        state.has_ended(uid.to_owned());
        let known = state.pods.get(&key);
        if known.is_some_and(|known| known.seen.instance.uid == uid) {
            state.remove(&key);
            self.feeds.end(scheduler, room, exit);
        }
    }

    /// A list begins: what is created from now on may be missing in it. The answer is its number; several schedulers
    /// may be listed at the same time.
    pub fn begin_list(&self) -> u64 {
        let mut state = self.state.lock();
        state.lists += 1;
        state.lists
    }

    /// The complete list of one scheduler's pods, or of all, with its number. The answer: pods that were created since
    /// it began and are not in it. They stay; whether they exist is to be looked up.
    pub fn replace(
        &self,
        scope: Option<&SchedulerName>,
        pods: Vec<SeenPod>,
        list: u64,
    ) -> Vec<RoomKey> {
        let mut state = self.state.lock();
        let key_of = |seen: &SeenPod| (seen.scheduler.clone(), seen.instance.room.clone());
        let listed: HashSet<RoomKey> = pods.iter().map(key_of).collect();
        let mut unsure = Vec::new();
        let mut ended = Vec::new();
        for (key, known) in &state.pods {
            if scope.is_some_and(|scope| *scope != key.0) || listed.contains(key) {
                continue;
            }
            match known.told_in.is_some_and(|last| last >= list) {
                true => unsure.push(key.clone()),
                false => ended.push(key.clone()),
            }
        }
        for key in ended {
            let uid = state.remove(&key);
            uid.into_iter().for_each(|uid| state.has_ended(uid));
        }
        for seen in pods {
            let key = key_of(&seen);
            let known = state.pods.get(&key);
            let before = known.map(|known| known.seen.instance.uid.clone());
            if let Some(before) = before.filter(|before| *before != seen.instance.uid) {
                state.has_ended(before);
            }
            let _ = state.put(key, seen, None);
        }
        let in_scope = |key: &RoomKey| scope.is_none_or(|scope| *scope == key.0);
        let all = state.pods.iter();
        let all = all.filter(|(key, known)| in_scope(key) && !known.is_over);
        let all = all.map(|(key, known)| (key.0.clone(), known.instance()));
        self.feeds.replace(scope, all);
        let State { nodes, on_node, .. } = &mut *state;
        nodes.keep(|node| on_node.contains_key(node));
        unsure
    }

    /// Nobody lists this scheduler's pods any more.
    pub fn forget(&self, scheduler: &SchedulerName) {
        let mut state = self.state.lock();
        state.retain(|of| of != scheduler);
        self.feeds.forget(scheduler);
    }

    /// Each scheduler's pods are listed by themselves from now on. The answer: the schedulers that are watched; those
    /// of others are listed by nobody, and forgotten.
    pub fn list_each(&self) -> HashSet<SchedulerName> {
        let mut state = self.state.lock();
        let watched = self.feeds.list_each();
        state.retain(|scheduler| watched.contains(scheduler));
        watched
    }

    /// Nodes whose address is to be looked up now.
    pub fn nodes_to_ask(&self) -> Vec<Arc<str>> {
        let now = Instant::now();
        let mut state = self.state.lock();
        let State { nodes, on_node, .. } = &mut *state;
        let unknown = on_node.keys().filter(|node| nodes.must_ask(node, now));
        unknown.cloned().collect()
    }

    /// Nodes of these pods whose address is to be looked up now.
    pub fn nodes_to_ask_for(&self, pods: &[SeenPod]) -> Vec<Arc<str>> {
        let now = Instant::now();
        let mut state = self.state.lock();
        let named: HashSet<&Arc<str>> = pods.iter().filter_map(|pod| pod.node.as_ref()).collect();
        let unknown = named
            .into_iter()
            .filter(|node| state.nodes.must_ask(node, now));
        unknown.cloned().collect()
    }

    /// The address of a node; `None` if it has none or could not be asked. Rooms keep the address that they have.
    pub fn learn_node(&self, node: &Arc<str>, host: Option<Arc<str>>) {
        let mut state = self.state.lock();
        let there = |known: &&Known| known.seen.node.as_ref() == Some(node);
        let mut asking = state.pods.values().filter(there);
        let ip = asking.find_map(|known| known.seen.host_ip.filter(|_| known.host.is_none()));
        state.nodes.learn(node, host, ip, Instant::now());
        let Some(host) = state.nodes.host(node) else {
            return;
        };
        let here = |known: &&mut Known| {
            known.host.is_none() && known.seen.node.as_ref() == Some(node) && !known.is_over
        };
        for known in state.pods.values_mut().filter(here) {
            known.host = Some(host.clone());
            self.feeds.report(&known.seen.scheduler, known.instance());
        }
    }

    /// The API server has stamped this time on something.
    pub fn heard(&self, stamp: Timestamp) {
        self.state.lock().clock.heard(stamp, Instant::now());
    }

    /// Nodes that are to be asked for now, since pods on them do not end.
    pub fn nodes_to_suspect(&self) -> Vec<Arc<str>> {
        let now = Instant::now();
        let mut state = self.state.lock();
        let wall = state.clock.now(now);
        let nodes: HashSet<Arc<str>> = state.suspicious(wall).map(|(_, node)| node).collect();
        state.suspects.keep(|node| nodes.contains(node));
        let mut nodes: Vec<_> = nodes.into_iter().collect();
        nodes.retain(|node| state.suspects.must_ask(node, now));
        nodes
    }

    /// What such a node says; `None` if it could not be asked. Rooms of a dead one are told to have ended. The answer:
    /// pods that are to be deleted by force, with their uids.
    pub fn judge(
        &self,
        node: &Arc<str>,
        health: Option<Health>,
        limits: Limits,
    ) -> Vec<(RoomKey, String)> {
        let now = Instant::now();
        let mut state = self.state.lock();
        let now = (now, state.clock.now(now));
        let verdict = state.suspects.learn(node, health, limits, now);
        let Some(why) = verdict.over else {
            return Vec::new();
        };
        let there = state.suspicious(now.1).filter(|(_, on)| on == node);
        let keys: Vec<RoomKey> = there.map(|(key, _)| key.clone()).collect();
        let mut forced = Vec::new();
        for key in keys {
            let Some(known) = state.pods.get_mut(&key) else {
                continue;
            };
            if !std::mem::replace(&mut known.is_over, true) {
                let exit = Exit {
                    reason: why.clone(),
                    by_others: true,
                    ..Exit::default()
                };
                self.feeds.end(&key.0, &key.1, Some(exit));
            }
            if verdict.force {
                forced.push((key, known.seen.instance.uid.clone()));
            }
        }
        forced
    }

    /// The scheduler's rooms with the label of protected ones.
    pub fn protected(&self, scheduler: &SchedulerName) -> HashSet<RoomId> {
        let state = self.state.lock();
        state.protected.get(scheduler).cloned().unwrap_or_default()
    }

    /// Whether cluster autoscalers may not move a room's pod, protected or not.
    pub fn is_pinned(&self, scheduler: &SchedulerName, room: &RoomId) -> bool {
        let key = (scheduler.clone(), room.clone());
        let state = self.state.lock();
        state.pods.get(&key).is_some_and(|known| known.seen.pinned)
    }

    /// The uid of a room's pod, if one is known.
    pub fn uid(&self, scheduler: &SchedulerName, room: &RoomId) -> Option<String> {
        let key = (scheduler.clone(), room.clone());
        let state = self.state.lock();
        state
            .pods
            .get(&key)
            .map(|known| known.seen.instance.uid.clone())
    }
}

mod state;

#[cfg(test)]
mod tests;
