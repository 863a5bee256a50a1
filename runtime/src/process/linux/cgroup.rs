//! Resource limits of rooms by cgroup v2, if this process may set them: in a hierarchy that is delegated to it (a
//! systemd scope with `Delegate=yes`, a container of its own). The group of a systemd service is not used: rooms
//! outlive the service in groups below it, and systemd could then not place a new process of the service there, so that
//! it would fail to start (219/CGROUP).

use super::{plan::Limits, ports::RoomKey};
use std::{
    fs::{self, OpenOptions},
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

/// The leaf that we move into: a cgroup with controllers for its children has no
/// processes of its own.
const OWN_LEAF: &str = "maestro";

#[derive(Clone, Debug)]
pub struct Cgroups {
    base: PathBuf,
}

impl Cgroups {
    /// `Err` gives the reason why limits cannot be enforced.
    pub fn open() -> Result<Self, String> {
        let read = |path: &str| fs::read_to_string(path).map_err(|e| format!("{path}: {e}"));
        let base = base(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?)
            .ok_or("no cgroup v2 hierarchy is mounted")?;
        if let Some(service) = service_of(&base) {
            return Err(format!(
                "the service {service} could not be started again while rooms live on in groups below its own; see \"Requests and limits\" in docs/process-runtime.md"
            ));
        }
        Self::in_folder(base, std::process::id())
    }

    fn in_folder(base: PathBuf, own_pid: u32) -> Result<Self, String> {
        let place = base.display();
        let read = |name: &str| {
            fs::read_to_string(base.join(name)).map_err(|error| format!("{place}/{name}: {error}"))
        };
        let controllers = read("cgroup.controllers")?;
        for controller in ["cpu", "memory"] {
            if !controllers.split_whitespace().any(|c| c == controller) {
                return Err(format!("{place} has no {controller} controller"));
            }
        }
        let processes = read("cgroup.procs")?;
        let others = processes
            .split_whitespace()
            .any(|pid| pid != own_pid.to_string());
        if others {
            return Err(format!("{place} is shared with other processes"));
        }
        let write = |path: PathBuf, text: &str| {
            fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
        };
        if !processes.trim().is_empty() {
            let leaf = base.join(OWN_LEAF);
            match fs::create_dir(&leaf) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(format!("{}: {error}", leaf.display()));
                }
                _ => write(leaf.join("cgroup.procs"), &own_pid.to_string())?,
            }
        }
        write(base.join("cgroup.subtree_control"), "+cpu +memory")?;
        Ok(Self { base })
    }

    fn folder(&self, key: &RoomKey) -> PathBuf {
        self.base.join(format!("room-{}-{}", key.0, key.1))
    }

    /// The room's group with its limits, and the descriptor by which its processes join.
    pub fn create(&self, key: &RoomKey, limits: &Limits) -> io::Result<OwnedFd> {
        let folder = self.folder(key);
        match fs::create_dir(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        fs::write(folder.join("memory.max"), memory_max(limits))?;
        fs::write(folder.join("cpu.max"), cpu_max(limits))?;
        let procs = OpenOptions::new()
            .write(true)
            .open(folder.join("cgroup.procs"))?;
        Ok(procs.into())
    }

    /// Whether the kernel killed a process of this room for lack of memory.
    pub fn out_of_memory(&self, key: &RoomKey) -> bool {
        fs::read_to_string(self.folder(key).join("memory.events")).is_ok_and(|events| {
            events
                .lines()
                .filter_map(|line| line.strip_prefix("oom_kill "))
                .any(|count| count.trim() != "0")
        })
    }

    /// After the room's last process has gone.
    pub fn remove(&self, key: &RoomKey) {
        let _ = fs::remove_dir(self.folder(key));
    }
}

fn memory_max(limits: &Limits) -> String {
    limits
        .memory_bytes
        .map_or("max".into(), |bytes| bytes.to_string())
}

fn cpu_max(limits: &Limits) -> String {
    const PERIOD_MICROS: u64 = 100_000;
    /// The kernel's minimum.
    const QUOTA_MICROS_MIN: u64 = 1_000;
    limits.cpu_millicores.map_or("max".into(), |millicores| {
        let quota = millicores.saturating_mul(PERIOD_MICROS / 1000);
        format!("{} {PERIOD_MICROS}", quota.max(QUOTA_MICROS_MIN))
    })
}

