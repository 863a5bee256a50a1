//! The API server, its clock, the nodes, and the ports that are set.

use super::super::failure;
use super::super::nodes::address;
use super::super::settings::KubernetesSettings;
use super::check::Check;
use http::Request;
use http::header::DATE;
use jiff::fmt::rfc2822;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Node;
use kube::api::ListParams;
use kube::client::Body;
use kube::{Api, Client, ResourceExt};
use maestro_core::domain::PortRange;

/// The oldest minor release that takes the manifests of `deploy/kubernetes`: they let a pod sleep before its end.
const OLDEST: u32 = 30;
/// A difference of clocks that nobody has to know of.
const CLOCKS_APART: SignedDuration = SignedDuration::from_secs(5);
/// The API server tells its time in whole seconds.
const HALF_A_SECOND: SignedDuration = SignedDuration::from_millis(500);
/// Nodes that are looked at.
const NODES: u32 = 500;
/// Where Services of the type `NodePort` have their ports, unless the API server was told otherwise.
const NODE_PORTS: std::ops::RangeInclusive<i32> = 30_000..=32_767;

/// Whether it answers, and with which version.
///
/// # Errors
/// What to do if it does not answer, or does not accept the credentials.
pub async fn api_server(client: &Client) -> Result<Check, Check> {
    let name = "api-server";
    let version = match client.apiserver_version().await {
        Ok(version) => version,
        Err(kube::Error::Api(status)) if status.code == 401 => {
            let found = format!("it does not accept the credentials: {}", status.message);
            let remedy =
                "renew the token or the certificate of the kubeconfig, or of the service account";
            return Err(Check::error(name, found, remedy));
        }
        Err(error) => {
            let found = format!("it does not answer: {}", failure::chain(&error));
            let remedy = "correct adapters.runtime.kubernetes.masterUrl or the kubeconfig, or open the network";
            return Err(Check::error(name, found, remedy));
        }
    };
    let found = format!("it answers, with version {}", version.git_version);
    let digits: String = version
        .minor
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    Ok(match digits.parse::<u32>() {
        Ok(minor) if version.major == "1" && minor < OLDEST => {
            let remedy = format!("Maestro is tested from 1.{OLDEST} on: update the cluster");
            Check::warn(name, found, &remedy)
        }
        _ => Check::ok(name, found),
    })
}

/// How far its clock is from ours.
pub async fn clock(client: &Client) -> Check {
    let name = "clock";
    let request = Request::get("/version").body(Body::empty());
    let Ok(request) = request else {
        return Check::ok(name, "not compared".into());
    };
    let sent = Timestamp::now();
    let answer = match client.send(request).await {
        Ok(answer) => answer,
        Err(error) => return Check::unknown(name, "the clocks cannot be compared", &error),
    };
    let here = sent + sent.duration_until(Timestamp::now()) / 2;
    let date = answer.headers().get(DATE);
    let date = date.and_then(|date| rfc2822::parse(date.to_str().ok()?).ok());
    match date {
        Some(date) => apart(here.duration_until(date.timestamp() + HALF_A_SECOND)),
        None => {
            let found = "the API server does not tell its time".to_owned();
            Check::warn(
                name,
                found,
                "compare the clocks of this machine and of the cluster",
            )
        }
    }
}

/// `ahead`: how much later it is there.
fn apart(ahead: SignedDuration) -> Check {
    let name = "clock";
    let seconds = ahead.abs().as_secs_f64();
    match ahead.abs() <= CLOCKS_APART {
        true => Check::ok(
            name,
            format!("{seconds:.1} s from that of the API server, at most"),
        ),
        false => {
            let side = if ahead.is_negative() {
                "ahead of"
            } else {
                "behind"
            };
            let found = format!("this machine is {seconds:.0} s {side} the API server");
            Check::warn(
                name,
                found,
                "let both follow one time server: tokens and certificates are refused, and times in histories mislead",
            )
        }
    }
}

/// Whether rooms find a node, and players the node.
pub async fn nodes(client: &Client, settings: &KubernetesSettings) -> Vec<Check> {
    let all: Api<Node> = Api::all(client.clone());
    let listed = match all.list(&ListParams::default().limit(NODES)).await {
        Ok(listed) => listed,
        Err(error) => {
            return vec![Check::unknown(
                "nodes",
                "the nodes cannot be listed",
                &error,
            )];
        }
    };
    let first = listed.metadata.continue_.is_some();
    let ready: Vec<&Node> = listed.iter().filter(|node| is_ready(node)).collect();
    let mut checks = vec![ready_nodes(&ready, listed.items.len(), first)];
    let strict = settings.topology_spread.as_ref();
    let strict = strict.filter(|spread| !spread.schedule_anyway && !ready.is_empty());
    checks.extend(strict.map(|spread| topology(&ready, &spread.topology_key)));
    checks
}

