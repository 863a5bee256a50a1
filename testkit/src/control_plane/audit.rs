//! What the API server was asked: its audit log, without what the control plane itself and the harness do.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// Who is left out, and how much is said about the others. What a request and its answer contain is not said.
pub(super) const POLICY: &str = r#"apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- level: None
  users: ["system:kube-controller-manager", "system:kube-scheduler", "system:apiserver", "maestro-test-harness"]
- level: None
  userGroups: ["system:serviceaccounts:kube-system", "system:nodes"]
- level: None
  nonResourceURLs: ["/readyz*", "/livez*", "/healthz*"]
- level: Metadata
"#;

/// One request that was answered, or a watch that ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditEvent {
    /// Such as `system:serviceaccount:maestro:maestro`.
    pub user: String,
    /// Such as `create`, `deletecollection` or `watch`.
    pub verb: String,
    /// The API group; empty for the core.
    pub group: String,
    /// Such as `pods`; empty for a request that is about no resource.
    pub resource: String,
    /// Such as `status` or `eviction`, or empty.
    pub subresource: String,
    /// Empty for resources of the cluster, and for requests about all namespaces.
    pub namespace: String,
    /// Empty for a list.
    pub name: String,
    /// The path with its query.
    pub uri: String,
    /// The HTTP status of the answer.
    pub code: u16,
    /// What the authorizer said: `allow` or `forbid`.
    pub decision: String,
    /// Why, such as `RBAC: allowed by ClusterRoleBinding "maestro"…`.
    pub reason: String,
}

/// All of the log so far. A last line that is not complete yet is left for the next time.
pub(super) fn read(log: &Path) -> Vec<AuditEvent> {
    let text = fs::read_to_string(log).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().filter_map(event).collect()
}

fn event(line: &str) -> Option<AuditEvent> {
    let value: Value = serde_json::from_str(line).ok()?;
    let text = |path: &str| {
        let found = value.pointer(path).and_then(Value::as_str);
        found.unwrap_or_default().to_owned()
    };
    let code = value.pointer("/responseStatus/code");
    let code = code.and_then(Value::as_u64).unwrap_or_default();
    Some(AuditEvent {
        user: text("/user/username"),
        verb: text("/verb"),
        group: text("/objectRef/apiGroup"),
        resource: text("/objectRef/resource"),
        subresource: text("/objectRef/subresource"),
        namespace: text("/objectRef/namespace"),
        name: text("/objectRef/name"),
        uri: text("/requestURI"),
        code: u16::try_from(code).unwrap_or_default(),
        decision: text("/annotations/authorization.k8s.io~1decision"),
        reason: text("/annotations/authorization.k8s.io~1reason"),
    })
}
