//! Logs on stderr: text for people, JSON for programs (contract 1.1). `RUST_LOG` overrides the level.
//!
//! Fields have the contract's names (`scheduler_name`, `operation_id`, `room_id`, …) and are siblings of `message`.
//! Logging never waits for a reader and never fails without one.

mod text;
mod writer;

use crate::traces::SpanLayer;
use clap::ValueEnum;
use maestro_cli::is_dumb_terminal;
use maestro_core::text::{escaped_json, escaped_lines};
use std::backtrace::{Backtrace, BacktraceStatus};
use std::borrow::Cow;
use std::io::{IsTerminal, Write, stderr};
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::time::Duration;
use text::EscapedFields;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};
use writer::LogWriter;

/// Clients of the stores log every statement at debug level, with its values.
const INFO: &str = "info,tokio_postgres=warn,fred=warn";
/// Libraries at debug level are off: they log about themselves.
const DEBUG: &str =
    "debug,tokio_postgres=warn,fred=warn,hyper=info,hyper_util=info,reqwest=info,mio=info,h2=info";
/// The HTTP library logs warnings and errors only. Its connections are off entirely: they log an error for each
/// malformed request of a client. `RUST_LOG` can enable them.
const ALWAYS: &str =
    "actix=warn,actix_server=warn,actix_web=warn,actix_http=warn,actix_http::h1::dispatcher=off";
/// Errors only, for commands that print their own output.
const QUIET: &str = "error";
/// The limit for flushing at the end: a stalled reader must not keep the process alive.
const FLUSH_MAX: Duration = Duration::from_secs(1);

/// The log of this process; there is only one.
static WRITER: OnceLock<LogWriter> = OnceLock::new();

/// The two log formats of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogConfig {
    Production,
    Development,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Text,
}

/// Without a `config`: text on a terminal, JSON elsewhere. `spans` receives traced spans; without it the log's filter
/// alone applies.
pub fn init(config: Option<LogConfig>, spans: Option<SpanLayer>) {
    let (form, level) = match config {
        Some(LogConfig::Production) => (Form::Json, INFO),
        Some(LogConfig::Development) => (Form::Text, DEBUG),
        None if stderr().is_terminal() => (Form::Text, INFO),
        None => (Form::Json, INFO),
    };
    begin(form, level, spans);
}

/// Errors only, as text.
pub fn init_quiet() {
    begin(Form::Text, QUIET, None);
}

fn begin(form: Form, level: &str, spans: Option<SpanLayer>) {
    let finish: fn(&str) -> Cow<'_, str> = match form {
        Form::Json => escaped_json,
        // The formatter escapes each field itself: the line also contains its colour codes.
        Form::Text => |record| Cow::Borrowed(record),
    };
    let writer = match LogWriter::start(stderr(), finish) {
        Ok(writer) => writer,
        Err(error) => return say(&format!("there is no log: {error}")),
    };
    let filter = filter(level);
    // A second start in one process (in tests) keeps the first subscriber.
    let set = match spans {
        Some(spans) => traced(form, &writer, filter, spans),
        None => untraced(form, &writer, filter),
    };
    if set {
        let _ = WRITER.set(writer);
        std::panic::set_hook(Box::new(log_panic));
    }
}

/// The filter of `RUST_LOG`, or `level` if it is unset or malformed.
fn filter(level: &str) -> EnvFilter {
    let wanted = std::env::var("RUST_LOG").ok();
    let wanted = wanted.filter(|wanted| !wanted.trim().is_empty());
    let wanted = wanted.and_then(|wanted| format!("{ALWAYS},{wanted}").parse().ok());
    wanted.unwrap_or_else(|| EnvFilter::new(format!("{ALWAYS},{level}")))
}

/// One filter for everything: filtered events are not even created.
fn untraced(form: Form, writer: &LogWriter, filter: EnvFilter) -> bool {
    let writer = writer.clone();
    let builder = fmt()
        .with_writer(move || writer.clone())
        .with_ansi(colours())
        .log_internal_errors(false)
        .with_env_filter(filter);
    let set = match form {
        Form::Json => builder.json().flatten_event(true).try_init(),
        Form::Text => builder.fmt_fields(EscapedFields).try_init(),
    };
    set.is_ok()
}

