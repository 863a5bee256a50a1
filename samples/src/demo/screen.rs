//! The display: a table drawn in place in a terminal, plain lines elsewhere.

use super::api::{Counts, FIRST_VERSION, Rollout};
use maestro_cli::is_dumb_terminal;
use maestro_core::text::escaped;
use rustix::termios::tcgetwinsize;
use std::collections::VecDeque;
use std::io::{IsTerminal, Write, stdout};
use std::time::Duration;
use unicode_width::UnicodeWidthChar;

const WIDTH_MAX: usize = 78;
const BAR: u64 = 50;
/// Lines that are redrawn when the terminal is resized.
const SAID_MAX: usize = 40;
/// A terminal of unknown size.
const USUAL: Size = Size {
    columns: 80,
    rows: 24,
};

/// The state of the fleet at a moment.
pub struct FleetState {
    pub at: Duration,
    pub counts: Counts,
    pub matches: u64,
    pub rooms_max: u32,
    pub load_is_high: bool,
    pub rollout: Rollout,
    /// The operation that runs.
    pub operation: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size {
    columns: usize,
    rows: usize,
}

impl Size {
    fn now() -> Self {
        match tcgetwinsize(stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => Self {
                columns: size.ws_col.into(),
                rows: size.ws_row.into(),
            },
            _ => USUAL,
        }
    }
}

pub struct Screen {
    live: bool,
    size: Size,
    /// Lines of the table that are on the screen.
    drawn: usize,
    /// The last permanent lines.
    said: VecDeque<String>,
    is_lost: bool,
}

impl Screen {
    pub fn new() -> Self {
        Self {
            live: stdout().is_terminal() && !is_dumb_terminal(),
            size: Size::now(),
            drawn: 0,
            said: VecDeque::new(),
            is_lost: false,
        }
    }

    pub fn pause(&self) -> Duration {
        Duration::from_millis(if self.live { 250 } else { 1000 })
    }

    /// Whether the output is closed: the reader or the terminal is gone.
    pub fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// Prints a permanent line above the table.
    pub fn say(&mut self, text: &str) {
        let line = escaped(text).into_owned();
        let text = format!("{}{line}\n", self.over_the_table());
        self.put(&text);
        self.drawn = 0;
        self.said.push_back(line);
        if self.said.len() > SAID_MAX {
            self.said.pop_front();
        }
    }

    /// Prints an event.
    pub fn note(&mut self, text: &str) {
        self.say(&format!("       {text}"));
    }

    pub fn show(&mut self, state: &FleetState) {
        if !self.live {
            self.put(&format!("{}\n", escaped(&plain(state))));
            return;
        }
        let size = Size::now();
        let lines = cut(table(state), size);
        let mut text = match std::mem::replace(&mut self.size, size) == size {
            true => self.over_the_table(),
            // Terminals differ in how a resize moves lines: redraw everything.
            false => self.anew(size, lines.len()),
        };
        for line in &lines {
            text.push_str(line);
            text.push('\n');
        }
        self.put(&text);
        self.drawn = lines.len();
    }

    /// Moves the cursor back to the beginning of the table, if there is one.
    fn over_the_table(&self) -> String {
        match self.drawn {
            0 => String::new(),
            drawn => format!("\x1b[{drawn}A\x1b[J"),
        }
    }

    /// Clears the screen and repeats the permanent lines, as far as they fit above the table.
    fn anew(&self, size: Size, table: usize) -> String {
        let room = size.rows.saturating_sub(table + 1);
        let skipped = self.said.len().saturating_sub(room);
        let said = self.said.iter().skip(skipped);
        let lines = said.map(|line| format!("{}\n", cut_line(line, size.columns)));
        lines.fold("\x1b[H\x1b[J".to_owned(), |text, line| text + &line)
    }

