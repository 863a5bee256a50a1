//! One line in the log per request: who ordered what, and what became of it. No bodies.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use tracing::{Level, debug, info, warn};

use crate::{Api, Code};

/// nginx's number for a client that went away before its answer.
const CLIENT_GONE: u16 = 499;
/// What the contract answers to a method that a path does not have: the caller's mistake.
const WRONG_METHOD: u16 = 501;
/// Of a path or a name, in bytes: nobody has looked at it yet.
const TOLD_MAX: usize = 512;

/// The scheduler that a request is about, once somebody knows it.
type Subject = Arc<OnceLock<Box<str>>>;

tokio::task_local! {
    static SUBJECT: Subject;
}

/// Tells the log which scheduler the request under way is about, where only its message says so. Does nothing outside
/// of [`Entry::hear`].
pub fn about_scheduler(name: &str) {
    if name.is_empty() {
        return;
    }
    // The first word counts: that of the path.
    let _ = SUBJECT.try_with(|subject| subject.set(told(name).into()));
}

/// A request under way. Dropped without an end, it says that the client has gone.
pub struct Entry {
    api: Api,
    request_id: String,
    /// `gRPC` for a call over gRPC.
    method: String,
    /// Whether it wants something changed.
    mutating: bool,
    /// As it was sent.
    path: String,
    /// None: nobody will hear of it.
    subject: Option<Subject>,
    started: Instant,
    code: u16,
}

fn told(text: &str) -> &str {
    &text[..text.floor_char_boundary(TOLD_MAX)]
}

impl Entry {
    /// A request over HTTP.
    pub fn request(api: Api, request_id: &str, method: &str, path: &str) -> Self {
        let mutating = matches!(method, "POST" | "PUT" | "PATCH" | "DELETE");
        Self::new(api, request_id, method, mutating, path)
    }

    /// A call over gRPC; its `path` is `/package.Service/Method`.
    pub fn call(api: Api, request_id: &str, path: &'static str, mutating: bool) -> Self {
        Self::new(api, request_id, "gRPC", mutating, path)
    }

    fn new(api: Api, request_id: &str, method: &str, mutating: bool, path: &str) -> Self {
        // Nothing that rooms ask is told above debug: without that a ping needs no copies.
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

    /// Which scheduler it is about, as far as the path tells.
    pub fn about(&self, scheduler: Option<&str>) {
        if let (Some(subject), Some(name)) = (&self.subject, scheduler) {
            // There is one path.
            let _ = subject.set(told(name).into());
        }
    }

    /// Runs the call, which may say more with [`about_scheduler`].
    pub async fn hear<F: Future>(&self, call: F) -> F::Output {
        match &self.subject {
            Some(subject) => SUBJECT.scope(subject.clone(), call).await,
            None => call.await,
        }
    }

    /// Ends the call with a status of HTTP.
    pub fn end(mut self, code: u16) {
        self.code = code;
    }

    /// Ends a call; the log knows one kind of status, HTTP's.
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

/// Rooms ping all the time and people read all the time: that would drown what was ordered.
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
