//! One node, and requests to its servers without a network.

use std::sync::Arc;
use std::time::Duration;

use actix_service::boxed::{self, BoxService};
use actix_web::dev::ServiceResponse;
use actix_web::http::{Method, header};
use actix_web::web::ServiceConfig;
use actix_web::{App, test};
use maestro_actors::{ActorSettings, Node, NodeParts};
use maestro_api::{
    Apis, BackupError, ManagerAccess, ManagerToken, ResourceSettings, ResourcesService, RuntimeApi,
    RuntimesService, RuntimesUntilDone, UntilDone, VersionsService, Waits,
};
use maestro_core::settings::CoreSettings;
use maestro_http::operator::configure_operator;
use maestro_http::resources::configure_resources;
use maestro_http::runtimes::{RuntimeParts, configure_runtimes};
use maestro_http::versions::{VersionParts, configure_versions};
use maestro_http::{InternalParts, ManagementParts, configure_debug, configure_internal, gateway};
use maestro_testkit::fake::{
    FakeForwarders, FakeMetrics, FakePlatform, FakeRuntime, FakeStore, Gate, StoreCall, StoreFault,
    TokioClock,
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// Needed for orders about versions: requests without a network come from no address.
pub const TOKEN: &str = "known-to-operators";

pub struct Fleet {
    pub store: Arc<FakeStore>,
    pub runtime: Arc<FakeRuntime>,
    pub forwarders: Arc<FakeForwarders>,
    pub metrics: Arc<FakeMetrics>,
    pub platform: Arc<FakePlatform>,
    resources: Arc<ResourcesService>,
    versions: Arc<VersionsService>,
    /// Ended by tests that shut the node down.
    pub waits: Waits,
    /// Who may give orders about versions; the requests of tests come from nowhere.
    access: ManagerAccess,
    pub node: Node,
    /// Made for the first request: the patterns of all routes take a while.
    apps: [OnceCell<Service>; 4],
}

type Service = BoxService<actix_http::Request, ServiceResponse, actix_web::Error>;

/// A response: status, relevant headers, and body.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub kind: String,
    pub retry_after: Option<String>,
    /// The operation that goes on or failed.
    pub operation: Option<String>,
    pub text: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }
    /// Status, gRPC code and message of a failure.
    pub fn failure(&self) -> (u16, u64, String) {
        let body = self.json();
        let text = body["message"].as_str().unwrap_or_default().to_owned();
        (self.status, body["code"].as_u64().unwrap_or_default(), text)
    }
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()
    }
}

pub enum Server {
    Management,
    Rooms,
    Internal,
    InternalWithoutStoreCheck,
}

impl Server {
    fn place(&self) -> usize {
        match self {
            Self::Management => 0,
            Self::Rooms => 1,
            Self::Internal => 2,
            Self::InternalWithoutStoreCheck => 3,
        }
    }
}

impl Fleet {
    pub async fn start(paused: bool) -> Self {
        Self::start_with(paused, ActorSettings::default()).await
    }

    pub async fn start_with(paused: bool, settings: ActorSettings) -> Self {
        let core = CoreSettings {
            paused,
            ..CoreSettings::default()
        };
        let (store, runtime) = (FakeStore::new(), FakeRuntime::new());
        let forwarders = FakeForwarders::new();
        let mut parts = NodeParts::new(
            store.clone(),
            runtime.clone(),
            forwarders.clone(),
            TokioClock::new(),
            core,
            settings,
            tokio::runtime::Handle::current(),
        );
        let platform = FakePlatform::new();
        parts.platform = platform.clone();
        let node = Node::start(parts);
        let metrics = FakeMetrics::new();
        let resources = ResourcesService::new(
            node.clone(),
            metrics.clone(),
            ResourceSettings {
                watch_interval: Duration::from_secs(1),
                ..ResourceSettings::default()
            },
            tokio::runtime::Handle::current(),
        );
        let io = tokio::runtime::Handle::current();
        let versions = VersionsService::new(node.clone(), "http://rooms".into(), io);
        let fleet = Self {
            metrics,
            platform,
            resources: Arc::new(resources),
            versions: Arc::new(versions),
            apps: Default::default(),
            waits: Waits::new(node.clone()),
            access: ManagerAccess::Token(ManagerToken::new(TOKEN).expect("a token")),
            store,
            runtime,
            forwarders,
            node,
        };
        fleet
            .until("the node knows all schedulers", async |fleet| {
                fleet.node.directory().is_complete()
            })
            .await;
        fleet
    }

    /// A paused fleet with the scheduler `arena`, whose store reads block at the gate.
    pub async fn with_held_reads() -> (Self, Gate) {
        let fleet = Self::start(true).await;
        fleet.create(0).await;
        let gate = Gate::closed();
        let held = StoreFault::Held(gate.clone());
        fleet.store.fail_always(StoreCall::Read, held);
        (fleet, gate)
    }

