//! `process_*`, as in Prometheus clients of other languages, read from `/proc` at the scrape.

use maestro_metrics::{MetricKind, Page};
use std::fs;

/// The metrics of this process. `None` where the system does not provide one.
#[derive(Debug, Default, PartialEq)]
struct Process {
    cpu_seconds: Option<f64>,
    resident_bytes: Option<f64>,
    virtual_bytes: Option<f64>,
    start_seconds: Option<f64>,
    threads: Option<f64>,
    open_fds: Option<f64>,
    max_fds: Option<f64>,
}

/// Units of the numbers in `/proc/self/stat`.
struct Units {
    ticks_per_second: f64,
    page_bytes: f64,
    /// Seconds since 1970.
    boot: Option<f64>,
}

/// Adds the metrics of this process to a page.
pub fn render(page: &mut Page) {
    let process = Process::read();
    let metrics = [
        (
            "process_cpu_seconds_total",
            MetricKind::Counter,
            "Total user and system CPU time spent in seconds.",
            process.cpu_seconds,
        ),
        (
            "process_resident_memory_bytes",
            MetricKind::Gauge,
            "Resident memory size in bytes.",
            process.resident_bytes,
        ),
        (
            "process_virtual_memory_bytes",
            MetricKind::Gauge,
            "Virtual memory size in bytes.",
            process.virtual_bytes,
        ),
        (
            "process_start_time_seconds",
            MetricKind::Gauge,
            "Start time of the process since unix epoch in seconds.",
            process.start_seconds,
        ),
        (
            "process_threads",
            MetricKind::Gauge,
            "Number of threads of the process.",
            process.threads,
        ),
        (
            "process_open_fds",
            MetricKind::Gauge,
            "Number of open file descriptors.",
            process.open_fds,
        ),
        (
            "process_max_fds",
            MetricKind::Gauge,
            "Maximum number of open file descriptors.",
            process.max_fds,
        ),
    ];
    for (name, kind, help, value) in metrics {
        if let Some(value) = value {
            page.family(name, kind, help).value(&[], value);
        }
    }
}

impl Process {
    fn read() -> Self {
        let units = Units {
            ticks_per_second: rustix::param::clock_ticks_per_second() as f64,
            page_bytes: rustix::param::page_size() as f64,
            boot: fs::read_to_string("/proc/stat")
                .ok()
                .and_then(|stat| boot_time(&stat)),
        };
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let mut process = Self::of_stat(&stat, &units).unwrap_or_default();
        // One of them is this listing of the folder itself.
        let fds = fs::read_dir("/proc/self/fd").map(|fds| fds.count().saturating_sub(1));
        process.open_fds = fds.ok().map(|fds| fds as f64);
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        process.max_fds = limit.current.map(|fds| fds as f64);
        process
    }

    /// Parses the fields of `man 5 proc_pid_stat`. The process name before them may contain
    /// anything, brackets too.
    fn of_stat(stat: &str, units: &Units) -> Option<Self> {
        let (_, fields) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        // What follows the name begins with field 3.
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        let started = field(22)? / units.ticks_per_second;
        Some(Self {
            cpu_seconds: Some((field(14)? + field(15)?) / units.ticks_per_second),
            resident_bytes: field(24).map(|pages| pages * units.page_bytes),
            virtual_bytes: field(23),
            start_seconds: units.boot.map(|boot| boot + started),
            threads: field(20),
            ..Self::default()
        })
    }
}

fn boot_time(stat: &str) -> Option<f64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_the_kernel_become_seconds_and_bytes() {
        let stat = "17 (a) b (c) S 1 17 17 0 -1 4194304 900 0 0 0 250 50 0 0 20 0 9 0 3000 \
                    1048576 25 18446744073709551615 1 1 0 0 0 0 0";
        let units = Units {
            ticks_per_second: 100.0,
            page_bytes: 4096.0,
            boot: boot_time("cpu 1 2\nbtime 1700000000\nprocesses 5\n"),
        };
        let process = Process::of_stat(stat, &units).unwrap();
        assert_eq!(process.cpu_seconds, Some(3.0));
        assert_eq!(process.resident_bytes, Some(102_400.0));
        assert_eq!(process.virtual_bytes, Some(1_048_576.0));
        assert_eq!(process.start_seconds, Some(1_700_000_030.0));
        assert_eq!(process.threads, Some(9.0));
        assert_eq!(Process::of_stat("rubbish", &units), None);
    }
}
