//! Rooms and rollouts as operators see them.

use maestro_core::domain::{InstanceStatus, RoomEvent, RoomHappening, RoomStatus};
use maestro_core::ports::ContainerProcess;
use maestro_core::state::{EndView, RolloutView, RoomDetail, RoomRow, RoomView, RoomsSummary};

use crate::codec::messages;

/// The status that a listing of rooms filters by; `None` stands for rooms that have ended.
///
/// # Errors
/// The list of valid words.
pub fn listed_status(word: &str) -> Result<Option<RoomStatus>, String> {
    let status = RoomStatus::ALL.into_iter().find(|s| s.as_str() == word);
    if status.is_some() || word == "ended" {
        return Ok(status);
    }
    let words = RoomStatus::ALL.map(RoomStatus::as_str).join(", ");
    Err(format!(
        "{word:?} is no status of rooms; say one of {words}, or ended"
    ))
}

/// A room in a listing.
pub fn room_row(row: RoomRow) -> messages::RoomRow {
    messages::RoomRow {
        room: Some(room(row.room)),
        ended: row.ended.map(room_end),
    }
}

fn room(view: RoomView) -> messages::Room {
    let port = |port: maestro_core::domain::Port| messages::RoomPort {
        name: port.name,
        port: port.port,
        protocol: port.protocol,
    };
    messages::Room {
        id: view.id.to_string(),
        status: view.status.as_str().to_owned(),
        version: view.version.to_string(),
        host: view.host,
        ports: view.ports.into_iter().map(port).collect(),
        created_at: Some(view.created_at),
        last_ping_at: Some(view.last_ping_at),
        running_matches: view.running_matches,
        draining: view.draining,
        restarting: view.restarting,
        validation: view.validation,
    }
}

fn room_end(end: EndView) -> messages::RoomEnd {
    messages::RoomEnd {
        at: Some(end.at),
        exit_code: end.exit_code,
        signal: end.signal,
        reason: end.reason,
        last_log_lines: end.last_log_lines,
    }
}

/// A room's details from its owner, and its processes on this machine.
pub fn room_detail(detail: RoomDetail, processes: Vec<ContainerProcess>) -> messages::RoomDetail {
    let process = |process: ContainerProcess| messages::RoomProcess {
        container: process.container,
        pid: process.pid,
    };
    messages::RoomDetail {
        room: Some(room(detail.room)),
        instance: instance(detail.instance).to_owned(),
        description: detail.description,
        allocated_at: detail.allocated_at,
        removal: detail.removal.map(|reason| reason.as_str().to_owned()),
        ended: detail.ended.map(room_end),
        events: detail.events.into_iter().map(room_event).collect(),
        processes: processes.into_iter().map(process).collect(),
    }
}

fn room_event(event: RoomEvent) -> messages::RoomEvent {
    let (word, detail) = match event.event {
        RoomHappening::Created => ("created", None),
        RoomHappening::Adopted => ("adopted", None),
        RoomHappening::Status(status) => ("status", Some(status.as_str())),
        RoomHappening::Instance(status) => ("instance", Some(instance(status))),
        RoomHappening::Draining(reason) => ("draining", Some(reason.as_str())),
        RoomHappening::Removing(reason) => ("removing", Some(reason.as_str())),
        RoomHappening::Ended => ("ended", None),
    };
    messages::RoomEvent {
        at: Some(event.at),
        event: word.to_owned(),
        detail: detail.map(str::to_owned),
    }
}

fn instance(status: InstanceStatus) -> &'static str {
    match status {
        InstanceStatus::Unknown => "unknown",
        InstanceStatus::Pending => "pending",
        InstanceStatus::Ready => "ready",
        InstanceStatus::Terminating => "terminating",
        InstanceStatus::Error => "error",
    }
}

/// The rooms counted by status.
pub fn rooms_summary(summary: RoomsSummary) -> messages::GetRoomsSummaryResponse {
    messages::GetRoomsSummaryResponse {
        name: summary.name.to_string(),
        state: summary.state,
        version: summary.version.to_string(),
        paused: summary.paused,
        rooms_pending: summary.rooms_pending,
        rooms_unready: summary.rooms_unready,
        rooms_ready: summary.rooms_ready,
        rooms_allocated: summary.rooms_allocated,
        rooms_active: summary.rooms_active,
        rooms_occupied: summary.rooms_occupied,
        rooms_terminating: summary.rooms_terminating,
        rooms_terminated: summary.rooms_terminated,
        rooms_error: summary.rooms_error,
        rooms_total: summary.rooms_total,
        rooms_restarting: summary.rooms_restarting,
        rooms_draining: summary.rooms_draining,
        rooms_available: summary.rooms_available,
        rooms_desired: summary.rooms_desired,
        running_matches: summary.running_matches,
    }
}

