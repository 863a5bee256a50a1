//! The only unsafe code of this crate: what a child must do between fork and exec,
//! descriptors and signals that we inherited, and the wait for a descriptor.
//!
//! Wrapping crates give a session but not the cgroup: a process that joins it only after
//! exec could already have children outside of it.
#![allow(unsafe_code)]

use rustix::{
    io::{FdFlags, fcntl_getfd, fcntl_setfd},
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use std::{
    fs, io,
    os::{
        fd::{BorrowedFd, OwnedFd, RawFd},
        unix::process::CommandExt,
    },
    process::Command,
    sync::OnceLock,
};
use tokio::io::{Interest, unix::AsyncFd};

/// The child leads a session of its own (no signal of our terminal or process group reaches it) and
/// is in `cgroup_procs` before its program starts. Nothing of how we were started is passed on:
/// ignored signals are reset to their defaults (the signal mask is emptied by the standard
/// library), and the limit of descriptors that we raised for ourselves is as it was, since programs
/// that select(2) fail above 1,024.
pub fn in_own_session(command: &mut Command, cgroup_procs: Option<OwnedFd>) {
    let descriptors = DESCRIPTORS_BEFORE.get().copied();
    let prepare = move || -> io::Result<()> {
        rustix::process::setsid()?;
        if let Some(procs) = &cgroup_procs {
            rustix::io::write(procs, b"0")?;
        }
        if let Some(limit) = descriptors {
            rustix::process::setrlimit(Resource::Nofile, limit)?;
        }
        for signal in 1..=SIGNAL_MAX {
            // SAFETY: no handler is installed, only the default action is set. Signals that cannot
            // be set (KILL, STOP, those of the C library) are refused and stay as they are.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        Ok(())
    };
    // SAFETY: the closure runs in the forked child and calls only setsid(2), write(2),
    // prlimit(2) and sigaction(2), which are async-signal-safe; it allocates nothing and
    // takes no lock.
    unsafe { command.pre_exec(prepare) };
}

const SIGNAL_MAX: libc::c_int = 64;

/// The limit that we were started with.
static DESCRIPTORS_BEFORE: OnceLock<Rlimit> = OnceLock::new();

/// Each room costs a descriptor, and the usual soft limit is for programs that select(2).
pub fn allow_many_descriptors() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let _ = DESCRIPTORS_BEFORE.set(limit);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    Ok(setrlimit(Resource::Nofile, raised)?)
}

/// Our parent may have ignored SIGCHLD, which is inherited: then the kernel reaps our children
/// itself, and we do not learn how a room ended. A handler of ours is left alone.
pub fn hear_of_children() {
    // SAFETY: both structures are plain data, for which all zeros is a value; sigaction(2)
    // reads and writes them within the call. Only the default action is ever set.
    unsafe {
        let mut present: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(libc::SIGCHLD, std::ptr::null(), &mut present) != 0 {
            return;
        }
        let ignored = present.sa_sigaction == libc::SIG_IGN;
        if ignored
            || present.sa_flags & libc::SA_NOCLDWAIT != 0 && present.sa_sigaction == libc::SIG_DFL
        {
            libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        }
    }
}

/// Our parent may have blocked signals, and the mask is inherited: TERM would stay pending forever. Must be called
/// before threads are created.
pub fn unblock_signals() {
    // SAFETY: the set is plain data that sigemptyset(3) fills; it lives for the call, and nothing is read back.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
    }
}

/// A file that may not grow (`ulimit -f`) is answered with an error, as a full disk is, instead of a signal that ends
/// us in the middle of a commit or a line of the log. Rooms do not inherit it: [`in_own_session`] resets all signals.
pub fn survive_file_limits() {
    // SAFETY: no handler is installed; the signal is ignored.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// For a process that ends when its work is done, and with an error instead of a signal
/// when a file may not grow.
pub fn ignore_requests_to_end() {
    for signal in [
        libc::SIGTERM,
        libc::SIGINT,
        libc::SIGHUP,
        libc::SIGQUIT,
        libc::SIGPIPE,
        libc::SIGXFSZ,
    ] {
        // SAFETY: no handler is installed; the signal is ignored.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// Marks inherited descriptors (a shell's `3>file`, a supervisor's socket) as close-on-exec; those
/// that we open ourselves already are.
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
        // SAFETY: the borrowed descriptor lives for these two calls only, which neither read, write
        // nor close it. If it was closed meanwhile, they answer EBADF; if its number was reused,
        // its owner has set close-on-exec anyway.
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
