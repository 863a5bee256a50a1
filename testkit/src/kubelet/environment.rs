//! What a container is started with: its command, and the environment by the rules of Kubernetes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::{Container, EnvVar, Pod, Secret, SecretKeySelector};
use kube::{Api, ResourceExt};

use super::process::Launch;
use super::shared::Shared;
use super::state::State;

/// The search path of most images.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The process of a container; otherwise what the container waits for.
pub(super) async fn launch(
    shared: &Shared,
    pod: &Pod,
    container: &Container,
    address: &str,
) -> Result<Launch, State> {
    let image = container.image.as_deref().unwrap_or_default();
    if let Some(reason) = shared.broken.lock().get(image) {
        let message = match reason.as_str() {
            "ImagePullBackOff" => format!("Back-off pulling image {image:?}"),
            "InvalidImageName" => format!("Failed to apply default image tag {image:?}"),
            _ => format!("failed to pull image {image:?}: not found"),
        };
        return Err(waiting(reason, message));
    }
    let environment = environment(shared, pod, container, address).await;
    let mut environment =
        environment.map_err(|message| waiting("CreateContainerConfigError", message))?;
    let own = |words: &Option<Vec<String>>| words.clone().unwrap_or_default();
    let (mut words, arguments) = (own(&container.command), own(&container.args));
    if words.is_empty() {
        words = shared.images.get(image).cloned().unwrap_or_default();
    }
    words.extend(arguments);
    let mut words = words.iter().map(|word| expand(word, &environment));
    let Some(first) = words.next() else {
        return Err(waiting(
            "CreateContainerError",
            "no command specified".into(),
        ));
    };
    let arguments = words.collect();
    let uid = pod.uid().unwrap_or_default();
    let folder = container.working_dir.as_ref().map(PathBuf::from);
    let by_default = [("PATH", PATH.to_owned()), ("HOSTNAME", pod.name_any())];
    let server = shared.server.as_deref().and_then(|at| at.split_once(':'));
    let server = server.map_or_else(Vec::new, |(host, port)| {
        let host = ("KUBERNETES_SERVICE_HOST", host.to_owned());
        vec![host, ("KUBERNETES_SERVICE_PORT", port.to_owned())]
    });
    for (name, value) in by_default.into_iter().chain(server) {
        environment.entry(name.to_owned()).or_insert(value);
    }
    Ok(Launch {
        program: shared
            .programs
            .get(&first)
            .cloned()
            .unwrap_or_else(|| first.into()),
        arguments,
        environment,
        folder: folder.unwrap_or_else(|| shared.folder(&uid)),
    })
}

fn waiting(reason: &str, message: String) -> State {
    let reason = reason.to_owned();
    State::Waiting { reason, message }
}

/// The error is the message of the container's status.
async fn environment(
    shared: &Shared,
    pod: &Pod,
    container: &Container,
    address: &str,
) -> Result<BTreeMap<String, String>, String> {
    let mut environment = BTreeMap::new();
    if container
        .env_from
        .as_ref()
        .is_some_and(|from| !from.is_empty())
    {
        return Err("envFrom is not known to the kubelet of the tests".into());
    }
    for variable in container.env.iter().flatten() {
        if let Some(value) = value(shared, pod, variable, address, &environment).await? {
            environment.insert(variable.name.clone(), value);
        }
    }
    Ok(environment)
}

/// `None` if an optional source is missing.
async fn value(
    shared: &Shared,
    pod: &Pod,
    variable: &EnvVar,
    address: &str,
    before: &BTreeMap<String, String>,
) -> Result<Option<String>, String> {
    let Some(from) = &variable.value_from else {
        let value = variable.value.as_deref().unwrap_or_default();
        return Ok(Some(expand(value, before)));
    };
    if let Some(field) = &from.field_ref {
        return self::field(pod, &field.field_path, address).map(Some);
    }
    if let Some(key) = &from.secret_key_ref {
        return secret(shared, pod, key).await;
    }
    let name = &variable.name;
    Err(format!(
        "the source of {name} is not known to the kubelet of the tests"
    ))
}

fn field(pod: &Pod, path: &str, address: &str) -> Result<String, String> {
    let spec = pod.spec.as_ref();
    let quoted = |of: &str| {
        path.strip_prefix(of)?
            .strip_prefix("['")?
            .strip_suffix("']")
    };
    if let Some(key) = quoted("metadata.labels") {
        return Ok(pod.labels().get(key).cloned().unwrap_or_default());
    }
    if let Some(key) = quoted("metadata.annotations") {
        return Ok(pod.annotations().get(key).cloned().unwrap_or_default());
    }
    let value = match path {
        "metadata.name" => Some(pod.name_any()),
        "metadata.namespace" => pod.namespace(),
        "metadata.uid" => pod.uid(),
        "spec.nodeName" => spec.and_then(|spec| spec.node_name.clone()),
        "spec.serviceAccountName" => spec.and_then(|spec| spec.service_account_name.clone()),
        "status.hostIP" | "status.hostIPs" => Some("127.0.0.1".to_owned()),
        "status.podIP" | "status.podIPs" => Some(address.to_owned()),
        _ => return Err(format!("field label not supported: {path}")),
    };
    Ok(value.unwrap_or_default())
}

async fn secret(
    shared: &Shared,
    pod: &Pod,
    source: &SecretKeySelector,
) -> Result<Option<String>, String> {
    let namespace = pod.namespace().unwrap_or_default();
    let (name, key) = (&source.name, &source.key);
    let secrets: Api<Secret> = Api::namespaced(shared.client.clone(), &namespace);
    let found = secrets
        .get_opt(name)
        .await
        .map_err(|error| error.to_string())?;
    let missing = match found.map(|secret| secret.data.unwrap_or_default()) {
        None => format!("secret {name:?} not found"),
        Some(data) => match data.get(key) {
            Some(value) => return Ok(Some(String::from_utf8_lossy(&value.0).into_owned())),
            None => format!("couldn't find key {key} in Secret {namespace}/{name}"),
        },
    };
    if source.optional == Some(true) {
        return Ok(None);
    }
    Err(missing)
}

/// Puts the values of variables in the place of `$(NAME)`. A name that is not known stays, and `$$` is `$`.
fn expand(text: &str, known: &BTreeMap<String, String>) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        let name = after
            .strip_prefix('(')
            .and_then(|name| name.split_once(')'));
        rest = match (after.strip_prefix('$'), name) {
            (Some(escaped), _) => {
                expanded.push('$');
                escaped
            }
            (None, Some((name, after))) => {
                match known.get(name) {
                    Some(value) => expanded.push_str(value),
                    None => expanded.push_str(&format!("$({name})")),
                }
                after
            }
            (None, None) => {
                expanded.push('$');
                after
            }
        };
    }
    expanded + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_values_and_commands_are_expanded() {
        let known = BTreeMap::from([("PORT".to_owned(), "7777".to_owned())]);
        for (text, expected) in [
            ("--port=$(PORT)/$(PORT)", "--port=7777/7777"),
            ("$(NONE) $PORT $", "$(NONE) $PORT $"),
            ("$$(PORT) $(PORT", "$(PORT) $(PORT"),
        ] {
            assert_eq!(expand(text, &known), expected);
        }
    }
}
