//! The `maestro` binary: hands the command line to `cli` and nothing else.

mod cli;
mod demo;
mod duration;
mod room;
mod start;

fn main() -> std::process::ExitCode {
    cli::main()
}
