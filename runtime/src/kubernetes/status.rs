//! Status of an instance from the status of its pod (contract 4.6, D31).

use k8s_openapi::api::core::v1::{
    ContainerStateTerminated, ContainerStatus, Pod, PodCondition, PodStatus,
};
use k8s_openapi::jiff::SignedDuration;
use maestro_core::domain::{Exit, InstanceStatus, Restart, RestartPolicy};

/// Reasons for which a container waits that are failures. The first eight are those of contract 4.6; the others are
/// names of the same failures in newer kubelets, and a missing secret.
const FAILURES: &[&str] = &[
    "ErrImageNeverPull",
    "ErrImagePullBackOff",
    "ImagePullBackOff",
    "ErrInvalidImageName",
    "ErrImagePull",
    CRASH_LOOP,
    "RunContainerError",
    "ContainerStatusUnknown",
    "InvalidImageName",
    "ImageInspectError",
    "RegistryUnavailable",
    "CreateContainerConfigError",
    "CreateContainerError",
];
const CRASH_LOOP: &str = "CrashLoopBackOff";
/// A signal that ends a process is reported as its number above this exit code.
const SIGNALED: i32 = 128;

/// What a pod says of its instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// The status that follows.
    pub status: InstanceStatus,
    /// Reason and message; empty if there is nothing to say.
    pub description: String,
    /// Set while a container waits for its restart in place.
    pub restarting: Option<Restart>,
}

impl Observation {
    fn new(status: InstanceStatus, description: impl Into<String>) -> Self {
        Self {
            status,
            description: description.into(),
            restarting: None,
        }
    }
}

/// The first rule that applies wins.
pub fn observe(pod: &Pod) -> Observation {
    use InstanceStatus as S;
    if pod.metadata.deletion_timestamp.is_some() {
        return Observation::new(S::Terminating, "");
    }
    let none = PodStatus::default();
    let status = pod.status.as_ref().unwrap_or(&none);
    match status.phase.as_deref() {
        Some("Succeeded") => return Observation::new(S::Terminating, "PodSucceeded"),
        Some("Failed") => return Observation::new(S::Error, with_reason("PodFailed", status)),
        Some("Unknown") => return Observation::new(S::Error, "PodUnknown"),
        _ => {}
    }
    let containers = status.container_statuses.as_deref().unwrap_or_default();
    if let Some(seen) = of_containers(pod, containers) {
        return seen;
    }
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let counts = |condition: &&PodCondition| {
        // A container that has completed makes its pod not ready, whatever the others do (D31).
        !is_readiness(condition) || !only_completed_are_unready(containers)
    };
    if let Some(not) = conditions
        .iter()
        .filter(counts)
        .find(|c| c.status == "False")
    {
        return Observation::new(S::Pending, reason_and_message(&not.reason, &not.message));
    }
    if is_ready(pod) {
        return Observation::new(S::Ready, "");
    }
    match status.phase.as_deref() {
        Some("Pending") | None => Observation::new(S::Pending, ""),
        Some("Running") => Observation::new(S::Ready, ""),
        Some(other) => Observation::new(S::Error, format!("unknown phase {other}")),
    }
}

/// Whether none of its containers will run again; its object may be there for minutes.
pub fn has_ended(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// Whether the condition says so.
pub fn is_ready(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|c| c.type_ == "Ready" && c.status == "True")
}

/// What the containers say; `None`: nothing that decides.
fn of_containers(pod: &Pod, containers: &[ContainerStatus]) -> Option<Observation> {
    let spec = pod.spec.as_ref();
    let policy = spec.and_then(|spec| spec.restart_policy.as_deref());
    let policy = RestartPolicy::from(policy.unwrap_or_default());
    let restarts: i32 = containers.iter().map(|c| c.restart_count).sum();
    let restart = |end: Option<&ContainerStateTerminated>| Restart {
        count: u32::try_from(restarts).unwrap_or(0) + 1,
        code: end
            .map(|end| end.exit_code)
            .filter(|_| signal_of(end).is_none()),
        signal: signal_of(end),
    };
    for container in containers {
        let Some(state) = &container.state else {
            continue;
        };
        if let Some(waiting) = &state.waiting
            && let Some(reason) = waiting.reason.as_deref()
            && FAILURES.contains(&reason)
        {
            let text = reason_and_message(&waiting.reason, &waiting.message);
            let mut seen = Observation::new(InstanceStatus::Error, text);
            let last = container.last_state.as_ref();
            let last = last.and_then(|state| state.terminated.as_ref());
            seen.restarting = (reason == CRASH_LOOP).then(|| restart(last));
            return Some(seen);
        }
        let Some(end) = &state.terminated else {
            continue;
        };
        let is_restarted = match &policy {
            RestartPolicy::Always => true,
            RestartPolicy::OnFailure => !completed(end),
            _ => false,
        };
        if is_restarted || !completed(end) {
            let reason = end.reason.clone().unwrap_or_else(|| end_of(container, end));
            let mut seen = Observation::new(InstanceStatus::Error, reason);
            seen.restarting = is_restarted.then(|| restart(Some(end)));
            return Some(seen);
        }
    }
    let all = spec.map_or(0, |spec| spec.containers.len());
    let ends: Vec<_> = containers.iter().filter_map(ended).collect();
    let over = !ends.is_empty() && ends.len() >= all.max(containers.len());
    over.then(|| {
        let reason = ends[0].reason.clone().unwrap_or_default();
        Observation::new(InstanceStatus::Terminating, reason)
    })
}

