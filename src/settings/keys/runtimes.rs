//! Settings of runtimes under the names of the K8s manager.

use crate::settings::form::{FLAG, TEXT};
use crate::settings::key::Key;

pub fn keys() -> Vec<Key> {
    vec![
        Key::new(
            "baseDomainName",
            &TEXT,
            |s| &mut s.runtimes.base_domain,
            "The domain of runtimes: the entry point of each is <namespace>.<this>. KRE_BASE_DOMAIN_NAME is another name of the variable.",
        ),
        Key::new(
            "developmentMode",
            &FLAG,
            |s| &mut s.runtimes.development,
            "Pull the image of operators only if it is missing, and tell runtimes that they are for development. KRE_DEVELOPMENT_MODE is another name of the variable.",
        ),
        Key::new(
            "kubernetes.operator.image",
            &TEXT,
            |s| &mut s.runtimes.operator_image,
            "The image of the operator of a runtime, without its tag: that of Maestro.",
        ),
        Key::new(
            "kubernetes.operator.version",
            &TEXT,
            |s| &mut s.runtimes.operator_version,
            "The tag of that image. KRE_KUBERNETES_OPERATOR_VERSION is another name of the variable.",
        ),
    ]
}
