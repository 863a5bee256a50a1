//! Whether this process may do what Maestro does (contract 4.10).

use super::check::Check;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};

/// The role of `deploy/kubernetes`, and what happens without a part of it.
const RIGHTS: &[Right] = &[
    needed("", "namespaces", "", &["get", "create", "delete"]),
    Right {
        without: "a scheduler of the Go Maestro cannot be taken over",
        ..needed("", "namespaces", "", &["patch"])
    },
    needed(
        "",
        "pods",
        "",
        &["get", "list", "watch", "create", "delete"],
    ),
    Right {
        without: UNPROTECTED,
        ..needed("", "pods", "", &["patch"])
    },
    Right {
        without: "the logs of rooms cannot be shown",
        ..needed("", "pods", "log", &["get"])
    },
    needed("", "nodes", "", &["get"]),
    Right {
        without: "this command cannot tell which nodes are ready, and the address of each node costs a call",
        ..needed("", "nodes", "", &["list"])
    },
    Right {
        without: "`kubectl describe pod` does not show why a room was removed",
        ..needed("", "events", "", &["create"])
    },
    Right {
        without: UNPROTECTED,
        ..needed(
            "policy",
            "poddisruptionbudgets",
            "",
            &["get", "create", "patch"],
        )
    },
];

const UNPROTECTED: &str = "evictions end rooms in which somebody plays";

/// Verbs for one resource.
struct Right {
    group: &'static str,
    resource: &'static str,
    subresource: &'static str,
    verbs: &'static [&'static str],
    /// What happens without it; empty: no room runs.
    without: &'static str,
}

const fn needed(
    group: &'static str,
    resource: &'static str,
    subresource: &'static str,
    verbs: &'static [&'static str],
) -> Right {
    Right {
        group,
        resource,
        subresource,
        verbs,
        without: "",
    }
}

impl Right {
    /// As `kubectl auth can-i` takes it.
    fn name(&self, verb: &str) -> String {
        let mut name = format!("{verb} {}", self.resource);
        for (mark, more) in [(".", self.group), ("/", self.subresource)] {
            if !more.is_empty() {
                name = format!("{name}{mark}{more}");
            }
        }
        name
    }

    async fn check(&self, reviews: &Api<SelfSubjectAccessReview>, verb: &str) -> Check {
        let text = |text: &str| Some(text.to_owned());
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(ResourceAttributes {
                    group: text(self.group),
                    resource: text(self.resource),
                    subresource: text(self.subresource),
                    verb: text(verb),
                    ..Default::default()
                }),
                ..Default::default()
            },
            ..Default::default()
        };
        let answer = reviews.create(&PostParams::default(), &review).await;
        let is_allowed = answer.map(|answer| answer.status.is_some_and(|status| status.allowed));
        let name = self.name(verb);
        match is_allowed {
            Err(error) => Check::unknown("right", &name, &error),
            Ok(true) => Check::ok("right", name),
            Ok(false) if self.without.is_empty() => {
                Check::error("right", format!("{name} is missing: no room runs"), GRANT)
            }
            Ok(false) => Check::warn(
                "right",
                format!("{name} is missing: {}", self.without),
                GRANT,
            ),
        }
    }
}

const GRANT: &str = "grant it in all namespaces to the account of this process, as deploy/kubernetes/common/cluster-role.yaml does";

/// One check for each verb. Any account may ask for its own rights.
pub async fn check(client: &Client) -> Vec<Check> {
    let reviews = Api::all(client.clone());
    let mut checks = Vec::new();
    for right in RIGHTS {
        for verb in right.verbs {
            checks.push(right.check(&reviews, verb).await);
        }
    }
    checks
}