fn ended(container: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    container.state.as_ref()?.terminated.as_ref()
}

fn completed(end: &ContainerStateTerminated) -> bool {
    end.exit_code == 0 || end.reason.as_deref() == Some("Completed")
}

fn is_readiness(condition: &PodCondition) -> bool {
    ["Ready", "ContainersReady"].contains(&condition.type_.as_str())
}

/// Some containers have completed, and all others are ready.
fn only_completed_are_unready(containers: &[ContainerStatus]) -> bool {
    let done = |c: &ContainerStatus| ended(c).is_some_and(completed);
    containers.iter().any(done) && containers.iter().all(|c| done(c) || c.ready)
}

fn reason_and_message(reason: &Option<String>, message: &Option<String>) -> String {
    let reason = reason.as_deref().unwrap_or_default();
    let message = message.as_deref().unwrap_or_default();
    format!("{reason}: {message}")
}

/// Why the pod failed: the kubelet's reason (evicted, no room for it), or the container that did.
fn with_reason(what: &str, status: &PodStatus) -> String {
    if let Some(reason) = &status.reason {
        let message = status.message.as_deref().unwrap_or_default();
        return format!("{what}: {reason}: {message}");
    }
    let containers = status.container_statuses.iter().flatten();
    let mut failed =
        containers.filter_map(|c| ended(c).filter(|end| !completed(end)).map(|end| (c, end)));
    match failed.next() {
        Some((container, end)) => format!("{what}: {}", end_of(container, end)),
        None => what.to_owned(),
    }
}

fn end_of(container: &ContainerStatus, end: &ContainerStateTerminated) -> String {
    let name = &container.name;
    let reason = end.reason.as_deref().filter(|reason| *reason != "Error");
    let reason = reason
        .map(|reason| format!(" ({reason})"))
        .unwrap_or_default();
    match signal_of(Some(end)) {
        Some(signal) => format!("container {name} was ended by signal {signal}{reason}"),
        None => format!(
            "container {name} exited with code {}{reason}",
            end.exit_code
        ),
    }
}

fn signal_of(end: Option<&ContainerStateTerminated>) -> Option<i32> {
    let end = end?;
    let by_code = end
        .exit_code
        .checked_sub(SIGNALED)
        .filter(|signal| *signal > 0);
    end.signal.filter(|signal| *signal > 0).or(by_code)
}

/// How a deleted pod ended, as far as its last status tells: the first container that failed, or the first that ended.
pub fn exit(pod: &Pod) -> Option<Exit> {
    let containers = pod.status.as_ref().map(|status| &status.container_statuses);
    let ends = || {
        let all = containers.into_iter().flatten().flatten();
        all.filter_map(|c| ended(c).map(|end| (c, end)))
    };
    let by_others = pod.metadata.deletion_timestamp.is_some() && !was_over_before(pod);
    let decisive = ends().find(|(_, end)| !completed(end));
    let Some((container, end)) = decisive.or_else(|| ends().next()) else {
        return by_others.then(|| Exit {
            reason: "its pod was deleted".to_owned(),
            by_others,
            ..Exit::default()
        });
    };
    let signal = signal_of(Some(end));
    Some(Exit {
        code: signal.is_none().then_some(end.exit_code),
        signal,
        reason: end_of(container, end),
        by_others,
        ..Exit::default()
    })
}

/// Whether the room was over before anybody deleted its pod: a container had failed, or all had ended.
fn was_over_before(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let all = status.and_then(|status| status.container_statuses.as_deref());
    let all = all.unwrap_or_default();
    let before = |end: &ContainerStateTerminated| is_before_deletion(pod, end);
    let failed = |c| ended(c).is_some_and(|end| before(end) && !completed(end));
    let was_over = |c| ended(c).is_some_and(before);
    !all.is_empty() && (all.iter().any(failed) || all.iter().all(was_over))
}

/// Clocks of machines differ by so much: one says when a container ended, and another when its pod was deleted.
const SKEW: SignedDuration = SignedDuration::from_secs(2);

/// Whether the container ended before anybody deleted its pod, which is when the grace period began.
fn is_before_deletion(pod: &Pod, end: &ContainerStateTerminated) -> bool {
    let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
    let over = pod.metadata.deletion_timestamp.as_ref();
    let grace = SignedDuration::from_secs(grace).saturating_add(SKEW);
    let told = over.and_then(|over| over.0.checked_sub(grace).ok());
    let finished = end.finished_at.as_ref();
    told.zip(finished)
        .is_some_and(|(told, finished)| finished.0 < told)
}

#[cfg(test)]
mod tests;
