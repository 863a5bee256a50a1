//! How far a runtime is, from its objects.

use super::objects::Object;
use super::objects::config_name;
use super::writing::{change, is_ours};
use jiff::Timestamp;
use kube::api::DynamicObject;
use maestro_core::ports::{Published, RuntimeCondition};
use serde_json::{Value, json};

/// What a condition is called.
fn title(object: &Object) -> &'static str {
    match object.resource.kind.as_str() {
        "Role" => "Role",
        "ServiceAccount" => "ServiceAccount",
        "RoleBinding" => "RoleBinding",
        "Service" => "Service",
        _ => "Operator",
    }
}

/// Whether an object is there and as it has to be.
pub fn presence(object: &Object, found: Option<&DynamicObject>) -> RuntimeCondition {
    let (kind, name) = (&object.resource.kind, &object.name);
    let (holds, text) = match found {
        None => (false, format!("there is no {kind} {name}")),
        Some(found) if !is_ours(found) => (false, format!("{kind} {name} is not Maestro's")),
        Some(found) if change(object, found).is_some() => {
            (false, format!("{kind} {name} is not as Maestro writes it"))
        }
        Some(_) => (true, format!("{kind} {name} is there")),
    };
    RuntimeCondition {
        name: title(object),
        holds,
        text,
    }
}

/// Whether a Deployment has a pod that is ready.
pub fn readiness(object: &Object, found: Option<&DynamicObject>) -> RuntimeCondition {
    let name = &object.name;
    let ready = found.map(|found| found.data["status"]["readyReplicas"].as_i64().unwrap_or(0));
    let (holds, text) = match ready {
        None => (false, format!("there is no Deployment {name}")),
        Some(0) => (false, format!("no pod of {name} is ready")),
        Some(_) => (true, format!("{name} is ready")),
    };
    RuntimeCondition {
        name: title(object),
        holds,
        text,
    }
}

/// What an operator sees, for the status of its `Runtime`.
#[derive(Default)]
pub struct Report {
    conditions: Vec<RuntimeCondition>,
}

impl Report {
    pub fn object(&mut self, object: &Object, found: Option<&DynamicObject>) {
        self.conditions.push(presence(object, found));
    }

    pub fn service(&mut self, holds: bool, text: String) {
        self.conditions.push(RuntimeCondition {
            name: "Service",
            holds,
            text,
        });
    }

    /// The published version has its configuration.
    pub fn configs(&mut self, published: Option<&Published>, names: impl Iterator<Item = String>) {
        let wanted = published.map(|published| config_name(published.version.as_str()));
        let mut names = names;
        let (holds, text) = match wanted {
            None => (true, "no version is published".to_owned()),
            Some(wanted) if names.any(|name| name == wanted) => {
                (true, format!("ConfigMap {wanted} is there"))
            }
            Some(wanted) => (false, format!("there is no ConfigMap {wanted}")),
        };
        self.conditions.push(RuntimeCondition {
            name: "Configuration",
            holds,
            text,
        });
    }

    /// The status; `None` if the runtime has it. A condition keeps the time since when it is so.
    pub fn status(&self, runtime: &DynamicObject, now: Timestamp) -> Option<Value> {
        let former = &runtime.data["status"];
        let since = |condition: &RuntimeCondition, word: &str| {
            let all = former["conditions"].as_array();
            let known = all.into_iter().flatten();
            let mut known = known.filter(|of| of["type"] == condition.name && of["status"] == word);
            let at = known.next().map(|of| of["lastTransitionTime"].clone());
            at.unwrap_or_else(|| {
                let second = now.as_second();
                json!(Timestamp::from_second(second).unwrap_or(now).to_string())
            })
        };
        let conditions = self.conditions.iter().map(|condition| {
            let word = if condition.holds { "True" } else { "False" };
            json!({
                "type": condition.name,
                "status": word,
                "reason": if condition.holds { "AsWritten" } else { "Missing" },
                "message": condition.text,
                "lastTransitionTime": since(condition, word),
            })
        });
        let conditions: Vec<Value> = conditions.collect();
        let is_whole = self.conditions.iter().all(|condition| condition.holds);
        let status = json!({
            "phase": if is_whole { "STARTED" } else { "ERROR" },
            "observedGeneration": runtime.metadata.generation,
            "conditions": conditions,
        });
        (*former != status).then_some(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime(status: Value) -> DynamicObject {
        serde_json::from_value(json!({
            "metadata": {"name": "arena", "generation": 3}, "spec": {}, "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn a_status_is_written_when_it_changes_and_keeps_its_times() {
        let mut report = Report::default();
        report.service(true, "as it should be".into());
        let at = |second| Timestamp::from_second(second).unwrap();
        let first = report.status(&runtime(Value::Null), at(1_000)).unwrap();
        assert_eq!(first["phase"], "STARTED");
        assert_eq!(report.status(&runtime(first.clone()), at(2_000)), None);
        let mut worse = Report::default();
        worse.service(false, "gone".into());
        let second = worse.status(&runtime(first.clone()), at(2_000)).unwrap();
        assert_eq!(second["phase"], "ERROR");
        let time = |status: &Value| status["conditions"][0]["lastTransitionTime"].clone();
        assert_ne!(time(&first), time(&second));
    }
}
