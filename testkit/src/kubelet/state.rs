//! What the status of a pod says, made of what its containers do.

use std::collections::HashMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

/// What a container does.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum State {
    Waiting { reason: String, message: String },
    Running { since: Timestamp },
    Ended(Ended),
}

/// How one life of a container ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ended {
    /// As of a shell: 128 and the number of the signal, if it was one.
    pub(super) code: i32,
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) started: Timestamp,
}

/// One container of a pod.
#[derive(Clone, Debug)]
pub(super) struct Container {
    pub(super) name: String,
    pub(super) image: String,
    pub(super) state: State,
    pub(super) last: Option<(Ended, Timestamp)>,
    pub(super) restarts: i32,
    /// It will not be started again.
    pub(super) is_over: bool,
}

/// When each condition became what it is.
#[derive(Debug, Default)]
pub(super) struct Conditions(HashMap<&'static str, (bool, Timestamp)>);

impl Container {
    /// It is to be started.
    pub(super) fn new(name: &str, image: &str) -> Self {
        Self {
            name: name.into(),
            image: image.into(),
            state: State::Waiting {
                reason: "ContainerCreating".into(),
                message: String::new(),
            },
            last: None,
            restarts: 0,
            is_over: false,
        }
    }

    /// It does something else now, or waits on.
    pub(super) fn becomes(&mut self, state: State) {
        if let State::Ended(ended) = &state {
            self.last = Some((ended.clone(), Timestamp::now()));
        }
        if matches!(state, State::Running { .. }) && self.last.is_some() {
            self.restarts += 1;
        }
        self.state = state;
    }

    fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    fn status(&self) -> Value {
        let ended = self.last.as_ref().map(|(ended, at)| ended.json(*at));
        let has_ended = matches!(self.state, State::Ended(_));
        let (mut waiting, mut running, mut terminated) = (Value::Null, Value::Null, Value::Null);
        match &self.state {
            State::Waiting { reason, message } => {
                waiting = json!({"reason": reason, "message": message});
            }
            State::Running { since } => running = json!({"startedAt": Time(*since)}),
            State::Ended(_) => terminated = ended.clone().unwrap_or_default(),
        }
        let last = if has_ended { None } else { ended };
        json!({
            "name": self.name,
            "image": self.image,
            "imageID": "",
            "ready": self.is_running(),
            "started": self.is_running(),
            "restartCount": self.restarts,
            "state": {"waiting": waiting, "running": running, "terminated": terminated},
            "lastState": {"waiting": null, "running": null, "terminated": last},
        })
    }
}

impl Ended {
    fn json(&self, at: Timestamp) -> Value {
        json!({
            "exitCode": self.code,
            "reason": self.reason,
            "message": self.message,
            "startedAt": Time(self.started),
            "finishedAt": Time(at),
        })
    }
}

/// The phase, by the rules of a real kubelet. A pod of which nothing is started again is over; under `Always` it was
/// deleted.
pub(super) fn phase(containers: &[Container]) -> &'static str {
    let waits = |one: &Container| matches!(one.state, State::Waiting { .. }) && one.last.is_none();
    let failed = |one: &Container| one.last.as_ref().is_some_and(|(ended, _)| ended.code != 0);
    if containers.iter().all(|one| one.is_over) {
        let is_failed = containers.iter().any(|one| failed(one) || waits(one));
        return if is_failed { "Failed" } else { "Succeeded" };
    }
    if containers.iter().any(waits) {
        "Pending"
    } else {
        "Running"
    }
}

impl Conditions {
    /// The status to be written over what is there.
    pub(super) fn status(
        &mut self,
        containers: &[Container],
        started: Timestamp,
        address: &str,
    ) -> Value {
        let phase = phase(containers);
        let unready: Vec<_> = containers.iter().filter(|one| !one.is_running()).collect();
        let is_ready = unready.is_empty();
        let names: Vec<_> = unready.iter().map(|one| one.name.as_str()).collect();
        let (reason, message) = match phase {
            "Succeeded" => ("PodCompleted", String::new()),
            "Failed" => ("PodFailed", String::new()),
            _ if is_ready => ("", String::new()),
            _ => {
                let names = names.join(" ");
                (
                    "ContainersNotReady",
                    format!("containers with unready status: [{names}]"),
                )
            }
        };
        let conditions = [
            self.condition("PodReadyToStartContainers", true, "", ""),
            self.condition("Initialized", true, "", ""),
            self.condition("Ready", is_ready, reason, &message),
            self.condition("ContainersReady", is_ready, reason, &message),
        ];
        let statuses: Vec<_> = containers.iter().map(Container::status).collect();
        json!({
            "phase": phase,
            "conditions": conditions,
            "hostIP": "127.0.0.1",
            "hostIPs": [{"ip": "127.0.0.1"}],
            "podIP": address,
            "podIPs": [{"ip": address}],
            "startTime": Time(started),
            "containerStatuses": statuses,
        })
    }

    fn condition(&mut self, kind: &'static str, is: bool, reason: &str, message: &str) -> Value {
        let now = Timestamp::now();
        let known = self.0.entry(kind).or_insert((is, now));
        if known.0 != is {
            *known = (is, now);
        }
        json!({
            "type": kind,
            "status": if is { "True" } else { "False" },
            "reason": reason,
            "message": message,
            "lastTransitionTime": Time(known.1),
            "lastProbeTime": null,
        })
    }
}
