//! `maestro doctor kubernetes`: whether the cluster that is set lets rooms run.

use crate::settings::{self, RuntimeKind};
use crate::{logging, start};
use anyhow::bail;
use clap::Args;
use maestro_cli::{print, print_document};
use maestro_runtime::kubernetes::{Check, Verdict, preflight};
use std::path::Path;
use std::process::ExitCode;

/// The options of `maestro doctor kubernetes`.
#[derive(Debug, Clone, Args)]
pub struct KubernetesArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The exit status is 1 if rooms cannot run, and 0 with warnings.
///
/// # Errors
/// If the settings ask for no Kubernetes; the text says what to do.
pub fn run(args: &KubernetesArgs, config_path: Option<&Path>) -> anyhow::Result<ExitCode> {
    logging::init_quiet();
    let mut loaded = start::told(settings::load_here(config_path, &[]))?;
    start::complete(&mut loaded)?;
    if loaded.settings.runtime != RuntimeKind::Kubernetes {
        bail!(
            "the settings ask for no Kubernetes: set adapters.runtime.kubernetes.inCluster or \
             adapters.runtime.kubernetes.kubeconfig, or runtime.type: kubernetes"
        );
    }
    let kubernetes = loaded.settings.for_kubernetes()?;
    let tasks = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let checks = tasks.block_on(preflight(&kubernetes));
    match args.json {
        true => print_document(&(serde_json::to_string_pretty(&checks)? + "\n"))?,
        false => print(&text(&checks))?,
    }
    let fails = checks.iter().any(|one| one.verdict == Verdict::Error);
    Ok(match fails {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

/// One line for each check.
fn text(checks: &[Check]) -> String {
    let lines = checks.iter().map(|one| {
        let verdict = match one.verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Error => "error",
        };
        let remedy = one.remedy.iter();
        let remedy: String = remedy.map(|remedy| format!("; {remedy}")).collect();
        let found = one.found.replace('\n', " ");
        format!("{verdict:<5}  {:<12}  {found}{remedy}\n", one.check)
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_is_one_line_that_says_what_to_do() {
        let check = |verdict, found: &str, remedy: Option<&str>| Check {
            check: "right",
            verdict,
            found: found.into(),
            remedy: remedy.map(str::to_owned),
        };
        let checks = [
            check(Verdict::Ok, "get pods", None),
            check(Verdict::Error, "list\npods", Some("grant it")),
        ];
        let expected = "ok     right         get pods\nerror  right         list pods; grant it\n";
        assert_eq!(text(&checks), expected);
    }
}
