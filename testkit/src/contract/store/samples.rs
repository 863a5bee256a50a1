//! Documents for the checks. Their times are whole seconds: no store has to keep more
//! than microseconds.

use jiff::Timestamp;
use maestro_core::domain::*;
use std::sync::Arc;

/// `seconds` after a moment that all samples share.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_760_000_000 + seconds).unwrap()
}

pub fn scheduler(name: &str, version: &str) -> Arc<Scheduler> {
    Arc::new(Scheduler {
        name: name.into(),
        game: "tennis".into(),
        state: SchedulerPhase::Creating,
        rooms_replicas: 3,
        created_at: at(0),
        spec: Spec {
            version: version.into(),
            containers: vec![Container {
                name: "room".into(),
                command: vec!["maestro".into(), "room".into()],
                ..Container::default()
            }],
            ..Spec::default()
        },
        autoscaling: Some(Autoscaling::default()),
        labels: Some([("team".to_owned(), "räume".to_owned())].into()),
        // A store may read a missing one as this (contract 8.1).
        match_allocation: Some(MatchAllocation::default()),
        ..Scheduler::default()
    })
}

pub fn room(id: &str, status: RoomStatus) -> RoomRecord {
    let intent = RoomIntent {
        made_by: Some(operation_id(1)),
        host_ports: [40_000, 40_001].into(),
        ..RoomIntent::new("v1.0.0".into(), at(1))
    };
    let mut record = RoomRecord::new(id.into(), intent);
    record.reported = RoomReport {
        status,
        ping: PingStatus::Ready,
        matches: 0,
        metadata: Some(r#"{"mode":"ranked \"1v1\""}"#.into()),
        last_ping_at: at(2),
        first_ready_at: Some(at(2)),
        played: true,
    };
    record.instance = Some(Instance {
        room: id.into(),
        uid: "uid".into(),
        version: "v1.0.0".into(),
        validation: false,
        status: InstanceStatus::Ready,
        description: String::new(),
        restarting: Some(Restart {
            count: 2,
            code: Some(3),
            signal: None,
        }),
        trouble: None,
        address: Some(Arc::new(Address {
            host: "127.0.0.1".into(),
            ports: vec![],
        })),
        resource_version: 7,
    });
    record
}

/// A pending operation, created `number` seconds after the shared moment.
pub fn operation(scheduler: &str, number: u8) -> OperationRecord {
    OperationRecord {
        id: operation_id(number),
        scheduler: scheduler.into(),
        definition: Definition::AddRooms {
            amount: 2,
            version: None,
        },
        status: OperationStatus::Pending,
        created_at: at(i64::from(number)),
        status_at: at(i64::from(number)),
        history: vec![OperationEvent {
            created_at: at(i64::from(number)),
            event: "Created".into(),
        }],
        priority: false,
        lease_until: None,
        resume: ResumeState::default(),
    }
}

/// Ids descend with the order of creation, so that an order by id cannot pass for one by time.
pub fn operation_id(number: u8) -> OperationId {
    OperationId(uuid::Uuid::from_u128(u128::MAX - u128::from(number)))
}

/// The same operation, in `status` since `seconds` after the shared moment.
pub fn ended(
    mut operation: OperationRecord,
    status: OperationStatus,
    seconds: i64,
) -> OperationRecord {
    operation.status = status;
    operation.status_at = at(seconds);
    operation
}
