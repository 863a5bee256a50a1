//! Dependency rules: the edges of ARCHITECTURE.md between the crates of this workspace, and what `core` must never
//! depend on.

#[path = "architecture/circles.rs"]
mod circles;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// All allowed edges. An unused edge is harmless; an edge that is not listed here fails.
const ALLOWED: &[(&str, &[&str])] = &[
    ("maestro-core", &[]),
    // It extends the Prometheus library, and knows nothing about Maestro.
    ("maestro-metrics", &[]),
    ("maestro-actors", &["maestro-core", "maestro-metrics"]),
    // Services speak to actors through their handles, never to a store or a runtime.
    ("maestro-api", &["maestro-core", "maestro-actors"]),
    // The transports adapt the same traits and do not know each other.
    (
        "maestro-http",
        &["maestro-core", "maestro-api", "maestro-metrics"],
    ),
    (
        "maestro-grpc",
        &["maestro-core", "maestro-api", "maestro-metrics"],
    ),
    ("maestro-store", &["maestro-core"]),
    ("maestro-runtime", &["maestro-core"]),
    // A source of metrics; which rooms there are it is told through its port.
    ("maestro-prometheus", &["maestro-core"]),
    // The world around the state machine is a model without store, runtime or actors; the rules that the actors follow
    // are in `core` so that they can be followed here too.
    ("maestro-simulation", &["maestro-core"]),
    // The commands for operators call a server as any client does, through the traits of its API over gRPC.
    (
        "maestro-cli",
        &["maestro-core", "maestro-api", "maestro-grpc"],
    ),
    // The demonstration finds the leftover rooms of earlier ones through their stores, and ends them.
    (
        "maestro-samples",
        &[
            "maestro-core",
            "maestro-cli",
            "maestro-grpc",
            "maestro-store",
            "maestro-runtime",
        ],
    ),
    // Its servers are separate processes; the store is needed to time one commit.
    (
        "maestro-bench",
        &[
            "maestro-core",
            "maestro-cli",
            "maestro-samples",
            "maestro-store",
            "maestro-runtime",
        ],
    ),
    ("maestro-testkit", &["maestro-core"]),
    (
        "maestro",
        &[
            "maestro-core",
            "maestro-actors",
            "maestro-metrics",
            "maestro-api",
            "maestro-http",
            "maestro-grpc",
            "maestro-store",
            "maestro-runtime",
            "maestro-prometheus",
            "maestro-cli",
            "maestro-samples",
            "maestro-bench",
        ],
    ),
    ("xtask", &[]),
];

/// For tests only, but available to all crates.
const TESTKIT: &str = "maestro-testkit";
/// Further edges for tests only: the HTTP servers are tested with the actors, which they do not depend on otherwise.
const FOR_TESTS: &[(&str, &str)] = &[("maestro-http", "maestro-actors")];

/// Crates that do I/O must not be dependencies of `core`.
const NEVER_IN_CORE: &[&str] = &[
    "tokio",
    "actix",
    "actix-rt",
    "actix-web",
    "hyper",
    "reqwest",
    "tonic",
    "kube",
    "redb",
    "tokio-postgres",
    "deadpool-postgres",
    "fred",
    "rustix",
    "tokio-util",
    "tokio-stream",
];

/// Calls are the same over every transport, so `api` depends on none.
const NEVER_IN_API: &[&str] = &["actix-web", "actix-http", "hyper", "reqwest", "tonic"];

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .no_deps()
        .other_options(["--offline".to_owned()])
        .exec()
        .expect("cargo metadata runs where cargo test does")
}

#[test]
fn crates_depend_only_on_those_they_may_know() {
    let metadata = metadata();
    let members: BTreeSet<&str> = metadata
        .packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let mut wrong = Vec::new();
    for package in &metadata.packages {
        let name = package.name.as_str();
        let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| *known == name) else {
            wrong.push(format!(
                "{name} is new: say in ARCHITECTURE.md and here whom it may know"
            ));
            continue;
        };
        for dependency in &package.dependencies {
            let other = dependency.name.as_str();
            let known_to_tests =
                other == TESTKIT || other == name || FOR_TESTS.contains(&(name, other));
            let for_tests = known_to_tests && dependency.kind == DependencyKind::Development;
            if members.contains(other) && !for_tests && !allowed.contains(&other) {
                wrong.push(format!("{name} -> {other} ({:?})", dependency.kind));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "edges that the architecture does not allow:\n{}",
        wrong.join("\n")
    );
}

/// The crates of `never` that a crate depends on, outside of its tests.
fn forbidden(name: &str, never: &[&str]) -> Vec<String> {
    let metadata = metadata();
    let package = metadata
        .packages
        .iter()
        .find(|package| package.name.as_str() == name)
        .expect("the crate exists");
    package
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind != DependencyKind::Development)
        .map(|dependency| dependency.name.clone())
        .filter(|name| never.contains(&name.as_str()))
        .collect()
}

#[test]
fn core_knows_nobody_who_does_io() {
    let wrong = forbidden("maestro-core", NEVER_IN_CORE);
    assert!(wrong.is_empty(), "core depends on {wrong:?}");
}

#[test]
fn api_knows_no_transport() {
    let wrong = forbidden("maestro-api", NEVER_IN_API);
    assert!(wrong.is_empty(), "api depends on {wrong:?}");
}

/// The web framework's HTTP/2 uses a version of h2 that is not maintained any more. Our servers refuse h2c anyway.
#[test]
fn there_is_one_http2_and_it_is_a_kept_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock");
    let lock = std::fs::read_to_string(path).expect("Cargo.lock");
    let versions: Vec<&str> = lock
        .split("[[package]]")
        .filter(|package| package.contains("name = \"h2\"\n"))
        .filter_map(|package| package.lines().find(|line| line.starts_with("version")))
        .collect();
    assert_eq!(versions.len(), 1, "{versions:?}");
    assert!(versions[0].starts_with("version = \"0.4."), "{versions:?}");
}

