//! Converts a record to a start plan. Everything that can be rejected is rejected here, before anything runs.

use super::{
    environment::{self, STANDARD_PATH, Surroundings, Variables},
    folder::{RoomFolder, is_safe_name},
    record::RoomFile,
};
use crate::quantity::parse_milli;
use maestro_core::domain::{Address, Container, Port};
use std::{
    collections::HashSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

#[derive(Clone, Debug)]
pub struct ContainerPlan {
    pub name: String,
    /// The file that is executed.
    pub program: PathBuf,
    /// As the user wrote it; the first word becomes the process's name.
    pub command: Vec<String>,
    pub variables: Variables,
}

/// For the whole room. `None`: a container has no limit, so the room has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub memory_bytes: Option<u64>,
    pub cpu_millicores: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct RoomPlan {
    pub containers: Vec<ContainerPlan>,
    pub limits: Limits,
}

pub fn plan(room: &RoomFile, folder: &RoomFolder, near: &Surroundings) -> Result<RoomPlan, String> {
    let containers = &room.spec.containers;
    if containers.is_empty() {
        return Err("a room needs at least one container".into());
    }
    let mut names = HashSet::new();
    for container in containers {
        if !is_safe_name(&container.name) || !names.insert(&container.name) {
            return Err(format!(
                "container {:?}: a name of its own, of letters, digits and dashes, is needed",
                container.name
            ));
        }
    }
    check_ports(room)?;
    let limits = limits(containers)?;
    let containers = containers
        .iter()
        .map(|container| {
            plan_container(room, container, folder, near)
                .map_err(|problem| format!("container {:?}: {problem}", container.name))
        })
        .collect::<Result<_, _>>()?;
    Ok(RoomPlan { containers, limits })
}

fn plan_container(
    room: &RoomFile,
    container: &Container,
    folder: &RoomFolder,
    near: &Surroundings,
) -> Result<ContainerPlan, String> {
    let command = container.command.clone();
    let Some(name) = command.first().filter(|name| !name.is_empty()) else {
        return Err(format!(
            "no command; process mode runs commands, images ({}) need Kubernetes",
            container.image
        ));
    };
    if command.iter().any(|word| word.contains('\0')) {
        return Err("the command holds a zero byte".into());
    }
    let variables = environment::variables(room, container, folder, near)?;
    let path = variables
        .get("PATH".as_ref() as &std::ffi::OsStr)
        .map_or(STANDARD_PATH.into(), |path| path.to_string_lossy());
    Ok(ContainerPlan {
        name: container.name.clone(),
        program: resolve(name, &path, folder)?,
        command,
        variables,
    })
}

/// Finds the program as the room itself would: through its PATH, or from its folder.
fn resolve(name: &str, path: &str, folder: &RoomFolder) -> Result<PathBuf, String> {
    const HINT: &str = "process mode runs commands, images need Kubernetes";
    if name.contains('/') {
        let program = folder.work().join(name);
        return match runnable(&program) {
            true => Ok(program),
            false if program.is_file() => Err(format!(
                "command {name:?} is not executable; try chmod +x {}",
                program.display()
            )),
            false if name.starts_with('/') => {
                Err(format!("command {name:?} does not exist; {HINT}"))
            }
            false => Err(format!(
                "command {name:?} does not exist in the room's folder; use an absolute path; {HINT}"
            )),
        };
    }
    path.split(':')
        .filter(|folder| folder.starts_with('/'))
        .map(|folder| Path::new(folder).join(name))
        .find(|program| runnable(program))
        .ok_or_else(|| format!("command {name:?} was not found in PATH; {HINT}"))
}

fn runnable(program: &Path) -> bool {
    fs::metadata(program).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

fn check_ports(room: &RoomFile) -> Result<(), String> {
    let ports = room.spec.containers.iter().flat_map(|c| &c.ports);
    let mut wanted = 0;
    for port in ports {
        if !matches!(port.protocol.as_str(), "tcp" | "udp") {
            return Err(format!(
                "port {:?}: protocol {:?} is not supported, use tcp or udp",
                port.name, port.protocol
            ));
        }
        wanted += 1;
    }
    match room.host_ports.len() {
        given if given == wanted => Ok(()),
        given => Err(format!(
            "the spec has {wanted} ports, but {given} host ports were given"
        )),
    }
}

fn limits(containers: &[Container]) -> Result<Limits, String> {
    let mut limits = Limits {
        memory_bytes: Some(0),
        cpu_millicores: Some(0),
    };
    for container in containers {
        let quantity = |what: &str, text: &str| {
            if text.is_empty() {
                return Ok(0);
            }
            parse_milli(text).ok_or_else(|| {
                format!(
                    "container {:?}: {what} {text:?} is not a quantity; write for example 100m or 64Mi",
                    container.name
                )
            })
        };
        let (requests, limit) = (&container.requests, &container.limits);
        let memory = quantity("limits.memory", &limit.memory)?;
        let cpu = quantity("limits.cpu", &limit.cpu)?;
        for (what, request, limit) in [
            (
                "memory",
                quantity("requests.memory", &requests.memory)?,
                memory,
            ),
            ("cpu", quantity("requests.cpu", &requests.cpu)?, cpu),
        ] {
            if limit > 0 && request > limit {
                return Err(format!(
                    "container {:?}: requests.{what} must be less than or equal to limits.{what}",
                    container.name
                ));
            }
        }
        limits.memory_bytes = add(limits.memory_bytes, memory.div_ceil(1000));
        limits.cpu_millicores = add(limits.cpu_millicores, cpu);
    }
    Ok(limits)
}

/// Zero, unset, and more than any machine has mean no limit.
fn add(sum: Option<u64>, quantity: u128) -> Option<u64> {
    let quantity = u64::try_from(quantity).ok().filter(|q| *q > 0)?;
    sum?.checked_add(quantity)
}

/// The room's address for players (contract 4.7).
pub fn address(room: &RoomFile, host: &str) -> Address {
    let ports = room.spec.containers.iter().flat_map(|c| &c.ports);
    Address {
        host: host.into(),
        ports: ports
            .zip(&room.host_ports)
            .filter(|(_, host_port)| **host_port != 0)
            .map(|(port, host_port)| Port {
                name: port.name.clone(),
                port: i32::from(*host_port),
                protocol: port.protocol.to_uppercase(),
            })
            .collect(),
    }
}
