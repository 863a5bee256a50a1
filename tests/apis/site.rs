//! A node with a store and a runtime in memory, and the ways to call it: the services, HTTP, gRPC with its client, and
//! another node, which owns nothing.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use maestro_actors::{ActorSettings, Node, NodeParts};
use maestro_api::codec::messages::GetRoomsSummaryRequest;
use maestro_api::{
    Apis, Backup, BackupDone, ManagerAccess, RequestContext, ResourceSettings, ResourcesService,
    RuntimesService, Status, VersionsService, owned, routed,
};
use maestro_core::ports::{Member, Ownership};
use maestro_core::settings::CoreSettings;
use maestro_grpc::{Audience, Bounds, GrpcClient, GrpcPeers, GrpcServer, NodeSecret};
use maestro_http::runtimes::RuntimeParts;
use maestro_http::versions::VersionParts;
use maestro_http::{
    ConnectionTimeouts, InternalParts, ManagementParts, RefusedRequests, ServerSettings, Trusted,
    gateway, server,
};
use maestro_testkit::fake::{
    FakeForwarders, FakeMetrics, FakeRuntime, FakeStore, TokioClock, member,
};
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// Every request has this id, which its operations show.
const REQUEST_ID: &str = "suite";

/// How a node is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Service,
    Http,
    Grpc,
    /// Another node, which calls the owner over gRPC.
    Peer,
    /// The same, over HTTP.
    PeerHttp,
}

/// An HTTP server of the node.
#[derive(Clone, Copy, Debug)]
pub enum Server {
    Management = 0,
    Rooms = 1,
    Internal = 2,
}

/// A request over HTTP, as a client of that transport writes it.
pub struct Request<'a> {
    pub server: Server,
    pub method: &'static str,
    pub path: &'a str,
    pub body: Value,
}

enum Asked {
    Calls(Apis),
    Http([String; 3], reqwest::Client),
}

pub struct Site {
    pub runtime: Arc<FakeRuntime>,
    node: Node,
    /// For the conditions that the suite waits for, whatever transport is tested.
    services: Apis,
    asked: Asked,
    servers: Vec<ServerHandle>,
    grpc: Option<JoinHandle<std::io::Result<()>>>,
    /// The node that is asked, if it is another one.
    peer: Option<Node>,
}

fn of_client(client: GrpcClient) -> Apis {
    let client = Arc::new(client);
    Apis {
        management: client.clone(),
        rooms: client.clone(),
        operator: client.clone(),
        metrics: client.clone(),
        runtimes: client.clone(),
        versions: client,
    }
}

fn secret() -> NodeSecret {
    NodeSecret::new("known-to-both-nodes").expect("a secret")
}

async fn node(store: &Arc<FakeStore>, runtime: Arc<FakeRuntime>, member: Member) -> Node {
    let mut parts = NodeParts::new(
        store.clone(),
        runtime,
        FakeForwarders::new(),
        TokioClock::new(),
        CoreSettings::default(),
        ActorSettings::default(),
        Handle::current(),
    );
    let ownership: Arc<dyn Ownership> = store.node_of(member);
    parts.ownership = ownership;
    let node = Node::start(parts);
    node.loaded(Duration::from_secs(10)).await;
    node
}

fn services(node: &Node) -> Apis {
    let (metrics, settings) = (FakeMetrics::new(), ResourceSettings::default());
    let metrics = ResourcesService::new(node.clone(), metrics, settings, Handle::current());
    let runtimes = RuntimesService::new(node.clone(), Duration::from_secs(5));
    let versions = VersionsService::new(node.clone(), "http://rooms".into(), Handle::current());
    Apis::of(
        node,
        backup(),
        Arc::new(metrics),
        Arc::new(runtimes),
        Arc::new(versions),
    )
}

fn backup() -> Backup {
    Arc::new(|name| {
        let done = BackupDone {
            path: format!("/backups/{name}.redb"),
            bytes: 42,
            took: Duration::from_millis(1500),
        };
        Box::pin(async move { Ok(done) })
    })
}

impl Site {
    pub async fn start(way: Way) -> Self {
        let (store, runtime) = (FakeStore::new(), FakeRuntime::new());
        let (listener, address) = listen();
        let node = node(&store, runtime.clone(), member(&address)).await;
        let apis = services(&node);
        let mut site = Self {
            runtime,
            node,
            services: apis.clone(),
            asked: Asked::Calls(apis.clone()),
            servers: Vec::new(),
            grpc: None,
            peer: None,
        };
        match way {
            Way::Service => {}
            Way::Http => site.serve_http(apis),
            Way::Grpc => {
                site.serve_grpc(listener, apis, None).await;
                let client = GrpcClient::new(&format!("http://{address}"));
                site.asked = Asked::Calls(of_client(client.expect("a URL")));
            }
            Way::Peer | Way::PeerHttp => {
                let apis = owned(&site.node, apis);
                site.serve_grpc(listener, apis, Some(secret())).await;
                let apis = site.start_peer(&store).await;
                match way {
                    Way::Peer => site.asked = Asked::Calls(apis),
                    _ => site.serve_http(apis),
                }
            }
        }
        site
    }

    /// Starts a node that hosts nothing, and knows the one that does.
    async fn start_peer(&mut self, store: &Arc<FakeStore>) -> Apis {
        let front = Member {
            hosts: false,
            address: String::new(),
            ..member("front")
        };
        let peer = node(store, FakeRuntime::new(), front).await;
        let others = GrpcPeers::new(Some(secret()), Handle::current());
        let apis = routed(&peer, services(&peer), Arc::new(others));
        self.peer = Some(peer);
        let met = async |site: &Self| {
            let nodes = [Some(&site.node), site.peer.as_ref()];
            nodes
                .into_iter()
                .flatten()
                .all(|node| node.members().len() == 2)
        };
        self.until("the nodes know each other", met).await;
        apis
    }

