//! Settings of the built binary: the shipped file, its documentation, and `check-config`.

mod support;

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use support::BINARY;

const WRITE_ANEW: &str = "write it anew with: cargo xtask settings";

fn shipped_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/config.yaml")
}

/// Runs the binary in an empty folder, with nothing but these variables.
fn maestro(args: &[&str], variables: &[(&str, &str)]) -> Output {
    let folder = tempfile::tempdir().expect("a temporary folder");
    Command::new(BINARY)
        .args(args)
        .current_dir(folder.path())
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .expect("the binary starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("a text")
}

/// Runs a command that must succeed, and returns its output.
fn good(args: &[&str], variables: &[(&str, &str)]) -> String {
    let output = maestro(args, variables);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

fn settings(args: &[&str], variables: &[(&str, &str)]) -> Value {
    let args = [&["check-config", "--format", "json"], args].concat();
    serde_json::from_str(&good(&args, variables)).expect("JSON")
}

fn setting<'a>(all: &'a Value, key: &str) -> &'a Value {
    let list = all["settings"].as_array().expect("a list");
    let found = list.iter().find(|setting| setting["key"] == key);
    found.unwrap_or_else(|| panic!("no {key}"))
}

#[test]
fn the_shipped_file_has_every_key_with_the_value_of_the_code() {
    let file = shipped_file();
    let shipped = std::fs::read_to_string(&file).expect("it is there");
    let printed = good(&["check-config", "--format", "yaml"], &[]);
    let mut lines = shipped.lines().zip(printed.lines());
    let differ = lines.find(|(shipped, printed)| shipped != printed);
    assert_eq!(differ, None, "first difference; {WRITE_ANEW}");
    assert_eq!(shipped, printed, "{WRITE_ANEW}");
    let all = settings(&["-c", file.to_str().expect("a path")], &[]);
    assert_eq!(all["warnings"], serde_json::json!([]));
    let list = all["settings"].as_array().expect("a list");
    assert!(list.len() > 70, "{}", list.len());
    for setting in list {
        assert_eq!(setting["value"], setting["default"], "{setting}");
        let from = setting["from"].as_str().expect("a text");
        assert!(from.starts_with("file "), "{setting}");
    }
}

#[test]
fn the_reference_is_what_the_code_says() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let page = std::fs::read_to_string(page).expect("it is there");
    let start = page.find("| key, variable |").expect("the table");
    let end = page.find("<!-- end of settings -->").expect("its end");
    let printed = good(&["check-config", "--format", "markdown"], &[]);
    let mut lines = page[start..end].lines().zip(printed.lines());
    let differ = lines.find(|(written, printed)| written != printed);
    assert_eq!(differ, None, "first difference; {WRITE_ANEW}");
    assert_eq!(&page[start..end], printed, "{WRITE_ANEW}");
}

#[test]
fn each_value_is_shown_with_its_origin_and_without_its_secrets() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("mine.yaml");
    let content = "workers: {paused: true, operationExecution: {healthControllerInterval: 90s}}\n\
                   store: {type: embedded}\n";
    std::fs::write(&file, content).expect("written");
    let file = file.to_str().expect("a path");
    let url = "redis://me:hidden@cache:6379/0";
    let variables = [
        ("MAESTRO_WORKERS_PAUSED", "false"),
        ("MAESTRO_ADAPTERS_ROOMSTORAGE_REDIS_URL", url),
        ("MAESTRO_API_PROT", "1"),
    ];
    let all = settings(&["-c", file], &variables);
    let of = |key: &str| {
        let setting = setting(&all, key);
        (setting["value"].clone(), setting["from"].clone())
    };
    let paused = of("workers.paused");
    assert_eq!(
        paused,
        ("false".into(), "variable MAESTRO_WORKERS_PAUSED".into())
    );
    let (interval, from) = of("workers.healthControllerInterval");
    let old = "workers.operationExecution.healthControllerInterval";
    assert_eq!(interval, "1m30s");
    assert_eq!(from, format!("file {file}, as {old}"));
    assert_eq!(
        of("adapters.roomStorage.redis.url").0,
        "redis://me:***@cache:6379/0"
    );
    assert_eq!(of("api.port"), ("8080".into(), "default".into()));
    let warnings = all["warnings"].to_string();
    for part in [old, "did you mean MAESTRO_API_PORT?", "without effect"] {
        assert!(warnings.contains(part), "no {part:?} in {warnings}");
    }
    for format in ["table", "yaml", "markdown"] {
        let args = ["check-config", "-c", file, "--format", format];
        let output = maestro(&args, &variables);
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(
            output.status.success() && !said.contains("hidden"),
            "{said}"
        );
        assert!(said.contains("Warning: "), "{said}");
    }
}

#[test]
fn all_mistakes_are_told_at_once_with_status_1() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("mine.yaml");
    std::fs::write(&file, "api: {prot: 1}\nworkers: {paused: perhaps}\n").expect("written");
    let file = file.to_str().expect("a path");
    for command in [&["check-config"][..], &["start"]] {
        let args = [command, &["-c", file]].concat();
        let output = maestro(&args, &[("MAESTRO_INTERNALAPI_PORT", "tall")]);
        assert_eq!(output.status.code(), Some(1));
        let said = text(&output.stderr);
        for part in [
            "3 settings are wrong",
            "api.port",
            "true or false",
            "\"tall\"",
        ] {
            assert!(said.contains(part), "no {part:?} in {said}");
        }
        assert!(output.stdout.is_empty());
    }
}