/// `first`: there are more than were looked at.
fn ready_nodes(ready: &[&Node], all: usize, first: bool) -> Check {
    let name = "nodes";
    let reached = ready.iter().filter(|node| address(node).is_some()).count();
    let (count, first) = (ready.len(), if first { " first" } else { "" });
    let found = format!(
        "{count} of the{first} {all} nodes are ready, {reached} of them with an address for players"
    );
    if count == 0 {
        let remedy = "add a node, unless an autoscaler adds one for the first room";
        return Check::warn(name, found, remedy);
    }
    if reached < count {
        let remedy = "rooms on the others are never ready: give them an address, or taint them";
        return Check::warn(name, found, remedy);
    }
    Check::ok(name, found)
}

/// Pods that must be spread over the domains of a label are not scheduled to nodes without it.
fn topology(ready: &[&Node], key: &str) -> Check {
    let name = "topology";
    let labelled = ready.iter().filter(|node| node.labels().contains_key(key));
    let (count, labelled) = (ready.len(), labelled.count());
    let found = format!("{labelled} of the {count} ready nodes have the label {key}");
    let setting = "adapters.runtime.kubernetes.topologySpreadConstraint";
    let remedy = format!(
        "no room is scheduled to the others: label them, or set {setting}.enabled to false"
    );
    match labelled {
        0 => Check::error(name, found, &remedy),
        _ if labelled < count => Check::warn(name, found, &remedy),
        _ => Check::ok(name, found),
    }
}

fn is_ready(node: &Node) -> bool {
    let status = node.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_deref());
    let mut conditions = conditions.unwrap_or_default().iter();
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Whether rooms can have the ports that are set for schedulers without a range of their own.
pub fn ports(range: PortRange) -> Check {
    let name = "ports";
    let PortRange { start, end } = range;
    let count = i64::from(end) - i64::from(start) + 1;
    let found = format!("{start}-{end}: {count} host ports on each node");
    let setting = "adapters.portAllocator.random.range";
    if start < 1 || end > i32::from(u16::MAX) || count < 1 {
        let remedy = format!("set {setting} to ports from 1 to 65535");
        return Check::error(name, format!("{start}-{end} is no range of ports"), &remedy);
    }
    if start <= *NODE_PORTS.end() && end >= *NODE_PORTS.start() {
        let found = format!(
            "{found}, some of which Services of the type NodePort may have ({}-{})",
            NODE_PORTS.start(),
            NODE_PORTS.end()
        );
        let remedy = format!("set {setting}, and portRange of schedulers, to ports outside of it");
        return Check::warn(name, found, &remedy);
    }
    Check::ok(name, found)
}

#[cfg(test)]
mod tests {
    use super::super::check::Verdict;
    use super::*;

    #[test]
    fn a_range_is_one_of_ports_and_apart_from_those_of_services() {
        for (start, end, verdict) in [
            (60_001, 60_010, Verdict::Ok),
            (20_000, 29_999, Verdict::Ok),
            (20_000, 30_000, Verdict::Warn),
            (32_767, 40_000, Verdict::Warn),
            (1, 65_535, Verdict::Warn),
            (0, 10, Verdict::Error),
            (10, 9, Verdict::Error),
            (60_000, 65_536, Verdict::Error),
        ] {
            let check = ports(PortRange { start, end });
            assert_eq!(check.verdict, verdict, "{check:?}");
            assert_eq!(check.remedy.is_some(), verdict != Verdict::Ok);
        }
    }

    #[test]
    fn clocks_may_differ_by_seconds() {
        for (seconds, verdict, says) in [
            (0, Verdict::Ok, "0.0 s"),
            (-5, Verdict::Ok, "5.0 s"),
            (6, Verdict::Warn, "6 s behind"),
            (-90, Verdict::Warn, "90 s ahead of"),
        ] {
            let check = apart(SignedDuration::from_secs(seconds));
            assert_eq!(check.verdict, verdict, "{check:?}");
            assert!(check.found.contains(says), "{check:?}");
        }
    }

    #[test]
    fn nodes_are_counted_that_are_ready_have_an_address_and_a_label() {
        let node = |labels: serde_json::Value, address: &str| -> Node {
            let addresses = [serde_json::json!({"type": "InternalIP", "address": address})];
            let node = serde_json::json!({
                "metadata": {"labels": labels},
                "status": {
                    "conditions": [{"type": "Ready", "status": "True"}],
                    "addresses": addresses,
                },
            });
            serde_json::from_value(node).unwrap()
        };
        let here = node(serde_json::json!({"zone": "a"}), "10.0.0.7");
        let nowhere = node(serde_json::json!({}), "");
        assert!(is_ready(&here) && !is_ready(&Node::default()));
        for (nodes, reached, spread) in [
            (vec![&here], Verdict::Ok, Verdict::Ok),
            (vec![&here, &nowhere], Verdict::Warn, Verdict::Warn),
            (vec![&nowhere], Verdict::Warn, Verdict::Error),
        ] {
            assert_eq!(ready_nodes(&nodes, 3, true).verdict, reached);
            assert_eq!(topology(&nodes, "zone").verdict, spread);
        }
        assert_eq!(ready_nodes(&[], 0, false).verdict, Verdict::Warn);
    }

    #[test]
    fn the_time_of_an_answer_is_read() {
        let date = rfc2822::parse("Sat, 28 Nov 2026 23:30:45 GMT").unwrap();
        assert_eq!(date.timestamp().to_string(), "2026-11-28T23:30:45Z");
    }
}
