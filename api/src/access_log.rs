//! One log line per request: what was requested by whom, and its outcome. Bodies are not logged.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use tracing::{Level, debug, info, warn};

use crate::{Api, Code};

/// nginx's status for a client that closed the connection before the answer.
const CLIENT_GONE: u16 = 499;
/// The contract's status for a method that a path does not support: the caller's mistake.
const WRONG_METHOD: u16 = 501;
/// Maximum length of a logged path or name in bytes, since neither has been validated yet.
const TOLD_MAX: usize = 512;

/// The scheduler that a request concerns, set once it is known.
type Subject = Arc<OnceLock<Box<str>>>;

tokio::task_local! {
    static SUBJECT: Subject;
}

/// Records which scheduler the current request concerns, for requests in which only the message says so. Has no effect
/// outside of [`Entry::hear`].
pub fn about_scheduler(name: &str) {
    if name.is_empty() {
        return;
    }
    // The first value is kept: that of the path.
    let _ = SUBJECT.try_with(|subject| subject.set(told(name).into()));
}

/// A request in progress. If it is dropped without an end, it is logged as abandoned by its client.
pub struct Entry {
    api: Api,
    request_id: String,
    /// The HTTP method, or `gRPC` for a call over gRPC.
    method: String,
    /// Whether the request changes something.
    mutating: bool,
    /// The path as it was sent.
    path: String,
    /// `None` if the request will not be logged.
    subject: Option<Subject>,
    started: Instant,
    code: u16,
}

fn told(text: &str) -> &str {
    &text[..text.floor_char_boundary(TOLD_MAX)]
}

impl Entry {
    /// Begins an HTTP request.
    pub fn request(api: Api, request_id: &str, method: &str, path: &str) -> Self {
        let mutating = matches!(method, "POST" | "PUT" | "PATCH" | "DELETE");
        Self::new(api, request_id, method, mutating, path)
    }

    /// Begins a call over gRPC; its `path` is `/package.Service/Method`.
    pub fn call(api: Api, request_id: &str, path: &'static str, mutating: bool) -> Self {
        Self::new(api, request_id, "gRPC", mutating, path)
    }

    fn new(api: Api, request_id: &str, method: &str, mutating: bool, path: &str) -> Self {
        // Requests of rooms are logged at debug level only; at other levels a ping needs no copies.
        let is_told = api == Api::Management || tracing::enabled!(Level::DEBUG);
        let kept = |text: &str| {
            if is_told {
                told(text).to_owned()
            } else {
                String::new()
            }
        };
        Self {
            api,
            request_id: kept(request_id),
            method: kept(method),
            mutating,
            path: kept(path),
            subject: is_told.then(Subject::default),
            started: Instant::now(),
            code: CLIENT_GONE,
        }
    }

    /// Sets which scheduler the request concerns, as far as the path says.
    pub fn about(&self, scheduler: Option<&str>) {
        if let (Some(subject), Some(name)) = (&self.subject, scheduler) {
            // The path is set only once.
            let _ = subject.set(told(name).into());
        }
    }

    /// Runs the call, which may set the scheduler with [`about_scheduler`].
    pub async fn hear<F: Future>(&self, call: F) -> F::Output {
        match &self.subject {
            Some(subject) => SUBJECT.scope(subject.clone(), call).await,
            None => call.await,
        }
    }

    /// Ends the request with an HTTP status.
    pub fn end(mut self, code: u16) {
        self.code = code;
    }

    /// Ends a call over gRPC; its code is logged as an HTTP status.
    pub fn end_call(self, code: Option<Code>) {
        self.end(code.map_or(200, Code::http));
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let (request_id, path) = (self.request_id.as_str(), self.path.as_str());
        let method = self.method.as_str();
        let scheduler_name = self
            .subject
            .as_ref()
            .and_then(|s| s.get())
            .map(|name| &**name);
        let status = self.code;
        let ms = self.started.elapsed().as_millis() as u64;
        match level(self.api, self.mutating, self.code) {
            Level::WARN => warn!(
                request_id,
                scheduler_name, method, path, status, ms, "request failed"
            ),
            Level::INFO => info!(
                request_id,
                scheduler_name, method, path, status, ms, "request"
            ),
            _ => debug!(
                request_id,
                scheduler_name, method, path, status, ms, "request"
            ),
        }
    }
}

/// Pings and reads are so frequent that they would drown the changes, so they are logged at a lower level.
fn level(api: Api, mutating: bool, code: u16) -> Level {
    match (api, mutating) {
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
            (Api::Management, "POST", 200, Level::INFO),
            (Api::Management, "DELETE", 404, Level::INFO),
            (Api::Management, "PATCH", CLIENT_GONE, Level::INFO),
            (Api::Management, "PUT", 503, Level::WARN),
            (Api::Management, "PUT", WRONG_METHOD, Level::INFO),
            (Api::Management, "GET", 200, Level::DEBUG),
            (Api::Management, "GET", 500, Level::WARN),
            (Api::Rooms, "PUT", 200, Level::DEBUG),
            (Api::Rooms, "PUT", 503, Level::DEBUG),
        ] {
            let entry = Entry::request(api, "r", method, "");
            let found = level(api, entry.mutating, code);
            assert_eq!(found, expected, "{api:?} {method} {code}");
        }
    }
}
