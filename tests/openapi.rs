//! Checks the description of the API against the built binary: every operation is called, and every answer matches.

#[path = "support/chromium.rs"]
mod chromium;
#[path = "support/schema.rs"]
mod schema;
mod support;

use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use support::{Home, Maestro, seconds, skip};

fn checked_in() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    std::fs::read_to_string(path).expect("docs/openapi.json is there")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_is_served_and_all_other_paths_are_as_before() {
    let home = Home::new();
    let maestro = home.start();
    for server in [&maestro.management, &maestro.rooms] {
        let answer = maestro.http.get(format!("{server}/openapi.json"));
        let answer = answer.send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "application/json");
        assert!(
            answer.text().await.expect("a body") == checked_in(),
            "{server}"
        );
        let page = maestro.http.get(format!("{server}/docs"));
        let page = page.send().await.expect("an answer");
        assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
        let policy = page.headers()["content-security-policy"].to_str();
        assert!(policy.expect("text").contains("connect-src 'self'"));
        let text = page.text().await.expect("a body");
        // The page loads everything from its own server.
        assert!(!text.contains("http://") && !text.contains("https://"));
        for path in [
            "/",
            "/docs/",
            "/docs/x",
            "/openapi",
            "/openapi.yaml",
            "/swagger",
        ] {
            let answer = maestro.call("GET", &format!("{server}{path}"), None).await;
            let nowhere = json!({"code": 5, "message": "Not Found", "details": []});
            assert_eq!(answer, (404, nowhere), "{path}");
        }
        let wrong = json!({"code": 12, "message": "Method Not Allowed", "details": []});
        let answer = maestro.call("POST", &format!("{server}/docs"), None).await;
        assert_eq!(answer, (501, wrong));
    }
}

/// Calls operations of the description and checks their answers against it.
struct Caller<'a> {
    maestro: &'a Maestro,
    document: &'a Value,
    /// Values of the parameters of paths.
    known: Map<String, Value>,
    called: BTreeSet<String>,
}

