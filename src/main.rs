//! The `maestro` binary: hands the command line to `cli`, or is the writer of a
//! room's log.

// They panic where stdout or stderr is closed: see `tools::print` and `logging::say`.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod backup;
mod bench;
mod check_config;
mod cli;
mod clock;
mod compose;
mod demo;
mod duration;
mod forwarder;
mod grpc;
mod logging;
mod metrics;
mod migrate;
mod observed;
mod process_metrics;
mod room;
mod scratch;
mod serve;
mod settings;
mod standby;
mod start;
mod tools;
mod traces;

fn main() -> std::process::ExitCode {
    // Before anything that takes memory: there is such a process for each container.
    if let Some(ended) = maestro_runtime::process::write_log(std::env::args_os()) {
        return ended;
    }
    maestro_runtime::process::hear_of_children();
    cli::main()
}
