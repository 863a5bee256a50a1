//! A process held by its pidfd: the kernel reports its end, and a signal cannot hit another process
//! with the same pid.

use super::{
    children,
    process_table::{self, ProcessId},
    shortage::descriptors_spared,
    unsafe_calls,
};
use rustix::{
    fd::{AsFd, AsRawFd},
    io::Errno,
    process::{
        Pid, PidfdFlags, Resource, Signal, WaitId, WaitIdOptions, getrlimit, kill_process,
        pidfd_open, pidfd_send_signal, test_kill_process, waitid,
    },
};
use std::{
    io,
    os::fd::OwnedFd,
    sync::{Once, OnceLock},
    time::Duration,
};
use tokio::io::unix::AsyncFd;

/// How a process ended; both unknown when it was not our child.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    pub code: Option<i32>,
    pub signal: Option<i32>,
}

impl Ending {
    /// Unknown counts as a failure: the work may not have been done.
    pub fn is_success(&self) -> bool {
        self.code == Some(0)
    }

    pub fn words(&self) -> String {
        match (self.code, self.signal) {
            (Some(code), _) => format!("exited with code {code}"),
            (_, Some(signal)) => format!("was ended by signal {signal}{}", signal_name(signal)),
            _ => "ended, exit code unknown (it was adopted)".into(),
        }
    }
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        1 => " (HUP)",
        2 => " (INT)",
        3 => " (QUIT)",
        4 => " (ILL)",
        6 => " (ABRT)",
        7 => " (BUS)",
        8 => " (FPE)",
        9 => " (KILL)",
        11 => " (SEGV)",
        13 => " (PIPE)",
        15 => " (TERM)",
        _ => "",
    }
}

/// The pidfd of exactly this process; `Ok(None)` if it is gone, even if another process has its pid now.
///
/// # Errors
/// Nothing is known about the process then.
pub fn hold(id: ProcessId) -> io::Result<Option<OwnedFd>> {
    let Some(pid) = Pid::from_raw(id.pid) else {
        return Ok(None);
    };
    let descriptor = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(descriptor) => descriptor,
        Err(Errno::SRCH | Errno::INVAL) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    // Compared after the descriptor was opened: from here on the pid does not matter.
    Ok(is_same(id)?.then_some(descriptor))
}

fn is_same(id: ProcessId) -> io::Result<bool> {
    let stat = process_table::stat(id.pid)?;
    Ok(stat.is_some_and(|stat| stat.start_ticks == id.start_ticks))
}

/// Ends a child without a supervisor. Blocks for as long as KILL takes.
pub fn kill_and_reap(id: ProcessId) {
    signal_process(id, Signal::KILL);
    let ended = match (hold(id), Pid::from_raw(id.pid)) {
        (Ok(Some(descriptor)), _) => {
            waitid(WaitId::PidFd(descriptor.as_fd()), WaitIdOptions::EXITED)
        }
        (Err(_), Some(pid)) if children::is_awaited(id.pid) => {
            waitid(WaitId::Pid(pid), WaitIdOptions::EXITED)
        }
        _ => return,
    };
    // Not our child: nothing to reap, and the answer says so.
    if ended.is_ok() {
        children::reaped(id.pid);
    }
}

/// Signals exactly this process; one that is gone is no error. False: for now it is unknown which
/// process has this pid.
pub fn signal_process(id: ProcessId, signal: Signal) -> bool {
    let sent = match (hold(id), Pid::from_raw(id.pid)) {
        (Ok(Some(descriptor)), _) => pidfd_send_signal(descriptor, signal),
        (Ok(None), _) | (_, None) => return true,
        // Out of descriptors: the pid of an unreaped child cannot belong to another process.
        (Err(_), Some(pid)) if children::is_awaited(id.pid) => kill_process(pid, signal),
        (Err(_), Some(pid)) => match is_same(id) {
            Ok(true) => kill_process(pid, signal),
            Ok(false) => return true,
            Err(_) => return false,
        },
    };
    match sent {
        Ok(()) | Err(Errno::SRCH) => {}
        Err(error) => tracing::warn!(pid = id.pid, %error, "a process could not be signalled"),
    }
    true
}

