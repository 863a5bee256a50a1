//! Logs on stderr: JSON at info level, or text at debug level (contract 1.1). `RUST_LOG` overrides the level.
//!
//! Fields have the contract's names (`scheduler_name`, `operation_id`, `room_id`, …) and stand beside `message`.

use crate::cli::LogConfig;
use crate::traces::SpanLayer;
use std::io::{self, IsTerminal, Write};
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
        LogConfig::Development => builder
            .with_writer(|| OneLine(std::io::stderr()))
            .try_init(),
    };
}

/// Text in which a record is a line, whatever is in its fields: names and reasons come from callers. JSON escapes by itself.
struct OneLine<W>(W);

impl<W: Write> Write for OneLine<W> {
    /// A record comes whole, its end with it.
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(record);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        // Escapes of terminals are the formatter's business: it makes some, and lets nobody else.
        let breaks = |c: char| c.is_control() && !matches!(c, '\t' | '\u{1b}');
        if !line.contains(breaks) {
            self.0.write_all(record)?;
            return Ok(record.len());
        }
        let mut escaped = String::with_capacity(text.len() + 16);
        for c in line.chars() {
            match breaks(c) {
                true => escaped.extend(c.escape_default()),
                false => escaped.push(c),
            }
        }
        escaped.push('\n');
        self.0.write_all(escaped.as_bytes())?;
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
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
        LogConfig::Development => {
            let lines = lines.with_writer(|| OneLine(std::io::stderr()));
            lines.with_filter(filter).boxed()
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_whatever_is_in_it() {
        let written = |record: &str| {
            let mut writer = OneLine(Vec::new());
            writer.write_all(record.as_bytes()).unwrap();
            String::from_utf8(writer.0).unwrap()
        };
        let plain = "INFO a\tplain \u{1b}[31mone\u{1b}[0m: é\n";
        assert_eq!(written(plain), plain);
        let forged = "WARN gone error=scheduler x\r\n2026 ERROR forged\u{85}\0 not found\n";
        let told = "WARN gone error=scheduler x\\r\\n2026 ERROR forged\\u{85}\\u{0} not found\n";
        assert_eq!(written(forged), told);
    }
}
