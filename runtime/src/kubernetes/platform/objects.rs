//! The objects as they have to be.

use super::super::labels;
use super::super::settings::{OperatorImage, PlatformSettings};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::ApiResource;
use kube::core::GroupVersionKind;
use maestro_core::domain::SchedulerName;
use maestro_core::ports::{Published, Shown, VersionConfig};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// The API group of runtimes.
pub const RUNTIME_GROUP: &str = "runtime.maestro.dev";
/// Their version.
pub const RUNTIME_VERSION: &str = "v1alpha1";
/// Of the role, the account and the binding in each runtime.
pub const RIGHTS: &str = "maestro-runtime";
/// Of the operator's Deployment, and the label of its pods.
pub const OPERATOR: &str = "maestro-operator";
/// Of the Service that selects the rooms of the published version.
pub const SERVICE: &str = "active-entrypoint";
/// Of a ConfigMap of a version.
pub const CONFIG: &str = "version";
/// Annotation: how often the configuration was replaced.
const REVISION: &str = "maestro.config-revision";
/// Where the operator answers health checks.
const HEALTH_PORT: u16 = 8081;
/// The longest name of an object whose name becomes a file or a label.
const NAME_MAX: usize = 200;

/// An object that is written if it is missing or different.
pub struct Object {
    pub resource: ApiResource,
    pub name: String,
    /// Maps that have these entries and no others.
    pub exact: &'static [&'static str],
    pub body: Value,
}

impl Object {
    fn new(resource: ApiResource, name: &str, mut body: Value) -> Self {
        body["apiVersion"] = json!(resource.api_version);
        body["kind"] = json!(resource.kind);
        body["metadata"]["name"] = json!(name);
        body["metadata"]["labels"][labels::MANAGED_BY] = json!(labels::MAESTRO);
        Self {
            resource,
            name: name.to_owned(),
            exact: &[],
            body,
        }
    }
}

pub fn runtime_resource() -> ApiResource {
    let kind = GroupVersionKind::gvk(RUNTIME_GROUP, RUNTIME_VERSION, "Runtime");
    ApiResource::from_gvk_with_plural(&kind, "runtimes")
}

/// The least rights in a runtime: what an operator needs, and what the contract names beside it (pods, events and
/// disruption budgets, 10.1). Its account sees no secrets, and cannot give rights to anybody.
pub fn rights() -> [Object; 3] {
    let rule = |group: &str, resources: &[&str], verbs: &[&str]| json!({"apiGroups": [group], "resources": resources, "verbs": verbs});
    let own = |group: &str, resources: &[&str]| {
        let mut rule = rule(group, resources, &["get"]);
        rule["resourceNames"] = json!([RIGHTS]);
        rule
    };
    let role = json!({"rules": [
        rule("", &["pods"], &["get", "list", "watch"]),
        rule("", &["configmaps"], &["get", "list", "watch"]),
        rule("", &["services"], &["get", "list", "watch", "create", "patch", "delete"]),
        rule("", &["events"], &["create"]),
        rule("policy", &["poddisruptionbudgets"], &["get", "list", "watch"]),
        rule(RUNTIME_GROUP, &["runtimes"], &["get", "list", "watch"]),
        rule(RUNTIME_GROUP, &["runtimes/status"], &["patch"]),
        own("", &["serviceaccounts"]),
        own("rbac.authorization.k8s.io", &["roles", "rolebindings"]),
    ]});
    let binding = json!({
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": RIGHTS},
        "subjects": [{"kind": "ServiceAccount", "name": RIGHTS}],
    });
    [
        Object::new(ApiResource::erase::<Role>(&()), RIGHTS, role),
        Object::new(ApiResource::erase::<ServiceAccount>(&()), RIGHTS, json!({})),
        Object::new(ApiResource::erase::<RoleBinding>(&()), RIGHTS, binding),
    ]
}

/// The operator: `maestro start operator` with the rights of [`rights`].
pub fn operator(from: &OperatorImage, development: bool) -> Object {
    let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    let probe =
        |path: &str| json!({"httpGet": {"path": path, "port": HEALTH_PORT}, "periodSeconds": 5});
    let container = json!({
        "name": OPERATOR,
        "image": from.image,
        "imagePullPolicy": if development { "IfNotPresent" } else { "Always" },
        "args": ["start", "operator"],
        "env": [
            field("WATCH_NAMESPACE", "metadata.namespace"),
            field("POD_NAME", "metadata.name"),
            field("MAESTRO_INTERNALAPI_HOST", "status.podIP"),
            {"name": "OPERATOR_NAME", "value": OPERATOR},
            {"name": "MAESTRO_INTERNALAPI_PORT", "value": HEALTH_PORT.to_string()},
        ],
        "ports": [{"name": "internal", "containerPort": HEALTH_PORT}],
        "livenessProbe": probe("/healthz"),
        "readinessProbe": probe("/readyz"),
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        },
    });
    let body = json!({"spec": {
        "replicas": 1,
        "selector": {"matchLabels": {"name": OPERATOR}},
        "template": {
            "metadata": {"labels": {"name": OPERATOR, labels::MANAGED_BY: labels::MAESTRO}},
            "spec": {
                "serviceAccountName": RIGHTS,
                "enableServiceLinks": false,
                "securityContext": {
                    "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [container],
            },
        },
    }});
    Object::new(ApiResource::erase::<Deployment>(&()), OPERATOR, body)
}

