//! The addresses of servers, as `--url` names them.

use anyhow::{Context, anyhow, bail};
use reqwest::Url;

/// # Errors
/// If it is not the address of a server, with `example` for one that is.
pub fn parse(given: &str, example: &str) -> anyhow::Result<Url> {
    // What stands before an @ may be a password.
    let shown = given.rsplit('@').next().unwrap_or(given);
    let hint = || format!("--url {shown:?}: write it as {example}");
    let url: Url = given.parse().with_context(hint)?;
    if url.scheme() != "http" || !url.has_host() {
        bail!("--url {shown:?} is no http:// address: write it as {example}");
    }
    if !url.username().is_empty() || url.password().is_some() {
        bail!(
            "--url has a user or a password, which no server of Maestro asks for: write it as {example}"
        );
    }
    Ok(url)
}

/// The error for an address where nobody listens. `port` says how the server's port is set.
pub fn unreachable(server: &str, url: &str, cause: &str, port: &str) -> anyhow::Error {
    anyhow!(
        "cannot reach the {server} at {url}: {cause}; start it with `maestro start`, or name another one with --url (its \
         port: {port})"
    )
}
