//! The K8s manager as a whole, on one scheduler from its runtime to its end: what is asked of it in this order.

use crate::site::*;
use crate::support::{Answer, Home, Maestro, eventually, seconds};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use maestro_testkit::servers::http::HttpServer;
use prometheus::{
    Told, figures_are_those_of_prometheus, known_sizes, the_script_shows_samples, watches_go_on,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

mod prometheus;

const NAME: &str = "accepted";

/// The scheduler and its process on the cluster.
struct Accepted {
    site: Site,
    home: Home,
    maestro: Maestro,
    told: Told,
    _prometheus: HttpServer,
}

impl Accepted {
    async fn open() -> Option<Self> {
        let site = Site::open(NAME, 2).await?;
        let (prometheus, told) = known_sizes().await;
        let mut environment = site.environment();
        for (key, value) in [
            ("MAESTRO_RUNTIME_OPERATOR_ENABLED", "false".to_owned()),
            ("MAESTRO_RESOURCEMETRICS_WATCHINTERVAL", "1s".to_owned()),
            (
                "MAESTRO_PROMETHEUS_URL",
                format!("http://{}", prometheus.address),
            ),
        ] {
            environment.push((key.to_owned(), value));
        }
        let home = Home::new();
        let maestro = home.start_with(&borrowed(&environment));
        Some(Self {
            site,
            home,
            maestro,
            told,
            _prometheus: prometheus,
        })
    }

    /// An object of the namespace; none if it is not there.
    fn object(&self, kind: &str, name: &str) -> Option<Value> {
        let at = ["get", kind, name, "-n", NAME, "-o", "json"];
        let found = self.site.plane.kubectl(&at).ok()?;
        Some(serde_json::from_str(&found).expect("JSON"))
    }

    fn service(&self) -> Option<Value> {
        self.object("service", "active-entrypoint")
    }

    fn selected(&self) -> Option<String> {
        let version = &self.service()?["spec"]["selector"]["version-name"];
        version.as_str().map(str::to_owned)
    }

    /// Revisions of the namespace and the rights in it.
    fn rights(&self) -> Vec<Value> {
        let kinds = [
            ("namespace", NAME),
            ("role", "maestro-runtime"),
            ("serviceaccount", "maestro-runtime"),
            ("rolebinding", "maestro-runtime"),
        ];
        let all = kinds.iter().map(|(kind, name)| {
            let found = self.object(kind, name);
            let found = found.unwrap_or_else(|| panic!("no {kind}"));
            found["metadata"]["resourceVersion"].clone()
        });
        all.collect()
    }

    async fn ordered(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let url = format!("{}/schedulers/{NAME}/{path}", self.maestro.management);
        self.maestro.call(method, &url, body).await
    }

    /// Gives an order about a version, and waits until it is done.
    async fn done(&self, version: &str, order: &str) -> Value {
        let path = format!("versions/{version}/{order}?wait=60s");
        let (status, answer) = self.ordered("POST", &path, None).await;
        assert_eq!(status, 200, "{order} {version}: {answer}");
        answer
    }

    async fn configured(&self, pairs: &[(&str, &str)]) -> Value {
        let pairs = pairs
            .iter()
            .map(|(key, value)| json!({"key": key, "value": value}));
        let body = json!({"config": pairs.collect::<Vec<_>>()});
        let path = "versions/v2.0.0/config?wait=60s";
        let (status, answer) = self.ordered("PUT", path, Some(&body)).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    async fn state(&self, version: &str) -> String {
        let path = format!("versions/{version}/status");
        let (status, answer) = self.ordered("GET", &path, None).await;
        assert_eq!(status, 200, "{answer}");
        answer["state"].as_str().expect("a state").to_owned()
    }

    async fn pods_of(&self, version: &str) -> BTreeMap<String, Pod> {
        let mut pods = self.site.all_pods().await;
        pods.retain(|_, pod| pod.labels().get("version-name").map(String::as_str) == Some(version));
        pods
    }
}

/// A variable of a room's container.
fn variable(pod: &Pod, name: &str) -> Option<String> {
    let container = pod.spec.as_ref()?.containers.first()?;
    let variables = container.env.as_ref()?;
    let found = variables.iter().find(|variable| variable.name == name)?;
    found.value.clone()
}

/// 1 and 2: a runtime is made once, and is started then.
async fn a_runtime_is_made_once(all: &Accepted) {
    for _ in 0..2 {
        let (status, made) = all.ordered("POST", "runtime?wait=30s", None).await;
        assert_eq!(
            (status, &made["status"]),
            (200, &json!("finished")),
            "{made}"
        );
    }
    let before = all.rights();
    let (status, again) = all.ordered("POST", "runtime?wait=30s", None).await;
    assert_eq!(status, 200, "{again}");
    assert_eq!(all.rights(), before, "a repeated order changes nothing");
    let (_, told) = all.ordered("GET", "runtime/status?wait=30s", None).await;
    assert_eq!(told["Status"], "STARTED", "{told}");
}

/// 3: versions are started and published one by one, and the Service follows when the answer comes.
async fn the_service_follows_the_published_version(all: &Accepted) {
    let fleet = all.site.fleet(&all.home, &all.maestro.rooms, 2);
    all.maestro.bring_up(&fleet).await;
    assert_eq!(all.service(), None, "no version is published by itself");
    all.done("v1.0.0", "start").await;
    assert_eq!(all.state("v1.0.0").await, "STARTED");
    assert_eq!(all.service(), None);
    all.done("v1.0.0", "publish").await;
    assert_eq!(all.selected().as_deref(), Some("v1.0.0"));
    let first = all.service();
    assert_eq!(all.state("v1.0.0").await, "PUBLISHED");

    let edit = another(&all.maestro.rooms, "2");
    let answer = all
        .maestro
        .patch(&format!("/schedulers/{NAME}"), &edit)
        .await;
    all.maestro.done(NAME, answer).await;
    all.done("v2.0.0", "start").await;
    assert_eq!(all.selected().as_deref(), Some("v1.0.0"));
    all.done("v2.0.0", "publish").await;
    assert_eq!(all.selected().as_deref(), Some("v2.0.0"));
    let uid = |service: Option<Value>| service.expect("it is there")["metadata"]["uid"].clone();
    assert_eq!(uid(all.service()), uid(first), "it is the same object");
    assert_eq!(all.state("v1.0.0").await, "STARTED");
    assert_eq!(all.state("v2.0.0").await, "PUBLISHED");
    for version in ["v1.0.0", "v2.0.0"] {
        assert_eq!(all.pods_of(version).await.len(), 2, "{version}");
    }
}

/// 4: only the published version can be unpublished.
async fn another_version_cannot_be_unpublished(all: &Accepted) {
    let before = all.service();
    let (status, refused) = all.ordered("POST", "versions/v1.0.0/unpublish", None).await;
    assert_eq!((status, &refused["code"]), (409, &json!(9)), "{refused}");
    assert_eq!(all.service(), before);
    assert_eq!(all.state("v2.0.0").await, "PUBLISHED");
}

/// 5: pairs that are not sent are gone; a room with a match keeps the old ones until it is over.
async fn a_configuration_is_replaced_as_a_whole(all: &Accepted) {
    all.configured(&[("A", "1"), ("B", "2")]).await;
    let busy = allocate(&all.maestro, NAME).await;
    all.site.play(&busy).await;
    let held = all.site.pod(&busy).await;
    assert_eq!(version(&held), "v2.0.0");
    assert_eq!(variable(&held, "B").as_deref(), Some("2"));
    let occupied = |info: &Value| info["roomsOccupied"] == 1;
    all.maestro.until_info(NAME, "occupied", occupied).await;
    let told = all.configured(&[("A", "3")]).await;
    let text = told["message"].as_str().expect("a text");
    assert!(text.contains("when their matches end"), "{text}");
    let config = all
        .object("configmap", "v2.0.0-global")
        .expect("it is there");
    assert_eq!(config["data"], json!({"A": "3"}));
    let pods = all.pods_of("v2.0.0").await;
    expect_untouched(std::slice::from_ref(&held), &pods);
    for (name, pod) in pods.iter().filter(|(name, _)| **name != busy) {
        let pairs = (variable(pod, "A"), variable(pod, "B"));
        assert_eq!(pairs, (Some("3".to_owned()), None), "{name}");
    }
    all.site.end_match(&busy).await;
    let replaced = || async {
        let pods = all.pods_of("v2.0.0").await;
        let is_new = |pod: &Pod| variable(pod, "A").as_deref() == Some("3");
        pods.len() == 2 && pods.values().all(is_new)
    };
    assert!(eventually(seconds(30), replaced).await);
}

/// 6: a version is stopped as often as one likes, and leaves nothing.
async fn a_stopped_version_leaves_nothing(all: &Accepted) {
    assert!(all.object("configmap", "v1.0.0-global").is_some());
    let before = all.pods_of("v2.0.0").await;
    for _ in 0..2 {
        all.done("v1.0.0", "stop").await;
        assert_eq!(all.state("v1.0.0").await, "STOPPED");
    }
    assert_eq!(all.pods_of("v1.0.0").await.len(), 0);
    let gone = || async { all.object("configmap", "v1.0.0-global").is_none() };
    assert!(eventually(seconds(30), gone).await);
    assert!(all.object("configmap", "v2.0.0-global").is_some());
    let left: Vec<Pod> = before.into_values().collect();
    expect_untouched(&left, &all.pods_of("v2.0.0").await);
    assert_eq!(all.selected().as_deref(), Some("v2.0.0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_of_the_k8s_manager_holds_in_its_order() {
    let Some(all) = Accepted::open().await else {
        return;
    };
    a_runtime_is_made_once(&all).await;
    the_service_follows_the_published_version(&all).await;
    another_version_cannot_be_unpublished(&all).await;
    a_configuration_is_replaced_as_a_whole(&all).await;
    a_stopped_version_leaves_nothing(&all).await;
    figures_are_those_of_prometheus(&all).await;
    watches_go_on(&all).await;
    the_script_shows_samples(&all).await;
    all.done("v2.0.0", "unpublish").await;
    assert_eq!(all.service(), None, "it is gone when the answer comes");
    all.maestro.remove(NAME).await;
    all.site.until_namespace_is_gone().await;
}
