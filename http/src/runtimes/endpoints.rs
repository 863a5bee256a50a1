//! The endpoints for runtimes: their routes and documentation.

use actix_web::http::Method;
use actix_web::web;
use maestro_api::Code;

use super::handlers::{create, status};
use crate::endpoint::{About, Content, Endpoint, Parameter, Tag};
use crate::openapi::object;

/// The endpoints with their documentation.
pub(crate) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        method: Method::POST,
        path: "/schedulers/{scheduler}/runtime",
        handler: || web::to(create),
        name: "createRuntime",
        about: about(
            "Create a runtime",
            "Makes the place of a scheduler's rooms with the rights in it, or what is missing of them; the scheduler may be \
            created later. 200 when it is made, 504 if its operation goes on; without `wait` 202 at once. Can be repeated.",
            &[
                Code::InvalidArgument,
                Code::Unauthenticated,
                Code::PermissionDenied,
                Code::AlreadyExists,
                Code::Unavailable,
                Code::DeadlineExceeded,
            ],
        ),
        query: &[WAIT],
        body: Some("RuntimeOrder"),
        answer: Content::Ordered("RuntimeOrdered"),
    },
    Endpoint {
        method: Method::GET,
        path: "/schedulers/{scheduler}/runtime/status",
        handler: || web::to(status),
        name: "getRuntimeStatus",
        about: about(
            "How far a runtime is",
            "`CREATING`, `STARTED`, or `ERROR` if it is not ready `runtime.statusTimeout` after it was made.",
            &[
                Code::InvalidArgument,
                Code::PermissionDenied,
                Code::NotFound,
                Code::Unavailable,
            ],
        ),
        query: &[WAIT],
        body: None,
        answer: Content::Json("RuntimeStatus"),
    },
];

const WAIT: Parameter = Parameter {
    name: "wait",
    text: "How long to wait until it is made, such as `30s`. Without it: not at all.",
    schema: || object! { "type" => "string", "pattern" => "^[0-9]+(ms|s|m|h)$" },
};

const fn about(summary: &'static str, text: &'static str, fails: &'static [Code]) -> About {
    About {
        tag: Tag::Runtimes,
        summary,
        text,
        // A state that does not allow the call is a conflict here, where the contract has 400.
        fails,
        example: None,
    }
}
