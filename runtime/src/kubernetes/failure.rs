//! Errors of the API server as errors of the port.

use kube::core::Status;
use maestro_core::ports::{Cause, RuntimeError};
use std::error::Error as _;

/// The error by what the caller can do about it, with the API server's own words.
pub fn of(error: kube::Error) -> RuntimeError {
    let kube::Error::Api(status) = &error else {
        return RuntimeError::Unavailable(Cause::new(chain(&error), error));
    };
    let class = class_of(status);
    let text = status.message.clone();
    match class {
        Class::NotFound => RuntimeError::NotFound,
        Class::Invalid => RuntimeError::Invalid(Cause::new(text, error)),
        Class::Exhausted => RuntimeError::Exhausted(Cause::new(text, error)),
        Class::Rights => {
            let text = format!(
                "{text}; grant it to the service account of this process (see docs/kubernetes.md)"
            );
            RuntimeError::Unavailable(Cause::new(text, error))
        }
        Class::Unavailable => {
            let text = format!("Kubernetes answers {}: {text}", status.code);
            RuntimeError::Unavailable(Cause::new(text, error))
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    NotFound,
    Invalid,
    Exhausted,
    /// A right is missing: the operator's mistake, not that of a scheduler.
    Rights,
    Unavailable,
}

fn class_of(status: &Status) -> Class {
    let says = |text: &str| status.message.contains(text);
    // A webhook chooses its own code; 500 stands for one that cannot be reached.
    if says("admission webhook") && says("denied the request") {
        return Class::Invalid;
    }
    // The order is larger than etcd takes, or than what is sent to it, which the API server calls an error of its own.
    if status.code >= 500 && (says("request is too large") || says("message larger than max")) {
        return Class::Invalid;
    }
    match status.code {
        404 => Class::NotFound,
        400 | 405 | 406 | 413 | 415 | 422 => Class::Invalid,
        403 if is_quota_exceeded(status) => Class::Exhausted,
        // Its controller has not counted yet.
        403 if says("status unknown for quota") => Class::Unavailable,
        403 if is_namespace_terminating(status) || is_account_missing(status) => Class::Unavailable,
        // `User "x" cannot create resource "pods" …`; whatever else is forbidden was refused by an admission plugin.
        403 if is_right_missing(status) => Class::Rights,
        403 => Class::Invalid,
        _ => Class::Unavailable,
    }
}

/// A quota of the namespace is used up.
pub fn is_quota_exceeded(status: &Status) -> bool {
    status.code == 403 && status.message.contains("exceeded quota")
}

/// The namespace of a new object is being removed.
pub fn is_namespace_terminating(status: &Status) -> bool {
    status.code == 403 && status.message.contains("because it is being terminated")
}

/// The account of this process may not make the call.
pub fn is_right_missing(status: &Status) -> bool {
    let says = |text: &str| status.message.contains(text);
    status.code == 403 && says(" cannot ") && says("resource")
}

/// The service account of a new pod does not exist (yet).
pub fn is_account_missing(status: &Status) -> bool {
    status.code == 403 && status.message.contains("error looking up service account")
}

/// Whether the same call may succeed in a moment (contract 4.8).
pub fn is_transient(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => {
            matches!(status.code, 429 | 500 | 502 | 503 | 504)
                && class_of(status) == Class::Unavailable
        }
        kube::Error::HyperError(_) | kube::Error::Service(_) | kube::Error::ReadEvents(_) => true,
        _ => false,
    }
}

/// Seconds after which the API server wants the call again; 0 if it does not say.
pub fn retry_after(error: &kube::Error) -> u32 {
    match error {
        kube::Error::Api(status) => status.details.as_ref().map_or(0, |d| d.retry_after_seconds),
        _ => 0,
    }
}

/// The message with those of its sources: the outer ones only say that a request failed.
pub fn chain(error: &kube::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let more = source.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: u16, message: &str) -> kube::Error {
        kube::Error::Api(
            Status::failure(message, "Forbidden")
                .with_code(code)
                .boxed(),
        )
    }

    fn class(code: u16, message: &str) -> Class {
        match answer(code, message) {
            kube::Error::Api(status) => class_of(&status),
            _ => unreachable!(),
        }
    }

    #[test]
    fn each_refusal_has_its_class() {
        let quota = "pods \"a-1\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2";
        let webhook = "admission webhook \"x.example\" denied the request: no";
        let rights = "pods is forbidden: User \"u\" cannot create resource \"pods\" in API group \"\" in the namespace \"a\"";
        let ending = "pods \"a-1\" is forbidden: unable to create new content in namespace a because it is being terminated";
        let security = "pods \"a-1\" is forbidden: violates PodSecurity \"baseline:latest\": hostPort (container ...)";
        let account = "pods \"a-1\" is forbidden: error looking up service account a/default: serviceaccount \"default\" not found";
        for (code, text, expected) in [
            (404, "namespaces \"a\" not found", Class::NotFound),
            (403, quota, Class::Exhausted),
            (
                403,
                "pods \"a-1\" is forbidden: status unknown for quota: q, resources: pods",
                Class::Unavailable,
            ),
            (403, webhook, Class::Invalid),
            (400, webhook, Class::Invalid),
            (403, rights, Class::Rights),
            (403, ending, Class::Unavailable),
            (403, security, Class::Invalid),
            (403, account, Class::Unavailable),
            (
                422,
                "Pod \"a\" is invalid: spec.containers[0].image: Required value",
                Class::Invalid,
            ),
            (
                400,
                "quantities must match the regular expression",
                Class::Invalid,
            ),
            (401, "Unauthorized", Class::Unavailable),
            (409, "conflict", Class::Unavailable),
            (429, "too many requests", Class::Unavailable),
            (500, "etcdserver: request is too large", Class::Invalid),
            (
                500,
                "rpc error: code = ResourceExhausted desc = trying to send message larger than max (3 vs. 2)",
                Class::Invalid,
            ),
            (
                500,
                "failed calling webhook \"x\": timeout",
                Class::Unavailable,
            ),
        ] {
            assert_eq!(class(code, text), expected, "{code} {text}");
        }
        assert!(
            matches!(of(answer(403, quota)), RuntimeError::Exhausted(cause) if cause.text() == quota)
        );
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        for (code, text, expected) in [
            (429, "too many requests", true),
            (503, "etcdserver: leader changed", true),
            (500, "failed calling webhook \"x\": timeout", true),
            (500, "admission webhook \"x\" denied the request: no", false),
            (500, "etcdserver: request is too large", false),
            (401, "Unauthorized", false),
            (409, "conflict", false),
            (422, "Pod \"a\" is invalid", false),
        ] {
            assert_eq!(is_transient(&answer(code, text)), expected, "{code} {text}");
        }
    }
}
