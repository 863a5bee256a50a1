//! Nodes that are dead, and pods on them that nobody ends.
//!
//! A pod that is deleted is gone once its kubelet says that it has ended. That of a dead machine never says so, and the
//! pod would keep its room, and its namespace, for ever. Such a room counts as ended when its node has been silent for
//! as long as a room may be. The pod itself is deleted by force only where nothing can run any more: its node's object
//! is gone, or an operator declared the node out of service. A machine that only lost its network may still run it.

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::jiff::Timestamp;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What operators put on a node that they have shut down.
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";
/// The pause before a node is asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// How long after its grace period a pod is gone, if its kubelet lives.
const OVERDUE: Duration = Duration::from_secs(2);

/// When a node counts as dead.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A node that has not been ready for longer takes its rooms with it.
    pub silence: Duration,
    /// Pods of a node that has been lost for longer are deleted by force.
    pub lost: Duration,
}

/// What the API server says of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    Ready,
    /// Its kubelet says so, or controllers that do not hear from it.
    NotReady {
        since: Timestamp,
    },
    /// It does not exist any more.
    Gone,
    /// An operator says that nothing runs there.
    OutOfService,
}

/// The health of a node; `None`: there is no object of it.
pub fn health(node: Option<&Node>) -> Health {
    let Some(node) = node else {
        return Health::Gone;
    };
    let taints = node
        .spec
        .iter()
        .flat_map(|spec| spec.taints.iter().flatten());
    if taints.into_iter().any(|taint| taint.key == OUT_OF_SERVICE) {
        return Health::OutOfService;
    }
    let status = node.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_ref());
    let mut ready = conditions
        .into_iter()
        .flatten()
        .filter(|c| c.type_ == "Ready");
    match ready.next() {
        Some(ready) if ready.status != "True" => {
            let since = ready.last_transition_time.as_ref();
            Health::NotReady {
                since: since.map_or_else(Timestamp::now, |time| time.0),
            }
        }
        // A node that says nothing of itself has just been made.
        _ => Health::Ready,
    }
}

/// How far the end of a deleted pod has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// When its grace period is over.
    pub by: Timestamp,
    /// Whether its kubelet said last that it can be played in.
    pub is_ready: bool,
}

impl Ending {
    /// Whether something may be wrong with its node. Controllers take the readiness of all pods of a silent node away;
    /// a pod that ends as it should loses it as well, a moment before it is gone.
    pub fn is_suspicious(&self, now: Timestamp) -> bool {
        !self.is_ready || now.duration_since(self.by) > signed(OVERDUE)
    }
}

fn signed(duration: Duration) -> k8s_openapi::jiff::SignedDuration {
    duration
        .try_into()
        .unwrap_or(k8s_openapi::jiff::SignedDuration::MAX)
}

/// What is done about the deleted pods of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Why their rooms have ended.
    pub over: Option<String>,
    /// Whether they are deleted by force.
    pub force: bool,
}

/// The nodes that were asked for.
#[derive(Default)]
pub struct Suspects(HashMap<Arc<str>, Suspect>);

struct Suspect {
    asked: Instant,
    is_asked: bool,
    /// Since when each look found it not ready.
    silent: Option<Instant>,
    lost: Option<Instant>,
}

impl Suspects {
    /// Whether the caller is to ask for this node now.
    pub fn must_ask(&mut self, node: &Arc<str>, now: Instant) -> bool {
        if let Some(known) = self.0.get_mut(node) {
            let ask = !known.is_asked && now.duration_since(known.asked) >= ASK_AGAIN;
            known.is_asked |= ask;
            return ask;
        }
        let suspect = Suspect {
            asked: now,
            is_asked: true,
            silent: None,
            lost: None,
        };
        self.0.insert(node.clone(), suspect);
        true
    }

    /// The answer; `None` if the node could not be asked, which says nothing about it. `wall` is the API server's
    /// clock.
    pub fn learn(
        &mut self,
        node: &Arc<str>,
        health: Option<Health>,
        limits: Limits,
        (now, wall): (Instant, Timestamp),
    ) -> Verdict {
        let Some(known) = self.0.get_mut(node) else {
            return Verdict::default();
        };
        (known.is_asked, known.asked) = (false, now);
        if health.is_some() {
            let is_silent = matches!(health, Some(Health::NotReady { .. }));
            known.silent = known.silent.or(Some(now)).filter(|_| is_silent);
        }
        let over = match health {
            None => return Verdict::default(),
            Some(Health::Ready) => None,
            Some(Health::NotReady { since }) => {
                // The second counts where the node's clock is ahead of the cluster's.
                let silent = wall.duration_since(since) > signed(limits.silence)
                    || known
                        .silent
                        .is_some_and(|seen| now.duration_since(seen) > limits.silence);
                silent.then(|| format!("node {node} has not been ready since {since:.0}"))
            }
            Some(Health::Gone) => Some(format!("node {node} no longer exists")),
            Some(Health::OutOfService) => Some(format!("node {node} is out of service")),
        };
        let is_lost = matches!(health, Some(Health::Gone | Health::OutOfService));
        known.lost = known.lost.or(Some(now)).filter(|_| is_lost);
        let force = known
            .lost
            .is_some_and(|lost| now.duration_since(lost) >= limits.lost);
        Verdict { over, force }
    }

