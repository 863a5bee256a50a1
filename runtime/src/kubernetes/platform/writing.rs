//! Writes an object if it is missing or different, and nothing otherwise.

use super::super::client::{Calls, Failure, namespaces};
use super::super::labels;
use super::super::limiter::Urgency;
use super::faults::{NO_CRD, refused};
use super::objects::{CONFIG, Object, RUNTIME_GROUP, SERVICE, any_service};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{
    DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, Preconditions,
};
use kube::{Api, Client, ResourceExt};
use maestro_core::domain::{PlatformFault, SchedulerName};
use maestro_core::ports::{PlatformError, RuntimeCondition};
use serde_json::{Value, json};

pub struct Writer {
    calls: Calls,
}

impl Writer {
    pub fn new(calls: Calls) -> Self {
        Self { calls }
    }

    /// Makes the object as it has to be. One of this name that is not ours is refused.
    pub async fn put(&self, of: &SchedulerName, object: &Object) -> Result<(), PlatformError> {
        let found = match self.get(of, object).await? {
            Some(found) => found,
            None => match self.create(of, object).await {
                Ok(()) => return Ok(()),
                // Made by a call whose answer was lost, or by somebody else at this moment.
                Err(failure) if failure.code() == 409 => match self.get(of, object).await? {
                    Some(found) => found,
                    None => return Err(self.refused(of, object, failure)),
                },
                Err(failure) => return Err(self.refused(of, object, failure)),
            },
        };
        if !is_ours(&found) {
            return Err(foreign(of, object));
        }
        let Some(change) = change(object, &found) else {
            return Ok(());
        };
        let written = match is_another(object, &found) {
            true => {
                self.delete(of, object, &found).await?;
                self.create(of, object).await
            }
            false => self.patch(of, object, change).await,
        };
        written.map_err(|failure| self.refused(of, object, failure))
    }

    /// Deletes an object unless it was changed since it was read.
    async fn delete(
        &self,
        of: &SchedulerName,
        object: &Object,
        found: &DynamicObject,
    ) -> Result<(), PlatformError> {
        let (namespace, resource) = (of.to_string(), object.resource.clone());
        let (name, parameters) = (object.name.clone(), as_read(found));
        let call = move |client: Client| {
            let api: Api<DynamicObject> = Api::namespaced_with(client, &namespace, &resource);
            let (name, parameters) = (name.clone(), parameters.clone());
            async move { api.delete(&name, &parameters).await }
        };
        gone(self.calls.run(of, Urgency::Urgent, call).await.map(drop))
    }

    /// An object as it is.
    pub async fn get(
        &self,
        of: &SchedulerName,
        object: &Object,
    ) -> Result<Option<DynamicObject>, PlatformError> {
        let (namespace, resource) = (of.to_string(), object.resource.clone());
        let name = object.name.clone();
        let call = move |client: Client| {
            let api: Api<DynamicObject> = Api::namespaced_with(client, &namespace, &resource);
            let name = name.clone();
            async move { api.get_opt(&name).await }
        };
        let found = self.calls.run(of, Urgency::Normal, call).await;
        found.map_err(|failure| self.refused(of, object, failure))
    }

    async fn create(&self, of: &SchedulerName, object: &Object) -> Result<(), Failure> {
        let (namespace, resource) = (of.to_string(), object.resource.clone());
        let body = object.body.clone();
        let call = move |client: Client| {
            let api: Api<DynamicObject> = Api::namespaced_with(client, &namespace, &resource);
            let body = body.clone();
            async move {
                let new = serde_json::from_value(body).map_err(kube::Error::SerdeError)?;
                api.create(&PostParams::default(), &new).await
            }
        };
        let created = self.calls.run(of, Urgency::Normal, call).await;
        created.map(drop)
    }

    async fn patch(
        &self,
        of: &SchedulerName,
        object: &Object,
        change: Value,
    ) -> Result<(), Failure> {
        let (namespace, resource) = (of.to_string(), object.resource.clone());
        let name = object.name.clone();
        let call = move |client: Client| {
            let api: Api<DynamicObject> = Api::namespaced_with(client, &namespace, &resource);
            let (name, change) = (name.clone(), Patch::Merge(change.clone()));
            async move { api.patch(&name, &PatchParams::default(), &change).await }
        };
        let patched = self.calls.run(of, Urgency::Normal, call).await;
        patched.map(drop)
    }

