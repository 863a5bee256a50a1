//! The command line: its commands, and the part of the program behind each. It never does the work itself.
//!
//! An unknown command or flag is reported on stderr with exit status 1 (contract 1.1).

use crate::{check_config, demo, doctor, logging, migrate, start};
use clap::{CommandFactory, Parser, Subcommand};
use maestro_bench as bench;
use maestro_cli as cli;
use maestro_core::text::{escaped_lines, is_unprintable};
use maestro_samples::demo::{DemoArgs, WatchdogArgs, watch};
use maestro_samples::forwarder::{self, ForwarderArgs};
use maestro_samples::room::{self, RoomArgs};
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(
    name = "maestro",
    version,
    about = "Keeps fleets of dedicated game rooms alive"
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the orchestrator, or one module of it
    #[command(args_override_self = true)]
    Start(start::StartArgs),
    /// Migrate the store to the format of this program, as a start does by itself
    #[command(args_override_self = true)]
    Migrate(migrate::MigrateArgs),
    /// Report what does not fit together in the cluster store, and mend it, or what is missing in Kubernetes
    #[command(args_override_self = true)]
    Doctor(doctor::DoctorArgs),
    /// Show the settings of a start, where each came from, and all errors
    #[command(args_override_self = true)]
    CheckConfig(check_config::CheckConfigArgs),
    /// Show a fleet of sample rooms at work, in a temporary folder
    #[command(args_override_self = true)]
    Demo(DemoArgs),
    /// Clean up after a killed demo (started by the demo)
    #[command(hide = true)]
    DemoWatchdog(WatchdogArgs),
    /// Show what every actor of a running server is doing
    #[command(args_override_self = true)]
    Actors(cli::ActorsArgs),
    /// Show the nodes that are alive and what each owns
    #[command(args_override_self = true)]
    Nodes(cli::NodesArgs),
    /// Drain a node, or let it take its share again
    #[command(subcommand)]
    Node(cli::NodeCommand),
    /// Write all schedulers of a running server to a YAML file
    #[command(args_override_self = true)]
    Export(cli::ExportArgs),
    /// Create the schedulers of an exported file on a running server
    #[command(args_override_self = true)]
    Import(cli::ImportArgs),
    /// Copy the store of a running server into its data folder
    #[command(args_override_self = true)]
    Backup(cli::BackupArgs),
    /// Say whether a process is ready, for health checks of containers
    #[command(args_override_self = true)]
    Health(cli::HealthArgs),
    /// Measure a server under load
    #[command(args_override_self = true)]
    Bench(Box<bench::BenchArgs>),
    /// Run a sample game room (started by the orchestrator)
    #[command(args_override_self = true)]
    // Boxed: its many options would make every other variant as large.
    Room(Box<RoomArgs>),
    /// Run a sample forwarder, which prints the events of a matchmaker
    #[command(args_override_self = true)]
    Forwarder(ForwarderArgs),
}

/// Parses the command line and runs the command.
#[must_use]
pub fn main() -> ExitCode {
    let _flush = logging::Flush;
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return answer_without_running(&error),
    };
    let result = match cli.command {
        Some(Command::Start(args)) => start::run(&args),
        Some(Command::Migrate(args)) => migrate::run(&args),
        // Its exit status says what it found.
        Some(Command::Doctor(args)) => match doctor::run(&args) {
            Ok(status) => return status,
            Err(error) => Err(error),
        },
        Some(Command::CheckConfig(args)) => check_config::run(&args),
        Some(Command::Demo(args)) => {
            logging::init_quiet();
            demo::run(&args)
        }
        Some(Command::DemoWatchdog(args)) => watch(&args),
        Some(Command::Actors(args)) => cli::actors(&args),
        Some(Command::Nodes(args)) => cli::nodes(&args),
        Some(Command::Node(command)) => cli::node(&command),
        Some(Command::Export(args)) => cli::export(&args),
        Some(Command::Import(args)) => cli::import(&args),
        Some(Command::Backup(args)) => cli::backup(&args),
        Some(Command::Health(args)) => cli::health(&args),
        Some(Command::Bench(args)) => {
            logging::init_quiet();
            bench::run(*args)
        }
        Some(Command::Room(args)) => room::run(*args),
        Some(Command::Forwarder(args)) => forwarder::run(&args),
        None => cli::print(&Cli::command().render_help().to_string()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            logging::say(&format!("Error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// `--help` and `--version` exit with 0, everything else with 1, where clap itself would exit with 2.
fn answer_without_running(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    match text.contains(|c| is_unprintable(c) && !matches!(c, '\n' | '\t')) {
        // The input is echoed, and may have been pasted.
        true => logging::say(escaped_lines(text.trim_end()).as_ref()),
        // A closed stderr is no error.
        false => drop(error.print()),
    }
    if error.use_stderr() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module::Module;
    use clap::ValueEnum;
    use std::time::Duration;

    #[test]
    fn the_definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn start_means_all_unless_a_module_is_named() {
        let module = |args: &[&str]| match Cli::try_parse_from(args).unwrap().command {
            Some(Command::Start(start)) => start.module,
            other => panic!("{other:?}"),
        };
        assert_eq!(module(&["maestro", "start"]), Module::All);
        assert_eq!(
            module(&["maestro", "start", "-l", "development", "worker"]),
            Module::Worker
        );
        for name in Module::value_variants() {
            assert_eq!(module(&["maestro", "start", &name.to_string()]), *name);
        }
    }

    #[test]
    fn the_demo_takes_a_duration_in_go_syntax() {
        match Cli::try_parse_from(["maestro", "demo", "--for", "1m30s"])
            .unwrap()
            .command
        {
            Some(Command::Demo(demo)) => assert_eq!(demo.duration, Some(Duration::from_secs(90))),
            other => panic!("{other:?}"),
        }
    }
}