/// How often a process that cannot be held is polled.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A process whose end is awaited. It is held by its pidfd, or polled by its pid while descriptors
/// are short.
pub struct Watched {
    pub id: ProcessId,
    descriptor: OnceLock<AsyncFd<OwnedFd>>,
}

impl Watched {
    /// `None`: it has gone. Must be called inside the I/O runtime.
    pub fn new(id: ProcessId) -> Option<Self> {
        let descriptor = OnceLock::new();
        match hold_to_wait(id) {
            Ok(Some(held)) => {
                let _ = descriptor.set(held);
            }
            Ok(None) => return None,
            Err(error) => tell_of_shortage(&error),
        }
        Some(Self { id, descriptor })
    }

    /// Returns when the process has ended. It is not reaped: until [`Watched::reap`] its pid cannot
    /// be reused, so its session can still be identified.
    pub async fn ended(&self) {
        loop {
            if let Some(descriptor) = self.descriptor.get() {
                match descriptor.readable().await {
                    Ok(_) => return,
                    Err(error) => {
                        tracing::warn!(pid = self.id.pid, %error, "the end of a process cannot be waited for");
                    }
                }
            } else {
                match hold_to_wait(self.id) {
                    Ok(None) => return,
                    Ok(Some(held)) => {
                        let _ = self.descriptor.set(held);
                        continue;
                    }
                    Err(_) if self.has_ended_by_number() => return,
                    Err(_) => {}
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Needs no descriptor. A reused pid counts as the same process until a descriptor is
    /// available.
    fn has_ended_by_number(&self) -> bool {
        let Some(pid) = Pid::from_raw(self.id.pid) else {
            return true;
        };
        match children::is_awaited(self.id.pid) {
            true => {
                let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
                matches!(waitid(WaitId::Pid(pid), options), Ok(Some(_)))
            }
            false => test_kill_process(pid) == Err(Errno::SRCH),
        }
    }

    /// How it ended, without reaping it.
    pub fn peek(&self) -> Ending {
        self.ending(WaitIdOptions::NOWAIT)
    }

    /// How it ended; known for our own children only. Afterwards its pid is free.
    pub fn reap(&self) -> Ending {
        let ending = self.ending(WaitIdOptions::empty());
        children::reaped(self.id.pid);
        ending
    }

    fn ending(&self, more: WaitIdOptions) -> Ending {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | more;
        let status = match (self.descriptor.get(), Pid::from_raw(self.id.pid)) {
            (Some(descriptor), _) => waitid(WaitId::PidFd(descriptor.get_ref().as_fd()), options),
            (None, Some(pid)) if children::is_awaited(self.id.pid) => {
                waitid(WaitId::Pid(pid), options)
            }
            _ => return Ending::default(),
        };
        match status {
            Ok(Some(status)) => Ending {
                code: status.exit_status(),
                signal: status.terminating_signal(),
            },
            _ => Ending::default(),
        }
    }
}

/// Logged once: it applies to every room started from then on.
fn tell_of_shortage(error: &io::Error) {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| {
        tracing::warn!(%error, "rooms are polled four times a second for lack of file descriptors; raise the limit of open files to the number of rooms plus 200");
    });
}

/// The last descriptors are kept for reading /proc and starting processes.
fn hold_to_wait(id: ProcessId) -> io::Result<Option<AsyncFd<OwnedFd>>> {
    let Some(descriptor) = hold(id)? else {
        return Ok(None);
    };
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let number = u64::try_from(descriptor.as_raw_fd()).unwrap_or(0);
    if number >= limit - descriptors_spared(limit) {
        return Err(Errno::MFILE.into());
    }
    unsafe_calls::wait_until_readable(descriptor).map(Some)
}