    /// ConfigMaps of versions that are ours.
    pub async fn names_of_configs(&self, of: &SchedulerName) -> Result<Vec<String>, PlatformError> {
        let namespace = of.to_string();
        let ours = format!(
            "{}={},{}={CONFIG}",
            labels::MANAGED_BY,
            labels::MAESTRO,
            labels::TYPE
        );
        let call = move |client: Client| {
            let api: Api<ConfigMap> = Api::namespaced(client, &namespace);
            let ours = ListParams::default().labels(&ours);
            async move { api.list_metadata(&ours).await }
        };
        let found = self.calls.run(of, Urgency::Normal, call).await;
        let found = found.map_err(refused)?;
        Ok(found.items.iter().map(ResourceExt::name_any).collect())
    }

    pub async fn delete_config(
        &self,
        of: &SchedulerName,
        config: &str,
    ) -> Result<(), PlatformError> {
        let (namespace, name) = (of.to_string(), config.to_owned());
        let call = move |client: Client| {
            let api: Api<ConfigMap> = Api::namespaced(client, &namespace);
            let name = name.clone();
            async move { api.delete(&name, &DeleteParams::default()).await }
        };
        gone(self.calls.run(of, Urgency::Urgent, call).await.map(drop))
    }

    /// A Service of this name that is not ours stays.
    pub async fn delete_service(&self, of: &SchedulerName) -> Result<(), PlatformError> {
        let service = any_service();
        match self.get(of, &service).await? {
            Some(found) if is_ours(&found) => self.delete(of, &service, &found).await,
            _ => Ok(()),
        }
    }

    pub async fn namespace_condition(
        &self,
        of: &SchedulerName,
    ) -> Result<RuntimeCondition, PlatformError> {
        let name = of.to_string();
        let call = move |client: Client| {
            let name = name.clone();
            async move { namespaces(client).get_opt(&name).await }
        };
        let found = self.calls.run(of, Urgency::Normal, call).await;
        let found = found.map_err(refused)?;
        let phase = found.map(|namespace| namespace.status.and_then(|status| status.phase));
        let (holds, text) = match phase {
            None => (false, format!("there is no namespace {of}")),
            Some(phase) => {
                let phase = phase.unwrap_or_else(|| "Active".to_owned());
                (phase == "Active", format!("the namespace {of} is {phase}"))
            }
        };
        Ok(RuntimeCondition {
            name: "Namespace",
            holds,
            text,
        })
    }

    /// As [`refused`], for a call about an object.
    fn refused(&self, of: &SchedulerName, object: &Object, failure: Failure) -> PlatformError {
        match failure.code() {
            404 if object.resource.group == RUNTIME_GROUP => {
                PlatformError::new(PlatformFault::Invalid, NO_CRD)
            }
            404 => PlatformError::new(
                PlatformFault::Unavailable,
                format!("the namespace {of} is gone; it is made again with the next order"),
            ),
            _ => refused(failure),
        }
    }
}

/// What is gone already needs no deletion.
fn gone(deleted: Result<(), Failure>) -> Result<(), PlatformError> {
    match deleted {
        Err(failure) if failure.code() == 404 => Ok(()),
        deleted => deleted.map_err(refused),
    }
}

fn foreign(of: &SchedulerName, object: &Object) -> PlatformError {
    let text = format!(
        "{} {} of the namespace {of} exists and Maestro did not make it; remove it, or label it {}={} to hand it over",
        object.resource.kind,
        object.name,
        labels::MANAGED_BY,
        labels::MAESTRO
    );
    PlatformError::new(PlatformFault::Foreign, text)
}

/// Whether Maestro made an object.
pub fn is_ours(found: &DynamicObject) -> bool {
    let owner = found.labels().get(labels::MANAGED_BY);
    owner.is_some_and(|owner| owner == labels::MAESTRO)
}

