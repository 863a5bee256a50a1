//! Output of commands on stdout. It contains text from servers, rooms and clients: none of it may act on the terminal.

use maestro_core::text::{escaped_json, escaped_lines};
use std::io::{ErrorKind, Write};

/// Writes lines of text. A reader that closes the pipe (`| head`) is no error.
///
/// # Errors
/// If stdout cannot be written, as on a full disk.
pub fn print(text: &str) -> anyhow::Result<()> {
    write(&escaped_lines(text))
}

/// Like [`print()`], for a JSON or YAML document that must stay valid.
///
/// # Errors
/// If stdout cannot be written, as on a full disk.
pub fn print_document(text: &str) -> anyhow::Result<()> {
    write(&escaped_json(text))
}

/// A document, written unchanged.
///
/// # Errors
/// If stdout cannot be written, as on a full disk.
pub fn write(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// A terminal without escape sequences.
pub fn is_dumb_terminal() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}
