//! What a command says on stdout. Servers, rooms and clients have a say in it: nothing of theirs acts on the terminal.

use maestro_core::text::{escaped_json, escaped_lines};
use std::io::{ErrorKind, Write};

/// Writes a text of lines. A reader that has seen enough (`| head`) is no error.
///
/// # Errors
/// When stdout cannot take it, as on a full disk.
pub fn print(text: &str) -> anyhow::Result<()> {
    write(&escaped_lines(text))
}

/// As [`print`], for a JSON or YAML document that somebody reads back.
///
/// # Errors
/// When stdout cannot take it, as on a full disk.
pub fn print_document(text: &str) -> anyhow::Result<()> {
    write(&escaped_json(text))
}

/// A document that goes where it goes as it is.
///
/// # Errors
/// When stdout cannot take it, as on a full disk.
pub fn write(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// A terminal that only shows what it is given.
pub fn is_dumb_terminal() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}
