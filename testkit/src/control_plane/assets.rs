//! Where the programs of a control plane are.

use std::env;
use std::path::{Path, PathBuf};

/// The programs that every control plane has: what `setup-envtest` installs.
const SERVER: &[&str] = &["etcd", "kube-apiserver"];
/// What turns workloads, namespaces and unbound pods into something that moves.
const CONTROLLERS: &[&str] = &["kube-controller-manager", "kube-scheduler"];
/// Where tools for tests expect the programs when the variable is not set.
const USUAL: &str = "/usr/local/kubebuilder/bin";
/// How a kubeconfig names the clusters of kind and k3d: those may be written to.
const LOCAL: &[&str] = &["kind-", "k3d-"];
const HOW: &str = "see \"Tests on a real control plane\" in the README";

/// What a control plane can be made of, or found at.
#[derive(Debug)]
pub(super) enum Found {
    /// Programs in this folder, with controllers and scheduler or without.
    Programs { folder: PathBuf, complete: bool },
    /// A kubeconfig of a local cluster.
    Cluster(PathBuf),
}

/// What there is; otherwise what is missing.
pub(super) fn find() -> Result<Found, String> {
    let named = env::var_os("KUBEBUILDER_ASSETS").filter(|folder| !folder.is_empty());
    let named = named.map_or_else(|| USUAL.into(), PathBuf::from);
    for folder in [&named, Path::new(USUAL)] {
        if has(folder, SERVER) {
            let (folder, complete) = (folder.to_owned(), has(folder, CONTROLLERS));
            return Ok(Found::Programs { folder, complete });
        }
    }
    let missing = format!("no {} in {}", SERVER.join(" and "), named.display());
    let Some(kubeconfig) = env::var_os("KUBECONFIG").filter(|path| !path.is_empty()) else {
        return Err(format!("{missing}; {HOW}"));
    };
    match is_local(Path::new(&kubeconfig)) {
        Ok(()) => Ok(Found::Cluster(kubeconfig.into())),
        Err(why) => Err(format!("{missing}, and {why}; {HOW}")),
    }
}

/// Says that a test is skipped.
///
/// # Panics
/// If the environment variable `CI` is set.
pub(super) fn skip(missing: &str) {
    assert!(env::var_os("CI").is_none(), "{missing}");
    eprintln!("SKIPPED: {missing}");
}

/// The words for a folder without controllers.
pub(super) fn incomplete(folder: &Path) -> String {
    let wanted = CONTROLLERS.join(" and ");
    format!("no {wanted} in {}; {HOW}", folder.display())
}

/// The program of this name in the folder, or else the one on the search path.
pub(super) fn program(folder: Option<&Path>, name: &str) -> PathBuf {
    let own = folder.map(|folder| folder.join(name));
    own.filter(|path| path.is_file())
        .unwrap_or_else(|| name.into())
}

fn has(folder: &Path, programs: &[&str]) -> bool {
    programs.iter().all(|name| folder.join(name).is_file())
}

/// Tests write to a cluster and delete from it, so a kubeconfig must not lead to one that somebody needs.
fn is_local(kubeconfig: &Path) -> Result<(), String> {
    let shown = kubeconfig.display();
    let read = kube::config::Kubeconfig::read_from(kubeconfig);
    let context = match read {
        Ok(config) => config.current_context.unwrap_or_default(),
        Err(error) => return Err(format!("KUBECONFIG ({shown}) cannot be read: {error}")),
    };
    if LOCAL.iter().any(|local| context.starts_with(local)) {
        return Ok(());
    }
    Err(format!(
        "KUBECONFIG ({shown}) is at {context:?}, which is no cluster of kind or k3d"
    ))
}
