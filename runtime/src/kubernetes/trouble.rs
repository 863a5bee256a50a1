//! What keeps a pod from running, by what can be done about it. The words are in the instance's description.

use k8s_openapi::api::core::v1::Pod;
use maestro_core::domain::Trouble;

/// Reasons for which a container waits that are about its image.
const IMAGE: &[&str] = &[
    "ErrImageNeverPull",
    "ErrImagePullBackOff",
    "ImagePullBackOff",
    "ErrInvalidImageName",
    "ErrImagePull",
    "InvalidImageName",
    "ImageInspectError",
    "RegistryUnavailable",
];
/// In the scheduler's message about nodes, and the kubelet's reason for a pod that it does not take.
const NO_FREE_PORTS: &str = "free ports";
const NODE_PORTS: &str = "NodePorts";

/// `None` for a pod that runs, or waits for nothing unusual.
pub fn of(pod: &Pod) -> Option<Trouble> {
    let status = pod.status.as_ref()?;
    if status.reason.as_deref() == Some(NODE_PORTS) {
        return Some(Trouble::PortsTaken);
    }
    let conditions = status.conditions.iter().flatten();
    let mut unplaced = conditions.filter(|condition| {
        condition.type_ == "PodScheduled"
            && condition.status == "False"
            && condition.reason.as_deref() == Some("Unschedulable")
    });
    if let Some(condition) = unplaced.next() {
        // Some nodes may have other reasons: with other ports the pod could be on those that have this one.
        let message = condition.message.as_deref().unwrap_or_default();
        return Some(match message.contains(NO_FREE_PORTS) {
            true => Trouble::PortsTaken,
            false => Trouble::Unschedulable,
        });
    }
    let containers = status.container_statuses.iter().flatten();
    let mut reasons =
        containers.filter_map(|c| c.state.as_ref()?.waiting.as_ref()?.reason.as_deref());
    let is_image = reasons.any(|reason| IMAGE.contains(&reason));
    is_image.then_some(Trouble::Image)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn trouble(status: Value) -> Option<Trouble> {
        let pod = json!({"metadata": {}, "status": status});
        of(&serde_json::from_value(pod).unwrap())
    }

    fn unplaced(message: &str) -> Value {
        json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]})
    }

    #[test]
    fn each_trouble_is_told_by_its_words() {
        let ports = "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) didn't have free ports for the requested pod ports.";
        assert_eq!(trouble(unplaced(ports)), Some(Trouble::PortsTaken));
        let full = "0/2 nodes are available: 2 Insufficient cpu.";
        assert_eq!(trouble(unplaced(full)), Some(Trouble::Unschedulable));
        let refused =
            json!({"phase": "Failed", "reason": "NodePorts", "message": "Pod was rejected"});
        assert_eq!(trouble(refused), Some(Trouble::PortsTaken));
        let waits = |reason: &str| {
            let state = json!({"waiting": {"reason": reason}});
            let container = json!({"name": "game", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state});
            trouble(json!({"phase": "Pending", "containerStatuses": [container]}))
        };
        for reason in IMAGE {
            assert_eq!(waits(reason), Some(Trouble::Image), "{reason}");
        }
        assert_eq!(waits("ContainerCreating"), None);
        assert_eq!(trouble(json!({"phase": "Running"})), None);
    }
}