/// What keeps a start from starting is told by `check-config` with the same words.
#[test]
fn settings_that_contradict_each_other_are_refused_by_both_commands() {
    const POSTGRES: &str = "MAESTRO_ADAPTERS_SCHEDULERSTORAGE_POSTGRES_URL";
    const ROOMS: &str = "MAESTRO_ADAPTERS_ROOMSTORAGE_REDIS_URL";
    const FLOW: &str = "MAESTRO_ADAPTERS_OPERATIONFLOW_REDIS_URL";
    const CERT: &str = "MAESTRO_CLUSTER_TLS_CERT";
    let there = (POSTGRES, "postgres://m@127.0.0.1:1/m?sslmode=disable");
    let cases: [(&[(&str, &str)], &str); 6] = [
        (&[(CERT, "node.pem")], "cluster.tls.key and cluster.tls.ca"),
        (
            &[there, (CERT, "node.pem")],
            "cluster.tls.key and cluster.tls.ca",
        ),
        (
            &[
                there,
                (ROOMS, "redis://127.0.0.1:1/0"),
                (FLOW, "redis://127.0.0.1:1/1"),
            ],
            "must name one server, database and user",
        ),
        (&[there, (ROOMS, "redis-cluster://a:1")], "Redis Cluster"),
        (
            &[(POSTGRES, "postgres://m@127.0.0.1:1/m?sslmode=perhaps")],
            "sslmode",
        ),
        (
            &[("MAESTRO_CLUSTER_LISTEN", "127.0.0.1:0")],
            "set cluster.secret",
        ),
    ];
    for (environment, expected) in cases {
        let said = [&["check-config"][..], &["start"]].map(|command| {
            let folder = tempfile::tempdir().expect("a folder");
            let place = folder.path().to_str().expect("a path");
            let environment = [environment, &[("MAESTRO_STORE_DATADIR", place)]].concat();
            let output = maestro(command, &environment);
            assert_eq!(output.status.code(), Some(1), "{command:?} {environment:?}");
            text(&output.stdout) + &text(&output.stderr)
        });
        for said in said {
            assert!(said.contains(expected), "no {expected:?} in {said}");
        }
    }
}

#[test]
fn a_process_outside_of_a_pod_cannot_take_its_access_from_one() {
    let in_cluster = ("MAESTRO_ADAPTERS_RUNTIME_KUBERNETES_INCLUSTER", "true");
    assert!(maestro(&["check-config"], &[in_cluster]).status.success());
    for args in [&["start"][..], &["start", "worker"]] {
        let output = maestro(args, &[in_cluster]);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let said = text(&output.stdout) + &text(&output.stderr);
        for part in [
            "kubernetes.inCluster",
            "runs in no pod",
            "kubernetes.kubeconfig",
        ] {
            assert!(said.contains(part), "no {part:?} in {said}");
        }
    }
}

#[test]
fn a_text_in_the_file_is_taken_as_it_is_written() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("mine.yaml");
    let read = |content: &str| {
        std::fs::write(&file, content).expect("written");
        settings(&["-c", file.to_str().expect("a path")], &[])
    };
    let all = read(
        "store.dataDir: 007\nruntime.process.host: 1.10\nroomsApi: {url: off, port: 0x1000}\n\
         api: {port: 08080, allowedHosts: [a.example, 1.10, off]}\n",
    );
    for (key, value) in [
        ("store.dataDir", "007"),
        ("runtime.process.host", "1.10"),
        ("roomsApi.url", "off"),
        ("roomsApi.port", "4096"),
        ("api.port", "8080"),
        ("api.allowedHosts", "a.example,1.10,off"),
    ] {
        assert_eq!(setting(&all, key)["value"], value, "{key}");
    }
    let all = read("store.dataDir: .inf\napi.allowedHosts: 1.10\n");
    assert_eq!(setting(&all, "store.dataDir")["value"], ".inf");
    assert_eq!(setting(&all, "api.allowedHosts")["value"], "1.10");
}

#[test]
fn what_is_refused_in_the_file_is_quoted_as_it_is_written() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("mine.yaml");
    for (content, said) in [
        ("api.port: 0x1FFFF", r#"api.port cannot be "0x1FFFF""#),
        ("api.port: 8080.50", r#"api.port cannot be "8080.50""#),
        ("api.port: off", r#"api.port cannot be "off""#),
        ("api.port: .inf", r#"api.port cannot be ".inf""#),
        ("api.port: [080]", "gives api.port a list"),
        ("store.dataDir: [a]", "gives store.dataDir a list"),
        (
            "tracing.otlp.endpoint: 1.10",
            r#"tracing.otlp.endpoint cannot be "1.10""#,
        ),
        (
            "api.allowedOrigins: [https://a.example, 007]",
            r#""[\"https://a.example\",\"007\"]""#,
        ),
    ] {
        std::fs::write(&file, content).expect("written");
        let args = ["check-config", "-c", file.to_str().expect("a path")];
        let output = maestro(&args, &[]);
        assert!(!output.status.success(), "{content}");
        let errors = text(&output.stderr) + &text(&output.stdout);
        assert!(errors.contains(said), "{content}: {errors}");
    }
}
