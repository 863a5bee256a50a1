//! One program of the control plane: started, paused, ended by its process id, and ended with the test.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// Starts the program behind it, says its process id, and ends it when its own input ends, which the kernel brings
/// about however the test ends. A folder is deleted then, unless a line came before. Other programs may still write
/// there, so that a first attempt can fail.
const KEEPER: &str = r#"
exec 3<&0
log=$1; folder=$2; shift 2
"$@" </dev/null >>"$log" 2>&1 3<&- &
echo $!
keep=
read -r keep <&3
kill -9 $!
wait $!
[ -z "$folder" ] || [ -n "$keep" ] || rm -rf "$folder" || { sleep 1; rm -rf "$folder"; }
"#;

/// How much of a log is shown when the program fails.
const SHOWN: usize = 3000;

/// A running program.
#[derive(Debug)]
pub(super) struct Component {
    keeper: Child,
    input: Option<ChildStdin>,
    pid: Pid,
    log: PathBuf,
}

impl Component {
    /// Starts it. Its folder, if one is given, is deleted when it ends with the test.
    pub(super) fn start(command: &Command, log: PathBuf, folder: Option<&Path>) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", KEEPER, "keeper"]).arg(&log);
        shell.arg(folder.unwrap_or_else(|| Path::new("")));
        shell.arg(command.get_program()).args(command.get_args());
        shell.stdin(Stdio::piped()).stdout(Stdio::piped());
        shell.stderr(Stdio::null()).current_dir("/");
        // A Ctrl-C is for the tests: the shell has to live until they are gone.
        shell.process_group(0);
        let mut keeper = shell.spawn().expect("sh runs");
        let mut line = String::new();
        let said = keeper.stdout.take().expect("a pipe");
        BufReader::new(said).read_line(&mut line).expect("a line");
        let pid = line.trim().parse().ok().and_then(Pid::from_raw);
        Self {
            input: keeper.stdin.take(),
            pid: pid.expect("a process id"),
            keeper,
            log,
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Whether it has not ended by itself.
    pub(super) fn is_alive(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        let state = stat.rsplit_once(") ").map(|(_, rest)| rest);
        state.is_some_and(|state| !state.starts_with('Z'))
    }

    /// Holds it still, or lets it go on: its connections stay open, and nothing is answered.
    pub(super) fn pause(&self, on: bool) {
        let signal = if on { Signal::STOP } else { Signal::CONT };
        kill_process(self.pid, signal).expect("it runs");
    }

    /// Ends it as a failure does, and keeps its folder.
    pub(super) fn kill(mut self) {
        if let Some(mut input) = self.input.take() {
            input.write_all(b"keep\n").expect("the keeper reads");
        }
    }

    /// The end of what it wrote.
    pub(super) fn last_words(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let from = log.len().saturating_sub(SHOWN);
        String::from_utf8_lossy(&log[from..]).into_owned()
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.keeper.wait();
    }
}
