//! Builders of domain values: each starts with a valid value, and every detail can be changed by
//! name.

use jiff::Timestamp;
use maestro_core::domain::*;
use std::{sync::Arc, time::Duration};

/// A scheduler that validation accepts: one container with one port, no rooms wanted.
pub fn scheduler(name: &str) -> SchedulerBuilder {
    let resources = Resources {
        memory: "64Mi".into(),
        cpu: "100m".into(),
    };
    let port = ContainerPort {
        name: "game".into(),
        protocol: "udp".into(),
        port: 7777,
        ..ContainerPort::default()
    };
    let container = Container {
        name: "game".into(),
        image: "game:1".into(),
        image_pull_policy: "IfNotPresent".into(),
        command: vec!["maestro".into(), "room".into()],
        requests: resources.clone(),
        limits: resources,
        ports: vec![port],
        ..Container::default()
    };
    SchedulerBuilder(Scheduler {
        name: name.into(),
        game: "game".into(),
        state: SchedulerPhase::InSync,
        max_surge: "1".into(),
        port_range: Some(PortRange {
            start: 20_000,
            end: 30_000,
        }),
        created_at: moment(0),
        spec: Spec {
            version: SchedulerVersion::initial(),
            termination_grace_period: 1_000_000_000,
            containers: vec![container],
            ..Spec::default()
        },
        match_allocation: Some(MatchAllocation { max_matches: 1 }),
        ..Scheduler::default()
    })
}

/// `seconds` after a fixed time that all builders share.
pub fn moment(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs(1_767_000_000 + seconds)
}

#[derive(Clone, Debug)]
pub struct SchedulerBuilder(Scheduler);

impl SchedulerBuilder {
    pub fn replicas(self, rooms: i32) -> Self {
        self.edit(|s| s.rooms_replicas = rooms)
    }
    pub fn max_surge(self, surge: &str) -> Self {
        self.edit(|s| s.max_surge = surge.into())
    }
    pub fn game(self, game: &str) -> Self {
        self.edit(|s| s.game = game.into())
    }
    pub fn version(self, version: &str) -> Self {
        self.edit(|s| s.spec.version = version.into())
    }
    pub fn state(self, word: &str) -> Self {
        self.edit(|s| s.state = word.into())
    }
    pub fn max_matches(self, matches: i32) -> Self {
        self.edit(|s| {
            s.match_allocation = Some(MatchAllocation {
                max_matches: matches,
            });
        })
    }
    pub fn port_range(self, start: i32, end: i32) -> Self {
        self.edit(|s| s.port_range = Some(PortRange { start, end }))
    }
    pub fn grace(self, grace: Duration) -> Self {
        let nanos = i64::try_from(grace.as_nanos()).unwrap_or(i64::MAX);
        self.edit(|s| s.spec.termination_grace_period = nanos)
    }
    /// Sets the command of the first container: a change of it makes a major version.
    pub fn command(self, words: &[&str]) -> Self {
        self.edit(|s| {
            s.spec.containers[0].command = words.iter().map(|w| (*w).to_owned()).collect();
        })
    }
    pub fn fixed_buffer(self, min: i32, max: i32, amount: i32) -> Self {
        let parameters = PolicyParameters {
            fixed_buffer: Some(FixedBuffer { amount }),
            ..PolicyParameters::default()
        };
        self.autoscaling(min, max, "fixedBuffer", parameters)
    }
    pub fn room_occupancy(self, min: i32, max: i32, ready_target: f64) -> Self {
        let parameters = PolicyParameters {
            room_occupancy: Some(RoomOccupancy {
                ready_target,
                down_threshold: 0.99,
            }),
            ..PolicyParameters::default()
        };
        self.autoscaling(min, max, "roomOccupancy", parameters)
    }
    fn autoscaling(self, min: i32, max: i32, kind: &str, parameters: PolicyParameters) -> Self {
        let policy = Policy {
            kind: kind.into(),
            parameters,
        };
        let autoscaling = Autoscaling {
            enabled: true,
            min,
            max,
            cooldown: 0,
            policy,
        };
        self.edit(|s| s.autoscaling = Some(autoscaling))
    }
    /// Changes any other detail.
    pub fn edit(mut self, edit: impl FnOnce(&mut Scheduler)) -> Self {
        edit(&mut self.0);
        self
    }
    pub fn build(self) -> Scheduler {
        self.0
    }
    pub fn arc(self) -> Arc<Scheduler> {
        Arc::new(self.0)
    }
}

/// A room of version v1.0.0 that was ordered and has not been observed yet.
pub fn room(id: &str) -> RoomBuilder {
    let intent = RoomIntent {
        host_ports: [20_000].into(),
        ..RoomIntent::new(SchedulerVersion::initial(), moment(0))
    };
    RoomBuilder(RoomRecord::new(id.into(), intent))
}

#[derive(Clone, Debug)]
pub struct RoomBuilder(RoomRecord);

impl RoomBuilder {
    /// The room is up and has pinged ready.
    pub fn ready(self) -> Self {
        let instance = instance(self.0.id.as_str());
        self.edit(|r| {
            r.reported.status = RoomStatus::Ready;
            r.reported.ping = PingStatus::Ready;
            r.instance = Some(instance);
        })
    }
    /// A match is running in it.
    pub fn occupied(self) -> Self {
        self.ready().edit(|r| {
            r.reported.status = RoomStatus::Occupied;
            r.reported.ping = PingStatus::Occupied;
            r.reported.matches = 1;
        })
    }
    pub fn allocated(self, at: Timestamp) -> Self {
        self.ready().edit(|r| {
            r.reported.status = RoomStatus::Allocated;
            r.intent.allocated_at = Some(at);
        })
    }
    pub fn version(self, version: &str) -> Self {
        self.edit(|r| {
            r.intent.version = version.into();
            if let Some(instance) = &mut r.instance {
                instance.version = version.into();
            }
        })
    }
    pub fn host_ports(self, ports: &[u16]) -> Self {
        self.edit(|r| r.intent.host_ports = ports.into())
    }
    /// Changes any other detail.
    pub fn edit(mut self, edit: impl FnOnce(&mut RoomRecord)) -> Self {
        edit(&mut self.0);
        self
    }
    pub fn build(self) -> RoomRecord {
        self.0
    }
}

/// A ready instance of version v1.0.0.
pub fn instance(room: &str) -> Instance {
    let port = Port {
        name: "game".into(),
        port: 20_000,
        protocol: "UDP".into(),
    };
    Instance {
        room: room.into(),
        uid: format!("uid-of-{room}"),
        version: SchedulerVersion::initial(),
        validation: false,
        status: InstanceStatus::Ready,
        description: String::new(),
        restarting: None,
        trouble: None,
        address: Some(Arc::new(Address {
            host: "127.0.0.1".into(),
            ports: vec![port],
        })),
        resource_version: 1,
    }
}

/// A pending operation of a user. `number` determines its id and its place in the queue.
pub fn operation(scheduler: &str, number: u32, definition: Definition) -> OperationRecord {
    let at = moment(i64::from(number));
    let created = OperationEvent {
        created_at: at,
        event: "Created".into(),
    };
    OperationRecord {
        id: OperationId(uuid::Uuid::from_u128(u128::from(number))),
        scheduler: scheduler.into(),
        definition,
        status: OperationStatus::Pending,
        created_at: at,
        status_at: at,
        history: vec![created],
        priority: false,
        lease_until: None,
        resume: ResumeState {
            by_user: true,
            ..ResumeState::default()
        },
    }
}