/// The systemd service whose group this is, or whose only sub-group for its processes.
/// `user@1000.service`, above a user's scopes and services, does not count.
fn service_of(group: &Path) -> Option<&str> {
    group
        .iter()
        .rev()
        .take(2)
        .filter_map(|name| name.to_str())
        .take_while(|name| !name.ends_with(".scope") && !name.ends_with(".slice"))
        .find(|name| name.ends_with(".service") && !name.starts_with("user@"))
}

/// Our own cgroup as a folder, from the texts of /proc.
fn base(mountinfo: &str, cgroup: &str) -> Option<PathBuf> {
    let (root, mount) = mountinfo.lines().find_map(|line| {
        let (fields, kind) = line.split_once(" - ")?;
        if !kind.starts_with("cgroup2 ") {
            return None;
        }
        let mut fields = fields.split(' ').skip(3);
        Some((fields.next()?, fields.next()?))
    })?;
    let own = cgroup.lines().find_map(|line| line.strip_prefix("0::"))?;
    let below = own.strip_prefix(root.trim_end_matches('/'))?;
    Some(Path::new(mount).join(below.trim_start_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_cgroup_is_found_below_its_mount() {
        let mounts = "25 1 0:23 / /proc rw - proc proc rw\n41 31 0:38 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup rw\n";
        assert_eq!(
            base(mounts, "12:pids:/x\n0::/system.slice/maestro.service\n"),
            Some("/sys/fs/cgroup/system.slice/maestro.service".into())
        );
        assert_eq!(
            base("25 1 0:23 / /proc rw - proc proc rw\n", "0::/\n"),
            None
        );
    }

    #[test]
    fn a_service_is_left_as_it_is() {
        let service = |path: &str| service_of(Path::new(path)).map(str::to_owned);
        let of_system = "/sys/fs/cgroup/system.slice/maestro.service";
        assert_eq!(service(of_system), Some("maestro.service".into()));
        let subgroup = format!("{of_system}/main");
        assert_eq!(service(&subgroup), Some("maestro.service".into()));
        let of_user = "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service";
        let own = format!("{of_user}/app.slice/maestro.service");
        assert_eq!(service(&own), Some("maestro.service".into()));
        for delegated in [
            format!("{of_user}/app.slice/run-u5.scope"),
            format!("{of_user}/run-u5.scope"),
            "/sys/fs/cgroup".into(),
            "/sys/fs/cgroup/system.slice/docker-0123.scope".into(),
        ] {
            assert_eq!(service(&delegated), None, "{delegated}");
        }
    }

    fn delegated(processes: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("cgroup.controllers"), "cpu io memory\n").unwrap();
        fs::write(folder.path().join("cgroup.procs"), processes).unwrap();
        folder
    }

    #[test]
    fn a_room_gets_its_limits() {
        let folder = delegated("42\n");
        let cgroups = Cgroups::in_folder(folder.path().into(), 42).unwrap();
        let leaf = folder.path().join("maestro/cgroup.procs");
        assert_eq!(fs::read_to_string(leaf).unwrap(), "42");
        let key = ("s".into(), "r".into());
        let group = folder.path().join("room-s-r");
        fs::create_dir(&group).unwrap();
        fs::write(group.join("cgroup.procs"), "").unwrap();
        let limits = Limits {
            memory_bytes: Some(1 << 20),
            cpu_millicores: Some(250),
        };
        cgroups.create(&key, &limits).unwrap();
        let written = |name| fs::read_to_string(group.join(name)).unwrap();
        assert_eq!(written("memory.max"), "1048576");
        assert_eq!(written("cpu.max"), "25000 100000");
        fs::write(group.join("memory.events"), "low 0\noom_kill 1\n").unwrap();
        assert!(cgroups.out_of_memory(&key));
        cgroups.create(&key, &Limits::default()).unwrap();
        assert_eq!(written("memory.max"), "max");
        assert_eq!(written("cpu.max"), "max");
    }

    #[test]
    fn a_hierarchy_that_is_not_ours_is_left_alone() {
        let folder = delegated("42\n43\n");
        let refusal = Cgroups::in_folder(folder.path().into(), 42).unwrap_err();
        assert!(refusal.contains("shared"), "{refusal}");
        assert!(!folder.path().join("cgroup.subtree_control").exists());
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("cgroup.controllers"), "").unwrap();
        let refusal = Cgroups::in_folder(folder.path().into(), 42).unwrap_err();
        assert!(refusal.contains("no cpu controller"), "{refusal}");
    }
}
