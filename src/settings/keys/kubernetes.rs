//! Settings of rooms as pods.

use crate::settings::form::*;
use crate::settings::key::{Key, Selects};
use crate::settings::kubernetes::{NAMES, POD_SECURITY, SECURITY_CONTEXT};

/// The group `adapters.runtime.kubernetes`.
pub fn keys() -> Vec<Key> {
    let mut keys = access();
    keys.extend(spread());
    keys.extend(pods());
    keys
}

fn access() -> Vec<Key> {
    vec![
        Key::new(
            "adapters.runtime.kubernetes.inCluster",
            &FLAG,
            |s| &mut s.kubernetes.in_cluster,
            "Take the address and credentials of Kubernetes from the pod of this process.",
        )
        .selecting(Selects::Runtime),
        Key::new(
            "adapters.runtime.kubernetes.qps",
            &SIZE,
            |s| &mut s.kubernetes.qps,
            "Calls to Kubernetes per second, shared fairly among schedulers. 0: 5.",
        ),
        Key::new(
            "adapters.runtime.kubernetes.burst",
            &SIZE,
            |s| &mut s.kubernetes.burst,
            "Calls to Kubernetes at once after a pause. 0: 10.",
        ),
        Key::new(
            "adapters.runtime.kubernetes.masterUrl",
            &OPTIONAL_TEXT,
            |s| &mut s.kubernetes.master_url,
            "The address of Kubernetes; it overrides that of the kubeconfig.",
        )
        .selecting(Selects::Runtime),
        Key::new(
            "adapters.runtime.kubernetes.kubeconfig",
            &OPTIONAL_PATH,
            |s| &mut s.kubernetes.kubeconfig,
            "The kubeconfig file. Not used with inCluster.",
        )
        .selecting(Selects::Runtime),
    ]
}

fn spread() -> Vec<Key> {
    vec![
        Key::new(
            "adapters.runtime.kubernetes.topologySpreadConstraint.enabled",
            &FLAG,
            |s| &mut s.kubernetes.spread,
            "Spread the pods of a scheduler.",
        ),
        Key::new(
            "adapters.runtime.kubernetes.topologySpreadConstraint.maxSkew",
            &LIMIT,
            |s| &mut s.kubernetes.max_skew,
            "By how many pods two topology domains may differ.",
        ),
        Key::new(
            "adapters.runtime.kubernetes.topologySpreadConstraint.topologyKey",
            &OPTIONAL_TEXT,
            |s| &mut s.kubernetes.topology_key,
            "The node label that defines topology domains.",
        ),
        Key::new(
            "adapters.runtime.kubernetes.topologySpreadConstraint.whenUnsatisfiableScheduleAnyway",
            &FLAG,
            |s| &mut s.kubernetes.schedule_anyway,
            "Schedule a pod even if that violates the spread.",
        ),
    ]
}

fn pods() -> Vec<Key> {
    vec![
        Key::new(
            "adapters.runtime.kubernetes.namespace.podSecurity",
            &POD_SECURITY,
            |s| &mut s.kubernetes.pod_security,
            "The Pod Security level that new namespaces of schedulers enforce: privileged, baseline or restricted; the last \
             two refuse host ports. Empty: the default of the cluster.",
        ),
        Key::new(
            "adapters.runtime.kubernetes.pod.imagePullSecrets",
            &NAMES,
            |s| &mut s.kubernetes.image_pull_secrets,
            "Secrets in the namespaces of schedulers that images are pulled with.",
        ),
        Key::new(
            "adapters.runtime.kubernetes.pod.automountServiceAccountToken",
            &AUTO_FLAG,
            |s| &mut s.kubernetes.automount_service_account_token,
            "Whether rooms get a token for Kubernetes. auto: as the service account says.",
        ),
        Key::new(
            "adapters.runtime.kubernetes.pod.securityContext",
            &SECURITY_CONTEXT,
            |s| &mut s.kubernetes.security_context,
            "The security context of pods as JSON.",
        ),
        Key::new(
            "adapters.runtime.kubernetes.pod.priorityClassName",
            &OPTIONAL_TEXT,
            |s| &mut s.kubernetes.priority_class_name,
            "The priority class of pods.",
        ),
        Key::new(
            "adapters.runtime.kubernetes.pod.serviceAccountName",
            &OPTIONAL_TEXT,
            |s| &mut s.kubernetes.service_account_name,
            "The service account of pods; it must exist in the namespace of each scheduler.",
        ),
    ]
}
