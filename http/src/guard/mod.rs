//! Protects against web pages (decision D28): a browser sends requests on behalf of any page it shows, also to servers
//! that only this machine can reach, and a page that could send one here could start commands.
//!
//! Only headers that a page cannot forge are examined. Bodies are not read, and no route is looked up.

mod authority;
mod cors;
mod refusals;
mod rule;
mod trusted;

use actix_http::{HttpMessage, Request};

pub(crate) use cors::Marks;
use maestro_api::{Code, Status};
use refusals::Refusals;
pub use refusals::{RefusedRequests, Server};
pub use rule::Trusted;
use rule::{Reason, Rule, Verdict};
pub use trusted::{TrustedHost, TrustedOrigin};

use crate::gateway::{Observers, refused_unread};

/// Stands in front of one listener's routes.
pub(crate) struct Guard {
    rule: Rule,
    refusals: Refusals,
    observers: Observers,
}

/// How to continue with a request.
pub(crate) enum Step {
    /// Serve it, and add these headers to its response.
    Serve(Marks),
    /// Send this response.
    Answer(actix_http::Response<actix_web::body::BoxBody>),
}

impl Guard {
    /// `loopback` means that only this machine can reach the listener.
    pub fn new(
        trusted: Trusted,
        loopback: bool,
        (server, refused): (Server, &RefusedRequests),
        observers: Observers,
    ) -> Self {
        Self {
            rule: Rule {
                names: loopback || !trusted.hosts.is_empty(),
                trusted,
            },
            refusals: Refusals::new(server, refused),
            observers,
        }
    }

    /// Judges a request before anything but its head is processed.
    pub fn admit(&self, request: &mut Request) -> Step {
        let (method, uri) = (request.method(), request.uri());
        let varies = !self.rule.trusted.origins.is_empty();
        match self.rule.judge(method, uri, request.headers()) {
            Verdict::Serve => Step::Serve(Marks::new(None, varies)),
            Verdict::ServeFor(origin) => Step::Serve(Marks::new(Some(origin.clone()), varies)),
            Verdict::Preflight(origin) => Step::Answer(cors::preflight(origin, request.headers())),
            Verdict::Refuse(reason) => Step::Answer(self.refuse(reason, request)),
        }
    }

    fn refuse(
        &self,
        reason: Reason,
        request: &mut Request,
    ) -> actix_http::Response<actix_web::body::BoxBody> {
        let watch = self.observers.watch(
            Some(refusals::HANDLER),
            request.uri().path(),
            request.method(),
        );
        self.refusals.note(reason, request);
        let status = Status::new(Code::PermissionDenied, reason.message());
        let (mut response, size) = refused_unread(status, request.take_payload());
        watch.end(response.status().as_u16(), size);
        Marks::new(None, true).put(response.headers_mut());
        response.into()
    }
}

#[cfg(test)]
mod tests;
