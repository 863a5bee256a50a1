//! Which rooms run, as far as they can be seen from here.

use crate::cluster::{installation_if_any, pods_if_any};
use crate::settings::{RuntimeKind, Settings};
use anyhow::Context;
use maestro_core::domain::RoomId;
use maestro_runtime::kubernetes::all_rooms;
use maestro_runtime::process::room_processes;
use maestro_store::cluster::doctor::{Facts, Place, Runtime};
use maestro_store::postgres::Database;
use std::collections::BTreeMap;

type Rooms = BTreeMap<String, BTreeMap<RoomId, String>>;

/// The rooms of the runtime that the settings name, or why they are not compared.
pub enum Seen {
    /// They are, beside what was stored before they were listed.
    Rooms(Box<Runtime>),
    /// They are not, and nothing is wrong with that.
    Nothing(&'static str),
    /// They should be, and cannot be listed.
    Unknown(anyhow::Error),
}

/// Lists the rooms that run. `before` is what was stored before.
pub async fn look(database: &Database, settings: &Settings, before: Facts) -> Seen {
    let listed = match settings.runtime {
        RuntimeKind::Simulated => {
            return Seen::Nothing("simulated rooms are in the memory of their nodes");
        }
        RuntimeKind::Kubernetes => pods(database, settings).await,
        RuntimeKind::Process | RuntimeKind::Auto => processes(database, settings).await,
    };
    match listed {
        Ok(Some((place, domain, rooms))) => Seen::Rooms(Box::new(Runtime {
            place,
            domain,
            rooms,
            before,
        })),
        Ok(None) => Seen::Nothing("no node has ever run on these stores"),
        Err(error) => Seen::Unknown(error),
    }
}

async fn pods(
    database: &Database,
    settings: &Settings,
) -> anyhow::Result<Option<(Place, String, Rooms)>> {
    let listed = all_rooms(&settings.for_kubernetes()?).await?;
    let mut rooms = Rooms::new();
    for (scheduler, room) in listed {
        let of_one = rooms.entry(scheduler.to_string()).or_default();
        let place = format!("pod {room}");
        of_one.insert(room, place);
    }
    // The original leaves none, and all pods are those of its schedulers.
    let domain = pods_if_any(database).await?.unwrap_or_default();
    Ok(Some((Place::Pods, domain, rooms)))
}

async fn processes(
    database: &Database,
    settings: &Settings,
) -> anyhow::Result<Option<(Place, String, Rooms)>> {
    let Some(installation) = installation_if_any(database, settings).await? else {
        return Ok(None);
    };
    let marked = installation.clone();
    let found = tokio::task::spawn_blocking(move || room_processes(&marked)).await?;
    let found = found.context("the processes of this machine cannot be listed")?;
    let mut rooms = Rooms::new();
    for process in found {
        let of_one = rooms.entry(process.scheduler.to_string()).or_default();
        let place = of_one.entry(process.room).or_default();
        if !place.is_empty() {
            place.push_str(", ");
        }
        place.push_str(&format!("process {}", process.pid));
    }
    Ok(Some((Place::Processes, installation, rooms)))
}
