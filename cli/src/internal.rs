//! The internal server of a running Maestro, over HTTP.
//!
//! Calls that change the process are not on the public ports (architecture 8). Over gRPC only nodes may make them, so
//! the commands that need such calls use this server.

use crate::address;
use anyhow::{Context, anyhow};
use maestro_core::text::escaped;
use reqwest::Url;
use serde_json::Value;
use std::error::Error;
use std::time::Duration;

/// The address of a server with default settings.
pub const INTERNAL_URL: &str = "http://127.0.0.1:8081";
/// How its port is set; for errors.
const PORT: &str = "MAESTRO_INTERNALAPI_PORT, 8081 by default";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the server may take to say that it is there.
const REACHED_WITHIN: Duration = Duration::from_secs(10);
/// How much of a foreign answer to show in an error.
const EXCERPT_MAX: usize = 200;

pub struct Internal {
    http: reqwest::Client,
    base: Url,
}

impl Internal {
    /// # Errors
    /// If `url` cannot be called.
    pub fn new(url: &str) -> anyhow::Result<Self> {
        let base = address::parse(url, INTERNAL_URL)?;
        let local = matches!(base.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        let mut http = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT);
        if local {
            // A proxy from the environment cannot reach this machine.
            http = http.no_proxy();
        }
        Ok(Self {
            http: http.build()?,
            base,
        })
    }

    /// # Errors
    /// If no internal server of Maestro answers there; the message says what to name instead.
    pub async fn reach(&self) -> anyhow::Result<()> {
        let asked = self
            .http
            .get(self.page(&["healthz"])?)
            .timeout(REACHED_WITHIN);
        let answer = asked.send().await.map_err(|e| self.unreachable(&e))?;
        if !answer.status().is_success() {
            return Err(anyhow!(
                "what listens at {} is no internal server of Maestro ({}); name that with --url (its port: {PORT})",
                self.base,
                answer.status()
            ));
        }
        Ok(())
    }

    /// What its readiness page says.
    ///
    /// # Errors
    /// If it is not ready, or does not answer.
    pub async fn ready(&self) -> anyhow::Result<String> {
        let asked = self
            .http
            .get(self.page(&["readyz"])?)
            .timeout(REACHED_WITHIN);
        let answer = asked.send().await.map_err(|e| self.unreachable(&e))?;
        let status = answer.status();
        let text = answer.text().await.unwrap_or_default();
        match status.is_success() {
            true => Ok(excerpt(&text).trim_matches('"').to_owned()),
            false => Err(anyhow!("not ready ({status}): {}", excerpt(&text))),
        }
    }

    fn page(&self, page: &[&str]) -> anyhow::Result<Url> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| anyhow!("{} has no path", self.base))?
            .pop_if_empty()
            .extend(page);
        Ok(url)
    }

    /// Posts to the page of these segments of a path.
    ///
    /// # Errors
    /// The server's own, or that it did not answer.
    pub async fn post(
        &self,
        page: &[&str],
        body: &Value,
        within: Duration,
    ) -> anyhow::Result<Value> {
        let url = self.page(page)?;
        let asked = format!("POST {url}");
        let request = self.http.post(url).timeout(within);
        let request = request
            .header("content-type", "application/json")
            .body(body.to_string());
        let answer = request.send().await.map_err(|e| self.unreachable(&e))?;
        let status = answer.status();
        let broke_off = || format!("{asked}: the answer broke off");
        let text = answer.text().await.with_context(broke_off)?;
        match (status.is_success(), serde_json::from_str::<Value>(&text)) {
            (true, Ok(body)) => Ok(body),
            (true, Err(_)) => Err(anyhow!(
                "{asked}: {} is no answer of this server",
                excerpt(&text)
            )),
            (false, body) => match body.unwrap_or_default()["message"].as_str() {
                Some(message) => Err(anyhow!("{asked}: {}", escaped(message))),
                None => Err(anyhow!("{asked}: {status} {}", excerpt(&text))),
            },
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> anyhow::Error {
        let cause = innermost(error);
        match error.is_connect() {
            true => address::unreachable("internal server", self.base.as_str(), &cause, PORT),
            false => anyhow!(
                "the internal server at {} did not answer: {cause} (its port: {PORT})",
                self.base
            ),
        }
    }
}

/// The most specific cause: the others repeat the address.
fn innermost(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn excerpt(text: &str) -> String {
    let text: String = text.trim().chars().take(EXCERPT_MAX).collect();
    escaped(&format!("{text:?}")).into_owned()
}