/// The progress of a rolling update.
pub fn rollout(view: RolloutView) -> messages::Rollout {
    messages::Rollout {
        in_progress: view.in_progress,
        paused: view.paused,
        active_version: view.active_version.to_string(),
        previous_version: view.previous_version,
        old: view.old,
        new: view.new,
        starting: view.starting,
        draining: view.draining,
        surge: view.surge,
        versions: (!view.versions.is_empty()).then_some(view.versions),
        waiting_for: view.waiting_for,
    }
}

#[cfg(test)]
mod tests {
    use maestro_core::domain::{Port, RemovalReason};
    use serde_json::{json, to_value};

    use super::*;

    fn view() -> RoomView {
        RoomView {
            id: "arena-1".into(),
            status: RoomStatus::Pending,
            version: "v1.0.0".into(),
            host: None,
            ports: vec![Port {
                name: "game".to_owned(),
                port: 40_000,
                protocol: "UDP".to_owned(),
            }],
            created_at: "2026-01-02T03:04:05.6Z".parse().unwrap(),
            last_ping_at: "2026-01-02T03:04:05Z".parse().unwrap(),
            running_matches: 2,
            draining: false,
            restarting: false,
            validation: false,
        }
    }

    fn end() -> EndView {
        EndView {
            at: "2026-01-02T03:05:00Z".parse().unwrap(),
            exit_code: Some(1),
            signal: None,
            reason: "game: exited".to_owned(),
            last_log_lines: vec!["bye".to_owned()],
        }
    }

    fn shown() -> serde_json::Value {
        json!({
            "id": "arena-1", "status": "pending", "version": "v1.0.0", "host": null,
            "ports": [{"name": "game", "port": 40_000, "protocol": "UDP"}],
            "createdAt": "2026-01-02T03:04:05.6Z", "lastPingAt": "2026-01-02T03:04:05Z",
            "runningMatches": 2, "draining": false, "restarting": false, "validation": false,
        })
    }

    /// Clients of these endpoints rely on the nulls, on numbers written as numbers, and on omitted fields.
    #[test]
    fn rooms_are_written_as_they_have_always_been() {
        let row = |ended| {
            room_row(RoomRow {
                room: view(),
                ended,
            })
        };
        assert_eq!(to_value(row(None)).unwrap(), shown());
        let ended = json!({
            "at": "2026-01-02T03:05:00Z", "exitCode": 1, "signal": null,
            "reason": "game: exited", "lastLogLines": ["bye"],
        });
        let mut with_end = shown();
        with_end["ended"] = ended;
        assert_eq!(to_value(row(Some(end()))).unwrap(), with_end);

        let at = "2026-01-02T03:04:05Z".parse().unwrap();
        let event = |event| RoomEvent { at, event };
        let detail = RoomDetail {
            room: view(),
            instance: InstanceStatus::Ready,
            description: String::new(),
            allocated_at: None,
            removal: Some(RemovalReason::ScaleDown),
            ended: None,
            events: vec![
                event(RoomHappening::Created),
                event(RoomHappening::Instance(InstanceStatus::Ready)),
                event(RoomHappening::Removing(RemovalReason::ScaleDown)),
            ],
        };
        let mut wanted = shown();
        wanted.as_object_mut().unwrap().extend([
            ("instance".to_owned(), json!("ready")),
            ("description".to_owned(), json!("")),
            ("allocatedAt".to_owned(), json!(null)),
            ("removal".to_owned(), json!("scale_down")),
            ("ended".to_owned(), json!(null)),
            (
                "events".to_owned(),
                json!([
                    {"at": "2026-01-02T03:04:05Z", "event": "created"},
                    {"at": "2026-01-02T03:04:05Z", "event": {"instance": "ready"}},
                    {"at": "2026-01-02T03:04:05Z", "event": {"removing": "scale_down"}},
                ]),
            ),
        ]);
        let bare = room_detail(detail.clone(), Vec::new());
        assert_eq!(to_value(bare).unwrap(), wanted);
        wanted["processes"] = json!([{"container": "game", "pid": 7}]);
        let process = ContainerProcess {
            container: "game".to_owned(),
            pid: 7,
        };
        let running = room_detail(detail, vec![process]);
        assert_eq!(to_value(running).unwrap(), wanted);
    }

    #[test]
    fn a_rollout_without_rooms_names_no_versions() {
        let rollout = messages::Rollout::default();
        let shown = to_value(rollout).unwrap();
        assert_eq!(shown["versions"], json!({}));
        assert_eq!(shown["waitingFor"], json!(null));
    }
}
