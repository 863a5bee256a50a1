//! The room's log: plain lines on stdout, for the runtime's log file.

use std::fmt::Display;
use std::io::Write;

/// Writes one line. A closed stdout is no reason for a game to end, hence no `println!`.
pub fn log(message: impl Display) {
    let _ = writeln!(std::io::stdout(), "{:.3} {message}", jiff::Timestamp::now());
}
