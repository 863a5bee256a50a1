//! What is known of a call before it is made, and what its span is told.

use maestro_api::Api;
use maestro_api::access_log::about_scheduler;
use tracing::Span;

/// A call that clients can make.
#[derive(Debug)]
pub struct Rpc {
    /// `/package.Service/Method`.
    pub path: &'static str,
    pub api: Api,
    /// Whether it changes something; such calls are logged.
    pub mutating: bool,
    /// Whether it shows the process itself, which not every caller may see.
    pub shows_process: bool,
    /// Whether its answer is a stream.
    pub streams: bool,
    /// Whether it is an order of the K8s manager, which not every caller may give ([`maestro_api::ManagerAccess`]).
    pub manages: bool,
}

/// Maximum length, in bytes, of a field that a span records: the message has not been validated yet.
const RECORDED_MAX: usize = 256;

/// Records a field of the message in the call's span.
pub fn record(field: &'static str, text: &str) {
    if !text.is_empty() {
        let end = text.floor_char_boundary(RECORDED_MAX);
        Span::current().record(field, &text[..end]);
        if field == "scheduler_name" {
            about_scheduler(text);
        }
    }
}
