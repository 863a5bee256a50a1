//! A process held by its pidfd: told of its end by the kernel, signalled without the
//! risk of meeting a namesake.

use super::{
    process_table::{self, ProcessId},
    unsafe_calls,
};
use rustix::{
    fd::AsFd,
    io::Errno,
    process::{
        Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process, pidfd_open,
        pidfd_send_signal, waitid,
    },
};
use std::{io, os::fd::OwnedFd};
use tokio::io::unix::AsyncFd;

/// How a process ended; both unknown when it was not our child.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    pub code: Option<i32>,
    pub signal: Option<i32>,
}

impl Ending {
    /// Unknown counts as a failure: nobody can say that the work was done.
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

/// The pidfd of exactly this process; `Ok(None)` when it has gone, whoever has its number.
pub fn hold(id: ProcessId) -> io::Result<Option<OwnedFd>> {
    let Some(pid) = Pid::from_raw(id.pid) else {
        return Ok(None);
    };
    let descriptor = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(descriptor) => descriptor,
        Err(Errno::SRCH | Errno::INVAL) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    // Compared after the descriptor was opened: from here on the number does not matter.
    Ok(is_same(id).then_some(descriptor))
}

fn is_same(id: ProcessId) -> bool {
    process_table::stat(id.pid).is_some_and(|stat| stat.start_ticks == id.start_ticks)
}

/// Ends a child that nobody keeps. Blocking, for as long as KILL takes.
pub fn kill_and_reap(id: ProcessId) {
    signal_process(id, Signal::KILL);
    if let Ok(Some(descriptor)) = hold(id) {
        // Not our child: nothing to reap, and the answer says so.
        let _ = waitid(WaitId::PidFd(descriptor.as_fd()), WaitIdOptions::EXITED);
    }
}

/// Signals exactly this process; one that has gone is no error.
pub fn signal_process(id: ProcessId, signal: Signal) {
    let sent = match (hold(id), Pid::from_raw(id.pid)) {
        (Ok(Some(descriptor)), _) => pidfd_send_signal(descriptor, signal),
        (Ok(None), _) | (_, None) => return,
        // Out of descriptors: compare, then signal by number.
        (Err(_), Some(pid)) if is_same(id) => kill_process(pid, signal),
        (Err(_), Some(_)) => return,
    };
    match sent {
        Ok(()) | Err(Errno::SRCH) => {}
        Err(error) => tracing::warn!(pid = id.pid, %error, "a process could not be signalled"),
    }
}

pub struct Watched {
    pub id: ProcessId,
    descriptor: AsyncFd<OwnedFd>,
}

impl Watched {
    /// Must be called inside the I/O runtime.
    pub fn new(id: ProcessId) -> io::Result<Option<Self>> {
        let Some(descriptor) = hold(id)? else {
            return Ok(None);
        };
        let descriptor = unsafe_calls::wait_until_readable(descriptor)?;
        Ok(Some(Self { id, descriptor }))
    }

    /// Returns when the process has ended. It is not reaped: until [`Watched::reap`] nobody
    /// else can be given its number, so its session can still be told from others.
    pub async fn ended(&self) {
        while let Err(error) = self.descriptor.readable().await {
            tracing::warn!(pid = self.id.pid, %error, "the end of a process cannot be waited for");
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    }

    /// How it ended, leaving it to be reaped.
    pub fn peek(&self) -> Ending {
        self.ending(WaitIdOptions::NOWAIT)
    }

    /// How it ended; known of our own children only. Afterwards its number is free.
    pub fn reap(&self) -> Ending {
        self.ending(WaitIdOptions::empty())
    }

    fn ending(&self, more: WaitIdOptions) -> Ending {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | more;
        match waitid(WaitId::PidFd(self.descriptor.get_ref().as_fd()), options) {
            Ok(Some(status)) => Ending {
                code: status.exit_status(),
                signal: status.terminating_signal(),
            },
            _ => Ending::default(),
        }
    }
}