    /// Waits up to five seconds until a condition holds.
    pub async fn until(&self, what: &str, reached: impl AsyncFn(&Self) -> bool) {
        for _ in 0..500 {
            if reached(self).await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never came: {what}");
    }

    /// The APIs of the servers; this store cannot be backed up.
    pub fn apis(&self) -> Apis {
        let refused = || Err(BackupError::NotWritten("there is no file".to_owned()));
        Apis::of(
            &self.node,
            Arc::new(move |_| Box::pin(async move { refused() })),
            self.resources.clone(),
            Arc::new(RuntimesService::new(
                self.node.clone(),
                Duration::from_secs(5),
            )),
            self.versions.clone(),
        )
    }

    /// What the management API serves beside the contract's calls.
    pub fn management_parts(&self) -> ManagementParts {
        let apis = self.apis();
        ManagementParts {
            operator: apis.operator,
            metrics: apis.metrics,
            runtimes: self.runtime_parts(apis.runtimes),
            versions: self.version_parts(),
            debug: false,
        }
    }

    fn runtime_parts(&self, runtimes: Arc<dyn RuntimeApi>) -> RuntimeParts {
        let waits = self.waits.clone();
        RuntimeParts {
            runtimes: Arc::new(RuntimesUntilDone::new(waits, runtimes)),
            access: self.access.clone(),
        }
    }

    fn version_parts(&self) -> VersionParts {
        let orders = self.versions.clone();
        VersionParts {
            until_done: Arc::new(UntilDone::new(
                Waits::new(self.node.clone()),
                orders.clone(),
            )),
            orders,
            access: self.access.clone(),
        }
    }

    fn configure(&self, server: &Server, config: &mut ServiceConfig) {
        match server {
            Server::Management => {
                let Apis {
                    management,
                    operator,
                    metrics,
                    runtimes,
                    ..
                } = self.apis();
                let gateway = gateway::management(management);
                configure_debug(operator.clone(), &gateway)(config);
                configure_versions(self.version_parts(), operator.clone(), &gateway)(config);
                configure_operator(operator, &gateway)(config);
                configure_resources(metrics, &gateway)(config);
                configure_runtimes(self.runtime_parts(runtimes), &gateway)(config);
                gateway.configure(config);
            }
            Server::Rooms => gateway::rooms(self.apis().rooms).configure(config),
            Server::Internal => self.configure_internal(false, config),
            Server::InternalWithoutStoreCheck => self.configure_internal(true, config),
        }
    }

    fn configure_internal(&self, skip_store_check: bool, config: &mut ServiceConfig) {
        configure_internal(InternalParts {
            operator: self.apis().operator,
            metrics: Some(Arc::new(|| "a_metric 1\n".to_owned())),
            health: true,
            skip_store_check,
        })(config);
    }

    /// Sends one request unchanged.
    pub async fn raw(&self, server: &Server, request: test::TestRequest) -> Reply {
        let app = self.apps[server.place()].get_or_init(|| async {
            let app = App::new().configure(|config| self.configure(server, config));
            boxed::service(test::init_service(app).await)
        });
        let response = test::call_service(app.await, request.to_request()).await;
        let header = |name: header::HeaderName| {
            let value = response.headers().get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        let status = response.status().as_u16();
        let kind = header(header::CONTENT_TYPE).unwrap_or_default();
        let retry_after = header(header::RETRY_AFTER);
        let operation = header(header::HeaderName::from_static("maestro-operation"));
        let text = String::from_utf8_lossy(&test::read_body(response).await).into_owned();
        Reply {
            status,
            kind,
            retry_after,
            operation,
            text,
        }
    }

    pub async fn call(&self, server: Server, method: Method, path: &str, body: Value) -> Reply {
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let request = test::TestRequest::default().method(method).uri(path);
        self.raw(&server, request.set_payload(body)).await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.call(Server::Management, Method::GET, path, Value::Null)
            .await
    }
    pub async fn send(&self, method: Method, path: &str, body: Value) -> Reply {
        self.call(Server::Management, method, path, body).await
    }
    pub async fn room(&self, method: Method, path: &str, body: Value) -> Reply {
        self.call(Server::Rooms, method, path, body).await
    }

    /// Creates `arena` with this many rooms.
    pub async fn create(&self, rooms: i32) -> Value {
        self.send(Method::POST, "/schedulers", arena(rooms))
            .await
            .ok()
    }

    pub async fn operation_ends(&self, id: &Value) -> String {
        let path = format!(
            "/schedulers/arena/operations/{}",
            id.as_str().expect("an id")
        );
        self.until("the operation has ended", async |fleet| {
            let status = fleet.get(&path).await.ok()["operation"]["status"].clone();
            status != "pending" && status != "in_progress"
        })
        .await;
        let operation = self.get(&path).await.ok();
        operation["operation"]["status"]
            .as_str()
            .expect("a status")
            .to_owned()
    }
}

/// A request that creates a scheduler.
pub fn arena(rooms: i32) -> Value {
    let size = json!({"memory": "64Mi", "cpu": "100m"});
    json!({
        "name": "arena", "game": "chess", "maxSurge": "10%", "roomsReplicas": rooms,
        "portRange": {"start": 40000, "end": 41000},
        "spec": {"terminationGracePeriod": "90.5s", "containers": [{
            "name": "game", "image": "registry/game:1", "imagePullPolicy": "Always",
            "requests": size, "limits": size,
            "ports": [{"name": "clientPort", "protocol": "udp", "port": 7777}],
        }]},
    })
}
