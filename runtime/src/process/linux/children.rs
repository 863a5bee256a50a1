//! The children of this process: those whose end is awaited here, and all others, which are reaped here because nobody
//! else does.

use parking_lot::{Mutex, RwLock};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use std::{collections::HashSet, fs, io, process::Child};

use super::process_table;

/// Global, because children belong to the process.
static CHILDREN: Children = Children {
    births: RwLock::new(()),
    awaited: Mutex::new(None),
    unattended: Mutex::new(Vec::new()),
};

struct Children {
    /// Held for reading while a child is spawned and recorded, so that one that ends at once is not
    /// mistaken for another's.
    births: RwLock<()>,
    awaited: Mutex<Option<HashSet<i32>>>,
    unattended: Mutex<Vec<i32>>,
}

/// Starts a child whose end is awaited, until [`reaped`].
pub fn spawn(start: impl FnOnce() -> io::Result<Child>) -> io::Result<Child> {
    let _birth = CHILDREN.births.read();
    let child = start()?;
    let mut awaited = CHILDREN.awaited.lock();
    awaited.get_or_insert_default().insert(child.id() as i32);
    Ok(child)
}

/// Starts a child that nobody waits for: [`reap_unattended`] reaps it.
pub fn spawn_unattended(start: impl FnOnce() -> io::Result<Child>) -> io::Result<()> {
    let _birth = CHILDREN.births.read();
    let child = start()?;
    CHILDREN.unattended.lock().push(child.id() as i32);
    Ok(())
}

/// Whether this pid is a child of ours, and so cannot belong to another process.
pub fn is_awaited(pid: i32) -> bool {
    let awaited = CHILDREN.awaited.lock();
    awaited.as_ref().is_some_and(|pids| pids.contains(&pid))
}

pub fn reaped(pid: i32) {
    if let Some(awaited) = CHILDREN.awaited.lock().as_mut() {
        awaited.remove(&pid);
    }
}

/// Reaps ended children that nobody waits for. Blocks only briefly.
pub fn reap_unattended() {
    CHILDREN.unattended.lock().retain(|pid| !reap(*pid));
}

/// As the first process of a container we inherit orphans. Nobody else reaps them, and pids are
/// limited. Never reaps a child whose end is awaited here. Blocking: reads /proc.
pub fn reap_orphans() -> io::Result<()> {
    let own = std::process::id() as i32;
    if own != 1 {
        return Ok(());
    }
    let _no_births = CHILDREN.births.write();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Some(stat) = process_table::stat(pid)? else {
            continue;
        };
        if stat.parent == own && !stat.alive() && !is_awaited(pid) {
            reap(pid);
        }
    }
    Ok(())
}

/// True when nothing is left to reap.
fn reap(pid: i32) -> bool {
    let Some(pid) = Pid::from_raw(pid) else {
        return true;
    };
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    !matches!(waitid(WaitId::Pid(pid), options), Ok(None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn the_unattended_are_reaped_and_the_awaited_are_left_to_those_who_wait() {
        let mut awaited = spawn(|| Command::new("true").spawn()).unwrap();
        let pid = awaited.id() as i32;
        assert!(is_awaited(pid));
        spawn_unattended(|| Command::new("true").spawn()).unwrap();
        let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while !CHILDREN.unattended.lock().is_empty() {
            reap_unattended();
            assert!(std::time::Instant::now() < until, "it is never reaped");
        }
        assert!(awaited.wait().unwrap().success());
        reaped(pid);
        assert!(!is_awaited(pid));
    }
}
