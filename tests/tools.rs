//! The commands for operators, against a running server: actors, nodes, export, import, backup.

#[path = "support/command.rs"]
mod command;
#[path = "support/schema.rs"]
mod schema;
#[path = "support/scripted.rs"]
mod scripted;
mod support;

use command::{bad, good, run};
use maestro_api::{Code, Status};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use support::{Home, Maestro, eventually, seconds};

fn schema_of_actors() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/debug-actors.schema.json");
    let text = fs::read_to_string(path).expect("the schema");
    serde_json::from_str(&text).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_actors_are_as_their_schema_says() {
    let home = Home::new();
    let maestro = home.start();
    let schema = schema_of_actors();
    assert_eq!(schema::undescribed(&schema), Vec::<String>::new());
    let (_, empty) = maestro.internal("GET", "/debug/actors", None).await;
    assert_eq!(schema::violations(&schema, &empty), Vec::<String>::new());
    maestro.bring_up(&home.fleet("arena", 2)).await;
    maestro.test_operation("arena", 60).await;
    let running = eventually(seconds(10), || async {
        let (_, page) = maestro
            .internal("GET", "/debug/actors?scheduler=arena", None)
            .await;
        assert_eq!(schema::violations(&schema, &page), Vec::<String>::new());
        page["actors"][0]["scheduler"]["running"][0]["kind"] == "test_operation"
    })
    .await;
    assert!(running, "no operation is shown");
    let said = good(&["actors", "--json", "--url", &maestro.grpc]);
    let page: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(schema::violations(&schema, &page), Vec::<String>::new());
    assert_eq!(page["actors"].as_array().expect("a list").len(), 3);
    let mut broken = page.clone();
    broken["actors"][0]["more"] = json!(1);
    broken["actors"][1]["restarts"]["total"] = json!("1");
    broken["actors"][2]["scheduler"]["rooms"] = json!({});
    assert_eq!(
        schema::violations(&schema, &broken).len(),
        3,
        "the check checks"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn actors_are_shown_as_a_table() {
    let home = Home::new();
    let maestro = home.start();
    maestro.bring_up(&home.fleet("arena", 2)).await;
    maestro.post("/schedulers", &home.fleet("dome", 0)).await;
    maestro.test_operation("arena", 60).await;
    let shown = eventually(seconds(10), || async {
        good(&["actors", "--url", &maestro.grpc]).contains("test_operation: sleeping")
    })
    .await;
    assert!(shown, "{}", good(&["actors", "--url", &maestro.grpc]));
    let table = good(&["actors", "--url", &maestro.grpc]);
    let lines: Vec<&str> = table.lines().collect();
    let column = lines[0].find("ROOMS").expect("a column of rooms");
    let arena = lines.iter().find(|l| l.contains("arena")).expect("a row");
    assert_eq!(&arena[column..], "2 ready", "{table}");
    assert!(
        table.contains("supervisor") && table.contains("catalog"),
        "{table}"
    );
    let one = good(&["actors", "--scheduler", "dome", "--url", &maestro.grpc]);
    assert!(one.contains("dome") && !one.contains("arena"), "{one}");
    bad(
        &["actors", "--scheduler", "nowhere", "--url", &maestro.grpc],
        &["no actor has a scheduler called \"nowhere\""],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_store_has_one_node_which_is_not_drained() {
    let home = Home::new();
    let maestro = home.start();
    let table = good(&["nodes", "--url", &maestro.grpc]);
    assert!(table.contains("store: embedded"), "{table}");
    assert_eq!(table.matches("hosting").count(), 1, "{table}");
    for order in ["drain", "undrain"] {
        let refused = ["the embedded store has one node"];
        bad(&["node", order, "--url", &maestro.internal], &refused);
    }
}

#[test]
fn a_server_that_cannot_be_reached_is_named_with_what_to_do() {
    let home = Home::new();
    let nobody = &home.environment()[0].1;
    let url = format!("http://127.0.0.1:{nobody}");
    let file = home.path().join("x.yaml");
    let file = file.to_str().expect("a text");
    for (arguments, server) in [
        (vec!["actors"], "gRPC server"),
        (vec!["nodes"], "gRPC server"),
        (vec!["backup", "x"], "internal server"),
        (vec!["node", "drain"], "internal server"),
        (vec!["export", file], "gRPC server"),
    ] {
        let arguments: Vec<&str> = arguments.into_iter().chain(["--url", &url]).collect();
        bad(&arguments, &[server, &url, "maestro start", "--url"]);
    }
    assert!(!Path::new(file).exists());
    bad(
        &["actors", "--url", "localhost:8081"],
        &["write it as http://"],
    );
    bad(
        &["actors", "--url", "https://localhost"],
        &["no http:// address"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_of_another_protocol_is_told_with_the_one_to_name() {
    let home = Home::new();
    let maestro = home.start();
    let file = home.path().join("x.yaml");
    let file = file.to_str().expect("a text");
    for url in [&maestro.management, &maestro.rooms, &maestro.internal] {
        for command in [vec!["actors"], vec!["export", file]] {
            let arguments = [&command[..], &["--url", url]].concat();
            bad(
                &arguments,
                &["not answer over gRPC", url, "--url", "MAESTRO_GRPC_PORT"],
            );
        }
    }
    assert!(!Path::new(file).exists());
    bad(
        &["backup", "x", "--url", &maestro.grpc],
        &["did not answer", "MAESTRO_INTERNALAPI_PORT"],
    );
    for url in [&maestro.management, &maestro.rooms] {
        bad(
            &["backup", "x", "--url", url],
            &["no internal server", "--url", "MAESTRO_INTERNALAPI_PORT"],
        );
    }
    // What may be a password is not shown.
    for url in [
        "http://me:s3cret@127.0.0.1:1",
        "ftp://me:s3cret@127.0.0.1",
        "me:s3cret@",
    ] {
        for command in [vec!["actors"], vec!["backup", "x"]] {
            let (ended_well, said) = run(&[&command[..], &["--url", url]].concat());
            assert!(!ended_well && said.contains("--url"), "{said}");
            assert!(!said.contains("s3cret"), "{said}");
        }
    }
    let page = format!("{}/debug/actors", maestro.internal);
    bad(&["actors", "--url", &page], &["has a path"]);
}

#[test]
fn a_server_that_hangs_is_not_waited_for() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("an address"));
    let began = std::time::Instant::now();
    bad(
        &["actors", "--url", &url],
        &["did not answer within", &url, "see its log"],
    );
    bad(&["backup", "x", "--url", &url], &["did not answer", &url]);
    assert!(began.elapsed() < seconds(30), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_actors_are_shown_where_the_settings_let_it() {
    let (home, other) = (Home::new(), Home::new());
    // The server listens on all addresses, and is called from this machine.
    let open = home.start_with(&[("MAESTRO_GRPC_HOST", "0.0.0.0")]);
    let url = open.grpc.replace("0.0.0.0", "127.0.0.1");
    assert!(good(&["actors", "--url", &url]).contains("supervisor"));
    let hidden = other.start_with(&[("MAESTRO_API_DEBUG_ENABLED", "false")]);
    bad(
        &["actors", "--url", &hidden.grpc],
        &["api.debug.enabled", "internal server", "/debug/actors"],
    );
}

/// A list of ten thousand schedulers, longer than gRPC's default limit of a message.
#[test]
fn a_long_list_of_schedulers_arrives_whole() {
    let game = "g".repeat(500);
    let server = scripted::start(move |rpc, _| match rpc {
        "list_schedulers" => {
            let row = |n| json!({"name": format!("s-{n}"), "game": game, "version": "v1.0.0"});
            Ok(json!({"schedulers": (0..10_000).map(row).collect::<Vec<_>>()}))
        }
        _ => Err(Status::unknown("it is not asked for")),
    });
    let home = Home::new();
    let entry = |name: &str| {
        let mut scheduler = home.fleet(name, 0);
        scheduler["name"] = json!(name);
        json!({"name": name, "versions": [{"version": "v1.0.0", "active": true, "scheduler": scheduler}]})
    };
    let all = json!({"format": 1, "schedulers": [entry("s-0"), entry("s-9999"), entry("s-10000")]});
    let file = home.path().join("x.yaml");
    fs::write(&file, all.to_string()).expect("a file");
    let file = file.to_str().expect("a text");
    bad(
        &["import", file, "--url", &server.url],
        &["exist already: s-0, s-9999;"],
    );
}

/// A scheduler may be deleted or created by others while a command runs.
#[test]
fn what_changes_meanwhile_stops_neither_export_nor_import() {
    let home = Home::new();
    let body = home.fleet("there", 0);
    let server = scripted::start(move |rpc, request| match rpc {
        "list_schedulers" => Ok(json!({"schedulers": [{"name": "gone"}, {"name": "there"}]})),
        "get_scheduler_versions" if request["schedulerName"] == "gone" => {
            Err(Status::not_found("scheduler gone not found"))
        }
        "get_scheduler_versions" => {
            Ok(json!({"versions": [{"version": "v1.0.0", "isActive": true}]}))
        }
        "get_scheduler" => Ok(json!({"scheduler": body.clone()})),
        "create_scheduler" => Err(Status::new(Code::AlreadyExists, "it is there")),
        _ => Err(Status::unknown("it is not asked for")),
    });
    let exported = good(&["export", "-", "--url", &server.url]);
    assert!(
        exported.contains("name: there") && !exported.contains("gone"),
        "{exported}"
    );
    let file = home.path().join("x.yaml");
    fs::write(&file, exported.replace("there", "new")).expect("a file");
    let file = file.to_str().expect("a text");
    bad(
        &["import", file, "--url", &server.url],
        &[
            "scheduler new, after 0 of 1",
            "CreateScheduler at http://",
            "it is there",
        ],
    );
    let said = good(&["import", file, "--skip-existing", "--url", &server.url]);
    assert!(
        said.contains("new: skipped, another client created it"),
        "{said}"
    );
}

/// Schedulers with every field that a file might lose.
fn rich(home: &Home) -> [Value; 2] {
    let mut first = home.fleet("a-rich-one", 0);
    first["maxSurge"] = json!("25%");
    first["matchAllocation"] = json!({"maxMatches": 3});
    first["annotations"] =
        json!({"yes": "no", "number": "0123", "when": "2026-01-01", "null": "~"});
    first["labels"] = json!({"tier": "blue"});
    first["autoscaling"] = json!({"enabled": true, "min": 1, "max": -1, "cooldown": 30, "policy": {
        "type": "roomOccupancy", "parameters": {"roomOccupancy": {"readyTarget": 0.3, "downThreshold": 0.7}}}});
    first["forwarders"] = json!([{"name": "f", "enable": true, "type": "gRPC", "address": "localhost:1",
        "options": {"timeout": "2500", "metadata": {"roomType": "green", "nothing": null, "deep": [1, {"x": "1e3"}]}}}]);
    first["spec"]["toleration"] = json!("true");
    first["spec"]["containers"][0]["environment"] = json!([
        {"name": "TEXT", "value": "two\nlines: # no comment\n"},
        {"name": "SPACES", "value": "  'quoted' \"too\"\t"},
        {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ]);
    // Disabled, so that no room starts: its policy would want rooms.
    first["autoscaling"]["enabled"] = json!(false);
    [first, home.fleet("b-plain-one", 0)]
}

async fn create(maestro: &Maestro, scheduler: &Value) {
    let (status, body) = maestro.post("/schedulers", scheduler).await;
    assert_eq!(status, 200, "{body}");
    let name = scheduler["name"].as_str().expect("a name");
    let settled = eventually(seconds(10), || async {
        maestro.state(name).await == "in-sync"
    });
    assert!(settled.await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exported_and_imported_is_exported_alike() {
    let (home, other) = (Home::new(), Home::new());
    let maestro = home.start();
    for scheduler in rich(&home) {
        create(&maestro, &scheduler).await;
    }
    let file = home.path().join("all.yaml");
    let file = file.to_str().expect("a text");
    let said = good(&["export", file, "--url", &maestro.grpc]);
    assert!(said.contains("2 schedulers, 2 versions"), "{said}");
    let exported = fs::read_to_string(file).expect("the file");
    assert_eq!(good(&["export", "-", "--url", &maestro.grpc]), exported);

    let empty = other.start();
    let said = good(&["import", file, "--url", &empty.grpc]);
    assert_eq!(said, "a-rich-one: created\nb-plain-one: created\n");
    assert_eq!(good(&["export", "-", "--url", &empty.grpc]), exported);
    // A second import changes nothing, whatever the options for existing schedulers are.
    bad(
        &["import", file, "--url", &empty.grpc],
        &[
            "nothing was imported",
            "a-rich-one, b-plain-one",
            "--skip-existing",
            "--replace",
        ],
    );
    let said = good(&["import", file, "--skip-existing", "--url", &empty.grpc]);
    assert_eq!(said.matches("skipped").count(), 2, "{said}");
    let said = good(&["import", file, "--replace", "--url", &empty.grpc]);
    assert_eq!(said.matches("unchanged").count(), 2, "{said}");
    assert_eq!(good(&["export", "-", "--url", &empty.grpc]), exported);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_versions_the_active_one_is_restored() {
    let (home, other) = (Home::new(), Home::new());
    let maestro = home.start();
    create(&maestro, &home.fleet("arena", 0)).await;
    let patch = json!({"maxSurge": "40%"});
    maestro
        .done("arena", maestro.patch("/schedulers/arena", &patch).await)
        .await;
    let active = |server: &Maestro| {
        let url = server.grpc.clone();
        let file = good(&["export", "-", "--url", &url]);
        let document: Value = serde_saphyr::from_str(&file).expect("YAML");
        let versions = document["schedulers"][0]["versions"].as_array().cloned();
        let versions = versions.expect("versions");
        let marked: Vec<_> = versions
            .iter()
            .filter(|v| v["active"] == true)
            .cloned()
            .collect();
        assert_eq!(marked.len(), 1, "{file}");
        (file, versions.len(), marked[0].clone())
    };
    let switched = eventually(seconds(10), || async {
        active(&maestro).2["version"] == "v1.1.0"
    });
    assert!(switched.await, "{:?}", active(&maestro));
    let (text, versions, exported) = active(&maestro);
    assert_eq!(versions, 2);
    let file = home.path().join("all.yaml");
    fs::write(&file, text).expect("a file");
    let file = file.to_str().expect("a text");

    let empty = other.start();
    let said = good(&["import", file, "--url", &empty.grpc]);
    assert_eq!(
        said,
        "arena: created from v1.1.0; 1 older versions stay in the file\n"
    );
    let (_, versions, imported) = active(&empty);
    assert_eq!((versions, &imported["version"]), (1, &json!("v1.0.0")));
    assert_eq!(imported["scheduler"], exported["scheduler"]);
    // The scheduler has changed meanwhile: --replace creates a version from the file's document.
    let patch = json!({"maxSurge": "1"});
    empty
        .done("arena", empty.patch("/schedulers/arena", &patch).await)
        .await;
    let switched = eventually(seconds(10), || async {
        active(&empty).1 == 2 && active(&empty).2["version"] == "v1.1.0"
    });
    assert!(switched.await);
    let said = good(&["import", file, "--replace", "--url", &empty.grpc]);
    assert!(said.starts_with("arena: gets a new version"), "{said}");
    let replaced = eventually(seconds(10), || async {
        active(&empty).2["scheduler"] == exported["scheduler"]
    });
    assert!(replaced.await, "{:?}", active(&empty));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_mistakes_creates_nothing() {
    let home = Home::new();
    let maestro = home.start();
    create(&maestro, &home.fleet("arena", 0)).await;
    let fine = good(&["export", "-", "--url", &maestro.grpc]);
    maestro.remove("arena").await;
    let twice = format!(
        "{fine}{}",
        fine.split_once("schedulers:\n").expect("a list").1
    );
    let before = fine.split_once("roomsReplicas").expect("a field").0;
    let line = format!("line {}:", before.matches('\n').count() + 1);
    let cases = [
        ("format: 1\nschedulers: [", vec!["line 2"]),
        ("schedulers: []", vec!["no `format: 1`"]),
        ("format: 9\nfuture: true", vec!["format 9"]),
        ("format: 1\nschedulrs: []", vec!["schedulrs"]),
        (
            &fine.replace("maxSurge:", "maxSurg:"),
            vec![
                "scheduler arena, v1.0.0",
                "line ",
                "unknown field maxSurg",
                "MaxSurge",
            ],
        ),
        (
            &fine.replace("    active: true\n", ""),
            vec!["0 versions with `active: true`"],
        ),
        (
            &fine.replace("imagePullPolicy: Always", "imagePullPolicy: Sometimes"),
            vec!["ImagePullPolicy"],
        ),
        (
            &fine.replace("roomsReplicas: 0", "roomsReplicas: many"),
            vec![&line, "roomsReplicas", "many"],
        ),
        (
            &fine.replace("      name: arena", "      name: other"),
            vec!["\"other\" of another"],
        ),
        (&twice, vec!["scheduler arena is there twice"]),
    ];
    let file = home.path().join("bad.yaml");
    let path = file.to_str().expect("a text").to_owned();
    for (text, expected) in cases {
        fs::write(&file, text).expect("a file");
        bad(&["import", &path, "--url", &maestro.grpc], &expected);
    }
    let (_, list) = maestro.get("/schedulers").await;
    assert_eq!(list["schedulers"], json!([]), "something was created");
    bad(
        &["import", "/nowhere/at.all", "--url", &maestro.grpc],
        &["/nowhere/at.all", "No such file"],
    );
    // The valid file is still accepted.
    fs::write(&file, fine).expect("a file");
    good(&["import", &path, "--url", &maestro.grpc]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_running_server_can_be_started_from() {
    let (home, other) = (Home::new(), Home::new());
    let maestro = home.start();
    maestro.bring_up(&home.fleet("arena", 2)).await;
    let said = good(&["backup", "before", "--url", &maestro.internal]);
    let backup = home.path().join("backups/before.redb");
    assert!(said.contains("before.redb") && backup.exists(), "{said}");
    bad(
        &["backup", "before", "--url", &maestro.internal],
        &["is there already"],
    );
    let body = json!({"name": "by-http"});
    let (status, done) = maestro.internal("POST", "/backup", Some(&body)).await;
    assert_eq!(status, 200, "{done}");
    let path = done["path"].as_str().expect("a path");
    let length = fs::metadata(path).expect("the file").len();
    assert_eq!(done["bytes"], length);
    assert!(done["seconds"].as_f64().expect("a number") >= 0.0);
    assert_eq!(
        maestro.internal("POST", "/backup", Some(&body)).await.0,
        409
    );
    for wrong in [
        json!({"name": "../x"}),
        json!({"name": ""}),
        json!({"nam": "x"}),
        json!([]),
    ] {
        let (status, body) = maestro.internal("POST", "/backup", Some(&wrong)).await;
        assert_eq!((status, &body["code"]), (400, &json!(3)), "{wrong}");
    }
    assert_eq!(
        fs::read_dir(home.path().join("backups"))
            .expect("a folder")
            .count(),
        2
    );

    // Restored into the same folder: later changes are lost, and the rooms are adopted.
    let patch = json!({"maxSurge": "40%"});
    maestro
        .done("arena", maestro.patch("/schedulers/arena", &patch).await)
        .await;
    let rooms = home.pids("arena");
    assert!(maestro.stop().success());
    fs::copy(&backup, home.path().join("maestro.redb")).expect("a copy");
    let maestro = home.start();
    maestro.wait_ready("arena", 2).await;
    assert_eq!(home.pids("arena"), rooms, "the rooms were adopted");
    let (_, versions) = maestro.get("/schedulers/arena/versions").await;
    assert_eq!(
        versions["versions"].as_array().expect("versions").len(),
        1,
        "{versions}"
    );
    maestro.remove("arena").await;
    assert!(maestro.stop().success());

    // Restored into an empty folder: the rooms are created again.
    fs::copy(&backup, other.path().join("maestro.redb")).expect("a copy");
    let maestro = other.start();
    // The file has two rooms; missing ones are created again.
    let made = eventually(seconds(20), || async { other.pids("arena").len() == 2 });
    assert!(made.await, "{:?}", other.pids("arena"));
    maestro.wait_ready("arena", 2).await;
    maestro.remove("arena").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_goes_into_pipes_devices_and_behind_links() {
    use std::os::unix::fs::symlink;
    let home = Home::new();
    let maestro = home.start();
    create(&maestro, &home.fleet("arena", 0)).await;
    let url = maestro.grpc.clone();
    let expected = good(&["export", "-", "--url", &url]);
    let path = |name: &str| home.path().join(name).to_str().expect("a text").to_owned();
    // A link like /dev/stdout, but in the test's folder, so that a defect does no harm.
    let stdout = path("stdout");
    symlink("/proc/self/fd/1", &stdout).expect("a link");
    // Nothing else is printed where the export goes.
    assert_eq!(good(&["export", &stdout, "--url", &url]), expected);
    let redirected = path("redirected.yaml");
    let status = std::process::Command::new(support::BINARY)
        .args(["export", &stdout, "--url", &url])
        .stdout(fs::File::create(&redirected).expect("a file"))
        .status();
    assert!(status.expect("it runs").success());
    assert_eq!(fs::read_to_string(&redirected).expect("the file"), expected);

    let pipe = path("pipe");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0)
        .expect("a pipe");
    let reading = pipe.clone();
    let reader = std::thread::spawn(move || fs::read_to_string(reading).expect("a text"));
    good(&["export", &pipe, "--url", &url]);
    assert_eq!(reader.join().expect("read"), expected);
    use std::os::unix::fs::FileTypeExt;
    assert!(
        fs::symlink_metadata(&pipe)
            .expect("it is there")
            .file_type()
            .is_fifo()
    );

    // A file behind links is replaced in its place, and the missing target of a dangling link is
    // created.
    let (file, promised) = (path("file.yaml"), path("promised.yaml"));
    fs::write(&file, "old").expect("a file");
    symlink(&file, path("one")).expect("a link");
    symlink(path("one"), path("two")).expect("a link");
    symlink(&promised, path("three")).expect("a link");
    for (link, file) in [("two", &file), ("three", &promised)] {
        good(&["export", &path(link), "--url", &url]);
        assert!(
            fs::symlink_metadata(path(link))
                .expect("it is there")
                .is_symlink()
        );
        assert_eq!(fs::read_to_string(file).expect("the file"), expected);
    }
    let full = path("full");
    symlink("/dev/full", &full).expect("a link");
    bad(&["export", &full, "--url", &url], &["No space left"]);
}
