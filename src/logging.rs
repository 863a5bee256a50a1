//! Logs on stderr: JSON at info level, or text at debug level (contract 1.1). `RUST_LOG` overrides the level.
//!
//! Fields have the contract's names (`scheduler_name`, `operation_id`, `room_id`, …) and stand beside `message`.

use crate::cli::LogConfig;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// What the libraries below us say on debug level is about themselves.
const DEVELOPMENT: &str =
    "debug,hyper=info,hyper_util=info,reqwest=info,actix_server=info,mio=info,h2=info";

pub fn init(config: LogConfig) {
    let filter = |default: &str| {
        EnvFilter::try_from_env("RUST_LOG").unwrap_or_else(|_| EnvFilter::new(default))
    };
    let builder = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        // Colours are for eyes: a pipe gets what can be searched.
        .with_ansi(std::io::stderr().is_terminal());
    // A second start in one process (tests) keeps the first subscriber.
    let _ = match config {
        LogConfig::Production => builder
            .json()
            .flatten_event(true)
            .with_env_filter(filter("info"))
            .try_init(),
        LogConfig::Development => builder.with_env_filter(filter(DEVELOPMENT)).try_init(),
    };
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
