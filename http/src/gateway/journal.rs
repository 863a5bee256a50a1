//! One line in the log per request: who ordered what, and what became of it. No bodies.

use std::borrow::Cow;
use std::time::Instant;

use actix_web::http::Method;
use tracing::{Level, debug, info, warn};

use super::Api;

/// nginx's number for a client that went away before its answer.
const CLIENT_GONE: u16 = 499;
/// What the contract answers to a method that a path does not have: the caller's mistake.
const WRONG_METHOD: u16 = 501;

/// A request under way. Dropped without an end, it says that the client has gone.
pub struct Entry {
    api: Api,
    request_id: String,
    method: Method,
    /// The route's template; empty: there is no such path.
    path: Cow<'static, str>,
    started: Instant,
    code: u16,
}

impl Entry {
    pub fn begin(
        api: Api,
        request_id: &str,
        method: &Method,
        path: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            api,
            request_id: request_id.to_owned(),
            method: method.clone(),
            path: path.into(),
            started: Instant::now(),
            code: CLIENT_GONE,
        }
    }

    pub fn end(mut self, code: u16) {
        self.code = code;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let (request_id, path) = (self.request_id.as_str(), self.path.as_ref());
        let (method, status) = (self.method.as_str(), self.code);
        let ms = self.started.elapsed().as_millis() as u64;
        match level(self.api, &self.method, self.code) {
            Level::WARN => warn!(request_id, method, path, status, ms, "request failed"),
            Level::INFO => info!(request_id, method, path, status, ms, "request"),
            _ => debug!(request_id, method, path, status, ms, "request"),
        }
    }
}

/// Rooms ping all the time and people read all the time: that would drown what was ordered.
fn level(api: Api, method: &Method, code: u16) -> Level {
    let orders = matches!(
        *method,
        Method::POST | Method::PUT | Method::PATCH | Method::DELETE
    );
    match (api, orders) {
        (Api::Management, _) if code >= 500 && code != WRONG_METHOD => Level::WARN,
        (Api::Management, true) => Level::INFO,
        _ => Level::DEBUG,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_seen_and_the_rest_is_quiet() {
        for (api, method, code, expected) in [
            (Api::Management, Method::POST, 200, Level::INFO),
            (Api::Management, Method::DELETE, 404, Level::INFO),
            (Api::Management, Method::PATCH, CLIENT_GONE, Level::INFO),
            (Api::Management, Method::PUT, 503, Level::WARN),
            (Api::Management, Method::PUT, WRONG_METHOD, Level::INFO),
            (Api::Management, Method::GET, 200, Level::DEBUG),
            (Api::Management, Method::GET, 500, Level::WARN),
            (Api::Rooms, Method::PUT, 200, Level::DEBUG),
            (Api::Rooms, Method::PUT, 503, Level::DEBUG),
        ] {
            assert_eq!(
                level(api, &method, code),
                expected,
                "{api:?} {method} {code}"
            );
        }
    }
}