    /// Forgets the nodes whose pods have ended.
    pub fn keep(&mut self, is_suspicious: impl Fn(&str) -> bool) {
        self.0
            .retain(|node, known| known.is_asked || is_suspicious(node));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const LIMITS: Limits = Limits {
        silence: Duration::from_secs(240),
        lost: Duration::from_secs(120),
    };

    fn node(ready: &str, taints: Value) -> Health {
        let node = json!({
            "metadata": {},
            "spec": {"taints": taints},
            "status": {"conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
        });
        health(Some(&serde_json::from_value(node).unwrap()))
    }

    fn start() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_node_is_ready_silent_out_of_service_or_gone() {
        let shut_down = json!([{"key": OUT_OF_SERVICE, "effect": "NoExecute"}]);
        assert_eq!(node("True", Value::Null), Health::Ready);
        assert_eq!(
            node("Unknown", json!([])),
            Health::NotReady { since: start() }
        );
        assert_eq!(
            node("False", json!([])),
            Health::NotReady { since: start() }
        );
        assert_eq!(node("Unknown", shut_down), Health::OutOfService);
        assert_eq!(health(None), Health::Gone);
        assert_eq!(health(Some(&Node::default())), Health::Ready);
    }

    #[test]
    fn rooms_of_a_silent_node_end_and_pods_of_a_lost_one_are_forced() {
        let mut suspects = Suspects::default();
        let node: Arc<str> = "n1".into();
        let begin = Instant::now();
        let after = |seconds: u64| {
            let wait = Duration::from_secs(seconds);
            (begin + wait, start() + signed(wait))
        };
        assert!(suspects.must_ask(&node, begin));
        assert!(!suspects.must_ask(&node, after(9).0), "it is being asked");
        let silent = Some(Health::NotReady { since: start() });
        let mut learn = |health, at| suspects.learn(&node, health, LIMITS, after(at));
        assert_eq!(learn(silent, 240), Verdict::default());
        let verdict = learn(silent, 241);
        assert!(verdict.over.unwrap().contains("n1 has not been ready"));
        assert!(!verdict.force, "it may still run them");
        assert!(!learn(silent, 9000).force);
        // Its time begins when it is lost, and begins again after a mistake.
        assert!(learn(Some(Health::Gone), 9100).over.is_some());
        assert!(!learn(None, 9200).force, "nobody answered");
        assert_eq!(learn(Some(Health::Ready), 9210), Verdict::default());
        assert!(!learn(Some(Health::OutOfService), 9220).force);
        assert!(!learn(Some(Health::OutOfService), 9339).force);
        assert!(learn(Some(Health::Gone), 9340).force);
        assert!(
            !suspects.must_ask(&node, after(9341).0),
            "it was asked just now"
        );
        assert!(suspects.must_ask(&node, after(9342).0));
        let _ = suspects.learn(&node, None, LIMITS, after(9343));
        suspects.keep(|_| false);
        assert!(suspects.0.is_empty());
    }

    #[test]
    fn a_node_whose_clock_is_ahead_is_silent_when_it_was_found_so_for_long_enough() {
        let mut suspects = Suspects::default();
        let node: Arc<str> = "n1".into();
        let begin = Instant::now();
        suspects.must_ask(&node, begin);
        let since = start() + signed(Duration::from_secs(36_000));
        let mut learn = |health, seconds| {
            let wait = Duration::from_secs(seconds);
            let now = (begin + wait, start() + signed(wait));
            suspects.learn(&node, health, LIMITS, now).over.is_some()
        };
        let silent = Some(Health::NotReady { since });
        assert!(!learn(silent, 10));
        assert!(!learn(Some(Health::Ready), 200));
        assert!(!learn(silent, 300));
        assert!(!learn(None, 400), "nobody answered");
        assert!(!learn(silent, 540));
        assert!(learn(silent, 541));
    }

    #[test]
    fn a_pod_is_suspicious_when_it_is_late_or_was_not_ready() {
        let ending = |is_ready| Ending {
            by: start(),
            is_ready,
        };
        let second = signed(Duration::from_secs(1));
        assert!(!ending(true).is_suspicious(start() - second));
        assert!(!ending(true).is_suspicious(start() + second));
        assert!(ending(true).is_suspicious(start() + second * 3));
        assert!(ending(false).is_suspicious(start() - second));
    }
}
