//! The arguments of `maestro bench`.

use clap::{Args, Subcommand};
use maestro_core::duration;
use std::path::PathBuf;
use std::time::Duration;

/// The options of `maestro bench`.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    pub bench: Bench,
}

#[derive(Debug, Clone, Subcommand)]
pub enum Bench {
    /// Steady pings of rooms that are ready
    Ping(PingArgs),
    /// Allocation of ready rooms, none of them twice
    Allocate(AllocateArgs),
    /// A fleet from nothing to ready, its memory, and a restart
    Fleet(FleetArgs),
    /// Operations, creations and reads of schedulers
    Operations(OperationsArgs),
    /// The least that a server can do with a ping
    #[command(hide = true)]
    Baseline,
}

impl Bench {
    pub fn common(&self) -> Common {
        match self {
            Self::Ping(args) => args.common.clone(),
            Self::Allocate(args) => args.common.clone(),
            Self::Fleet(args) => args.common.clone(),
            Self::Operations(args) => args.common.clone(),
            Self::Baseline => Common::default(),
        }
    }
}

/// Options of every measurement.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// Connections that are kept open and used at once
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub connections: u32,
    /// Duration of the load for each measured thing
    #[arg(long = "for", value_name = "DURATION", default_value = "10s", value_parser = duration::parse)]
    pub time: Duration,
    /// Threads of the generator
    #[arg(long, default_value_t = 1, value_parser = at_least_one)]
    pub threads: usize,
    /// Also append the report to this file, as Markdown
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
    /// Servers that are started use the stores of the environment (MAESTRO_ADAPTERS_*), which should be empty
    #[arg(long)]
    pub stores: bool,
}

impl Default for Common {
    fn default() -> Self {
        Self {
            connections: 1,
            time: Duration::ZERO,
            threads: 1,
            markdown: None,
            stores: false,
        }
    }
}

/// A running server, in place of one that the measurement starts.
#[derive(Debug, Clone, Default, Args)]
pub struct TargetArgs {
    /// Management API of a running server
    #[arg(long, value_name = "URL")]
    pub target_management: Option<String>,
    /// Rooms API of a running server
    #[arg(long, value_name = "URL")]
    pub target_rooms: Option<String>,
    /// Process of that server, for its CPU time and memory
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,
}

#[derive(Debug, Clone, Args)]
pub struct PingArgs {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub target: TargetArgs,
    /// Rooms that ping in turn
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rooms: u32,
    /// Open loop: this many per second, each measured from the time it was due
    #[arg(long, value_name = "PER_SECOND", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rate: Option<u32>,
    /// Measure a bare handler too, in turn with the server
    #[arg(long)]
    pub baseline: bool,
    /// How long each takes its turn
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration::parse)]
    pub slice: Duration,
    /// Scheduler of the rooms of --room-list
    #[arg(long, requires = "target_rooms", default_value = "bench-ping")]
    pub scheduler: String,
    /// Rooms of the running server, one id per line
    #[arg(long, value_name = "FILE", requires = "target_rooms")]
    pub room_list: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub struct AllocateArgs {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub target: TargetArgs,
    /// Ready rooms of a scheduler; several sizes show whether the cost depends on it
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1000, 10_000, 60_000], value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub rooms: Vec<u32>,
    /// Small fleets are allocated one after the other until this many allocations were made
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub allocations: u32,
    /// Scheduler of the running server whose ready rooms are allocated
    #[arg(long, requires = "target_rooms")]
    pub scheduler: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub struct FleetArgs {
    #[command(flatten)]
    pub common: Common,
    /// Rooms of the fleet
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rooms: u32,
    /// Real room processes, this many: from nothing to ready, a crash, a restart
    #[arg(long, value_name = "ROOMS", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub process: Option<u32>,
}

#[derive(Debug, Clone, Args)]
pub struct OperationsArgs {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub target: TargetArgs,
    /// Schedulers to create
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub schedulers: u32,
    /// Operations without work to run
    #[arg(long, default_value_t = 900, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub operations: u32,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n @ 1..=64) => Ok(n),
        _ => Err("a number from 1 to 64".into()),
    }
}
