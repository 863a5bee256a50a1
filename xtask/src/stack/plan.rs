//! What `docker-compose.yml` runs, read from that file, so that both ways to start the stack are the same.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

/// The image of every process of ours.
const IMAGE: &str = "maestro";
/// The program that migrates the database; everything else waits for it.
const MIGRATE: &str = "migrate";
const START: &str = "start";

/// Where the local stores listen: not where those of the system do.
pub const POSTGRES_PORT: u16 = 15_432;
pub const REDIS_PORT: u16 = 16_379;

/// What rooms bind in a container, and here.
const EVERYWHERE: &str = "0.0.0.0";
const LOOPBACK: &str = "127.0.0.1";

/// Added to the settings of each process: containers have a network of their own, but here every interface would be
/// that of the machine.
const LOCAL_ONLY: [(&str, &str); 5] = [
    ("MAESTRO_API_HOST", "127.0.0.1"),
    ("MAESTRO_ROOMSAPI_HOST", "127.0.0.1"),
    ("MAESTRO_INTERNALAPI_HOST", "127.0.0.1"),
    ("MAESTRO_GRPC_HOST", "127.0.0.1"),
    ("MAESTRO_CLUSTER_LISTEN", "127.0.0.1:0"),
];

#[derive(Deserialize)]
struct ComposeFile {
    services: BTreeMap<String, Service>,
}

#[derive(Deserialize)]
struct Service {
    image: String,
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    profiles: Vec<String>,
}

/// One process of ours: the arguments of the program, and its variables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Process {
    pub service: String,
    pub arguments: Vec<String>,
    pub environment: BTreeMap<String, String>,
}

/// The processes of the stack, by when they run.
#[derive(Debug, Serialize)]
pub struct Plan {
    /// Ends before the modules start.
    pub migrate: Process,
    /// They run until the stack ends.
    pub modules: Vec<Process>,
    /// They run once the modules are ready, and end.
    pub once: Vec<Process>,
}

impl Plan {
    /// Reads the file as it is written.
    ///
    /// # Errors
    /// If the file is not one of ours.
    pub fn read(file: &Path) -> Result<Self> {
        let shown = file.display();
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {shown}"))?;
        let compose: ComposeFile =
            serde_saphyr::from_str(&text).with_context(|| format!("cannot read {shown}"))?;
        let ours = compose
            .services
            .into_iter()
            .filter(|(_, service)| service.image == IMAGE && service.profiles.is_empty());
        let ours = ours.map(|(name, service)| Process {
            service: name,
            arguments: service.command,
            environment: service.environment,
        });
        let is =
            |process: &Process, word: &str| process.arguments.first().is_some_and(|w| w == word);
        let (mut migrate, others): (Vec<_>, Vec<_>) = ours.partition(|p| is(p, MIGRATE));
        ensure!(
            migrate.len() == 1,
            "{shown} has {} services that migrate",
            migrate.len()
        );
        let (modules, once) = others.into_iter().partition(|p| is(p, START));
        Ok(Self {
            migrate: migrate.remove(0),
            modules,
            once,
        })
    }

    /// As the processes run on this machine: names of services become its own address, and volumes become `folder`.
    pub fn on_this_machine(mut self, folder: &Path) -> Self {
        let all = self.modules.iter_mut().chain(&mut self.once);
        for process in all.chain([&mut self.migrate]) {
            for value in process
                .environment
                .values_mut()
                .chain(&mut process.arguments)
            {
                *value = local(value, folder);
            }
            let more = LOCAL_ONLY.map(|(key, value)| (key.to_owned(), value.to_owned()));
            process.environment.extend(more);
        }
        self
    }
}

/// Writes the fleets of `examples` into the folder of the stack: in a container rooms listen on all interfaces, and are
/// published on this machine's own; here they listen on that one.
///
/// # Errors
/// If a file cannot be read or written.
pub fn write_fleets(examples: &Path, folder: &Path) -> Result<()> {
    for entry in fs::read_dir(examples)? {
        let file = entry?.path();
        let text = fs::read_to_string(&file)?.replace(EVERYWHERE, LOOPBACK);
        let name = file.file_name().context("a file has a name")?;
        fs::write(folder.join(name), text)?;
    }
    Ok(())
}

