//! `maestro bench`: load on a server, measured so that anyone can repeat it.
//!
//! | file | holds |
//! |---|---|
//! | `args` | the arguments of `maestro bench` |
//! | `wire`, `api` | HTTP/1.1 over one connection: raw for the load, JSON for what prepares it |
//! | `load`, `rounds` | many connections for a slice of time; contestants in turn |
//! | `server`, `baseline`, `gauge` | the measured processes, with their CPU time and memory |
//! | `site`, `scratch` | a server with a fleet on it, in a temporary folder |
//! | `commit` | the time of one durable row, to compare with |
//! | `ping`, `allocate`, `fleet`, `processes`, `operations` | the measurements |
//! | `report` | tables for people |
//!
//! Server, generator and baseline are separate processes. Every loop is bounded in count or time,
//! no process is left behind, and only the named addresses are used.

#![cfg_attr(not(test), warn(clippy::expect_used, clippy::too_many_lines))]
// They panic where stdout or stderr is closed: see `maestro_cli::print`.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod allocate;
mod api;
mod args;
mod baseline;
mod commit;
mod fleet;
mod gauge;
mod load;
mod operations;
mod ping;
mod processes;
mod report;
mod rounds;
mod scratch;
mod server;
mod site;
mod wire;

pub use args::BenchArgs;

use anyhow::{Context, bail};
use args::Bench;
use tokio::signal::unix::{SignalKind, signal};

/// Runs the measurement and prints the result.
///
/// # Errors
/// If it cannot be measured, or if a violation was seen: a room allocated twice.
pub fn run(args: BenchArgs) -> anyhow::Result<()> {
    if let Bench::Baseline = args.bench {
        return baseline::serve();
    }
    let common = args.bench.common().clone();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(common.threads)
        .thread_name("generator")
        .enable_all()
        .build()
        .context("cannot start the generator")?;
    let report = runtime.block_on(async {
        // Runs on a worker thread, not on this one, so that `--threads` is the real number.
        let mut measuring = tokio::spawn(measure(args.bench));
        tokio::select! {
            told = &mut measuring => told.context("the measurement was interrupted")?,
            name = stopped() => {
                // Processes that it started end with it.
                measuring.abort();
                let _ = measuring.await;
                bail!("stopped by {}", name?)
            }
        }
    })?;
    report.print()?;
    if let Some(file) = &common.markdown {
        report.append_to(file)?;
    }
    report.verdict()
}

async fn measure(bench: Bench) -> anyhow::Result<report::Report> {
    match bench {
        Bench::Ping(args) => ping::run(&args).await,
        Bench::Allocate(args) => allocate::run(&args).await,
        Bench::Fleet(args) => fleet::run(&args).await,
        Bench::Operations(args) => operations::run(&args).await,
        Bench::Baseline => bail!("the baseline is no measurement"),
    }
}

/// Waits for a signal to end.
async fn stopped() -> anyhow::Result<&'static str> {
    let mut term = signal(SignalKind::terminate()).context("cannot listen for TERM")?;
    let mut int = signal(SignalKind::interrupt()).context("cannot listen for INT")?;
    Ok(tokio::select! {
        _ = term.recv() => "TERM",
        _ = int.recv() => "INT",
    })
}
