//! An endpoint of ours beside the contract's two APIs: what is mounted and what is described, in one place.

use actix_web::Route;
use actix_web::http::Method;

use super::About;
use super::tree::Tree;

/// One method of one path.
pub(crate) struct Endpoint {
    pub method: Method,
    /// As actix-web writes it: `/schedulers/{scheduler}/rooms`.
    pub path: &'static str,
    /// The handler; its method is set by whoever mounts it.
    pub handler: fn() -> Route,
    /// Its name in the description.
    pub name: &'static str,
    pub about: About,
    pub query: &'static [Parameter],
    /// Name of the schema of its body.
    pub body: Option<&'static str>,
    pub answer: Answer,
}

/// A query parameter.
pub(crate) struct Parameter {
    pub name: &'static str,
    pub text: &'static str,
    pub schema: fn() -> Tree,
}

/// What comes back with status 200.
pub(crate) enum Answer {
    /// JSON of the schema of this name.
    Json(&'static str),
    /// Any JSON object.
    Object,
    /// Text of this media type.
    Text(&'static str),
}
