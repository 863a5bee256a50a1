//! The documentation's own commands and documents, byte for byte except for their placeholders (decisions D14, D25,
//! D26).

mod support;

use serde_json::{Value, json};
use std::process::Command;
use support::{Home, Maestro, seconds};

const PAUSED: (&str, &str) = ("MAESTRO_WORKERS_PAUSED", "true");

/// Runs a command of the documentation in a shell; what it printed as JSON.
fn run(command: &str, filled_in: &[(&str, &str)]) -> Value {
    let mut command = command.to_owned();
    for (gap, text) in filled_in {
        assert!(command.contains(gap), "no {gap} in {command}");
        command = command.replace(gap, text);
    }
    let mut shell = Command::new("timeout");
    shell.args(["30", "sh", "-c", &command]);
    let output = shell.output().expect("a shell");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command}\n{output:?}");
    serde_json::from_str(&said).unwrap_or_else(|why| panic!("{why}: {said}"))
}

/// The part of the container that both commands have in common.
fn container(name: &str, image: &str) -> Value {
    json!({
        "name": name, "image": image, "imagePullPolicy": "IfNotPresent", "command": [], "environment": [],
        "requests": {"memory": "100Mi", "cpu": "100m"}, "limits": {"memory": "200Mi", "cpu": "200m"},
        "ports": [{"name": "port-name", "protocol": "tcp", "port": 12345, "hostPort": 0}],
    })
}

fn scheduler(name: &str, game: &str, ports: (u32, u32), container: &Value) -> Value {
    json!({
        "name": name, "game": game, "state": "creating", "portRange": {"start": ports.0, "end": ports.1},
        "maxSurge": "10%", "roomsReplicas": 0,
        "spec": {"version": "v1.0.0", "terminationGracePeriod": "100s", "containers": [container],
            "toleration": "", "affinity": "", "restartPolicy": "Never"},
        "forwarders": [], "annotations": {}, "labels": {}, "matchAllocation": {"maxMatches": 1},
    })
}

