//! Addresses of nodes, where players reach rooms (contract 4.7).

use k8s_openapi::api::core::v1::Node;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::time::Instant;

/// In this order; an address must parse, a name is taken as it is.
const KINDS: [(&str, bool); 4] = [
    ("ExternalDNS", false),
    ("ExternalIP", true),
    ("InternalDNS", false),
    ("InternalIP", true),
];
/// How long an address is remembered; a room keeps the one that it was given.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);
/// The pause before a node without an address is asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// The address that players are given for rooms of a node; `None`: it has none that can be used.
pub fn address(node: &Node) -> Option<&str> {
    let addresses = node.status.as_ref()?.addresses.as_ref()?;
    KINDS.iter().find_map(|(kind, is_ip)| {
        let mut of_kind = addresses.iter().filter(|a| a.type_ == *kind);
        let usable = of_kind
            .find(|a| !a.address.is_empty() && (!is_ip || a.address.parse::<IpAddr>().is_ok()));
        usable.map(|a| a.address.as_str())
    })
}

/// What is known of the nodes with rooms.
#[derive(Default)]
pub struct NodeCache(HashMap<Arc<str>, Known>);

struct Known {
    host: Option<Arc<str>>,
    /// Where the first of its pods that told it said that the node is.
    ip: Option<IpAddr>,
    asked: Instant,
    is_asked: bool,
    /// What is answered may be about an earlier machine of this name.
    is_void: bool,
}

impl NodeCache {
    /// The node's address, if it is known.
    pub fn host(&self, node: &str) -> Option<Arc<str>> {
        self.0.get(node)?.host.clone()
    }

    /// The same for a pod that says where its node is (`status.hostIP`). A machine that is elsewhere than it was has
    /// been replaced by another of its name: it is to be asked for again.
    pub fn host_at(&mut self, node: &str, ip: Option<IpAddr>) -> Option<Arc<str>> {
        let known = self.0.get_mut(node)?;
        if let (Some(before), Some(now)) = (known.ip, ip)
            && before != now
        {
            (known.host, known.ip) = (None, ip);
        }
        known.ip = known.ip.or(ip);
        known.host.clone()
    }

    /// Whether the caller is to ask for this node now.
    pub fn must_ask(&mut self, node: &Arc<str>, now: Instant) -> bool {
        let Some(known) = self.0.get_mut(node) else {
            let asked = Known {
                host: None,
                ip: None,
                asked: now,
                is_asked: true,
                is_void: false,
            };
            self.0.insert(node.clone(), asked);
            return true;
        };
        let age = now.duration_since(known.asked);
        let old = age
            >= if known.host.is_some() {
                REMEMBERED
            } else {
                ASK_AGAIN
            };
        let ask = old && !known.is_asked;
        if ask {
            known.is_asked = true;
            known.asked = now;
        }
        ask
    }

    /// The answer; `None` if the node has no address or could not be asked. `ip`: where a pod says that the node is.
    pub fn learn(
        &mut self,
        node: &Arc<str>,
        host: Option<Arc<str>>,
        ip: Option<IpAddr>,
        now: Instant,
    ) {
        let known = self.0.entry(node.clone()).or_insert(Known {
            host: None,
            ip: None,
            asked: now,
            is_asked: false,
            is_void: false,
        });
        if known.is_void {
            self.0.remove(node);
            return;
        }
        known.is_asked = false;
        known.asked = now;
        if host.is_some() {
            known.host = host;
            known.ip = known.ip.or(ip);
        }
    }

    /// Its last pod is gone: the next machine of this name may be another one. One without an address is kept, since it
    /// is not to be asked for too often, and so is one whose answer is on its way.
    pub fn forget(&mut self, node: &str) {
        if let Some(known) = self.0.get_mut(node) {
            let is_old = known.host.take().is_some() && !known.is_asked;
            known.ip = None;
            known.is_void = known.is_asked;
            if is_old {
                self.0.remove(node);
            }
        }
    }

    /// Forgets the nodes that have no rooms.
    pub fn keep(&mut self, has_rooms: impl Fn(&str) -> bool) {
        self.0
            .retain(|node, known| known.is_asked || has_rooms(node));
    }
}

/// How nodes are asked for; all watches share one.
#[derive(Default)]
pub struct Asking {
    /// Somebody is about to ask.
    pub is_gathering: AtomicBool,
    /// When the account was told that it may not list nodes.
    pub list_refused: Mutex<Option<Instant>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node(addresses: &[(&str, &str)]) -> Node {
        let addresses: Vec<_> = addresses
            .iter()
            .map(|(kind, address)| json!({"type": kind, "address": address}))
            .collect();
        serde_json::from_value(json!({"metadata": {}, "status": {"addresses": addresses}})).unwrap()
    }

    #[test]
    fn the_most_public_address_counts() {
        let internal = ("InternalIP", "10.0.0.7");
        for (addresses, expected) in [
            (vec![internal], Some("10.0.0.7")),
            (
                vec![internal, ("ExternalIP", "203.0.113.7")],
                Some("203.0.113.7"),
            ),
            (
                vec![("ExternalIP", "none"), ("InternalDNS", "n7"), internal],
                Some("n7"),
            ),
            (
                vec![("ExternalDNS", "n7.example"), ("ExternalIP", "203.0.113.7")],
                Some("n7.example"),
            ),
            (vec![("Hostname", "n7"), ("InternalIP", "")], None),
            (vec![], None),
        ] {
            assert_eq!(address(&node(&addresses)), expected, "{addresses:?}");
        }
    }

    #[test]
    fn a_node_is_asked_for_once_and_again_when_it_had_no_address() {
        let mut cache = NodeCache::default();
        let node: Arc<str> = "n1".into();
        let mut now = Instant::now();
        assert!(cache.must_ask(&node, now));
        now += ASK_AGAIN;
        assert!(!cache.must_ask(&node, now), "it is being asked");
        cache.learn(&node, None, None, now);
        assert!(!cache.must_ask(&node, now));
        now += ASK_AGAIN;
        assert!(cache.must_ask(&node, now));
        cache.learn(&node, Some("10.0.0.7".into()), None, now);
        now += ASK_AGAIN;
        assert!(!cache.must_ask(&node, now));
        assert_eq!(cache.host("n1").as_deref(), Some("10.0.0.7"));
        now += REMEMBERED;
        assert!(cache.must_ask(&node, now));
        cache.learn(&node, None, None, now);
        assert_eq!(
            cache.host("n1").as_deref(),
            Some("10.0.0.7"),
            "better than none"
        );
        let at = |last: u8| Some(IpAddr::from([10, 0, 0, last]));
        assert!(cache.host_at("n1", at(7)).is_some());
        assert!(cache.host_at("n1", None).is_some());
        assert_eq!(cache.host_at("n1", at(8)), None, "another machine");
        now += ASK_AGAIN;
        assert!(cache.must_ask(&node, now));
        cache.learn(&node, Some("10.0.0.8".into()), None, now);
        assert!(cache.host_at("n1", at(8)).is_some());
        cache.keep(|_| false);
        assert_eq!(cache.host("n1"), None);
    }
}