/// Whether Kubernetes cannot make what was found into what is wanted: a Service has an address of its own, or none, as
/// long as it lives.
pub fn is_another(object: &Object, found: &DynamicObject) -> bool {
    let is_headless = |body: &Value| body["spec"]["clusterIP"] == "None";
    object.name == SERVICE && is_headless(&object.body) != is_headless(&found.data)
}

/// Deletes an object as it was read, and not what somebody made of it since.
pub fn as_read(found: &DynamicObject) -> DeleteParams {
    DeleteParams {
        preconditions: Some(Preconditions {
            uid: found.uid(),
            resource_version: found.resource_version(),
        }),
        ..DeleteParams::default()
    }
}

/// A typed object as [`change`] takes it.
///
/// # Errors
/// If it cannot be written as JSON.
pub fn written(found: &impl serde::Serialize) -> kube::Result<DynamicObject> {
    let value = serde_json::to_value(found).map_err(kube::Error::SerdeError)?;
    serde_json::from_value(value).map_err(kube::Error::SerdeError)
}

/// What has to be changed of an object that is there; `None` if nothing has.
pub fn change(object: &Object, found: &DynamicObject) -> Option<Value> {
    let found = serde_json::to_value(found).unwrap_or_default();
    let mut wanted = object.body.clone();
    let mut too_many = false;
    for pointer in object.exact {
        let former = found.pointer(pointer).and_then(Value::as_object);
        let Some(map) = wanted.pointer_mut(pointer).and_then(Value::as_object_mut) else {
            continue;
        };
        for name in former.into_iter().flat_map(|former| former.keys()) {
            if !map.contains_key(name) {
                too_many = true;
                map.insert(name.clone(), Value::Null);
            }
        }
    }
    (too_many || !contains(&found, &wanted)).then_some(wanted)
}

/// Whether what is found has everything that is wanted. Kubernetes adds defaults to it, also within lists.
fn contains(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => wanted.iter().all(|(name, value)| {
            let found = found.get(name);
            found.map_or(is_nothing(value), |found| contains(found, value))
        }),
        (Value::Array(found), Value::Array(wanted)) => {
            found.len() == wanted.len() && found.iter().zip(wanted).all(|(f, w)| contains(f, w))
        }
        (found, wanted) => found == wanted,
    }
}

/// What Kubernetes leaves out.
fn is_nothing(value: &Value) -> bool {
    *value == json!({}) || *value == json!([]) || value.is_null()
}

#[cfg(test)]
mod tests {
    use super::*;
    use maestro_core::domain::ConfigPairs;
    use maestro_core::ports::VersionConfig;

    fn config(pairs: &[(&str, &str)]) -> Object {
        let pairs = pairs
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        super::super::objects::configured(&VersionConfig {
            version: "v1.0.0".into(),
            revision: 3,
            pairs: ConfigPairs::new(pairs).unwrap(),
        })
    }

    fn found(body: Value) -> DynamicObject {
        serde_json::from_value(body).unwrap()
    }

    #[test]
    fn what_is_as_it_should_be_is_not_written() {
        let object = config(&[("A", "1")]);
        let mut stored = object.body.clone();
        stored["metadata"]["resourceVersion"] = json!("7");
        assert_eq!(change(&object, &found(stored)), None);
        let empty = config(&[]);
        let mut stored = empty.body.clone();
        stored.as_object_mut().unwrap().remove("data");
        assert_eq!(change(&empty, &found(stored)), None);
    }

    #[test]
    fn entries_that_are_not_wanted_are_removed() {
        let stored = config(&[("A", "1"), ("B", "2")]).body;
        let change = change(&config(&[("A", "3")]), &found(stored)).unwrap();
        assert_eq!(change["data"], json!({"A": "3", "B": null}));
    }

    #[test]
    fn defaults_within_lists_are_no_difference() {
        let wanted = json!({"a": [{"x": 1}]});
        assert!(contains(&json!({"a": [{"x": 1, "y": 2}], "b": 3}), &wanted));
        assert!(!contains(&json!({"a": [{"x": 2, "y": 2}]}), &wanted));
        assert!(!contains(&json!({"a": [{"x": 1}, {"x": 1}]}), &wanted));
    }
}