impl Caller<'_> {
    async fn call(&mut self, name: &str, body: Option<Value>) -> (u16, Value) {
        let (path, method, item) = self.find(name);
        let mut at = path.to_owned();
        for (parameter, value) in &self.known {
            at = at.replace(&format!("{{{parameter}}}"), value.as_str().expect("text"));
        }
        assert!(!at.contains('{'), "{at}");
        let operation = &item[method];
        let content = &operation["requestBody"]["content"]["application/json"];
        let body = body.or_else(|| content.get("example").cloned());
        if let Some(body) = &body {
            let broken = schema::violations_in(self.document, &content["schema"], body);
            assert_eq!(broken, Vec::<String>::new(), "body of {name}");
        }
        let query = match name {
            "listOperations" => "?stage=final",
            // Without it the answer may come before the operation has ended.
            "createRuntime" => "?wait=30s",
            _ => "",
        };
        let mut last = None;
        for server in item["servers"].as_array().expect("servers") {
            let base = match server["description"].as_str() {
                Some("management API") => &self.maestro.management,
                Some("rooms API") => &self.maestro.rooms,
                _ => &self.maestro.internal,
            };
            let url = format!("{base}{at}{query}");
            let (status, answer) = self
                .maestro
                .call(&method.to_uppercase(), &url, body.as_ref())
                .await;
            self.check(name, &operation["responses"], status, &answer);
            last = Some((status, answer));
        }
        self.called.insert(name.to_owned());
        last.expect("a server")
    }

    fn check(&self, name: &str, responses: &Value, status: u16, answer: &Value) {
        let described = responses
            .get(status.to_string())
            .unwrap_or(&responses["default"]);
        let described = match described["$ref"].as_str() {
            Some(at) => self.document.pointer(&at[1..]).expect("a response"),
            None => described,
        };
        let (kind, media) = described["content"]
            .as_object()
            .expect("content")
            .iter()
            .next()
            .expect("a kind");
        let broken = match kind.as_str() {
            "application/json" if media["schema"]["type"] != "string" => {
                schema::violations_in(self.document, &media["schema"], answer)
            }
            _ => Vec::new(),
        };
        assert_eq!(broken, Vec::<String>::new(), "{name}: {status} {answer}");
    }

    fn find(&self, name: &str) -> (&str, &str, &Value) {
        for (path, item) in self.document["paths"].as_object().expect("paths") {
            for (method, operation) in item.as_object().expect("methods") {
                if operation["operationId"] == name {
                    return (path, method, item);
                }
            }
        }
        panic!("no operation {name}")
    }

    async fn works(&mut self, name: &str, body: Option<Value>) -> Value {
        let (status, answer) = self.call(name, body).await;
        assert_eq!(status, 200, "{name}: {answer}");
        answer
    }

    /// A stream has no end to wait for.
    async fn streams(&mut self, name: &str) {
        let (path, _, item) = self.find(name);
        let mut at = path.to_owned();
        for (parameter, value) in &self.known {
            at = at.replace(&format!("{{{parameter}}}"), value.as_str().expect("text"));
        }
        let content = &item["get"]["responses"]["200"]["content"];
        assert!(content["text/event-stream"].is_object(), "{content}");
        let url = format!("{}{at}", self.maestro.management);
        let answer = self.maestro.http.get(url).send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        self.called.insert(name.to_owned());
    }

    fn know(&mut self, parameter: &str, value: &Value) {
        assert!(value.is_string(), "{parameter}: {value}");
        self.known.insert(parameter.to_owned(), value.clone());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_answers_as_it_is_described() {
    let home = Home::new();
    let maestro = home.start();
    let document: Value = serde_json::from_str(&checked_in()).expect("JSON");
    let mut caller = Caller {
        maestro: &maestro,
        document: &document,
        known: Map::new(),
        called: BTreeSet::new(),
    };
    caller.know("schedulerName", &json!("described"));
    caller.know("versionNumber", &json!("v1.0.0"));
    caller
        .works("createScheduler", Some(home.fleet("described", 2)))
        .await;
    maestro.wait_ready("described", 2).await;
    let rooms = caller.works("listRooms", None).await;
    caller.know("roomId", &rooms["rooms"][0]["id"]);
    let operations = caller.works("listOperations", None).await;
    caller.know("operationId", &operations["operations"][0]["id"]);
    caller.works("createRuntime", Some(json!({}))).await;
    looks(&mut caller).await;
    for name in ["pauseActor", "resumeActor", "reloadActor", "backUp"] {
        caller.works(name, None).await;
    }
    caller.know("node", &json!("me"));
    for name in ["drainNode", "undrainNode"] {
        let (status, answer) = caller.call(name, None).await;
        assert_eq!(status, 400, "there is no other node: {answer}");
    }
    maestro.wait_ready("described", 1).await;
    orders(&mut caller, &home).await;
    // Failures are described too.
    caller.know("operationId", &operations["operations"][0]["id"]);
    assert_eq!(caller.call("cancelOperation", None).await.0, 409);
    caller.know("roomId", &json!("nobody"));
    assert_eq!(caller.call("getRoom", None).await.0, 404);
    assert_eq!(
        caller.call("addRooms", Some(json!({"amount": 0}))).await.0,
        400
    );
    caller.works("deleteScheduler", None).await;
    let described: BTreeSet<String> = document["paths"]
        .as_object()
        .expect("paths")
        .values()
        .flat_map(|item| item.as_object().expect("methods").values())
        .filter_map(|operation| operation["operationId"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(caller.called, described, "operations that nobody called");
}

/// All reads, and the calls of rooms and matchmakers.
async fn looks(caller: &mut Caller<'_>) {
    for item in caller.document["paths"]
        .as_object()
        .expect("paths")
        .values()
    {
        match item["get"]["operationId"].as_str() {
            None | Some("listOperations") => {}
            Some(name @ ("watchVersionMetrics" | "watchRoomStatuses")) => {
                caller.streams(name).await;
            }
            // Rooms that are processes have none.
            Some(name @ "getVersionAlerts") => assert_eq!(caller.call(name, None).await.0, 409),
            Some(name) => drop(caller.works(name, None).await),
        }
    }
    for name in [
        "updateRoomWithPing",
        "forwardRoomEvent",
        "forwardPlayerEvent",
        "updateRoomStatus",
        "allocateRoom",
    ] {
        caller.works(name, None).await;
    }
}

/// The calls that create operations, and those that change rooms.
async fn orders(caller: &mut Caller<'_>, home: &Home) {
    let maestro = caller.maestro;
    for name in ["addRooms", "removeRooms", "orderTestOperation"] {
        let answer = caller.works(name, None).await;
        maestro
            .ended("described", answer["operationId"].as_str().expect("an id"))
            .await;
    }
    for name in [
        "newSchedulerVersion",
        "patchScheduler",
        "switchActiveVersion",
    ] {
        let body = (name == "newSchedulerVersion").then(|| home.fleet("described", 2));
        let answer = caller.works(name, body.map(without_name)).await;
        maestro
            .ended("described", answer["operationId"].as_str().expect("an id"))
            .await;
    }
    caller.know("order", &json!("pause"));
    caller.works("steerRollout", None).await;
    caller.works("removeRoom", None).await;
    for name in [
        "startVersion",
        "publishVersion",
        "unpublishVersion",
        "configureVersion",
        "stopVersion",
    ] {
        let (status, answer) = caller.call(name, None).await;
        assert_eq!(status, 202, "{name}: {answer}");
        let id = &answer["operation_id"];
        // The rollout is paused, and a room may be held for a match.
        if matches!(name, "configureVersion" | "stopVersion") {
            caller.know("operationId", id);
            caller.works("cancelOperation", None).await;
        }
        maestro
            .ended("described", id.as_str().expect("an id"))
            .await;
    }
}

/// The name is in the path.
fn without_name(mut fleet: Value) -> Value {
    fleet.as_object_mut().expect("an object").remove("name");
    fleet
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_every_operation_in_a_browser_without_a_network() {
    let Some(browser) = chromium::browser() else {
        return skip("there is no Chromium (cargo xtask setup)");
    };
    let home = Home::new();
    let maestro = home.start();
    let profile = tempfile::tempdir().expect("a folder");
    let mut command = chromium::command(browser, &profile, &[]);
    command
        .args(["--dump-dom", "--virtual-time-budget=20000"])
        .arg(format!("{}/docs#createScheduler", maestro.management))
        .stdout(Stdio::piped());
    let output = tokio::time::timeout(seconds(90), command.output());
    let output = output.await.expect("it ends").expect("it starts");
    let shown = String::from_utf8_lossy(&output.stdout);
    let document: Value = serde_json::from_str(&checked_in()).expect("JSON");
    for item in document["paths"].as_object().expect("paths").values() {
        for operation in item.as_object().expect("methods").values() {
            let Some(name) = operation["operationId"].as_str() else {
                continue;
            };
            assert!(
                shown.contains(&format!("<article id=\"{name}\"")),
                "{name}: {shown}"
            );
        }
    }
    // The operation that the URL names is opened, with a command to copy, described fields, and a form to try it.
    for part in [
        "curl -X POST '",
        "sample-rooms",
        "Range of the rooms' host ports",
        "Send to this server",
    ] {
        assert!(shown.contains(part), "no {part:?}: {shown}");
    }
    for mistake in ["[object ", "did not come"] {
        let outside = shown.split("<script>").next().unwrap_or_default();
        assert!(!outside.contains(mistake), "{outside}");
    }
}
