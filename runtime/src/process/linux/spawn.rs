//! Starts one container's command. Blocking: called on the blocking pool only.

use super::{
    folder::RoomFolder,
    plan::ContainerPlan,
    process_table::{self, ProcessId},
    safe_open, unsafe_calls,
};
use maestro_core::ports::RuntimeError;
use std::{
    io,
    os::{fd::OwnedFd, unix::process::CommandExt},
    process::{Command, Stdio},
};

pub fn start(
    plan: &ContainerPlan,
    folder: &RoomFolder,
    cgroup_procs: Option<OwnedFd>,
) -> Result<ProcessId, RuntimeError> {
    let spawned = spawn(plan, folder, cgroup_procs);
    spawned.map_err(|error| refusal(plan, &error))
}

fn spawn(
    plan: &ContainerPlan,
    folder: &RoomFolder,
    cgroup_procs: Option<OwnedFd>,
) -> io::Result<ProcessId> {
    // In append mode: it is there whether we are or not, and may be truncated under its
    // writers.
    let log = safe_open::append(&folder.log(&plan.name))?;
    let mut command = Command::new(&plan.program);
    if let Some((name, arguments)) = plan.command.split_first() {
        command.arg0(name).args(arguments);
    }
    command
        .env_clear()
        .envs(&plan.variables)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    unsafe_calls::in_own_session(&mut command, cgroup_procs);
    let child = command.spawn()?;
    // Dropping the child neither kills nor reaps it; its keeper does, by pidfd. Until then
    // its number is its own, even if it has ended already.
    let pid = child.id() as i32;
    let stat = process_table::stat(pid)
        .ok_or_else(|| io::Error::other("the new process is not in /proc"))?;
    Ok(ProcessId {
        pid,
        start_ticks: stat.start_ticks,
    })
}

fn refusal(plan: &ContainerPlan, error: &io::Error) -> RuntimeError {
    use rustix::io::Errno;
    let text = format!(
        "container {:?}: cannot start {}: {error}",
        plan.name,
        plan.program.display()
    );
    match Errno::from_io_error(error) {
        Some(Errno::NOENT | Errno::ACCESS | Errno::NOEXEC | Errno::TOOBIG | Errno::PERM) => {
            RuntimeError::Invalid(text)
        }
        Some(Errno::AGAIN | Errno::NOMEM | Errno::MFILE | Errno::NFILE | Errno::NOSPC) => {
            RuntimeError::Exhausted(text)
        }
        _ => RuntimeError::Unavailable(text),
    }
}
