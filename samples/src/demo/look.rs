//! Conditions that the demonstration waits for, and facts that it looks up on the server.

use super::api::Api;
use super::summary::created_at;
use anyhow::bail;
use jiff::Timestamp;
use serde_json::Value;
use std::time::{Duration, Instant};

/// The time within which all rooms must be ready, plus some per room.
const UP_WAIT: Duration = Duration::from_secs(30);
/// Waits until this many rooms are ready.
///
/// # Errors
/// If they are not in time.
pub async fn wait_for_ready(api: &Api, rooms: u64) -> anyhow::Result<()> {
    let until = Instant::now()
        + UP_WAIT
        + Duration::from_millis(100) * u32::try_from(rooms).unwrap_or(u32::MAX);
    loop {
        let counts = api.counts().await?;
        if counts.ready >= rooms {
            return Ok(());
        }
        if Instant::now() > until {
            bail!(
                "only {} of {rooms} rooms became ready: {counts:?}",
                counts.ready
            );
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The operation that replaced a crashed room, and the time from the crash to the operation's end.
///
/// # Errors
/// If the server does not answer.
pub async fn replacement_after(
    api: &Api,
    crash: Timestamp,
) -> anyhow::Result<Option<(String, Duration)>> {
    // It is the first operation after the crash: those for the load come later.
    for operation in api.ended_operations().await?.iter().rev() {
        let is_add =
            operation["definitionName"] == "add_rooms" && operation["status"] == "finished";
        if !is_add || created_at(operation).is_none_or(|at| at < crash) {
            continue;
        }
        let id = operation["id"].as_str().unwrap_or_default().to_owned();
        let whole = api.operation(&id).await?;
        let events = whole["executionHistory"].as_array();
        let ended = events.and_then(|events| created_at(events.last()?));
        let time = ended.and_then(|at| Duration::try_from(at.duration_since(crash)).ok());
        return Ok(time.map(|time| (id, time)));
    }
    Ok(None)
}

/// Waits for the open operations; returns those that did not end in time.
///
/// # Errors
/// If the server does not answer.
pub async fn unended(api: &Api, wait: Duration) -> anyhow::Result<Vec<String>> {
    let until = Instant::now() + wait;
    loop {
        let open = api.open_operations().await?;
        if open.is_empty() || Instant::now() > until {
            let name = |o: &Value| format!("{} {}", o["definitionName"], o["id"]);
            return Ok(open.iter().map(name).collect());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
