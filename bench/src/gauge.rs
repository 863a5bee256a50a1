//! CPU time and resident memory of a process, from the kernel.

use std::time::Duration;

/// Linux counts CPU time for `/proc` in hundredths of a second on every machine that we build for.
const TICK: Duration = Duration::from_millis(10);

/// User and system time of all threads so far; `None`: there is no such process.
pub fn cpu(pid: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    ticks(&stat).map(|ticks| TICK * ticks)
}

/// Resident memory in KiB.
pub fn resident_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The sum of fields 14 and 15. The process name before them is in brackets and may contain
/// anything.
fn ticks(stat: &str) -> Option<u32> {
    let after_name = stat.rsplit_once(')')?.1;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    #[test]
    fn cpu_time_is_read_behind_any_name() {
        let stat = "1 (a ) b) S 1 1 1 0 -1 4194560 9 0 0 0 12 30 0 0 20 0 4 0 1 1 1";
        assert_eq!(super::ticks(stat), Some(42));
    }
}
