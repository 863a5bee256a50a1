//! Documents and commands that many stories need.

use maestro_core::domain::*;
use maestro_core::rules::patch::{AutoscalingPatch, ContainerPatch, Patch, SpecPatch};
use maestro_core::state::{Command, CommandResult, Reply};

/// The scheduler of every story.
pub const NAME: &str = "arena";

/// A scheduler of one container with one port.
pub fn spec(replicas: i32) -> Scheduler {
    Scheduler {
        name: NAME.into(),
        game: NAME.into(),
        max_surge: "1".into(),
        rooms_replicas: replicas,
        port_range: Some(PortRange {
            start: 20000,
            end: 21000,
        }),
        spec: Spec {
            termination_grace_period: 1_000_000_000,
            containers: vec![Container {
                name: "game".into(),
                image: "game:1".into(),
                image_pull_policy: "IfNotPresent".into(),
                requests: resources(),
                limits: resources(),
                command: vec!["true".into()],
                ports: vec![ContainerPort {
                    name: "clientPort".into(),
                    protocol: "udp".into(),
                    port: 7777,
                    ..ContainerPort::default()
                }],
                ..Container::default()
            }],
            ..Spec::default()
        },
        match_allocation: Some(MatchAllocation { max_matches: 1 }),
        ..Scheduler::default()
    }
}

fn resources() -> Resources {
    Resources {
        memory: "64Mi".into(),
        cpu: "100m".into(),
    }
}

/// A patch of the active document.
pub fn patch(edit: impl FnOnce(&mut Patch)) -> Command {
    let mut patch = Patch::default();
    edit(&mut patch);
    Command::Patch(Box::new(patch))
}

/// A patch that creates a major version: its rooms run another command.
pub fn major(word: &str) -> Command {
    patch(|p| p.spec = Some(command(word)))
}

/// The change of the command that makes [`major`] a major version.
pub fn command(word: &str) -> SpecPatch {
    SpecPatch {
        containers: vec![ContainerPatch {
            command: vec![word.into()],
            ..ContainerPatch::default()
        }],
        ..SpecPatch::default()
    }
}

/// A patch to a fixed buffer of ready rooms, one to four rooms in all; `None` switches it off.
pub fn buffer(amount: Option<i32>) -> Command {
    let parameters = PolicyParameters {
        fixed_buffer: Some(FixedBuffer {
            amount: amount.unwrap_or(1).max(1),
        }),
        ..PolicyParameters::default()
    };
    let autoscaling = AutoscalingPatch {
        enabled: Some(amount.is_some()),
        min: Some(1),
        max: Some(4),
        cooldown: Some(20),
        policy: Some(Policy {
            kind: "fixedBuffer".into(),
            parameters,
        }),
    };
    patch(|p| p.autoscaling = Some(autoscaling))
}

/// The operation in the answer to a command.
///
/// # Panics
/// If the answer is something else.
pub fn operation_of(answer: CommandResult) -> OperationId {
    match answer {
        Ok(Reply::Operation(id)) => id,
        other => panic!("no operation: {other:?}"),
    }
}

/// The lines of an operation's history.
pub fn history(record: &OperationRecord) -> String {
    let lines = record.history.iter().map(|e| e.event.as_str());
    lines.collect::<Vec<_>>().join("\n")
}

/// An operation as another program pushes it, with a number for an id.
pub fn pending(at: Now, number: u128, definition: Definition) -> OperationRecord {
    OperationRecord {
        id: OperationId(uuid::Uuid::from_u128(number)),
        scheduler: NAME.into(),
        definition,
        status: OperationStatus::Pending,
        created_at: at.wall,
        status_at: at.wall,
        history: Vec::new(),
        priority: false,
        lease_until: None,
        resume: ResumeState::default(),
    }
}
