//! One suite of calls, made directly to the services, over HTTP, over gRPC with its client, and to a node that does not
//! own the scheduler. The answers must be the same, and each request that changes something must be one message to the
//! owner of its scheduler.

#[path = "apis/site.rs"]
mod site;

use std::collections::BTreeSet;
use std::time::Duration;

use maestro_api::codec::messages::*;
use maestro_api::codec::{Message, decode, encode};
use maestro_api::{management_calls, operator_calls, rooms_calls};
use serde::Serialize;
use serde_json::{Value, json};
use site::{Request, Server, Site, Way};

/// The answers to the calls, with the call's name.
type Answers = Vec<(&'static str, Value)>;

/// The suite under way on one site.
struct Suite {
    site: Site,
    answers: Answers,
}

/// How many messages a call sends to the owner of `arena`.
#[derive(Clone, Copy)]
enum Brings {
    /// Not checked: the call only reads.
    Whatever,
    Messages(u64),
}
use Brings::{Messages, Whatever};

/// A message of the contract's APIs, in proto-JSON.
fn contract<M: Message>(message: &M) -> Value {
    serde_json::from_str(&encode(message)).expect("JSON")
}

/// A message of our own, in the JSON of the HTTP endpoints.
fn ours<M: Serialize>(message: &M) -> Value {
    serde_json::to_value(message).expect("JSON")
}

fn log(answer: &ReadRoomLogResponse) -> Value {
    answer
        .lines
        .iter()
        .map(|line| format!("{line}\n"))
        .collect::<String>()
        .into()
}

fn actors(answer: &GetActorsResponse) -> Value {
    serde_json::from_str(&answer.view).expect("JSON")
}

fn nodes(answer: &GetNodesResponse) -> Value {
    serde_json::from_str(&answer.view).expect("JSON")
}

fn readiness(answer: &GetReadinessResponse) -> Value {
    assert_eq!(answer.not_ready_because, None);
    "OK".into()
}

/// Makes a call with these fields; over HTTP, with this request.
macro_rules! ask {
    ($suite:ident, $brings:expr, $api:ident.$rpc:ident as $show:ident, $fields:tt, $server:ident $method:ident $path:expr, $body:tt) => {{
        let path = $path;
        let request = Request {
            server: Server::$server,
            method: stringify!($method),
            path: &path,
            body: json!($body),
        };
        let fields = json!($fields).to_string();
        let before = $suite.site.messages().await;
        let answer = $suite
            .site
            .ask(&request, async |apis, context| {
                let message = decode(fields.as_bytes()).expect("a request");
                let answer = apis.$api.$rpc(context, message).await;
                answer.map(|answer| $show(&answer))
            })
            .await;
        if let Messages(wanted) = $brings {
            let brought = $suite.site.messages().await - before;
            assert_eq!(brought, wanted, "messages of {}", stringify!($rpc));
        }
        $suite.answers.push((stringify!($rpc), answer.clone()));
        answer
    }};
}

impl Suite {
    async fn start(way: Way) -> Self {
        Self {
            site: Site::start(way).await,
            answers: Vec::new(),
        }
    }

    /// Creates a fleet of one room, which has pinged ready. Returns the room's id.
    async fn create(&mut self, body: Value) -> String {
        ask!(self, Whatever, operator.get_readiness as readiness, {}, Internal GET "/readyz", null);
        ask!(self, Messages(1), management.create_scheduler as contract, (body.clone()), Management POST "/schedulers", (body.clone()));
        // The name is taken: the owner refuses.
        ask!(self, Messages(1), management.create_scheduler as contract, (body.clone()), Management POST "/schedulers", (body.clone()));
        let running = async |site: &Site| site.runtime.rooms("arena").len() == 1;
        self.site.until("the room runs", running).await;
        let room = self.site.runtime.rooms("arena")[0].clone();
        self.site.runtime.set_log(&room, &["hello", "world"]);
        let room = room.to_string();
        let mut pinged = false;
        for _ in 0..500 {
            // The owner decides, also about a room that it does not know yet.
            pinged = self.ping(&room, "ready", Messages(1)).await["success"] == true;
            if pinged {
                break;
            }
            self.answers.pop();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(pinged, "the room is never known");
        let complete = async |site: &Site| site.state().await == "in-sync";
        self.site.until("the fleet is complete", complete).await;
        room
    }

    async fn ping(&mut self, room: &str, status: &str, brings: Brings) -> Value {
        let fields =
            json!({"schedulerName": "arena", "roomName": room, "status": status, "timestamp": 1});
        let body = json!({"status": status, "timestamp": 1});
        ask!(self, brings, rooms.update_room_with_ping as contract, (fields.clone()),
            Rooms PUT format!("/scheduler/arena/rooms/{room}/ping"), (body.clone()))
    }

    /// The pings of a room.
    async fn pings(&mut self, room: &str) {
        // A steady ping is answered without the owner. An unknown status is rejected before the owner is asked.
        for (status, brings, success) in [
            ("ready", 0, json!(true)),
            ("occupied", 1, json!(true)),
            ("occupied", 0, json!(true)),
            ("ready", 1, json!(true)),
            ("ready", 0, json!(true)),
            ("asleep", 0, Value::Null),
        ] {
            let answer = self.ping(room, status, Messages(brings)).await;
            assert_eq!(answer["success"], success, "{status}: {answer}");
        }
        let stranger = self.ping("stranger", "ready", Messages(1)).await;
        assert_eq!(stranger["success"], false);
    }

    /// The events of a room.
    async fn events(&mut self, room: &str) {
        let sent = |answer: &Value| assert_eq!(answer["success"], true, "{answer}");
        for (event, path) in [("roundStarted", "roomevent"), ("playerJoin", "playerevent")] {
            let metadata = json!({"playerId": "p-1"});
            let body = json!({"event": event, "timestamp": 1, "metadata": metadata});
            let mut fields = body.clone();
            fields["schedulerName"] = "arena".into();
            fields["roomName"] = room.into();
            let path = format!("/scheduler/arena/rooms/{room}/{path}");
            if event == "playerJoin" {
                sent(
                    &ask!(self, Messages(1), rooms.forward_player_event as contract, (fields.clone()), Rooms POST path.clone(), (body.clone())),
                );
            } else {
                sent(
                    &ask!(self, Messages(1), rooms.forward_room_event as contract, (fields.clone()), Rooms POST path.clone(), (body.clone())),
                );
            }
        }
        sent(
            &ask!(self, Messages(1), rooms.update_room_status as contract,
            {"schedulerName": "arena", "roomName": room, "status": "ready", "timestamp": 1},
            Rooms PUT format!("/scheduler/arena/rooms/{room}/status"), {"status": "ready", "timestamp": 1}),
        );
    }

    /// The calls of matchmakers.
    async fn allocate(&mut self, room: &str) {
        let fields = json!({"schedulerName": "arena", "roomName": room});
        ask!(self, Whatever, rooms.get_room_address as contract, (fields.clone()),
            Rooms GET format!("/scheduler/arena/rooms/{room}/address"), null);
        for _ in 0..2 {
            ask!(self, Messages(1), rooms.allocate_room as contract, {"schedulerName": "arena"},
                Rooms POST "/scheduler/arena/rooms/allocate", {});
        }
        ask!(self, Messages(0), rooms.allocate_room as contract, {"schedulerName": "nobody"},
            Rooms POST "/scheduler/nobody/rooms/allocate", {});
    }

    /// Orders about versions that cannot be carried out: each is one message, if there is an owner.
    async fn refused_orders(&mut self, name: &str, at: &str) {
        let brings = Messages(u64::from(name == "arena"));
        let of = |version: &str| json!({"version": {"namespace": name, "name": version}});
        ask!(self, brings, versions.start as contract, (of("v9.0.0")), Management POST format!("{at}/versions/v9.0.0/start"), {});
        ask!(self, brings, versions.publish as contract, (of("v1.0.0")), Management POST format!("{at}/versions/v1.0.0/publish"), {});
        ask!(self, brings, versions.unpublish as contract, (of("v1.0.0")), Management POST format!("{at}/versions/v1.0.0/unpublish"), {});
        ask!(self, brings, versions.stop as contract, (of("v1.0.0")), Management POST format!("{at}/versions/v1.0.0/stop"), {});
        ask!(self, brings, versions.update_config as contract, (of("v1.0.0")), Management PUT format!("{at}/versions/v1.0.0/config"), {"config": []});
        ask!(self, Messages(0), versions.update_config as contract,
            {"version": {"namespace": name, "name": "v1.0.0", "config": [{"key": "not one"}]}},
            Management PUT format!("{at}/versions/v1.0.0/config"), {"config": [{"key": "not one"}]});
    }

    /// The calls that read a scheduler and its rooms.
    async fn read(&mut self, room: &str) {
        ask!(self, Whatever, management.list_schedulers as contract, {"game": "chess"}, Management GET "/schedulers?game=chess", null);
        ask!(self, Whatever, management.get_schedulers_info as contract, {"game": "chess"}, Management GET "/schedulers/info?game=chess", null);
        for (name, room) in [("arena", room), ("nobody", "stranger")] {
            let at = format!("/schedulers/{name}");
            ask!(self, Whatever, management.get_scheduler as contract, {"schedulerName": name}, Management GET at.clone(), null);
            ask!(self, Whatever, management.get_scheduler_versions as contract, {"schedulerName": name}, Management GET format!("{at}/versions"), null);
            ask!(self, Whatever, operator.list_rooms as ours, {"schedulerName": name, "status": "allocated", "perPage": 5},
                Management GET format!("{at}/rooms?status=allocated&perPage=5"), null);
            ask!(self, Whatever, operator.list_rooms as ours, {"schedulerName": name, "perPage": 0}, Management GET format!("{at}/rooms?perPage=0"), null);
            ask!(self, Whatever, operator.get_rooms_summary as ours, {"schedulerName": name}, Management GET format!("{at}/rooms/summary"), null);
            ask!(self, Whatever, operator.get_room as ours, {"schedulerName": name, "roomId": room}, Management GET format!("{at}/rooms/{room}"), null);
            ask!(self, Whatever, operator.read_room_log as log, {"schedulerName": name, "roomId": room, "tail": 1},
                Management GET format!("{at}/rooms/{room}/log?tail=1"), null);
            ask!(self, Whatever, operator.read_room_log as log, {"schedulerName": name, "roomId": room, "tail": 10_001},
                Management GET format!("{at}/rooms/{room}/log?tail=10001"), null);
            let live = format!("{at}/versions/status");
            ask!(self, Whatever, operator.get_live_versions as ours, {"schedulerName": name}, Management GET live, null);
            let config = format!("{at}/versions/v1.0.0/config");
            let of = json!({"schedulerName": name, "version": "v1.0.0"});
            ask!(self, Whatever, operator.get_version_config as ours, (of.clone()), Management GET config, null);
            self.refused_orders(name, &at).await;
            ask!(self, Whatever, operator.get_rollout as ours, {"schedulerName": name}, Management GET format!("{at}/rollout"), null);
            ask!(self, Whatever, operator.get_actors as actors, {"schedulerName": name}, Internal GET format!("/debug/actors?scheduler={name}"), null);
            ask!(self, Whatever, operator.get_nodes as nodes, {"schedulerName": name}, Internal GET format!("/debug/nodes?scheduler={name}"), null);
        }
    }

    /// The commands to a scheduler. It is paused, so that no operation begins.
    async fn order(&mut self, room: &str) {
        let at = "/debug/actors/arena";
        let fields = json!({"schedulerName": "arena"});
        ask!(self, Messages(1), operator.pause_scheduler as ours, (fields.clone()), Internal POST format!("{at}/pause"), null);
        ask!(self, Messages(1), operator.resume_scheduler as ours, (fields.clone()), Internal POST format!("{at}/resume"), null);
        ask!(self, Messages(1), operator.pause_scheduler as ours, (fields.clone()), Internal POST format!("{at}/pause"), null);
        let added = ask!(self, Messages(1), management.add_rooms as contract, {"schedulerName": "arena", "amount": 2},
            Management POST "/schedulers/arena/add-rooms", {"amount": 2});
        ask!(self, Messages(1), management.remove_rooms as contract, {"schedulerName": "arena", "amount": 1},
            Management POST "/schedulers/arena/remove-rooms", {"amount": 1});
        ask!(self, Messages(1), operator.run_test_operation as ours, {"schedulerName": "arena", "sleepSeconds": 1},
            Internal POST format!("{at}/test-operation"), {"sleepSeconds": 1});
        ask!(self, Messages(1), operator.remove_room as ours, {"schedulerName": "arena", "roomId": room},
            Management DELETE format!("/schedulers/arena/rooms/{room}"), null);
        ask!(self, Messages(1), operator.pause_rollout as ours, {"schedulerName": "arena"}, Management POST "/schedulers/arena/rollout/pause", null);
        ask!(self, Messages(1), operator.resume_rollout as ours, {"schedulerName": "arena"}, Management POST "/schedulers/arena/rollout/resume", null);
        // No rollout is in progress, so the owner refuses it.
        ask!(self, Messages(1), operator.abort_rollout as ours, {"schedulerName": "arena"}, Management POST "/schedulers/arena/rollout/abort", null);
        ask!(self, Messages(1), management.patch_scheduler as contract, {"name": "arena", "roomsReplicas": 3},
            Management PATCH "/schedulers/arena", {"roomsReplicas": 3});
        ask!(self, Messages(1), management.switch_active_version as contract, {"schedulerName": "arena", "version": "v1.0.0"},
            Management PUT "/schedulers/arena", {"version": "v1.0.0"});
        // An empty patch is rejected before the owner is asked.
        ask!(self, Messages(0), management.patch_scheduler as contract, {"name": "arena"}, Management PATCH "/schedulers/arena", {});
        let mut changed = arena();
        changed["roomsReplicas"] = 4.into();
        ask!(self, Messages(1), management.new_scheduler_version as contract, (changed.clone()), Management POST "/schedulers/arena", (changed.clone()));
        let id = added["operationId"].as_str().expect("an id").to_owned();
        let operation = format!("/schedulers/arena/operations/{id}");
        ask!(self, Whatever, management.get_operation as contract, {"schedulerName": "arena", "operationId": id}, Management GET operation.clone(), null);
        ask!(self, Messages(1), management.cancel_operation as contract, {"schedulerName": "arena", "operationId": id}, Management POST format!("{operation}/cancel"), null);
        for stage in ["pending", "final", "no-such"] {
            ask!(self, Whatever, management.list_operations as contract, {"schedulerName": "arena", "stage": stage, "orderBy": "createdAt asc"},
                Management GET format!("/schedulers/arena/operations?stage={stage}&orderBy=createdAt%20asc"), null);
        }
        ask!(self, Messages(1), management.delete_scheduler as contract, {"schedulerName": "arena"}, Management DELETE "/schedulers/arena", null);
    }

    /// The calls that concern the process.
    async fn control(&mut self) {
        ask!(self, Messages(0), operator.back_up as ours, {"name": "monday"}, Internal POST "/backup", {"name": "monday"});
        ask!(self, Messages(0), operator.drain_node as ours, {"node": "nobody", "draining": true}, Internal POST "/debug/nodes/nobody/drain", {});
        for name in ["arena", "nobody"] {
            // This is a message to the supervisor, not to the owner.
            ask!(self, Messages(0), operator.reload_scheduler as ours, {"schedulerName": name}, Internal POST format!("/debug/actors/{name}/reload"), null);
        }
        ask!(self, Messages(0), operator.pause_scheduler as ours, {"schedulerName": "nobody"}, Internal POST "/debug/actors/nobody/pause", null);
    }
}

/// A request that creates a scheduler of one room.
fn arena() -> Value {
    let size = json!({"memory": "64Mi", "cpu": "100m"});
    json!({
        "name": "arena", "game": "chess", "maxSurge": "10%", "roomsReplicas": 1,
        "portRange": {"start": 40000, "end": 41000}, "annotations": {"a": "1"},
        "spec": {"terminationGracePeriod": "90.5s", "containers": [{
            "name": "game", "image": "registry/game:1", "imagePullPolicy": "Always",
            "requests": size, "limits": size,
            "ports": [{"name": "clientPort", "protocol": "udp", "port": 7777}],
        }]},
    })
}

/// Replaces every value that differs between runs by a placeholder.
fn masked(value: Value) -> Value {
    let masks = [
        ("ID", r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
        ("TIME", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"),
        ("ROOM", r"arena-[0-9a-z]+"),
    ];
    if value.get("outbox").is_some() {
        // The nodes differ from site to site.
        let scheduler = &value["scheduler"];
        return json!([
            value["store"],
            scheduler["name"],
            scheduler["owner"].is_object()
        ]);
    }
    let mut text = match value.get("actors").and_then(Value::as_array) {
        // What each actor is doing changes all the time.
        Some(all) => {
            let known = ["kind", "name", "state"];
            let seen = all
                .iter()
                .map(|one| known.map(|member| one[member].clone()));
            json!(seen.map(Vec::from).collect::<Vec<_>>()).to_string()
        }
        None => value.to_string(),
    };
    for (name, mask) in masks {
        let mask = regex::Regex::new(mask).expect("a pattern");
        text = mask.replace_all(&text, name).into_owned();
    }
    serde_json::from_str(&text).expect("JSON")
}

async fn run(way: Way) -> Answers {
    let mut suite = Suite::start(way).await;
    let room = suite.create(arena()).await;
    suite.pings(&room).await;
    suite.events(&room).await;
    suite.allocate(&room).await;
    suite.read(&room).await;
    suite.order(&room).await;
    suite.control().await;
    suite.site.stop().await;
    let answers = suite.answers.into_iter();
    answers.map(|(rpc, answer)| (rpc, masked(answer))).collect()
}

fn all_calls() -> BTreeSet<&'static str> {
    macro_rules! names {
        ($api:ident { $($rpc:ident($request:ident) -> $answer:ident;)* }) => {
            vec![$(stringify!($rpc)),*]
        };
    }
    let all = [
        management_calls!(names),
        rooms_calls!(names),
        operator_calls!(names),
        vec!["start", "stop", "publish", "unpublish", "update_config"],
    ];
    all.into_iter().flatten().collect()
}

#[actix_web::test]
async fn every_way_to_ask_brings_the_same_answers() {
    let services = run(Way::Service).await;
    let asked: BTreeSet<_> = services.iter().map(|(rpc, _)| *rpc).collect();
    assert_eq!(asked, all_calls(), "the suite asks for every call");
    for way in [Way::Http, Way::Grpc, Way::Peer, Way::PeerHttp] {
        let answers = run(way).await;
        assert_eq!(answers.len(), services.len());
        for (n, (found, wanted)) in answers.iter().zip(&services).enumerate() {
            assert_eq!(found, wanted, "{way:?}, answer {n}");
        }
    }
}

/// The forwarder is called outside the owner, and the outcome of the call is not a second message.
#[actix_web::test]
async fn an_event_for_a_forwarder_is_one_message() {
    let mut fleet = arena();
    fleet["forwarders"] = json!([
        {"name": "matchmaker", "enable": true, "type": "gRPC", "address": "matchmaker:8080"},
    ]);
    for way in [Way::Service, Way::Http, Way::Grpc, Way::Peer] {
        let mut suite = Suite::start(way).await;
        let room = suite.create(fleet.clone()).await;
        // The forwarder is sent each ping, so no ping is steady.
        for status in ["ready", "occupied", "occupied", "ready"] {
            suite.ping(&room, status, Messages(1)).await;
        }
        suite.events(&room).await;
        suite.site.stop().await;
    }
}
