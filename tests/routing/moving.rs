//! Real nodes on one store, connected over real sockets, while a scheduler moves from one to the other.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use maestro_actors::{ActorSettings, Node, NodeParts};
use maestro_api::codec::decode;
use maestro_api::codec::messages::*;
use maestro_api::{
    Apis, BackupError, RequestContext, ResourceSettings, ResourcesService, RuntimesService,
    VersionsService, owned, routed,
};
use maestro_core::ports::Member;
use maestro_core::settings::CoreSettings;
use maestro_grpc::{Audience, Bounds, GrpcPeers, GrpcServer, NodeSecret};
use maestro_testkit::eventually;
use maestro_testkit::fake::{
    FakeForwarders, FakeMetrics, FakeRuntime, FakeStore, TokioClock, member,
};
use serde_json::json;
use tokio::runtime::Handle;

const LONG: Duration = Duration::from_secs(20);

struct Real {
    node: Node,
    apis: Apis,
}

impl Real {
    async fn start(store: &Arc<FakeStore>, runtime: &Arc<FakeRuntime>, hosts: bool) -> Self {
        let secret = NodeSecret::new("known-to-all-nodes").expect("a secret");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let mut parts = NodeParts::new(
            store.clone(),
            runtime.clone(),
            FakeForwarders::new(),
            TokioClock::new(),
            CoreSettings::default(),
            ActorSettings::default(),
            Handle::current(),
        );
        parts.ownership = store.node_of(Member {
            hosts,
            ..member(&address)
        });
        let node = Node::start(parts);
        let backup = Arc::new(|name| {
            Box::pin(async move { Err(BackupError::Name(name)) })
                as std::pin::Pin<Box<dyn Future<Output = _> + Send>>
        });
        let (metrics, settings) = (FakeMetrics::new(), ResourceSettings::default());
        let metrics = ResourcesService::new(node.clone(), metrics, settings, Handle::current());
        let url = "http://rooms".to_owned();
        let runtimes = RuntimesService::new(node.clone(), LONG);
        let versions = VersionsService::new(node.clone(), url, Handle::current());
        let services = Apis::of(
            &node,
            backup,
            Arc::new(metrics),
            Arc::new(runtimes),
            Arc::new(versions),
        );
        let registry = prometheus::Registry::new();
        let served = owned(&node, services.clone());
        let server = GrpcServer::new(
            listener,
            Bounds::new(16),
            &registry,
            served,
            Audience::Nodes,
        );
        let server = server
            .await
            .expect("a server")
            .for_those_who_know(secret.clone());
        tokio::spawn(server.run());
        let others = Arc::new(GrpcPeers::new(Some(secret), Handle::current()));
        let apis = routed(&node, services, others);
        Self { node, apis }
    }

    fn runs_arena(&self) -> bool {
        let actors = self.node.debug(Some("arena")).actors;
        actors.first().is_some_and(|actor| actor.state == "running")
    }
}

fn arena() -> CreateSchedulerRequest {
    let size = json!({"memory": "64Mi", "cpu": "100m"});
    let fields = json!({
        "name": "arena", "game": "chess", "maxSurge": "10%", "roomsReplicas": 1,
        "portRange": {"start": 40000, "end": 41000},
        "spec": {"terminationGracePeriod": "9s", "containers": [{
            "name": "game", "image": "registry/game:1", "imagePullPolicy": "Always",
            "requests": size, "limits": size,
            "ports": [{"name": "clientPort", "protocol": "udp", "port": 7777}],
        }]},
    });
    decode(fields.to_string().as_bytes()).expect("a request")
}

async fn ping(front: &Real, room: &str, matches: i64) -> bool {
    let request = UpdateRoomWithPingRequest {
        scheduler_name: "arena".to_owned(),
        room_name: room.to_owned(),
        status: "occupied".to_owned(),
        running_matches: matches,
        ..UpdateRoomWithPingRequest::default()
    };
    let context = RequestContext::internal();
    let answer = front.apis.rooms.update_room_with_ping(&context, request);
    answer.await.expect("pings are always answered").success
}

#[actix_web::test]
async fn pings_keep_their_order_while_the_owner_changes() {
    let (store, runtime) = (FakeStore::new(), FakeRuntime::new());
    let a = Real::start(&store, &runtime, true).await;
    let b = Real::start(&store, &runtime, true).await;
    let front = Real::start(&store, &runtime, false).await;
    let all = [&a, &b, &front];
    let met = || all.iter().all(|real| real.node.members().len() == 3);
    eventually(LONG, "the nodes know each other", met).await;
    let context = RequestContext::internal();
    let created = front.apis.management.create_scheduler(&context, arena());
    created.await.expect("one of the hosts creates it");
    eventually(LONG, "the room runs", || runtime.rooms("arena").len() == 1).await;
    let room = runtime.rooms("arena")[0].to_string();
    let (from, to) = if a.runs_arena() { (&a, &b) } else { (&b, &a) };

    let (mut sent, mut taken, mut after) = (0, 0, 0);
    let until = tokio::time::Instant::now() + LONG;
    let mut moves = false;
    while after < 20 {
        assert!(
            tokio::time::Instant::now() < until,
            "{taken} of {sent} pings were taken"
        );
        sent += 1;
        if ping(&front, &room, sent).await {
            taken = sent;
            after += i32::from(to.runs_arena());
        } else {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if taken >= 20 && !moves {
            moves = true;
            from.node.drain(true, false).await.expect("it drains");
        }
    }
    assert!(!from.runs_arena(), "it has moved");
    let request = GetRoomRequest {
        scheduler_name: "arena".to_owned(),
        room_id: room,
    };
    let shown = front
        .apis
        .operator
        .get_room(&context, request)
        .await
        .expect("the room");
    let shown = serde_json::to_value(shown).expect("JSON");
    let matches = shown
        .pointer("/room/runningMatches")
        .or_else(|| shown.get("runningMatches"));
    assert_eq!(
        matches,
        Some(&json!(taken)),
        "the last ping that was taken counts: {shown}"
    );
    for real in all {
        real.node.shutdown().await;
    }
}