/// The custom resource. What it shows of versions stays as it is while `shown` is not known.
pub fn runtime(name: &SchedulerName, shown: Option<&Shown>, settings: &PlatformSettings) -> Object {
    let host = format!("{name}.{}", settings.base_domain);
    let mut spec = json!({
        "developmentMode": settings.development,
        "entrypoint": {"host": host},
    });
    if let Some(shown) = shown {
        let published = shown.published.as_ref();
        let ports = published.map_or(&[][..], |published| &published.ports);
        let ports = ports.iter();
        let ports: Vec<_> = ports
            .map(|port| json!({"protocol": port.protocol, "port": port.port}))
            .collect();
        spec["publishedVersion"] = json!(published.map_or("", |p| p.version.as_str()));
        spec["entrypoint"]["ports"] = json!(ports);
    }
    Object::new(runtime_resource(), name.as_str(), json!({"spec": spec}))
}

/// The Service of the published version. It has a name for each port; without ports it has no address of its own, since
/// Kubernetes gives none then.
pub fn service(namespace: &str, published: &Published) -> Object {
    let selector = json!({
        labels::HERITAGE: labels::MAESTRO,
        labels::SCHEDULER: namespace,
        labels::VERSION_NAME: published.version.as_str(),
    });
    let ports = published.ports.iter().map(|port| {
        let protocol = port.protocol.to_ascii_uppercase();
        json!({
            "name": format!("{}-{}", port.protocol.to_ascii_lowercase(), port.port),
            "protocol": protocol, "port": port.port, "targetPort": port.port,
        })
    });
    let ports: Vec<Value> = ports.collect();
    let mut spec = json!({"selector": selector, "type": "ClusterIP"});
    match ports.is_empty() {
        true => spec["clusterIP"] = json!("None"),
        false => spec["ports"] = json!(ports),
    }
    let labels = json!({
        labels::TYPE: "entrypoint",
        labels::VERSION_NAME: published.version.as_str(),
    });
    let body = json!({"metadata": {"labels": labels}, "spec": spec});
    let mut object = Object::new(ApiResource::erase::<Service>(&()), SERVICE, body);
    object.exact = &["/spec/selector"];
    object
}

/// Any Service of this name, to be read.
pub fn any_service() -> Object {
    Object::new(ApiResource::erase::<Service>(&()), SERVICE, json!({}))
}

/// `<version>-global`, with the pairs that the rooms of the version have as variables.
pub fn configured(config: &VersionConfig) -> Object {
    let pairs: Map<String, Value> = config
        .pairs
        .iter()
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    let body = json!({
        "metadata": {
            "labels": {labels::TYPE: CONFIG, labels::VERSION_NAME: config.version.as_str()},
            "annotations": {REVISION: config.revision.to_string()},
        },
        "data": pairs,
    });
    let name = config_name(config.version.as_str());
    let mut object = Object::new(ApiResource::erase::<ConfigMap>(&()), &name, body);
    object.exact = &["/data"];
    object
}

/// The ConfigMap of a version.
pub fn config_name(version: &str) -> String {
    format!("{}-global", slug(version))
}

/// A name that an object can have. Versions that would get the same name are told apart by a hash, which is the same in
/// each build: another name would be another object.
fn slug(version: &str) -> String {
    let allowed = |c: char| match c.to_ascii_lowercase() {
        c if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' || c == '-' => c,
        _ => '-',
    };
    let name: String = version.chars().map(allowed).take(NAME_MAX).collect();
    let ends_well = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let is_fine = name == version
        && ends_well(name.chars().next())
        && ends_well(name.chars().last())
        && !name.contains("..")
        && !name.contains(".-")
        && !name.contains("-.");
    if is_fine {
        return name;
    }
    let hash = Uuid::new_v5(&Uuid::NAMESPACE_OID, version.as_bytes()).simple();
    let plain: String = name
        .chars()
        .map(|c| if c == '.' { '-' } else { c })
        .collect();
    format!("v{}-{hash}", plain.trim_end_matches('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_has_a_name_of_its_own_that_an_object_can_have() {
        assert_eq!(slug("v1.0.0"), "v1.0.0");
        assert_eq!(slug("V1.0.0"), "vv1-0-0-43612ec5448e50e0ac4d095db66cb3de");
        let odd = ["V1.0.0", "v1..0", "-v1", "v1_0", "", "ä", "v1.0.0-"];
        let mut names: Vec<_> = odd.map(slug).into();
        names.push(slug("v1.0.0"));
        for name in &names {
            let allowed =
                |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
            assert!(name.chars().all(allowed), "{name}");
            assert!(
                name.ends_with(|c: char| c.is_ascii_alphanumeric()),
                "{name}"
            );
        }
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn nobody_gets_rights_on_secrets_or_on_everything() {
        let [role, ..] = rights();
        let text = role.body.to_string();
        assert!(!text.contains("secrets") && !text.contains('*'), "{text}");
        let writes = ["\"update\"", "\"escalate\"", "\"bind\""];
        assert!(writes.iter().all(|word| !text.contains(word)), "{text}");
    }
}
