//! Two processes that draw host ports out of one range for the same machine, until it is nearly used up: what one of
//! them draws, the other one hears of too late, and kube-scheduler keeps such pods apart.

use crate::site::*;
use crate::support::{Home, Maestro, eventually, seconds};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const RANGE: std::ops::Range<i32> = 40_000..40_040;
/// Of each process: 95 % of the range together.
const ROOMS: u32 = 19;
const FLEETS: [&str; 2] = ["ports-one", "ports-two"];

/// A process with a fleet of its own.
async fn start(site: &Site, home: &Home, name: &str) -> (Maestro, Value) {
    let mut environment = site.environment();
    // Nobody pings for these rooms.
    let patient = "MAESTRO_SERVICES_ROOMMANAGER_ROOMINITIALIZATIONTIMEOUTMILLIS";
    environment.push((patient.to_owned(), "600000".to_owned()));
    let maestro = home.start_with(&borrowed(&environment));
    let mut fleet = site.fleet(home, &maestro.rooms, ROOMS);
    fleet["name"] = name.into();
    fleet["portRange"] = json!({"start": RANGE.start, "end": RANGE.end - 1});
    fleet["spec"]["containers"][0]["requests"] = json!({"cpu": "1m", "memory": "1Mi"});
    (maestro, fleet)
}

async fn pods(site: &Site) -> Vec<Pod> {
    let client = site.plane.client().await;
    let mut all = Vec::new();
    for fleet in FLEETS {
        let of_fleet: Api<Pod> = Api::namespaced(client.clone(), fleet);
        let listed = of_fleet.list(&ListParams::default()).await;
        all.extend(listed.expect("a list").items);
    }
    all
}

fn host_ports(pod: &Pod) -> Vec<i32> {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let ports = containers.flat_map(|container| container.ports.iter().flatten());
    ports.filter_map(|port| port.host_port).collect()
}

/// Waits until each room has a place on the machine, and no pod is left without one.
async fn until_placed(site: &Site) {
    let all_run = || async {
        let all = pods(site).await;
        let lives =
            |pod: &&Pod| pod.metadata.deletion_timestamp.is_none() && !node_of(pod).is_empty();
        let running = all.iter().filter(lives).count();
        (running, all.len()) == (2 * ROOMS as usize, 2 * ROOMS as usize)
    };
    if !eventually(seconds(60), all_run).await {
        let all = pods(site).await;
        let shown = all
            .iter()
            .map(|pod| (pod.name_any(), node_of(pod).to_owned(), host_ports(pod)));
        panic!("{} pods: {:?}", all.len(), shown.collect::<Vec<_>>());
    }
    let mut seen = BTreeMap::new();
    for pod in pods(site).await {
        let ports = host_ports(&pod);
        assert_eq!(ports.len(), 1);
        assert!(RANGE.contains(&ports[0]), "{ports:?}");
        let other = seen.insert(ports[0], pod.name_any());
        assert_eq!(other, None, "{} too", pod.name_any());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_use_a_range_to_ninety_five_percent_without_a_clash() {
    let Some(site) = Site::status_only("ports", 1, Duration::ZERO).await else {
        return;
    };
    let homes = [Home::new(), Home::new()];
    let (one, first) = start(&site, &homes[0], FLEETS[0]).await;
    let (two, second) = start(&site, &homes[1], FLEETS[1]).await;
    let made = tokio::join!(
        one.post("/schedulers", &first),
        two.post("/schedulers", &second)
    );
    for (status, told) in [made.0, made.1] {
        assert_eq!(status, 200, "{told}");
    }
    until_placed(&site).await;
    // Rooms of both end, and what comes in their place finds the ports that are left.
    let client = site.plane.client().await;
    let mut ended = BTreeSet::new();
    for _ in 0..3 {
        let all = pods(&site).await;
        for pod in all.iter().step_by(4) {
            let (namespace, room) = (pod.namespace().expect("its namespace"), pod.name_any());
            let of_fleet: Api<Pod> = Api::namespaced(client.clone(), &namespace);
            let by_hand = DeleteParams::default();
            of_fleet.delete(&room, &by_hand).await.expect("deleted");
            ended.insert(room);
        }
        until_placed(&site).await;
        let left = pods(&site).await;
        assert!(left.iter().all(|pod| !ended.contains(&pod.name_any())));
    }
    for (maestro, fleet) in [(&one, FLEETS[0]), (&two, FLEETS[1])] {
        assert_eq!(maestro.state(fleet).await, "in-sync");
    }
    if site.plane.is_own() {
        let made = |event: &&maestro_testkit::control_plane::AuditEvent| {
            let is_creation =
                event.resource == "pods" && event.verb == "create" && event.code == 201;
            is_creation
                && event.subresource.is_empty()
                && FLEETS.contains(&event.namespace.as_str())
        };
        let created = site.plane.audit().iter().filter(made).count();
        let clashes = created - 2 * ROOMS as usize - ended.len();
        println!("{clashes} pods of {created} had a port that another one had");
    }
}
