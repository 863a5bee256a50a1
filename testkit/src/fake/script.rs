//! Assigns faults to calls, and counts the calls.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Faults for calls of kind `K`.
pub(super) struct Script<K, F> {
    once: HashMap<K, VecDeque<F>>,
    always: HashMap<K, F>,
    calls: HashMap<K, u64>,
}

impl<K, F> Default for Script<K, F> {
    fn default() -> Self {
        Self {
            once: HashMap::new(),
            always: HashMap::new(),
            calls: HashMap::new(),
        }
    }
}

impl<K: Copy + Eq + Hash, F: Clone> Script<K, F> {
    pub fn once(&mut self, call: K, fault: F) {
        self.once.entry(call).or_default().push_back(fault);
    }
    pub fn always(&mut self, call: K, fault: F) {
        self.always.insert(call, fault);
    }
    pub fn heal(&mut self) {
        self.once.clear();
        self.always.clear();
    }
    pub fn calls(&self, call: K) -> u64 {
        self.calls.get(&call).copied().unwrap_or(0)
    }
    /// Counts a call and returns its fault, if any.
    pub fn take(&mut self, call: K) -> Option<F> {
        *self.calls.entry(call).or_default() += 1;
        let next = self.once.get_mut(&call).and_then(VecDeque::pop_front);
        next.or_else(|| self.always.get(&call).cloned())
    }
}
