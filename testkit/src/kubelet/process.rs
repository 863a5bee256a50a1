//! Processes of containers: groups that are ended as a whole, by their ids, and with the test.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// Remembers groups, and ends those that are left when its input ends, which the kernel brings about however the test
/// ends. Then it deletes their folder.
const KEEPER: &str = r#"
groups=
while read -r word group; do
  case $word in
    add) groups="$groups $group";;
    del) left=; for one in $groups; do [ "$one" = "$group" ] || left="$left $one"; done; groups=$left;;
  esac
done
for one in $groups; do kill -9 "-$one"; done
rm -rf "$1" || { sleep 1; rm -rf "$1"; }
"#;

/// A process to be started.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) folder: PathBuf,
}

/// All process groups of a kubelet.
#[derive(Debug)]
pub(super) struct Groups(Mutex<Kept>);

#[derive(Debug)]
struct Kept {
    keeper: Child,
    input: Option<ChildStdin>,
    /// Each with the uid of its pod.
    groups: Vec<(String, Pid)>,
}

/// The main process of a container.
#[derive(Debug)]
pub(super) struct Process {
    child: tokio::process::Child,
    pub(super) group: Pid,
}

impl Groups {
    /// In this folder are the files of the processes.
    pub(super) fn new(folder: &Path) -> Self {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", KEEPER, "keeper"])
            .arg(folder)
            .stdin(Stdio::piped());
        shell.stdout(Stdio::null()).stderr(Stdio::null());
        // A Ctrl-C is for the tests: the shell has to live until they are gone.
        let mut keeper = shell
            .current_dir("/")
            .process_group(0)
            .spawn()
            .expect("sh runs");
        let input = keeper.stdin.take();
        Self(Mutex::new(Kept {
            keeper,
            input,
            groups: Vec::new(),
        }))
    }

    /// The main processes of a pod.
    pub(super) fn of(&self, pod: &str) -> Vec<u32> {
        let kept = self.0.lock();
        let own = kept.groups.iter().filter(|(owner, _)| owner == pod);
        own.map(|(_, group)| number(*group)).collect()
    }

    /// Starts a process in a group of its own, with its words in the log.
    pub(super) fn start(&self, pod: &str, launch: &Launch, log: &Path) -> io::Result<Process> {
        fs::create_dir_all(log.parent().unwrap_or(log))?;
        let log = File::options().create(true).append(true).open(log)?;
        let mut command = Command::new(&launch.program);
        command
            .args(&launch.arguments)
            .env_clear()
            .envs(launch.environment.clone());
        command.current_dir(&launch.folder).stdin(Stdio::null());
        command
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        let mut kept = self.0.lock();
        // Nothing starts when the kubelet has ended.
        let Kept {
            input: Some(input),
            groups,
            ..
        } = &mut *kept
        else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let child = tokio::process::Command::from(command).spawn()?;
        let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let group = group.expect("it has just been started");
        groups.push((pod.to_owned(), group));
        writeln!(input, "add {}", number(group))?;
        Ok(Process { child, group })
    }

    /// Ends what its main process left behind.
    fn forget(&self, group: Pid) {
        let _ = kill_process_group(group, Signal::KILL);
        let mut kept = self.0.lock();
        kept.groups.retain(|(_, other)| *other != group);
        if let Some(input) = &mut kept.input {
            let _ = writeln!(input, "del {}", number(group));
        }
    }

    /// Ends all of them.
    pub(super) fn kill_all(&self) {
        let mut kept = self.0.lock();
        kept.input = None;
        let _ = kept.keeper.wait();
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        self.kill_all();
    }
}

impl Process {
    /// Asks the main process to end, as a container runtime does.
    pub(super) fn ask_to_end(&self) {
        let _ = kill_process(self.group, Signal::TERM);
    }

    pub(super) fn kill(&self) {
        let _ = kill_process_group(self.group, Signal::KILL);
    }

    /// Its end. May be called again if it was given up.
    pub(super) async fn ended(&mut self, groups: &Groups) -> i32 {
        let status = self.child.wait().await;
        groups.forget(self.group);
        status.map_or(-1, code)
    }
}

fn code(status: ExitStatus) -> i32 {
    let of_signal = || status.signal().map(|signal| 128 + signal);
    status.code().or_else(of_signal).unwrap_or(-1)
}

fn number(group: Pid) -> u32 {
    group.as_raw_nonzero().get().unsigned_abs()
}
