//! A node that owns nothing passes calls on: to owners that move, hang, or are not there.

#[path = "routing/moving.rs"]
mod moving;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use maestro_actors::{ActorSettings, Location, Node, NodeParts};
use maestro_api::codec::messages::resourcemetrics::{
    AlertsRequest, AlertsResponse, Response, VersionRequest,
};
use maestro_api::codec::messages::*;
use maestro_api::{
    ApiResult, Apis, BackupError, Code, ManagementApi, NodeWatch, OperatorApi, OwnerHint, Peers,
    RequestContext, ResourceMetricsApi, ResourceSettings, ResourcesService, RoomsApi, RuntimeApi,
    RuntimesService, Status, VersionsApi, VersionsService, Watch, management_calls, operator_calls,
    rooms_calls, routed,
};
use maestro_core::ports::{Member, Ownership};
use maestro_core::settings::CoreSettings;
use maestro_testkit::fake::{
    FakeForwarders, FakeMetrics, FakeRuntime, FakeStore, TokioClock, member,
};
use maestro_testkit::{build, eventually};

const LONG: Duration = Duration::from_secs(10);

/// How a node answers every call.
#[derive(Clone)]
enum Does {
    Answers,
    Refuses(Status),
    Hangs,
}

/// Another node.
struct Other {
    does: Does,
    calls: AtomicUsize,
    /// Of the last call.
    context: Mutex<Option<RequestContext>>,
}

impl Other {
    async fn hear(&self, context: &RequestContext) -> ApiResult<()> {
        self.calls.fetch_add(1, SeqCst);
        *self.context.lock().expect("no panic") = Some(context.clone());
        match &self.does {
            Does::Answers => Ok(()),
            Does::Refuses(status) => Err(status.clone()),
            Does::Hangs => {
                let left = context.remaining().expect("a bound");
                tokio::time::sleep(left).await;
                Err(Status::new(Code::DeadlineExceeded, "too late"))
            }
        }
    }
}

macro_rules! scripted {
    ($trait:ident { $($rpc:ident($request:ident) -> $response:ident;)* }) => {
        #[async_trait::async_trait]
        impl $trait for Other {
            $(async fn $rpc(&self, context: &RequestContext, _: $request) -> ApiResult<$response> {
                self.hear(context).await?;
                Ok($response::default())
            })*
        }
    };
}

management_calls!(scripted);
rooms_calls!(scripted);
operator_calls!(scripted);

#[async_trait::async_trait]
impl ResourceMetricsApi for Other {
    async fn get_version(
        &self,
        context: &RequestContext,
        _: VersionRequest,
    ) -> ApiResult<Response> {
        self.hear(context).await.map(|()| Response::default())
    }

    async fn watch_version(&self, context: &RequestContext, _: VersionRequest) -> ApiResult<Watch> {
        self.hear(context).await?;
        Ok(Box::pin(futures_util::stream::pending()))
    }

    async fn get_alerts(
        &self,
        context: &RequestContext,
        _: AlertsRequest,
    ) -> ApiResult<AlertsResponse> {
        self.hear(context).await.map(|()| AlertsResponse::default())
    }
}

#[async_trait::async_trait]
impl RuntimeApi for Other {
    async fn create(
        &self,
        context: &RequestContext,
        _: runtime::Request,
    ) -> ApiResult<runtime::Response> {
        let heard = self.hear(context).await;
        heard.map(|()| runtime::Response::default())
    }

    async fn runtime_status(
        &self,
        context: &RequestContext,
        _: runtime::Request,
    ) -> ApiResult<runtime::RuntimeStatusResponse> {
        let heard = self.hear(context).await;
        heard.map(|()| runtime::RuntimeStatusResponse::default())
    }
}

macro_rules! orders {
    ($($rpc:ident)*) => {
        #[async_trait::async_trait]
        impl VersionsApi for Other {
            $(async fn $rpc(
                &self,
                context: &RequestContext,
                _: version::Request,
            ) -> ApiResult<version::Response> {
                self.hear(context).await.map(|()| version::Response::default())
            })*

            async fn watch_node_status(
                &self,
                context: &RequestContext,
                _: version::NodeStatusRequest,
            ) -> ApiResult<NodeWatch> {
                self.hear(context).await?;
                Ok(Box::pin(futures_util::stream::pending()))
            }
        }
    };
}

orders! { start stop publish unpublish update_config }