    fn put(&mut self, text: &str) {
        let mut out = stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        self.is_lost |= written.is_err();
    }
}

/// Cuts the table to the screen: a wrapped line, or one that has scrolled away, could not be
/// redrawn.
fn cut(mut lines: Vec<String>, size: Size) -> Vec<String> {
    let rows = size.rows.saturating_sub(1).max(1);
    if lines.len() > rows {
        // The blank line above it goes first.
        lines.remove(0);
    }
    lines.truncate(rows);
    let columns = size.columns.min(WIDTH_MAX);
    lines.iter().map(|line| cut_line(line, columns)).collect()
}

fn cut_line(line: &str, columns: usize) -> String {
    let mut left = columns;
    let fits = |c: &char| {
        let width = c.width().unwrap_or(0);
        let fits = width <= left;
        left = left.saturating_sub(width);
        fits
    };
    line.chars().take_while(fits).collect()
}

fn progress(rollout: &Rollout) -> String {
    match (rollout.in_progress, rollout.active == FIRST_VERSION) {
        (true, _) => format!(
            "to {}, {} old {} new",
            rollout.active, rollout.old, rollout.new
        ),
        (false, true) => "none yet".into(),
        (false, false) => format!("done, all {}", rollout.active),
    }
}

fn plain(state: &FleetState) -> String {
    let counts = state.counts;
    format!(
        "{:4} s  ready {:4}  occupied {:4}  pending {:3}  terminating {:3}  matches played {}  \
         rollout {}  operation {}",
        state.at.as_secs(),
        counts.ready,
        counts.occupied,
        counts.pending,
        counts.terminating,
        state.matches,
        progress(&state.rollout),
        state.operation.as_deref().unwrap_or("none"),
    )
}

fn table(state: &FleetState) -> Vec<String> {
    let counts = state.counts;
    let load = if state.load_is_high { "high" } else { "low" };
    let mut lines = vec![
        String::new(),
        format!("  {:>4} s   load {load}", state.at.as_secs()),
    ];
    for (name, count) in [
        ("ready", counts.ready),
        ("occupied", counts.occupied),
        ("pending", counts.pending),
        ("terminating", counts.terminating),
    ] {
        let most = u64::from(state.rooms_max).max(1);
        let bar = (count * BAR).div_ceil(most.max(BAR)).min(BAR) as usize;
        lines.push(format!("  {name:<12} {count:>5}  {}", "#".repeat(bar)));
    }
    lines.push(format!(
        "  rooms        {:>5}  of at most {}",
        counts.there(),
        state.rooms_max
    ));
    lines.push(format!("  matches      {:>5}", state.matches));
    lines.push(format!("  rollout      {}", progress(&state.rollout)));
    let waits_for = match state.rollout.waits_for.as_str() {
        "" => "nothing",
        text => text,
    };
    lines.push(format!("  waits for    {waits_for}"));
    let operation = state.operation.as_deref().unwrap_or("none");
    lines.push(format!("  operation    {operation}"));
    lines
        .iter()
        .map(|line| escaped(line).into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_cut() {
        let lines = || {
            ["", "first", "wide 字字", "last"]
                .map(str::to_owned)
                .to_vec()
        };
        let size = |columns, rows| Size { columns, rows };
        assert_eq!(cut(lines(), USUAL), lines());
        assert_eq!(cut(lines(), size(6, 4)), ["first", "wide ", "last"]);
        assert_eq!(cut(lines(), size(7, 3)), ["first", "wide 字"]);
        assert_eq!(cut(lines(), size(3, 1)), ["fir"]);
    }

    #[test]
    fn another_size_begins_a_new_screen_with_what_was_said() {
        let mut screen = Screen::new();
        screen.said = ["one", "two", "three"].map(str::to_owned).into();
        let size = Size {
            columns: 4,
            rows: 6,
        };
        assert_eq!(screen.anew(size, 3), "\x1b[H\x1b[Jtwo\nthre\n");
        assert_eq!(screen.anew(size, 9), "\x1b[H\x1b[J");
    }
}
