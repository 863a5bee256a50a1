//! Starts one container's command. Blocking: called on the blocking pool only.

use super::{
    children, log_writer,
    plan::ContainerPlan,
    process_table::{self, ProcessId},
    safe_open, unsafe_calls,
};
use crate::process::ProcessSettings;
use maestro_core::ports::{Cause, RuntimeError};
use std::{
    fs::File,
    io,
    os::{fd::OwnedFd, unix::process::CommandExt},
    path::Path,
    process::{Child, Command, Stdio},
};

/// Where the output of a container goes.
pub struct Output<'a> {
    pub log: &'a Path,
    pub settings: &'a ProcessSettings,
}

pub fn start(
    plan: &ContainerPlan,
    folder: &Path,
    output: &Output<'_>,
    cgroup_procs: Option<OwnedFd>,
) -> Result<ProcessId, RuntimeError> {
    let spawned = spawn(plan, folder, output, cgroup_procs);
    spawned.map_err(|error| refusal(plan, error))
}

fn spawn(
    plan: &ContainerPlan,
    folder: &Path,
    output: &Output<'_>,
    cgroup_procs: Option<OwnedFd>,
) -> io::Result<ProcessId> {
    let stdout = output.open()?;
    let mut command = Command::new(&plan.program);
    if let Some((name, arguments)) = plan.command.split_first() {
        command.arg0(name).args(arguments);
    }
    command
        .env_clear()
        .envs(&plan.variables)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(stdout.try_clone()?)
        .stderr(stdout);
    unsafe_calls::in_own_session(&mut command, cgroup_procs);
    // Dropping the child neither kills nor reaps it; its supervisor does, by pidfd. Until then its pid
    // is not reused, even if it has ended.
    let mut child = children::spawn(|| command.spawn())?;
    identify(&child).inspect_err(|_| undo(&mut child))
}

fn identify(child: &Child) -> io::Result<ProcessId> {
    let pid = child.id() as i32;
    let stat = process_table::stat(pid)?
        .ok_or_else(|| io::Error::other("the new process is not in /proc"))?;
    Ok(ProcessId {
        pid,
        start_ticks: stat.start_ticks,
    })
}

/// It could not be found again without its start time.
fn undo(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
    children::reaped(child.id() as i32);
}

impl Output<'_> {
    /// A pipe to its own writer; if that is not possible, the log itself in append mode, so that it
    /// may be truncated under its writers.
    fn open(&self) -> io::Result<File> {
        if let Some(program) = &self.settings.log_writer {
            match log_writer::attach(program, self.log, &self.settings.log_rotation()) {
                Ok(pipe) => return Ok(pipe),
                Err(error) => {
                    tracing::warn!(log = %self.log.display(), %error, "a log gets no writer of its own; its room can truncate it");
                    log_writer::remove(&log_writer::pipe_of(self.log))?;
                }
            }
        }
        safe_open::append(self.log)
    }
}

fn refusal(plan: &ContainerPlan, error: io::Error) -> RuntimeError {
    use rustix::io::Errno;
    let text = format!(
        "container {:?}: cannot start {}: {error}",
        plan.name,
        plan.program.display()
    );
    let errno = Errno::from_io_error(&error);
    let cause = Cause::new(text, error);
    match errno {
        Some(Errno::NOENT | Errno::ACCESS | Errno::NOEXEC | Errno::TOOBIG | Errno::PERM) => {
            RuntimeError::Invalid(cause)
        }
        Some(Errno::AGAIN | Errno::NOMEM | Errno::MFILE | Errno::NFILE | Errno::NOSPC) => {
            RuntimeError::Exhausted(cause)
        }
        _ => RuntimeError::Unavailable(cause),
    }
}