#[derive(Default)]
struct Others(HashMap<&'static str, Arc<Other>>);

impl Peers for Others {
    fn at(&self, address: &str) -> ApiResult<Apis> {
        let other = self.0.get(address);
        let other = other.unwrap_or_else(|| panic!("{address} must not be called"));
        Ok(Apis {
            management: other.clone(),
            rooms: other.clone(),
            operator: other.clone(),
            metrics: other.clone(),
            runtimes: other.clone(),
            versions: other.clone(),
        })
    }
}

/// A node that hosts nothing, beside others that are only scripted.
struct Front {
    store: Arc<FakeStore>,
    node: Node,
    apis: Apis,
    others: Arc<Others>,
}

impl Front {
    /// The first of the others owns `arena`.
    async fn start(others: &[(&'static str, Does)]) -> Self {
        let store = FakeStore::new();
        store.insert(build::scheduler("arena").build(), [], []);
        for (address, _) in others {
            let other = store.node_of(member(address));
            other.renew(&[]).await.expect("a session");
        }
        store.steal("arena", others[0].0);
        let others = others.iter().map(|(address, does)| {
            let other = Other {
                does: does.clone(),
                calls: AtomicUsize::new(0),
                context: Mutex::default(),
            };
            (*address, Arc::new(other))
        });
        let others = Arc::new(Others(others.collect()));
        let mut parts = NodeParts::new(
            store.clone(),
            FakeRuntime::new(),
            FakeForwarders::new(),
            TokioClock::new(),
            CoreSettings::default(),
            ActorSettings::default(),
            tokio::runtime::Handle::current(),
        );
        parts.ownership = store.node_of(Member {
            hosts: false,
            ..member("front:1")
        });
        let node = Node::start(parts);
        let known = || {
            let located = node.directory().locate("arena");
            matches!(located, Ok(Some(Location::Remote(_))))
                && node.members().len() == others.0.len() + 1
        };
        eventually(LONG, "the owner and the nodes are known", known).await;
        let backup = Arc::new(|name| {
            Box::pin(async move { Err(BackupError::Name(name)) })
                as std::pin::Pin<Box<dyn Future<Output = _> + Send>>
        });
        let (metrics, settings) = (FakeMetrics::new(), ResourceSettings::default());
        let io = tokio::runtime::Handle::current();
        let metrics = ResourcesService::new(node.clone(), metrics, settings, io.clone());
        let runtimes = RuntimesService::new(node.clone(), LONG);
        let versions = VersionsService::new(node.clone(), "http://rooms".into(), io);
        let services = Apis::of(
            &node,
            backup,
            Arc::new(metrics),
            Arc::new(runtimes),
            Arc::new(versions),
        );
        let apis = routed(&node, services, others.clone());
        Self {
            store,
            node,
            apis,
            others,
        }
    }

    fn calls(&self, address: &str) -> usize {
        self.others.0[address].calls.load(SeqCst)
    }

    async fn ask(&self, context: &RequestContext) -> ApiResult<GetRolloutResponse> {
        let request = GetRolloutRequest {
            scheduler_name: "arena".to_owned(),
        };
        self.apis.operator.get_rollout(context, request).await
    }

    async fn ping(&self) -> bool {
        let request = UpdateRoomWithPingRequest {
            scheduler_name: "arena".to_owned(),
            room_name: "room".to_owned(),
            status: "ready".to_owned(),
            ..UpdateRoomWithPingRequest::default()
        };
        let context = within(Duration::from_millis(100));
        let rooms = &self.apis.rooms;
        rooms
            .update_room_with_ping(&context, request)
            .await
            .expect("an answer")
            .success
    }
}

fn nobody() -> RequestContext {
    RequestContext::internal()
}

fn within(time: Duration) -> RequestContext {
    RequestContext {
        deadline: Some(Instant::now() + time),
        ..RequestContext::internal()
    }
}

fn hint(owner: OwnerHint) -> Does {
    Does::Refuses(Status {
        owner: Some(owner),
        ..Status::unavailable("not here")
    })
}

fn at(address: &str) -> Does {
    hint(OwnerHint::At(address.to_owned()))
}

/// A caller may ask again: over HTTP this is a 503 with `Retry-After`.
fn assert_may_ask_again(answer: ApiResult<GetRolloutResponse>) {
    let status = answer.expect_err("there is no owner");
    assert_eq!(
        (status.code, status.lasts, status.owner),
        (Code::Unavailable, false, None)
    );
    assert!(
        status.message.contains("has no owner"),
        "{}",
        status.message
    );
}

#[actix_web::test]
async fn the_request_goes_along_and_always_has_a_bound() {
    let front = Front::start(&[("a:1", Does::Answers)]).await;
    let asked = nobody();
    front.ask(&asked).await.expect("an answer");
    let heard = front.others.0["a:1"]
        .context
        .lock()
        .unwrap()
        .clone()
        .expect("a call");
    assert_eq!(heard.request_id, asked.request_id);
    assert!(
        heard
            .remaining()
            .is_some_and(|left| left < Duration::from_secs(30))
    );
    // The scripted answer is one without success.
    assert!(!front.ping().await);
    assert_eq!(front.calls("a:1"), 2);
}

#[actix_web::test]
async fn an_owner_that_moved_is_followed_once() {
    let front = Front::start(&[("a:1", at("b:1")), ("b:1", Does::Answers)]).await;
    front.ask(&nobody()).await.expect("an answer");
    assert_eq!((front.calls("a:1"), front.calls("b:1")), (1, 1));
    front.ping().await;
    assert_eq!((front.calls("a:1"), front.calls("b:1")), (2, 2));

    let front = Front::start(&[("a:1", at("b:1")), ("b:1", at("a:1"))]).await;
    assert_may_ask_again(front.ask(&nobody()).await);
    assert_eq!((front.calls("a:1"), front.calls("b:1")), (1, 1));
    assert!(!front.ping().await);
}

#[actix_web::test]
async fn an_address_that_is_no_node_is_never_called() {
    // This node's own address is no better: it does not know that it owns the scheduler.
    for address in ["stranger:1", "front:1"] {
        let front = Front::start(&[("a:1", at(address))]).await;
        let began = Instant::now();
        assert_may_ask_again(front.ask(&nobody()).await);
        assert!(
            began.elapsed() < Duration::from_secs(2),
            "{:?}",
            began.elapsed()
        );
        assert_eq!(front.calls("a:1"), 1);
    }
}

#[actix_web::test]
async fn a_scheduler_without_owner_is_waited_for_a_moment() {
    let front = Front::start(&[("a:1", Does::Answers)]).await;
    front.store.expire("arena");
    let unowned = || {
        matches!(
            front.node.directory().locate("arena"),
            Ok(Some(Location::Unowned))
        )
    };
    eventually(LONG, "it has no owner", unowned).await;
    let began = Instant::now();
    assert_may_ask_again(front.ask(&nobody()).await);
    let took = began.elapsed();
    assert!(
        took >= Duration::from_millis(990) && took < Duration::from_secs(2),
        "{took:?}"
    );
    let began = Instant::now();
    assert_may_ask_again(front.ask(&within(Duration::from_millis(50))).await);
    assert!(!front.ping().await);
    assert!(
        began.elapsed() < Duration::from_millis(900),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(front.calls("a:1"), 0);

    let taken = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        front.store.steal("arena", "a:1");
    };
    let context = nobody();
    let (answer, ()) = tokio::join!(front.ask(&context), taken);
    answer.expect("the new owner answers");
}

#[actix_web::test]
async fn a_node_that_hangs_costs_no_more_than_the_deadline() {
    let front = Front::start(&[("a:1", Does::Hangs), ("b:1", Does::Answers)]).await;
    let began = Instant::now();
    let answer = front.ask(&within(Duration::from_millis(50))).await;
    assert_eq!(answer.expect_err("it hangs").code, Code::DeadlineExceeded);
    assert!(!front.ping().await);
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );

    // What other failures say reaches the caller as it is, and nobody is asked twice.
    let refusal = Status::new(Code::FailedPrecondition, "not now");
    let front = Front::start(&[("a:1", Does::Refuses(refusal.clone()))]).await;
    assert_eq!(front.ask(&nobody()).await, Err(refusal));
    assert_eq!(front.calls("a:1"), 1);
}

#[actix_web::test]
async fn the_view_of_all_actors_names_the_nodes_that_do_not_answer() {
    let front = Front::start(&[("a:1", Does::Hangs)]).await;
    let request = GetActorsRequest::default();
    let began = Instant::now();
    let answer = front.apis.operator.get_actors(&nobody(), request).await;
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    let view: serde_json::Value =
        serde_json::from_str(&answer.expect("a view").view).expect("JSON");
    assert_eq!(view["actors"][0]["node"], "front:1");
    let nodes = view["nodes"].as_array().expect("nodes");
    assert_eq!(
        (&nodes[0]["name"], nodes[0].get("error")),
        (&"front:1".into(), None)
    );
    let error = nodes[1]["error"].as_str().expect("an error");
    assert!(
        nodes[1]["name"] == "a:1" && error.contains("did not answer"),
        "{view}"
    );
}
