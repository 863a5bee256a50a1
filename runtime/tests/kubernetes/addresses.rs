//! What the addresses of nodes cost (contract 4.7).

use crate::open_site;
use crate::rights::allow;
use crate::site::{Site, plane};
use maestro_core::domain::Instance;
use maestro_core::ports::RuntimeEvent;
use maestro_testkit::contract::runtime::{RUNS, Stage, scheduler};
use maestro_testkit::control_plane::{ApiProxy, ControlPlane, TestNode};
use std::collections::BTreeSet;
use std::path::Path;

const NAME: &str = "addresses";
const NODES: usize = 5;

fn hosts<'a>(rooms: impl IntoIterator<Item = &'a Instance>) -> BTreeSet<String> {
    let addresses = rooms.into_iter().filter_map(|room| room.address.as_ref());
    addresses.map(|address| address.host.clone()).collect()
}

/// The calls for nodes that a new process makes until it has listed the rooms; with the addresses of these.
async fn calls_of_a_new_process(plane: &ControlPlane, kubeconfig: &Path) -> Vec<String> {
    let proxy = ApiProxy::start(kubeconfig).await;
    let site = Site::by(plane, proxy.kubeconfig()).await;
    let mut stage = Stage::resume(&site, placed()).await;
    let RuntimeEvent::Listed(rooms) = stage.next().await else {
        panic!("a watch begins with the list");
    };
    assert_eq!(hosts(&rooms).len(), NODES, "{rooms:?}");
    let paths = proxy.calls().into_iter().map(|call| call.path);
    let of_nodes = |path: &String| path == "/api/v1/nodes" || path.contains("/nodes/addresses-");
    let calls = paths.filter(of_nodes).collect();
    site.runtime.shutdown().await;
    calls
}

fn placed() -> maestro_core::domain::Scheduler {
    let mut placed = scheduler(NAME, RUNS);
    placed.spec.affinity = NAME.into();
    placed.spec.toleration = NAME.into();
    placed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_of_many_rooms_are_listed_where_they_may_be() {
    let site = open_site!();
    let plane = plane().await.unwrap();
    for number in 0..NODES {
        let node = TestNode::new(&format!("{NAME}-{number}"))
            .label(NAME, "true")
            .dedicated(NAME)
            .allocatable("pods", "1")
            .address("ExternalIP", &format!("203.0.113.{number}"));
        plane.register_node(&node).await;
    }
    let mut stage = Stage::set(&site, placed()).await;
    for number in 0..NODES {
        stage.create(&format!("{NAME}-{number}")).await.unwrap();
    }
    let mut reached = BTreeSet::new();
    stage
        .until(|event| {
            match event {
                RuntimeEvent::Changed(room) => reached.extend(hosts([room])),
                RuntimeEvent::Listed(rooms) => reached.extend(hosts(rooms)),
                RuntimeEvent::Gone { .. } => {}
            }
            (reached.len() == NODES).then_some(())
        })
        .await;

    let calls = calls_of_a_new_process(&plane, plane.kubeconfig()).await;
    assert_eq!(calls, ["/api/v1/nodes"]);

    // Whoever may only read them asks for each.
    let user = plane.user("default", NAME).await;
    let rules = ["--verb=*", "--resource=pods,namespaces,events"];
    allow(&plane, "addresses-rooms", &rules, "default:addresses");
    let rules = ["--verb=get", "--resource=nodes"];
    allow(&plane, "addresses-nodes", &rules, "default:addresses");
    let calls = calls_of_a_new_process(&plane, &user.kubeconfig()).await;
    let each = (0..NODES).map(|number| format!("/api/v1/nodes/{NAME}-{number}"));
    let expected: BTreeSet<_> = each.chain(["/api/v1/nodes".to_owned()]).collect();
    assert_eq!(calls.len(), expected.len(), "{calls:?}");
    assert_eq!(BTreeSet::from_iter(calls), expected);
}
