//! The log as a collector reads it.

mod support;

use serde_json::Value;
use support::{Home, eventually, seconds};

/// Names that must not be used, because the contract has its own for the same things (1.1).
const NOT_OURS: [&str; 6] = [
    "scheduler",
    "room",
    "operation",
    "instance",
    "handler",
    "executor",
];

fn records(log: &str) -> Vec<Value> {
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    log.lines().map(parse).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn production_logs_one_json_object_a_line_with_the_names_of_the_contract() {
    let home = Home::new();
    let maestro = home.start_with(&[("MAESTRO_WORKERS_SYNCINTERVAL", "11s")]);
    maestro.bring_up(&home.fleet("logged", 1)).await;
    maestro.remove("logged").await;
    let about = |records: &[Value]| {
        let named = |record: &&Value| record["scheduler_name"] == "logged";
        records.iter().filter(named).count()
    };
    let came = eventually(seconds(10), || async {
        let records = records(&maestro.logged());
        let ended = |r: &Value| r["operation_definition"] == "delete_scheduler" && r["ms"].is_u64();
        about(&records) > 0 && records.iter().any(ended)
    });
    assert!(came.await, "no scheduler_name in:\n{}", maestro.logged());
    let records = records(&maestro.logged());
    // The course of each operation can be found by its id.
    for (definition, words) in [
        ("create_scheduler", "Starting operation"),
        ("create_scheduler", "Operation finished"),
        ("delete_scheduler", "Operation finished"),
    ] {
        let is = |record: &&Value| {
            let says = record["message"]
                .as_str()
                .is_some_and(|m| m.starts_with(words));
            says && record["operation_definition"] == definition
        };
        let record = records.iter().find(is);
        let record = record.unwrap_or_else(|| panic!("no {words} of {definition}: {records:#?}"));
        assert_eq!(record["operation_phase"], "Execution");
        let id = record["operation_id"].as_str().expect("an id");
        assert_eq!(id.len(), 36, "{record}");
    }
    for record in &records {
        let time = record["timestamp"].as_str().expect("a time");
        assert!(time.ends_with('Z') && time.as_bytes()[10] == b'T', "{time}");
        let level = record["level"].as_str().expect("a level");
        assert!(["INFO", "WARN", "ERROR"].contains(&level), "{record}");
        assert!(record["message"].is_string(), "{record}");
        for name in NOT_OURS {
            assert!(record.get(name).is_none(), "{name} in {record}");
        }
    }
    // These tests run in the folder with the shipped file.
    let read = |record: &Value| record["config_path"] == "config/config.yaml";
    assert!(records.iter().any(read));
    let idle = |record: &&Value| record["message"].to_string().contains("without effect");
    let idle: Vec<_> = records.iter().filter(idle).collect();
    assert_eq!(idle.len(), 1, "{idle:?}");
    assert!(
        idle[0]["message"]
            .to_string()
            .contains("workers.syncInterval")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn debug_spans_carry_the_names_of_the_contract() {
    let home = Home::new();
    let maestro = home.start_with(&[("RUST_LOG", "debug"), ("MAESTRO_WORKERS_PAUSED", "true")]);
    let (status, _) = maestro
        .ping(
            "nobody",
            "nobody-1",
            &serde_json::json!({"status": "ready"}),
        )
        .await;
    assert_eq!(status, 200);
    let found = eventually(seconds(10), || async {
        records(&maestro.logged()).iter().any(|record| {
            let span = &record["span"];
            span["scheduler_name"] == "nobody"
                && span["room_id"] == "nobody-1"
                && span["handler_name"].is_string()
        })
    });
    assert!(found.await, "{}", maestro.logged());
}
