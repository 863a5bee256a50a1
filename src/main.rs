//! The `maestro` binary: hands the command line to `cli` and nothing else.

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
    cli::main()
}