/// The filter is the log's alone: spans at debug level are traced while the log is at info.
fn traced(form: Form, writer: &LogWriter, filter: EnvFilter, spans: SpanLayer) -> bool {
    let writer = writer.clone();
    let lines = fmt::layer()
        .with_writer(move || writer.clone())
        .with_ansi(colours())
        .log_internal_errors(false);
    let lines = match form {
        Form::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
        Form::Text => lines.fmt_fields(EscapedFields).with_filter(filter).boxed(),
    };
    let registry = tracing_subscriber::registry().with(spans).with(lines);
    registry.try_init().is_ok()
}

/// Colours are for people: a pipe gets plain text (see <https://no-color.org>).
fn colours() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    stderr().is_terminal() && !refused && !is_dumb_terminal()
}

/// A panic is logged like any other event: the default hook writes to stderr itself, and would wait for its reader.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or("without a text");
    let location = panic.location().map(ToString::to_string);
    let trace = Backtrace::capture();
    let trace = (trace.status() == BacktraceStatus::Captured).then(|| trace.to_string());
    tracing::error!(
        thread,
        location,
        backtrace = trace,
        "a thread panicked: {text}"
    );
}

/// Lines that were dropped since the start.
pub fn lines_dropped() -> u64 {
    WRITER.get().map_or(0, LogWriter::dropped)
}

/// Prints a final message on stderr, after the lines of the log. A closed stderr is ignored.
pub fn say(text: &str) {
    let line = format!("{}\n", escaped_lines(text));
    match WRITER.get() {
        Some(writer) => writer.push(&line),
        None => drop(stderr().write_all(line.as_bytes())),
    }
}

/// Flushes on drop, even while a panic unwinds.
pub struct Flush;

impl Drop for Flush {
    fn drop(&mut self) {
        if let Some(writer) = WRITER.get() {
            writer.flush(FLUSH_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use tracing::subscriber::with_default;

    /// The log line of one event.
    fn logged(form: Form, log: impl FnOnce()) -> String {
        let (mut reader, out) = std::io::pipe().unwrap();
        let finish: fn(&str) -> Cow<'_, str> = match form {
            Form::Json => escaped_json,
            Form::Text => |record| Cow::Borrowed(record),
        };
        let writer = LogWriter::start(out, finish).unwrap();
        let to = writer.clone();
        let builder = fmt().with_writer(move || to.clone()).without_time();
        match form {
            Form::Json => with_default(builder.json().flatten_event(true).finish(), log),
            Form::Text => {
                let builder = builder.with_ansi(true).fmt_fields(EscapedFields);
                with_default(builder.finish(), log);
            }
        }
        writer.flush(Duration::from_secs(20));
        let mut line = vec![0; 4096];
        let length = reader.read(&mut line).unwrap();
        String::from_utf8(line[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_record_is_one_line_whatever_is_in_it() {
        let foreign = "x\u{1b}[2J\r\n2026 ERROR forged\u{85}\u{9b}\0\u{202e}é";
        let log = || {
            let span = tracing::info_span!("room", room_id = %foreign);
            span.in_scope(|| tracing::warn!(error = %foreign, text = foreign, "gone: {foreign}"));
        };
        let told = r"x\u{1b}[2J\r\n2026 ERROR forged\u{85}\u{9b}\u{0}\u{202e}é";
        let text = logged(Form::Text, log);
        // A string value is quoted, with Rust's escapes.
        assert_eq!(text.matches(told).count(), 3, "{text:?}");
        assert_eq!(
            text.matches(&told.replace(r"\u{0}", r"\0")).count(),
            1,
            "{text:?}"
        );
        let ours = [
            "\u{1b}[0m",
            "\u{1b}[1m",
            "\u{1b}[2m",
            "\u{1b}[3m",
            "\u{1b}[33m",
        ];
        let bare = ours.iter().fold(text, |text, ours| text.replace(ours, ""));
        assert_eq!(bare.matches('\u{1b}').count(), 0, "{bare:?}");
        assert_eq!(bare.matches('\n').count(), 1, "{bare:?}");
        let json = logged(Form::Json, log);
        let acts = |c| maestro_core::text::is_unprintable(c) && c != '\n';
        assert!(
            !json.contains(acts) && json.matches('\n').count() == 1,
            "{json:?}"
        );
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["error"], foreign);
    }
}
