//! Looks whether a cluster lets rooms run, before any scheduler depends on it: `maestro doctor kubernetes`.
//!
//! It leaves nothing behind: its only order, for a pod with a host port, is a dry run.

mod check;
mod cluster;
mod pod_security;
mod rights;

use super::client::plain;
use super::settings::KubernetesSettings;

pub use check::{Check, Verdict};

/// All checks, in the order in which mistakes explain each other. Without an API server there is one.
pub async fn preflight(settings: &KubernetesSettings) -> Vec<Check> {
    let client = match plain(settings).await {
        Ok(client) => client,
        Err(error) => {
            let remedy = "correct adapters.runtime.kubernetes";
            return vec![Check::error("api-server", error.to_string(), remedy)];
        }
    };
    let mut checks = match cluster::api_server(&client).await {
        Ok(answers) => vec![answers],
        Err(away) => return vec![away],
    };
    checks.push(cluster::clock(&client).await);
    checks.extend(rights::check(&client).await);
    checks.extend(cluster::nodes(&client, settings).await);
    checks.extend(settings.default_ports.map(cluster::ports));
    checks.push(pod_security::of_new_namespaces(&client, settings).await);
    checks.push(pod_security::of_existing_namespaces(&client).await);
    checks
}