    fn serve_http(&mut self, apis: Apis) {
        let registry = prometheus::Registry::new();
        let refused = RefusedRequests::register(&registry).expect("the first");
        let mut urls = Vec::new();
        let mut settings = || {
            let (listener, address) = listen();
            urls.push(format!("http://{address}"));
            ServerSettings {
                listener,
                refused: refused.clone(),
                workers: 1,
                shutdown_timeout: Duration::from_secs(1),
                connections_max: 16,
                timeouts: ConnectionTimeouts::default(),
                trusted: Trusted::default(),
            }
        };
        let management = gateway::management(apis.management);
        let parts = InternalParts {
            operator: apis.operator.clone(),
            metrics: None,
            health: true,
            skip_store_check: false,
        };
        let beside = ManagementParts {
            operator: apis.operator,
            metrics: apis.metrics,
            runtimes: RuntimeParts {
                runtimes: apis.runtimes,
                access: ManagerAccess::default(),
            },
            versions: VersionParts {
                orders: apis.versions.clone(),
                until_done: apis.versions,
                access: ManagerAccess::default(),
            },
            debug: false,
        };
        let servers = [
            server::management(settings(), management, beside),
            server::rooms(settings(), gateway::rooms(apis.rooms)),
            server::internal(settings(), parts),
        ];
        for server in servers {
            let server = server.expect("it listens");
            self.servers.push(server.handle());
            actix_web::rt::spawn(server);
        }
        let urls = urls.try_into().expect("three servers");
        self.asked = Asked::Http(urls, reqwest::Client::new());
    }

    async fn serve_grpc(&mut self, listener: TcpListener, apis: Apis, secret: Option<NodeSecret>) {
        let registry = prometheus::Registry::new();
        let (bounds, audience) = (Bounds::new(16), Audience::Nodes);
        let server = GrpcServer::new(listener, bounds, &registry, apis, audience);
        let mut server = server.await.expect("whole descriptors");
        if let Some(secret) = secret {
            server = server.for_those_who_know(secret);
        }
        self.grpc = Some(tokio::spawn(server.run()));
    }

    /// Makes the call, or over HTTP the request.
    pub async fn ask(
        &self,
        request: &Request<'_>,
        call: impl AsyncFnOnce(&Apis, &RequestContext) -> Result<Value, Status>,
    ) -> Value {
        match &self.asked {
            Asked::Calls(apis) => {
                let context = RequestContext {
                    request_id: REQUEST_ID.to_owned(),
                    deadline: None,
                };
                match call(apis, &context).await {
                    Ok(answer) => answer,
                    Err(Status {
                        code,
                        message,
                        lasts,
                        ..
                    }) => {
                        let again = matches!(code.number(), 8 | 14) && !lasts;
                        json!({"code": code.number(), "message": message, "again": again})
                    }
                }
            }
            Asked::Http(urls, client) => {
                let url = format!("{}{}", urls[request.server as usize], request.path);
                let method = request.method.parse().expect("a method");
                let sent = client
                    .request(method, url)
                    .header("x-request-id", REQUEST_ID);
                let sent = match &request.body {
                    Value::Null => sent,
                    body => sent.body(body.to_string()),
                };
                let answer = sent.send().await.expect("an answer");
                let failed = !answer.status().is_success();
                let again = answer.headers().contains_key("retry-after");
                let text = answer.text().await.expect("text");
                let mut value = serde_json::from_str(&text).unwrap_or(Value::String(text));
                if failed && let Some(failure) = value.as_object_mut() {
                    failure.remove("details");
                    failure.insert("again".to_owned(), again.into());
                }
                value
            }
        }
    }

    /// The number of callers' messages that the owner of `arena` has handled. Waits until it is idle: an answer may
    /// arrive before its turn is counted.
    pub async fn messages(&self) -> u64 {
        let mut before = None;
        for _ in 0..2500 {
            let now = self.idle_messages();
            if now.is_some() && now == before {
                return now.unwrap_or_default();
            }
            before = now;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("the owner never rests");
    }

    /// `None`: the owner is busy.
    fn idle_messages(&self) -> Option<u64> {
        let view = self.node.debug(Some("arena"));
        let Some(owner) = view.actors.first() else {
            return Some(0);
        };
        let kinds = ["command", "allocate", "ping"];
        let messages = kinds
            .iter()
            .filter_map(|kind| owner.handled.get(kind))
            .sum();
        (owner.turn.is_none() && owner.mailbox_depth == 0).then_some(messages)
    }

    /// The state of `arena`.
    pub async fn state(&self) -> String {
        let request = GetRoomsSummaryRequest {
            scheduler_name: "arena".to_owned(),
        };
        let operator = &self.services.operator;
        let nobody = RequestContext::internal();
        let answer = operator.get_rooms_summary(&nobody, request).await;
        answer.expect("there it is").state
    }

    /// Waits for a condition, for five seconds at most.
    pub async fn until(&self, what: &str, reached: impl AsyncFn(&Self) -> bool) {
        for _ in 0..500 {
            if reached(self).await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never came: {what}");
    }

    pub async fn stop(self) {
        for server in self.servers {
            server.stop(false).await;
        }
        if let Some(running) = self.grpc {
            running.abort();
        }
        if let Some(peer) = self.peer {
            peer.shutdown().await;
        }
        self.node.shutdown().await;
    }
}

fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, address.to_string())
}
