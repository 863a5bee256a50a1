//! Reports every request to an observer, which keeps the HTTP metrics (contract 9).

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::http::Method;

/// Number of distinct unmatched paths, by method, that are reported by name: scanners could otherwise create unlimited
/// series, and each path has two histograms.
const RAW_PATHS_MAX: usize = 50;
/// Maximum length of such a path in bytes.
const RAW_PATH_LENGTH_MAX: usize = 200;
/// nginx's status for a client that closed the connection before the response.
const CLIENT_GONE: u16 = 499;

/// Receives the start and end of every request. `handler` is the route's template, or the path of an unmatched one.
pub trait RequestObserver: Send + Sync {
    /// A request has begun; `observe` follows exactly once.
    fn begin(&self, _handler: &str) {}

    /// A request has ended with this HTTP status, after this time, with this many bytes of body.
    fn observe(&self, handler: &str, method: &str, code: u16, took: Duration, size: u64);
}

#[derive(Clone, Default)]
pub struct Observers(Option<Arc<Known>>);

struct Known {
    observer: Arc<dyn RequestObserver>,
    raw_paths: Mutex<HashSet<(Method, String)>>,
}

impl Observers {
    pub fn new(observer: Arc<dyn RequestObserver>) -> Self {
        Self(Some(Arc::new(Known {
            observer,
            raw_paths: Mutex::default(),
        })))
    }

    /// Starts watching a request, by the label of its route or, if no route matches, by its path.
    pub fn watch(&self, label: Option<&'static str>, path: &str, method: &Method) -> Watch {
        let watched = self.0.as_ref().map(|known| {
            let label = label.map_or_else(|| known.raw_label(method, path), Cow::Borrowed);
            known.observer.begin(&label);
            Watched {
                known: known.clone(),
                label,
                method: method.clone(),
                started: Instant::now(),
            }
        });
        Watch(watched)
    }
}

impl Known {
    fn raw_label(&self, method: &Method, path: &str) -> Cow<'static, str> {
        let path = path[..path.floor_char_boundary(RAW_PATH_LENGTH_MAX)].to_owned();
        let named = (method.clone(), path);
        let mut known = self
            .raw_paths
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if known.contains(&named) || known.len() < RAW_PATHS_MAX {
            known.insert(named.clone());
            return Cow::Owned(named.1);
        }
        Cow::Borrowed("other")
    }
}

/// A request in progress. If it is dropped without an end, its client is reported as gone.
pub struct Watch(Option<Watched>);

struct Watched {
    known: Arc<Known>,
    label: Cow<'static, str>,
    method: Method,
    started: Instant,
}

impl Watch {
    pub fn end(mut self, code: u16, size: usize) {
        self.report(code, size);
    }

    fn report(&mut self, code: u16, size: usize) {
        if let Some(Watched {
            known,
            label,
            method,
            started,
        }) = self.0.take()
        {
            known.observer.observe(
                &label,
                method.as_str(),
                code,
                started.elapsed(),
                size as u64,
            );
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.report(CLIENT_GONE, 0);
    }
}
