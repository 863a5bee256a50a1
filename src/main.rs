//! The `maestro` binary: hands the command line to `cli` and nothing else.

mod cli;
mod clock;
mod compose;
mod demo;
mod duration;
mod logging;
mod room;
mod serve;
mod settings;
mod start;

fn main() -> std::process::ExitCode {
    cli::main()
}