/// The scheduler of an answer without its time of creation.
fn timeless(answer: &Value) -> Value {
    let mut scheduler = answer["scheduler"].clone();
    let created = scheduler
        .as_object_mut()
        .and_then(|s| s.remove("createdAt"));
    let text = created.as_ref().and_then(Value::as_str).unwrap_or_default();
    assert!(text.parse::<jiff::Timestamp>().is_ok(), "{answer}");
    scheduler
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_of_the_local_run_creates_its_scheduler() {
    let home = Home::new();
    let maestro = home.start_with(&[PAUSED]);
    let answer = run(
        include_str!("seed/run-local.sh"),
        &[
            ("http://localhost:8080", &maestro.management),
            ("{{ROOMS_API_ADDRESS}}", "127.0.0.1"),
        ],
    );
    let script = concat!(
        "apk add curl && while true; do curl --request PUT ",
        "127.0.0.1:8070/scheduler/$MAESTRO_SCHEDULER_NAME/rooms/$MAESTRO_ROOM_ID/ping ",
        r#"--data-raw '{"status": "ready","timestamp": "12312312313"}' && sleep 5; done"#
    );
    let mut alpine = container("alpine", "alpine");
    alpine["command"] = json!(["sh", "-c", script]);
    let expected = scheduler("scheduler-run-local", "game-test", (1, 1000), &alpine);
    assert_eq!(timeless(&answer), expected);
    let (status, body) = maestro.get("/schedulers/scheduler-run-local").await;
    assert_eq!((status, timeless(&body)), (200, expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_first_steps_create_and_show_their_scheduler() {
    let home = Home::new();
    let maestro = home.start_with(&[PAUSED]);
    let who = ("<user:pass in base64>", "dXNlcjpwYXNz");
    let answer = run(
        include_str!("seed/getting-started.sh"),
        &[
            ("https://<maestro-url>", &maestro.management),
            who,
            ("<your-scheduler-name-here>", "first-steps"),
            ("<your-game-name-here>", "my-game"),
            ("<your-game-image-here>", "registry/my-game:1"),
            ("<required-commands-for-game-image>", ""),
        ],
    );
    let mut game = container("game-container", "registry/my-game:1");
    game["command"] = json!(["sh example.sh"]);
    game["environment"] = json!([{"name": "EXAMPLE_NAME", "value": "EXAMPLE_VALUE"}]);
    let mut expected = scheduler("first-steps", "my-game", (20000, 21000), &game);
    expected["roomsReplicas"] = json!(1);
    assert_eq!(timeless(&answer), expected);
    let info = run(
        include_str!("seed/getting-started-info.sh"),
        &[
            ("<maestro-url>", &maestro.management),
            ("<your-game-name-here>", "my-game"),
            who,
        ],
    );
    assert_eq!(
        info["schedulers"],
        json!([{"name": "first-steps", "game": "my-game", "state": "creating", "roomsReplicas": 1,
            "roomsReady": 0, "roomsOccupied": 0, "roomsPending": 0, "roomsTerminating": 0, "autoscaling": null}])
    );
}

async fn post_yaml(maestro: &Maestro, kind: &str, body: String) -> (u16, Value) {
    let request = maestro
        .http
        .post(format!("{}/schedulers", maestro.management))
        .timeout(seconds(20))
        .header("content-type", kind)
        .body(body);
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    (status, answer.json().await.expect("JSON"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documents_in_yaml_are_read_as_their_json() {
    let home = Home::new();
    let maestro = home.start_with(&[PAUSED]);
    let document = include_str!("seed/scheduler.yaml");
    let mut alpine = container("alpine", "alpine");
    alpine["command"] = json!(["/bin/sh", "-c", "apk add curl && sleep 5"]);
    let mut expected = scheduler("scheduler-test", "game-test", (40000, 60000), &alpine);
    expected["maxSurge"] = json!("30%");
    expected["autoscaling"] = json!({"enabled": true, "min": 1, "max": 10, "cooldown": 0, "policy": {
        "type": "roomOccupancy",
        "parameters": {"roomOccupancy": {"readyTarget": 0.5, "downThreshold": 0.99}}}});
    expected["forwarders"] = json!([{"name": "matchmaking", "enable": true, "type": "gRPC",
        "address": "external-matchmaker.svc.cluster.local:80",
        "options": {"timeout": "1000", "metadata": {"roomType": "arena"}}}]);
    for (index, kind) in [
        "application/yaml",
        "text/yaml; charset=utf-8",
        "application/x-yaml",
        "Application/YAML",
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("scheduler-test-{index}");
        let body = document.replace("scheduler-test", &name);
        let (status, answer) = post_yaml(&maestro, kind, body).await;
        assert_eq!(status, 200, "{kind}: {answer}");
        expected["name"] = json!(name);
        assert_eq!(timeless(&answer), expected, "{kind}");
    }
    // Bare numbers are seconds there; with another content type the body is not read as JSON.
    let bare = document
        .replace("'100'", "100")
        .replace("scheduler-test", "bare");
    let (status, answer) = post_yaml(&maestro, "text/yaml", bare).await;
    assert_eq!(status, 200, "{answer}");
    let (status, answer) = post_yaml(&maestro, "text/plain", document.to_owned()).await;
    assert_eq!((status, &answer["code"]), (400, &json!(3)), "{answer}");
    for (broken, why) in [
        ("name: [", "invalid YAML"),
        ("name: a\nname: b\n", "duplicate"),
        ("- a\n- b\n", "unexpected token"),
    ] {
        let (status, answer) = post_yaml(&maestro, "text/yaml", broken.to_owned()).await;
        let message = answer["message"].as_str().unwrap_or_default();
        assert_eq!((status, &answer["code"]), (400, &json!(3)), "{answer}");
        assert!(message.contains(why), "{broken:?}: {message}");
    }
}
