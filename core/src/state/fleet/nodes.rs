//! The rooms of a version as nodes of the K8s manager: how far each is, and why it is no further.

use crate::domain::*;
use crate::state::command::{CommandResult, Reply};
use crate::state::fleet::Fleet;
use crate::state::fleet::room::Room;
use crate::state::refusals::{missing, not_found};
use crate::state::views::{NODES_PAGE_MAX, NodePhase, NodeView, NodesPage};

impl Fleet {
    /// The rooms of a version among the next ones after `after`.
    pub fn nodes_page(&self, version: &SchedulerVersion, after: Option<&RoomId>) -> CommandResult {
        self.active(missing)?;
        if !self.versions.contains_key(version) {
            let text = format!("scheduler {} version {version} not found", self.name);
            return Err(not_found(text));
        }
        let looked_at = self.rooms.ids_after(after, NODES_PAGE_MAX);
        let nodes = looked_at
            .iter()
            .filter_map(|id| self.rooms.get(id.as_str()))
            .filter(|room| {
                let intent = &room.record.intent;
                intent.version == *version && !intent.validation
            })
            .map(node_of);
        let nodes = nodes.collect();
        let is_full = looked_at.len() == NODES_PAGE_MAX;
        let next = is_full.then(|| looked_at.into_iter().next_back()).flatten();
        Ok(Reply::Nodes(NodesPage { nodes, next }))
    }
}

fn node_of(room: &Room) -> NodeView {
    let instance = room.record.instance.as_ref();
    let description = || instance.map_or("", |instance| &instance.description);
    let (phase, reason) = match room.status() {
        RoomStatus::Ready | RoomStatus::Occupied | RoomStatus::Active | RoomStatus::Allocated => {
            (NodePhase::Started, String::new())
        }
        RoomStatus::Terminating | RoomStatus::Terminated => {
            (NodePhase::Stopped, "it is ending".to_owned())
        }
        RoomStatus::Error => {
            let reason = match description() {
                "" if room.is_restarting() => "a container is to be restarted",
                "" => "its instance failed",
                told => told,
            };
            (NodePhase::Error, reason.to_owned())
        }
        RoomStatus::Pending | RoomStatus::Unready => match room.trouble() {
            // It stays like that until somebody does something about its image.
            Some(Trouble::Image) => (NodePhase::Error, Trouble::Image.words(description())),
            Some(trouble) => (NodePhase::Starting, trouble.words(description())),
            None => (NodePhase::Starting, String::new()),
        },
    };
    NodeView {
        room: room.record.id.clone(),
        phase,
        reason,
    }
}
