//! `maestro health`: whether a process is ready, for the health checks of containers, which have no other client.

use crate::block_on::block_on;
use crate::internal::Internal;
use crate::output;
use clap::Args;

/// The options of `maestro health`.
#[derive(Debug, Clone, Args)]
pub struct HealthArgs {
    /// The internal server [default: the one of this machine at MAESTRO_INTERNALAPI_PORT, or else 8081]
    #[arg(long)]
    pub url: Option<String>,
}

/// # Errors
/// If the process is not ready, or does not answer.
pub fn run(args: &HealthArgs) -> anyhow::Result<()> {
    let port = std::env::var("MAESTRO_INTERNALAPI_PORT").ok();
    let port = port.filter(|port| !port.is_empty());
    let usual = || format!("http://127.0.0.1:{}", port.as_deref().unwrap_or("8081"));
    let internal = Internal::new(&args.url.clone().unwrap_or_else(usual))?;
    let said = block_on(internal.ready())?;
    output::print(&format!("{said}\n"))
}
