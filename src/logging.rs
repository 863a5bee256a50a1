//! Logs on stderr: JSON at info level, or text at debug level (contract 1.1). `RUST_LOG` overrides the level.
//!
//! Fields have the contract's names (`scheduler_name`, `operation_id`, `room_id`, …) and stand beside `message`.

use crate::cli::LogConfig;
use crate::traces::SpanLayer;
use std::io::IsTerminal;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

/// What the libraries below us say on debug level is about themselves.
const DEVELOPMENT: &str =
    "debug,hyper=info,hyper_util=info,reqwest=info,actix_server=info,mio=info,h2=info";

/// `spans` take what is traced; without them the log alone decides what is looked at.
pub fn init(config: LogConfig, spans: Option<SpanLayer>) {
    let filter = |default: &str| {
        EnvFilter::try_from_env("RUST_LOG").unwrap_or_else(|_| EnvFilter::new(default))
    };
    let filter = match config {
        LogConfig::Production => filter("info"),
        LogConfig::Development => filter(DEVELOPMENT),
    };
    if let Some(spans) = spans {
        return traced(config, filter, spans);
    }
    let builder = fmt()
        .with_writer(std::io::stderr)
        .with_ansi(colours())
        .with_env_filter(filter);
    // A second start in one process (tests) keeps the first subscriber.
    let _ = match config {
        LogConfig::Production => builder.json().flatten_event(true).try_init(),
        LogConfig::Development => builder.try_init(),
    };
}

/// They are for eyes: a pipe gets what can be searched.
fn colours() -> bool {
    std::io::stderr().is_terminal()
}

/// The filter is the log's alone: spans on debug level are traced while the log has info.
fn traced(config: LogConfig, filter: EnvFilter, spans: SpanLayer) {
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(colours());
    let lines = match config {
        LogConfig::Production => lines.json().flatten_event(true).with_filter(filter).boxed(),
        LogConfig::Development => lines.with_filter(filter).boxed(),
    };
    // As above.
    let _ = tracing_subscriber::registry()
        .with(spans)
        .with(lines)
        .try_init();
}

/// Warnings only, for programs that print their own story.
pub fn init_quiet() {
    let filter = EnvFilter::try_from_env("RUST_LOG").unwrap_or_else(|_| EnvFilter::new("error"));
    let _ = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(filter)
        .try_init();
}
