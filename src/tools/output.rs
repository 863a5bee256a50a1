//! What a tool says on stdout.

use std::io::{ErrorKind, Write};

/// Writes a text. A reader that has seen enough (`| head`) is no error.
///
/// # Errors
/// When stdout cannot take it, as on a full disk.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
