//! The environment of a container. It starts empty: no variable of ours leaks into rooms.

use super::{
    folder::{RoomFolder, is_safe_name},
    process_table::{CONTAINER, INSTALLATION, PORT, ROOM, SCHEDULER},
    record::RoomFile,
    safe_open,
};
use maestro_core::domain::{Container, Environment, ValueFrom};
use std::{collections::BTreeMap, ffi::OsString, os::unix::ffi::OsStringExt, path::PathBuf};

pub const STANDARD_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The limit of one environment variable on Linux, name included.
const SECRET_BYTES_MAX: u64 = 128 * 1024;
pub const ROOMS_API: &str = "MAESTRO_ROOMS_API_URL";

/// Values that are the same for all rooms of this machine.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Folder of our own binary, so that `maestro room` is found.
    pub binaries: Option<PathBuf>,
    pub secrets: PathBuf,
    pub host: String,
    pub rooms_api_url: String,
}

pub type Variables = BTreeMap<OsString, OsString>;

/// Our defaults first, then the version's configuration, then the user's list, then what Maestro adds to every
/// container; as in a pod, the user cannot override the latter.
pub fn variables(
    room: &RoomFile,
    container: &Container,
    folder: &RoomFolder,
    surroundings: &Surroundings,
) -> Result<Variables, String> {
    let mut variables = Variables::new();
    let mut set = |name: &str, value: OsString| variables.insert(name.into(), value);
    set("PATH", search_path(surroundings));
    set("HOME", folder.work().into());
    set("TMPDIR", folder.temporary().into());
    set("LANG", "C.UTF-8".into());
    for (name, value) in room.config.iter() {
        set(name, value.into());
    }
    for entry in &container.environment {
        if entry.name.is_empty() || entry.name.contains(['=', '\0']) {
            return Err(format!("{:?} is not a name of a variable", entry.name));
        }
        let value = value(entry, room, surroundings)
            .map_err(|problem| format!("variable {:?}: {problem}", entry.name))?;
        set(&entry.name, value);
    }
    set(SCHEDULER, room.scheduler.as_str().into());
    set(ROOM, room.room.as_str().into());
    set(ROOMS_API, surroundings.rooms_api_url.clone().into());
    set(INSTALLATION, room.installation.clone().into());
    set(CONTAINER, container.name.clone().into());
    for (name, port) in ports(room, container) {
        set(&name, port.to_string().into());
    }
    Ok(variables)
}

fn search_path(surroundings: &Surroundings) -> OsString {
    let mut path = OsString::new();
    if let Some(binaries) = &surroundings.binaries {
        path.push(binaries);
        path.push(":");
    }
    path.push(STANDARD_PATH);
    path
}

/// Every container gets all ports of the room, so that a sidecar finds its neighbors; if names are equal, a container
/// sees its own port.
fn ports(room: &RoomFile, own: &Container) -> Vec<(String, u16)> {
    let mut others = Vec::new();
    let mut owned = Vec::new();
    let mut host_ports = room.host_ports.iter();
    for container in &room.spec.containers {
        for (port, host_port) in container.ports.iter().zip(&mut host_ports) {
            let name = format!("{PORT}_{}", variable_name(&port.name));
            if container.name == own.name {
                if owned.is_empty() {
                    owned.push((PORT.to_owned(), *host_port));
                }
                owned.push((name, *host_port));
            } else {
                others.push((name, *host_port));
            }
        }
    }
    others.append(&mut owned);
    others
}

fn variable_name(name: &str) -> String {
    name.chars()
        .map(|c| match c.is_ascii_alphanumeric() {
            true => c.to_ascii_uppercase(),
            false => '_',
        })
        .collect()
}

fn value(entry: &Environment, room: &RoomFile, near: &Surroundings) -> Result<OsString, String> {
    let value = match &entry.value_from {
        None => entry.value.clone().into(),
        Some(ValueFrom {
            field_ref: Some(field),
            ..
        }) => match field.field_path.as_str() {
            "metadata.name" => room.room.as_str().into(),
            "metadata.namespace" => room.scheduler.as_str().into(),
            "status.hostIP" | "status.podIP" => near.host.clone().into(),
            other => {
                return Err(format!(
                    "fieldRef {other:?} is not known to rooms as processes; known are \
                     metadata.name, metadata.namespace, status.hostIP and status.podIP"
                ));
            }
        },
        Some(ValueFrom {
            secret_key_ref: Some(secret),
            ..
        }) => read_secret(near, &secret.name, &secret.key)?,
        Some(_) => return Err("valueFrom names neither fieldRef nor secretKeyRef".into()),
    };
    match value.as_encoded_bytes().contains(&0) {
        true => Err("the value holds a zero byte".into()),
        false => Ok(value),
    }
}

/// One trailing line end is not part of a secret: editors and `echo` add it.
fn read_secret(near: &Surroundings, name: &str, key: &str) -> Result<OsString, String> {
    if !is_safe_name(name) || !(is_safe_name(key) || is_safe_hidden(key)) {
        return Err(format!("secret {name:?}, key {key:?}: not a valid name"));
    }
    let path = near.secrets.join(name).join(key);
    let file = safe_open::read_linked(&path);
    let read = file.and_then(|file| safe_open::read_all(file, SECRET_BYTES_MAX));
    let mut bytes = read.map_err(|error| {
        let path = path.display();
        match error.kind() {
            std::io::ErrorKind::NotFound => {
                format!("secret {name:?} has no key {key:?}; create the file {path}")
            }
            _ => format!("secret {name:?}, key {key:?}: cannot read {path}: {error}"),
        }
    })?;
    if bytes.pop_if(|last| *last == b'\n').is_some() {
        // As editors on Windows write it.
        bytes.pop_if(|last| *last == b'\r');
    }
    Ok(OsString::from_vec(bytes))
}

/// Keys such as `.dockerconfigjson` are common; `..` is not one.
fn is_safe_hidden(key: &str) -> bool {
    key.strip_prefix('.').is_some_and(is_safe_name)
}
