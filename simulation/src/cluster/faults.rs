//! What goes wrong, and the end of it.

use super::node::Node;
use super::{Cluster, Event};
use maestro_core::domain::*;
use std::collections::BTreeSet;
use std::time::Duration;

/// How long things go wrong.
const FAULTY: Duration = Duration::from_secs(40);
/// The time between two losses of the store: longer than a lease and the latest message together.
const LOSSES_APART: Duration = Duration::from_secs(8);
/// After the faults every scheduler has an owner within this time: the lease of the last one and a few rounds, and two
/// leases for each member that does not take it, because a late request made it the owner without its knowledge.
const OWNED_WITHIN: Duration = Duration::from_secs(10);
const LEFT_TO_EACH: Duration = Duration::from_secs(6);
/// After that all operations end and all rooms are there within this time.
const AT_REST_WITHIN: Duration = Duration::from_secs(1_800);

impl Cluster {
    /// Lets things go wrong for a while. Then everything must come to rest.
    ///
    /// # Panics
    /// If an invariant is broken.
    pub fn live(&mut self) {
        self.run(FAULTY);
        self.heal();
        let healed = self.now;
        let nodes = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        let most = OWNED_WITHIN + nodes * LEFT_TO_EACH;
        // Each of them, not all at the same moment: hand-overs to nodes that have joined go on for much longer.
        let mut waiting: BTreeSet<SchedulerName> = self.machines.keys().cloned().collect();
        loop {
            waiting.retain(|name| !self.is_owned(name));
            let Some(name) = waiting.first() else { break };
            let waited = self.now.since(healed);
            assert!(waited < most, "{name} has no owner");
            self.run(Duration::from_secs(1));
        }
        let begun = self.now;
        self.figures.owned_after = begun.since(healed).as_secs();
        while let Some(why) = self.unsettled() {
            let waited = self.now.since(begun);
            assert!(waited < AT_REST_WITHIN, "it does not come to rest: {why}");
            self.run(Duration::from_secs(5));
        }
    }

    fn until(&mut self, millis: std::ops::Range<u64>) -> Mono {
        self.now.plus(Duration::from_millis(self.dice.u64(millis)))
    }

    pub(super) fn fault(&mut self) {
        if !self.faulty {
            return;
        }
        let number = self.dice.usize(..self.nodes.len());
        match self.dice.u32(..12) {
            0..2 => self.crash(number, false),
            2 => self.crash(number, true),
            3..5 => {
                let until = self.until(500..8_000);
                self.note(|| format!("node {number} stands still"));
                let node = &mut self.nodes[number];
                node.frozen_until = node.frozen_until.max(until);
            }
            5..7 => {
                let until = self.until(500..8_000);
                self.note(|| format!("node {number} is cut off from the store"));
                self.nodes[number].cut_off_until = until;
            }
            7 => {
                let until = self.until(500..8_000);
                self.note(|| format!("a thread of node {number} is blocked"));
                if let Some(owner) = self.nodes[number].owners.values_mut().next() {
                    // What waits keeps its place before what comes later.
                    owner.blocked_until = owner.blocked_until.max(until);
                }
            }
            8 => {
                let member = &mut self.nodes[number].member;
                member.draining = !member.draining;
                let draining = member.draining;
                self.note(|| format!("node {number} drains: {draining}"));
            }
            9 => self.crash_room(),
            _ => self.lose(),
        }
        self.at(500..3_000, Event::Fault);
    }

    /// A process ends, with or without a farewell, and begins again later.
    fn crash(&mut self, number: usize, politely: bool) {
        let node = &mut self.nodes[number];
        if !std::mem::replace(&mut node.up, false) {
            return;
        }
        node.owners.clear();
        if politely {
            let session = node.member.session;
            self.store.leave(session);
        }
        self.note(|| format!("node {number} ends (politely: {politely})"));
        self.at(200..6_000, Event::Begin(number));
    }

    pub(super) fn begin(&mut self, number: usize) {
        if self.nodes[number].up {
            return;
        }
        let skew = self.nodes[number].skew;
        self.nodes[number] = Node::new(number, &mut self.sessions, skew);
        self.note(|| format!("node {number} begins"));
        self.begin_rounds(number);
    }

    fn crash_room(&mut self) {
        let names: Vec<_> = self.machines.keys().cloned().collect();
        let name = &names[self.dice.usize(..names.len())];
        let Some(machine) = self.machines.get_mut(name) else {
            return;
        };
        if let Some(room) = machine.running.keys().next().cloned() {
            machine.gone(&room, Some(Exit::default()));
            self.broadcast(name);
        }
    }

    /// The store loses the last commits of every scheduler, or everything but the documents. Not again before the last
    /// message of an owner that repaired it may have come: a store that loses its fence in between refuses nobody.
    fn lose(&mut self) {
        if !self.lossy || self.now < self.safe_at {
            return;
        }
        self.safe_at = self.now.plus(LOSSES_APART);
        let commits = (!self.one_in(3)).then(|| self.dice.usize(1..4));
        self.note(|| format!("the store loses commits: {commits:?}"));
        for row in self.store.rows.values_mut() {
            row.lose(commits);
        }
        // Often a node goes down with the store, and nobody is left who could repair it.
        if commits.is_none() && self.one_in(2) {
            let number = self.dice.usize(..self.nodes.len());
            self.crash(number, false);
        }
    }

    fn heal(&mut self) {
        self.note(|| "the faults end".into());
        self.faulty = false;
        for number in 0..self.nodes.len() {
            self.begin(number);
            let node = &mut self.nodes[number];
            node.member.draining = false;
            node.cut_off_until = Mono::default();
        }
    }
}
