//! The only unsafe code of this crate: what a child must do between fork and exec,
//! descriptors that we inherited and must not pass on, and the wait for a descriptor.
//!
//! Wrapping crates give a session but not the cgroup: a process that joins it only after
//! exec could already have children outside of it.
#![allow(unsafe_code)]

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use std::{
    fs, io,
    os::{
        fd::{BorrowedFd, OwnedFd, RawFd},
        unix::process::CommandExt,
    },
    process::Command,
};
use tokio::io::{Interest, unix::AsyncFd};

/// The child leads a session of its own (no signal of our terminal or process group
/// reaches it) and is in `cgroup_procs` before its program starts. Signal mask and SIGPIPE
/// are set back to their defaults by the standard library.
pub fn in_own_session(command: &mut Command, cgroup_procs: Option<OwnedFd>) {
    let prepare = move || -> io::Result<()> {
        rustix::process::setsid()?;
        if let Some(procs) = &cgroup_procs {
            rustix::io::write(procs, b"0")?;
        }
        Ok(())
    };
    // SAFETY: the closure runs in the forked child and calls only setsid(2) and write(2),
    // which are async-signal-safe; it allocates nothing and takes no lock.
    unsafe { command.pre_exec(prepare) };
}

/// Marks the descriptors that we were started with (a shell's `3>file`, a supervisor's
/// socket) as close-on-exec; those that we open ourselves are already.
pub fn keep_inherited_descriptors() -> io::Result<()> {
    for entry in fs::read_dir("/proc/self/fd")? {
        let Some(number) = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<RawFd>().ok())
        else {
            continue;
        };
        if number <= 2 {
            continue;
        }
        // SAFETY: the borrowed descriptor lives for these two calls only, which neither
        // read, write nor close it. Was it closed meanwhile, they answer EBADF; was its
        // number given anew, close-on-exec is what its owner has set anyway.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        if let Ok(flags) = fcntl_getfd(descriptor)
            && !flags.contains(FdFlags::CLOEXEC)
        {
            let _ = fcntl_setfd(descriptor, flags | FdFlags::CLOEXEC);
        }
    }
    Ok(())
}

/// Must be called inside the I/O runtime.
pub fn wait_until_readable(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an owned descriptor is open and stays the same for as long as it is owned,
    // and the returned value owns it until it deregisters it.
    unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) }.map_err(Into::into)
}