fn local(value: &str, folder: &Path) -> String {
    if value == "/data" {
        return folder.join("rooms").display().to_string();
    }
    if let Some(file) = value.strip_prefix("/fleet/") {
        return folder.join(file).display().to_string();
    }
    value
        .replace("@postgres:5432", &format!("@127.0.0.1:{POSTGRES_PORT}"))
        .replace("//redis:6379", &format!("//127.0.0.1:{REDIS_PORT}"))
        .replace("//rooms-api:", "//127.0.0.1:")
        .replace("//management-api:", "//127.0.0.1:")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{setup::COMPOSE, shell};
    use serde_json::Value;

    fn plan() -> Plan {
        Plan::read(&shell::root().join("docker-compose.yml")).unwrap()
    }

    /// The file as Docker Compose itself understands it, checked against its schema. `None`, and said, without it.
    fn as_compose_reads_it() -> Option<Value> {
        if !shell::exists(COMPOSE.program) {
            let missing = "docker-compose is missing; type: sudo apt-get install docker-compose";
            assert!(!shell::in_ci(), "{missing}");
            eprintln!("SKIPPED: {missing}");
            return None;
        }
        let mut compose = shell::program(COMPOSE.program);
        let output = compose
            .args(["--file", "docker-compose.yml", "config"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        Some(serde_saphyr::from_slice(&output.stdout).unwrap())
    }

    #[test]
    fn both_ways_to_start_the_stack_run_the_same() {
        let Some(compose) = as_compose_reads_it() else {
            return;
        };
        let plan = plan();
        let all = plan.modules.iter().chain(&plan.once).chain([&plan.migrate]);
        let mut seen = Vec::new();
        for process in all {
            let service = &compose["services"][&process.service];
            let arguments = serde_json::to_value(&process.arguments).unwrap();
            assert_eq!(service["command"], arguments, "{}", process.service);
            let environment = match &service["environment"] {
                Value::Null => Value::Object(serde_json::Map::new()),
                there => there.clone(),
            };
            let ours = serde_json::to_value(&process.environment).unwrap();
            assert_eq!(environment, ours, "{}", process.service);
            seen.push(process.service.as_str());
        }
        seen.sort_unstable();
        let expected = [
            "fleet",
            "management-api",
            "metrics-reporter",
            "migrate",
            "rooms-api",
            "runtime-watcher",
            "worker",
        ];
        assert_eq!(seen, expected);
        // What is reachable from elsewhere: nothing but the rooms API, and that from the bridge only.
        let services = compose["services"].as_object().unwrap();
        let published = services
            .values()
            .flat_map(|s| s["ports"].as_array().cloned().unwrap_or_default());
        for port in published {
            let port = port.as_str().unwrap().to_owned();
            let local = port.starts_with("127.0.0.1:") || port.starts_with("172.30.99.1:8070:");
            assert!(local, "{port}");
        }
    }

    #[test]
    fn on_this_machine_only_places_change() {
        let (before, after) = (plan(), plan());
        let folder = Path::new("/somewhere");
        let after = after.on_this_machine(folder);
        assert_eq!(after.once[0].arguments[1], "/somewhere/fleet.yaml");
        for (before, after) in before.modules.iter().zip(&after.modules) {
            assert_eq!(before.arguments, after.arguments);
            for (key, value) in &before.environment {
                let is = &after.environment[key];
                let places = ["@postgres:", "//redis:", "//rooms-api:"];
                match value.as_str() {
                    "/data" => assert_eq!(is, "/somewhere/rooms"),
                    v if places.iter().any(|place| v.contains(place)) => {
                        assert!(is.contains("127.0.0.1:"), "{is}");
                    }
                    v => assert_eq!(is, v),
                }
            }
            let added = after.environment.len() - before.environment.len();
            assert_eq!(added, LOCAL_ONLY.len());
            assert!(
                after
                    .environment
                    .values()
                    .all(|v| !v.contains("postgres:5432"))
            );
        }
    }

    #[test]
    fn rooms_listen_where_they_are_published_and_here_on_this_machine_alone() {
        let examples = shell::root().join("examples/stack");
        let there = fs::read_to_string(examples.join("fleet.yaml")).unwrap();
        assert!(there.contains("--bind, 0.0.0.0"), "{there}");
        let folder = tempfile::tempdir().unwrap();
        write_fleets(&examples, folder.path()).unwrap();
        let here = fs::read_to_string(folder.path().join("fleet.yaml")).unwrap();
        assert_eq!(here, there.replace("0.0.0.0", "127.0.0.1"));
    }

    /// Docker kills after ten seconds unless told otherwise.
    #[test]
    fn processes_have_the_time_that_a_planned_stop_takes() {
        let Some(compose) = as_compose_reads_it() else {
            return;
        };
        for process in plan().modules {
            let grace = &compose["services"][&process.service]["stop_grace_period"];
            assert_eq!(grace, "45s", "{}", process.service);
        }
    }
}
