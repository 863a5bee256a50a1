//! The addresses of servers, as `--url` names them.

use anyhow::{Context, anyhow, bail};
use reqwest::Url;

/// # Errors
/// If it is not the address of a server, with `example` for one that is.
pub fn parse(given: &str, example: &str) -> anyhow::Result<Url> {
    let hint = || format!("--url {given:?}: write it as {example}");
    let url: Url = given.parse().with_context(hint)?;
    if url.scheme() != "http" || !url.has_host() {
        bail!("--url {given:?} is no http:// address: write it as {example}");
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
