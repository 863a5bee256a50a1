//! A real browser, for behaviour that only a browser has.

use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Its name on this machine.
pub fn browser() -> Option<&'static str> {
    let works = |name: &&str| {
        let mut version = Command::new(name);
        let quiet = version
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        quiet.status().is_ok_and(|status| status.success())
    };
    ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find(works)
}

/// The command of a browser with its own profile that reaches this machine only; `names` resolve to this machine.
pub fn command(browser: &str, profile: &TempDir, names: &[&str]) -> tokio::process::Command {
    let mapped: String = names
        .iter()
        .map(|name| format!("MAP {name} 127.0.0.1, "))
        .collect();
    let mut command = tokio::process::Command::new(browser);
    command
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
        ])
        .arg(format!(
            "--host-resolver-rules={mapped}MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
        ))
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    command
}
