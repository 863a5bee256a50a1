//! What people see: a table that is drawn in place in a terminal, plain lines elsewhere.

use super::api::{Counts, FIRST_VERSION, Rollout};
use std::io::{IsTerminal, Write, stdout};
use std::time::Duration;

const WIDTH: usize = 78;
const BAR: u64 = 50;

/// The state of the fleet at a moment.
pub struct State {
    pub at: Duration,
    pub counts: Counts,
    pub matches: u64,
    pub rooms_max: u32,
    pub load_is_high: bool,
    pub rollout: Rollout,
    /// The operation that runs.
    pub operation: Option<String>,
}

pub struct Screen {
    live: bool,
    /// Lines of the table that are on the screen.
    drawn: usize,
}

impl Screen {
    pub fn new() -> Self {
        let live = stdout().is_terminal();
        Self { live, drawn: 0 }
    }

    pub fn pause(&self) -> Duration {
        Duration::from_millis(if self.live { 250 } else { 1000 })
    }

    /// Something happened: a line that stays.
    pub fn note(&mut self, text: &str) {
        self.put(&format!("       {text}\n"));
        self.drawn = 0;
    }

    pub fn show(&mut self, state: &State) {
        if !self.live {
            self.put(&format!("{}\n", plain(state)));
            return;
        }
        let lines = table(state);
        let whole: String = lines.iter().map(|line| format!("{line}\n")).collect();
        self.put(&whole);
        self.drawn = lines.len();
    }

    /// In place of the table, if there is one. Where nobody listens any more nothing is said.
    fn put(&self, text: &str) {
        let mut out = stdout().lock();
        if self.drawn > 0 {
            let _ = write!(out, "\x1b[{}A\x1b[J", self.drawn);
        }
        let _ = out.write_all(text.as_bytes());
        let _ = out.flush();
    }
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

fn plain(state: &State) -> String {
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

fn table(state: &State) -> Vec<String> {
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
    // A line that wraps would not be drawn over.
    for line in &mut lines {
        *line = line.chars().take(WIDTH).collect();
    }
    lines
}
