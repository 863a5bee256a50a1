//! What the checks of a runtime need before there is a room: its scheduler, and the place of its rooms.
#![allow(clippy::unwrap_used, reason = "a panic is how a check fails")]

use maestro_core::{domain::*, ports::*};
use std::time::Duration;

/// Between two questions whether a place is gone.
const PAUSE: Duration = Duration::from_millis(50);

/// A room that runs until told to end.
pub const RUNS: &str = "echo up; trap 'echo bye; exit 0' TERM; while :; do sleep 0.05; done";

/// A scheduler with one container whose `/bin/sh` runs the script.
pub fn scheduler(name: &str, script: &str) -> Scheduler {
    let resources = |memory: &str, cpu: &str| Resources {
        memory: memory.into(),
        cpu: cpu.into(),
    };
    let port = |name: &str, protocol: &str, port| ContainerPort {
        name: name.into(),
        protocol: protocol.into(),
        port,
        ..Default::default()
    };
    Scheduler {
        name: name.into(),
        game: "contract".into(),
        max_surge: "1".into(),
        port_range: Some(PortRange {
            start: 21_000,
            end: 29_000,
        }),
        spec: Spec {
            version: SchedulerVersion::initial(),
            termination_grace_period: 5_000_000_000,
            containers: vec![Container {
                name: "game".into(),
                image: "none".into(),
                image_pull_policy: "IfNotPresent".into(),
                command: vec!["/bin/sh".into(), "-c".into(), script.into()],
                requests: resources("16Mi", "10m"),
                limits: resources("64Mi", "100m"),
                ports: vec![port("game", "udp", 7777), port("query", "tcp", 7778)],
                ..Default::default()
            }],
            ..Default::default()
        },
        ..Default::default()
    }
}

/// An operation's id that is the same in each run.
pub fn operation(number: u128) -> OperationId {
    OperationId(uuid::Uuid::from_u128(number))
}

/// Waits until an earlier place is gone, as an owner does.
pub async fn prepare(
    runtime: &dyn Runtime,
    scheduler: &Scheduler,
    operation: OperationId,
    patience: Duration,
) -> Prepared {
    let asks = async {
        loop {
            match runtime.prepare(scheduler, operation).await {
                Err(RuntimeError::Terminating(_)) => tokio::time::sleep(PAUSE).await,
                other => break other.unwrap(),
            }
        }
    };
    let made = tokio::time::timeout(patience, asks).await;
    made.expect("an earlier place is gone in time")
}

/// Asks until the place is gone, or is none to be removed, as an owner does.
pub async fn removed(
    runtime: &dyn Runtime,
    scheduler: &SchedulerName,
    made_by: Option<OperationId>,
    patience: Duration,
) {
    let asks = async {
        loop {
            match runtime.remove(scheduler, made_by).await {
                Err(RuntimeError::Terminating(_)) => tokio::time::sleep(PAUSE).await,
                other => break other.unwrap(),
            }
        }
    };
    let gone = tokio::time::timeout(patience, asks).await;
    gone.expect("the place is gone in time");
}
