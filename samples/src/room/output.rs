//! The room's log: plain lines on stdout, for the runtime's log file.

use maestro_core::text::escaped;
use std::fmt::Display;
use std::io::Write;

/// Writes one line. A closed stdout is no reason for a game to end, hence no `println!`.
pub fn log(message: impl Display) {
    let message = message.to_string();
    let (now, message) = (jiff::Timestamp::now(), escaped(&message));
    let _ = writeln!(std::io::stdout(), "{now:.3} {message}");
}
