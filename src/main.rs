//! The `maestro` binary: passes the command line to `commands`, or runs as the writer of a room's
//! log.

#![cfg_attr(not(test), warn(clippy::expect_used, clippy::too_many_lines))]
// They panic where stdout or stderr is closed: see `maestro_cli::print` and `logging::say`.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod backup;
mod check_config;
mod clock;
mod cluster;
mod commands;
mod compose;
mod demo;
mod doctor;
mod grpc;
mod kubernetes_calls;
mod listen;
mod logging;
mod metrics;
mod migrate;
mod module;
mod observed;
mod operator;
mod process_metrics;
mod reporter;
mod serve;
mod services;
mod settings;
mod signals;
mod start;
mod traces;
mod waiting;

fn main() -> std::process::ExitCode {
    // Comes before anything that allocates memory: there is one such process per container.
    if let Some(ended) = maestro_runtime::process::write_log(std::env::args_os()) {
        return ended;
    }
    maestro_runtime::process::unblock_signals();
    maestro_runtime::process::hear_of_children();
    maestro_runtime::process::survive_file_limits();
    commands::main()
}