/// The tests of adapters are built without the servers, so that they compile fast.
#[test]
fn tests_of_adapters_are_built_without_servers() {
    for package in ["maestro-store", "maestro-runtime", "maestro-prometheus"] {
        let tree = Command::new(env!("CARGO"))
            .args(["tree", "--offline", "--edges=all", "--prefix=none"])
            .args(["--package", package])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo runs");
        let text = String::from_utf8_lossy(&tree.stdout);
        assert!(
            tree.status.success() && text.contains("tempfile"),
            "{tree:?}"
        );
        let server = |line: &&str| {
            ["actix-web ", "tonic "]
                .iter()
                .any(|name| line.starts_with(name))
        };
        assert_eq!(text.lines().find(server), None, "in the tests of {package}");
    }
}

#[test]
fn no_module_knows_one_that_knows_it() {
    let mut wrong = Vec::new();
    for package in metadata().packages {
        let is_root = |target: &&cargo_metadata::Target| target.is_lib() || target.is_bin();
        for root in package.targets.iter().filter(is_root) {
            let circles = circles::Modules::read(root.src_path.as_std_path()).circles();
            wrong.extend(circles.iter().map(|edge| format!("{}: {edge}", root.name)));
        }
    }
    assert!(
        wrong.is_empty(),
        "move a declaration to where both sides may know it:\n{}",
        wrong.join("\n")
    );
}

/// The texts in quotes between a line of `deny.toml` and the next closing bracket.
fn denied(after: &str) -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/deny.toml");
    let text = std::fs::read_to_string(path).expect("deny.toml");
    let (_, list) = text.split_once(after).expect("the list");
    let (list, _) = list.split_once("\n]").expect("its end");
    list.split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// The platform of this machine: packages for others may not have been downloaded.
fn host() -> String {
    let told = Command::new(env!("CARGO")).arg("-vV").output();
    let told = String::from_utf8(told.expect("cargo runs").stdout).expect("it is text");
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    host.expect("cargo names its host").to_owned()
}

/// The checks of `cargo deny check bans licenses`, for machines without it.
#[test]
fn dependencies_are_those_that_deny_toml_lets_in() {
    let (allowed, banned) = (denied("\nallow = ["), denied("\ndeny = ["));
    let packages = MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .other_options(["--offline", "--filter-platform", &host()].map(str::to_owned))
        .exec()
        .expect("cargo metadata runs where cargo test does")
        .packages;
    // `A AND B` means both; `A OR B`, in older manifests `A/B`, means either.
    let may = |licence: &str| {
        licence.split(" AND ").all(|part| {
            let part = part.trim_matches(['(', ')']).replace('/', " OR ");
            let mut choices = part.split(" OR ");
            choices.any(|choice| allowed.iter().any(|allowed| allowed == choice.trim()))
        })
    };
    for package in &packages {
        let name = package.name.as_str();
        assert!(
            !banned.iter().any(|banned| banned == name),
            "{name} is banned"
        );
        let licence = package.license.as_deref().unwrap_or("none");
        assert!(may(licence), "{name} has the licence {licence}");
    }
}

/// Test tools may panic, which is how a check fails.
const PANICS: &[&str] = &["maestro-testkit", "maestro-simulation"];

#[test]
fn each_crate_warns_of_long_functions_and_panics() {
    for package in metadata().packages {
        if PANICS.contains(&package.name.as_str()) {
            continue;
        }
        let is_root = |target: &&cargo_metadata::Target| target.is_lib() || target.is_bin();
        for root in package.targets.iter().filter(is_root) {
            let text = std::fs::read_to_string(&root.src_path).expect("a source");
            let warns = "warn(clippy::expect_used, clippy::too_many_lines)";
            assert!(text.contains(warns), "{} does not warn", root.src_path);
        }
    }
}

/// Comments have one width. Tables cannot be wrapped, and comments on messages are lines of the API's description.
#[test]
fn comments_are_120_wide_at_most() {
    const WIDTH: usize = 120;
    let mut wide = Vec::new();
    each_source(&mut |path, text| {
        if path
            .parent()
            .is_some_and(|folder| folder.ends_with("codec/messages"))
        {
            return;
        }
        let is_wide = |line: &&str| {
            let text = line.trim_start();
            text.starts_with("//") && !text.contains('|') && line.chars().count() > WIDTH
        };
        let lines = text.lines().filter(is_wide);
        wide.extend(lines.map(|line| format!("{}: {line}", path.display())));
    });
    assert!(wide.is_empty(), "{}", wide.join("\n"));
}

/// Every source file of the repository, by its path below the root.
fn each_source(look: &mut dyn FnMut(&Path, &str)) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let is_ours = name != "target" && !name.as_encoded_bytes().starts_with(b".");
            if path.is_dir() && is_ours {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source");
                look(path.strip_prefix(root).expect("below the root"), &text);
            }
        }
    }
}

/// Lines of a file before its tests.
const LINES_MAX: usize = 400;

#[test]
fn a_file_is_one_idea() {
    let mut long = Vec::new();
    each_source(&mut |path, text| {
        let lines = text
            .lines()
            .take_while(|line| *line != "mod tests {")
            .count();
        let of_tests = |part: std::path::Component<'_>| {
            matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs"))
        };
        let is_test = path.components().any(of_tests);
        if lines > LINES_MAX && !is_test {
            long.push(format!("{}: {lines}", path.display()));
        }
    });
    assert!(
        long.is_empty(),
        "longer than {LINES_MAX} lines: {}",
        long.join("\n")
    );
}
