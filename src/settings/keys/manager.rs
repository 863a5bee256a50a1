//! Settings of the K8s manager's calls.

use crate::settings::key::Key;
use crate::settings::manager::OPTIONAL_TOKEN;

pub fn keys() -> Vec<Key> {
    vec![Key::new(
        "k8sManager.token",
        &OPTIONAL_TOKEN,
        |s| &mut s.manager_token,
        "The text that callers send as `authorization: Bearer …` with orders about versions and runtimes, over gRPC and HTTP. Empty: only callers on this machine may give them.",
    )]
}
