//! Reports refused requests: a counter of all, and a rate-limited log that no web page can flood.

use actix_http::header::{self, HeaderName};
use actix_http::{HttpMessage, Request};
use maestro_api::Seldom;
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};
use tracing::warn;

use super::rule::{Reason, SEC_FETCH_SITE};

/// Number of refused requests by server and reason.
const REFUSED: &str = "maestro_http_refused_total";
/// The handler label of refused requests in the APIs' metrics: they never reached a route.
pub const HANDLER: &str = "refused";

/// Maximum length of a header value in a log line, in bytes.
const SHOWN_MAX: usize = 200;

/// The servers, as logs and metrics name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    Management,
    Rooms,
    Internal,
}

impl Server {
    fn word(self) -> &'static str {
        match self {
            Self::Management => "management-api",
            Self::Rooms => "rooms-api",
            Self::Internal => "internal",
        }
    }
}

/// Counts the refused requests of all servers of a process. Clones share the counter.
#[derive(Clone, Debug)]
pub struct RefusedRequests(IntCounterVec);

impl RefusedRequests {
    /// Registers the counter. Each server adds its series when it is bound.
    ///
    /// # Errors
    /// Fails when the registry has the counter already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let about = Opts::new(
            REFUSED,
            "Requests that web pages of other sites may have sent.",
        );
        let counters = IntCounterVec::new(about, &["server", "reason"])?;
        registry.register(Box::new(counters.clone()))?;
        Ok(Self(counters))
    }
}

pub struct Refusals {
    server: Server,
    counters: [IntCounter; Reason::ALL.len()],
    lines: Seldom,
}

impl Refusals {
    pub fn new(server: Server, refused: &RefusedRequests) -> Self {
        let counter = |reason: Reason| refused.0.with_label_values(&[server.word(), reason.word()]);
        Self {
            server,
            counters: Reason::ALL.map(counter),
            lines: Seldom::new(),
        }
    }

    pub fn note(&self, reason: Reason, request: &Request) {
        self.counters[reason as usize].inc();
        let Some(unsaid) = self.lines.next() else {
            return;
        };
        let of = |name: HeaderName| {
            request
                .headers()
                .get(name)
                .map(|value| shown(value.as_bytes()))
        };
        let called = request.uri().authority();
        warn!(
            server = self.server.word(),
            reason = reason.word(),
            status = 403,
            method = %request.method(),
            path = shown(request.uri().path().as_bytes()),
            host = called.map(|called| shown(called.as_str().as_bytes())).or_else(|| of(header::HOST)),
            origin = of(header::ORIGIN),
            site = of(SEC_FETCH_SITE),
            not_logged = unsaid,
            "refused a request that a web page of another site may have sent; if it was meant to come, see \
             api.allowedHosts and api.allowedOrigins"
        );
    }
}

/// Clients control the value, so it must not contain terminal escape sequences.
fn shown(value: &[u8]) -> String {
    value[..value.len().min(SHOWN_MAX)]
        .escape_ascii()
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_short_and_plain() {
        assert_eq!(shown(b"a\x1b[31m\xe2\x80\xae"), r"a\x1b[31m\xe2\x80\xae");
        assert_eq!(shown(&[b'x'; 1000]).len(), SHOWN_MAX);
    }
}
