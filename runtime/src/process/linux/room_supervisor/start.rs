//! Starts the supervisor of a room that was created or adopted.

use super::super::{
    folder::RoomFolder,
    host::Host,
    live_room::LiveRoom,
    plan,
    record::{Phase, RoomFile},
};
use super::RoomSupervisor;
use maestro_core::domain::{Instance, InstanceStatus};
use std::sync::Arc;

impl Host {
    /// Announces the room and gives it a supervisor. `complete`: all its containers were started.
    pub fn keep(
        self: &Arc<Self>,
        record: RoomFile,
        folder: RoomFolder,
        live: &Arc<LiveRoom>,
        complete: bool,
    ) -> Instance {
        let waits = record.waits_for_restart().filter(|_| complete);
        let instance = Instance {
            room: record.room.clone(),
            uid: record.uid.clone(),
            version: record.version.clone(),
            validation: record.validation,
            status: match (complete, waits) {
                (false, _) => InstanceStatus::Pending,
                (true, Some(_)) => InstanceStatus::Error,
                (true, None) => InstanceStatus::Ready,
            },
            description: match (complete, waits) {
                (false, _) => "Pending: its creation was cut short".into(),
                (true, waits) => waits.map_or_else(String::new, |w| w.description.clone()),
            },
            restarting: waits.and(record.restart),
            trouble: None,
            address: complete.then(|| Arc::new(plan::address(&record, &self.settings.host))),
            resource_version: 0,
        };
        let instance = self.feeds.observe(&record.scheduler, instance);
        let containers: Vec<_> = match record.phase {
            Phase::Starting => record
                .processes
                .iter()
                .map(|p| p.container.clone())
                .collect(),
            _ => record
                .spec
                .containers
                .iter()
                .map(|c| c.name.clone())
                .collect(),
        };
        let log = |name: &String| (name.clone(), folder.log(name));
        let logs = containers.iter().map(log).collect();
        let containers = containers
            .into_iter()
            .map(|name| (name.clone(), record.process(&name)))
            .collect();
        let stop = self.stopping.child_token();
        let supervisor = RoomSupervisor::new(
            self.clone(),
            live.clone(),
            folder,
            record,
            instance.clone(),
            stop.clone(),
        );
        let task = self
            .tasks
            .spawn_on(supervisor.run(containers), &self.handle);
        live.kept_by(complete, logs, stop, task);
        instance
    }
}
