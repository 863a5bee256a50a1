//! The labels and annotations of pods and namespaces (contract 4.8, 4.9).

/// Marks everything that Maestro made; its value is [`MAESTRO`].
pub const HERITAGE: &str = "heritage";
/// The value of [`HERITAGE`] and [`MANAGED_BY`].
pub const MAESTRO: &str = "maestro";
/// Name of the scheduler.
pub const SCHEDULER: &str = "maestro-scheduler";
/// Version of the scheduler that the room was created from.
pub const VERSION: &str = "version";
/// The same under the name that tools of processing versions select by.
pub const VERSION_NAME: &str = "version-name";
/// Id of the room.
pub const NODE_ID: &str = "node-id";
/// Kind of the pod; rooms are nodes of their version.
pub const TYPE: &str = "type";
/// The value of [`TYPE`].
pub const NODE: &str = "node";
/// Selected by the disruption budget (D11).
pub const PROTECTED: &str = "maestro-protected";
/// Owner of a namespace or a budget.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Whether cluster autoscalers may move a pod.
pub const SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";
/// Annotation of a budget: a change of it makes the disruption controller count the pods again.
pub const RECOUNT: &str = "maestro.recount";
/// Annotation of a room whose scheduler forbids cluster autoscalers to move it at any time.
pub const PINNED: &str = "maestro.pinned";
/// Annotation of a room that only tests a new version.
pub const VALIDATION: &str = "maestro.validation";
/// Annotation of a namespace: the operation that made it.
pub const MADE_BY: &str = "maestro.made-by";
/// The level of Pod Security that a namespace enforces.
pub const POD_SECURITY: &str = "pod-security.kubernetes.io/enforce";

/// What the watch selects.
pub const OUR_PODS: &str = "heritage=maestro";

/// The longest value of a label.
const VALUE_MAX: usize = 63;

/// Whether a label can have this value, as far as its length goes.
pub fn fits(value: &str) -> bool {
    value.len() <= VALUE_MAX
}

/// Labels that rooms are recognized by. A scheduler's own labels never replace them: a room without its `heritage`
/// would be invisible.
pub fn is_ours(label: &str) -> bool {
    [HERITAGE, SCHEDULER, VERSION, VERSION_NAME, PROTECTED].contains(&label)
}
