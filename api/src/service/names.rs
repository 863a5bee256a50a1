//! Names that clients of the K8s manager send.

use maestro_core::rules::validation::valid_name;

use crate::{ApiResult, Status};

/// The longest value of a label of Kubernetes.
const LABEL_MAX: usize = 63;

/// Checks that both are names that Kubernetes can have: anything else matches nothing, or something else.
pub fn names(scheduler: &str, version: &str) -> ApiResult<()> {
    if !valid_name(scheduler) {
        return Err(Status::invalid_argument(format!(
            "invalid namespace {scheduler:?}: it has to be the name of a scheduler"
        )));
    }
    let inner = |c: u8| c.is_ascii_alphanumeric() || b"-_.".contains(&c);
    let outer = |c: Option<&u8>| c.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = version.as_bytes();
    let valid = bytes.len() <= LABEL_MAX
        && bytes.iter().copied().all(inner)
        && outer(bytes.first())
        && outer(bytes.last());
    match valid {
        true => Ok(()),
        false => Err(Status::invalid_argument(format!(
            "invalid name of a version: {version:?}: use letters, digits, '-', '_' and '.', such as v1.0.0"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_kubernetes_cannot_have_are_refused() {
        assert!(names("arena-eu", "v1.0.0").is_ok());
        for (scheduler, version) in [
            ("arena", "v1'"),
            ("arena", "v1\"} or up"),
            ("arena", ""),
            ("arena", "-v1"),
            ("arena", "é"),
            ("Arena", "v1"),
            ("", "v1"),
            ("a\"b", "v1"),
        ] {
            let refused = names(scheduler, version).unwrap_err();
            assert_eq!(
                refused.code,
                crate::Code::InvalidArgument,
                "{scheduler} {version}"
            );
        }
    }
}
