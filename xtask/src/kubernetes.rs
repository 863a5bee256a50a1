//! The programs of a control plane for tests, where they lie beside the project: `../shared/envtest`.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::shell;
use crate::summary::Summary;

/// Beside the project.
const ARCHIVE: &str = "../shared/envtest";
/// Below the project's root, as `.cargo/config.toml` says it to the tests.
const UNPACKED: &str = "target/envtest";
/// The one that is started first.
const PROGRAM: &str = "etcd";
/// Where tools for tests expect the programs when no variable names another folder.
const USUAL: &str = "/usr/local/kubebuilder/bin";

/// Unpacks the programs unless there are others. Tests without any are skipped, and fail in CI. Whether they can use
/// the cluster of a kubeconfig, they know themselves.
///
/// # Errors
/// If they cannot be unpacked.
pub fn prepare(summary: &mut Summary) -> Result<()> {
    let has_cluster = env::var_os("KUBECONFIG").is_some_and(|path| !path.is_empty());
    if let Err(missing) = find()?
        && !has_cluster
    {
        summary.skip("control plane", &missing);
    }
    Ok(())
}

/// The folder of the programs, or what to do about it.
///
/// # Errors
/// As [`prepare`].
pub fn find() -> Result<Result<PathBuf, String>> {
    let unpacked = shell::root().join(UNPACKED);
    // Cargo names our own folder when there was no variable before.
    let named = env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
    let named = named.filter(|folder| !folder.as_os_str().is_empty() && *folder != unpacked);
    if let Some(folder) = named {
        return Ok(
            held(&folder).ok_or_else(|| format!("{PROGRAM} is missing in {}", folder.display()))
        );
    }
    let unpack = shell::root().join(ARCHIVE).join("unpack");
    if unpack.is_file() {
        let mut command = shell::program(&unpack.to_string_lossy());
        shell::run(command.arg(&unpacked))?;
    }
    let found = held(&unpacked).or_else(|| held(Path::new(USUAL)));
    let missing =
        || "the programs are missing; see \"Tests on a real control plane\" in the README";
    Ok(found.ok_or_else(|| missing().to_owned()))
}

fn held(folder: &Path) -> Option<PathBuf> {
    folder.join(PROGRAM).is_file().then(|| folder.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_beside_the_project_are_unpacked() {
        let is_beside = shell::root().join(ARCHIVE).is_dir();
        let is_ours = env::var_os("KUBEBUILDER_ASSETS")
            .is_none_or(|folder| Path::new(&folder).ends_with(UNPACKED));
        if is_beside && is_ours {
            let found = find().unwrap();
            assert_eq!(found, Ok(shell::root().join(UNPACKED)));
        }
    }
}
