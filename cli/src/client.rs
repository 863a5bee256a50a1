//! One server of a running Maestro, and what it answers.

use anyhow::{Context, anyhow, bail};
use maestro_core::text::escaped;
use reqwest::{Method, StatusCode, Url};
use serde_json::Value;
use std::error::Error;
use std::time::Duration;

/// The addresses of a server with default settings.
pub const MANAGEMENT_URL: &str = "http://127.0.0.1:8080";
pub const INTERNAL_URL: &str = "http://127.0.0.1:8081";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How much of a foreign answer to show in an error.
const EXCERPT_MAX: usize = 200;

/// Which of the servers is meant; for errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    Management,
    Internal,
}

impl Server {
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Management => ("management API", "MAESTRO_API_PORT, 8080 by default"),
            Self::Internal => (
                "internal server",
                "MAESTRO_INTERNALAPI_PORT, 8081 by default",
            ),
        }
    }
}

pub struct Client {
    http: reqwest::Client,
    base: Url,
    server: Server,
}

/// An answer, good or bad.
pub struct Answer {
    pub status: StatusCode,
    pub text: String,
    asked: String,
}

/// Blocks on a command's calls.
pub fn block_on<T>(calls: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the I/O runtime")?
        .block_on(calls)
}

impl Client {
    /// # Errors
    /// If `url` cannot be called.
    pub fn new(url: &str, server: Server) -> anyhow::Result<Self> {
        let example = "write it as http://127.0.0.1:8080";
        let base: Url = url
            .parse()
            .with_context(|| format!("--url {url:?}: {example}"))?;
        if base.scheme() != "http" || base.host_str().is_none() {
            bail!("--url {url:?} is no http:// address: {example}");
        }
        let local = matches!(base.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        let mut http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(CALL_TIMEOUT);
        if local {
            // A proxy from the environment cannot reach this machine.
            http = http.no_proxy();
        }
        Ok(Self {
            http: http.build()?,
            base,
            server,
        })
    }

    /// The timeout of a slow call.
    pub async fn call_within(
        &self,
        within: Duration,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> anyhow::Result<Answer> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| anyhow!("{} has no path", self.base))?
            .pop_if_empty()
            .extend(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let asked = format!("{method} {url}");
        let mut request = self.http.request(method, url).timeout(within);
        if let Some(body) = body {
            // JSON is YAML too, and as YAML a grace period may be a number of seconds (D14, D25).
            request = request
                .header("content-type", "application/yaml")
                .body(body.to_string());
        }
        let answer = request.send().await.map_err(|e| self.unreachable(&e))?;
        let status = answer.status();
        let text = answer
            .text()
            .await
            .with_context(|| format!("{asked}: the answer broke off"))?;
        Ok(Answer {
            status,
            text,
            asked,
        })
    }

    pub async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> anyhow::Result<Answer> {
        self.call_within(CALL_TIMEOUT, Method::GET, path, query, None)
            .await
    }

    pub async fn post(&self, path: &[&str], body: &Value) -> anyhow::Result<Answer> {
        self.call_within(CALL_TIMEOUT, Method::POST, path, &[], Some(body))
            .await
    }

    fn unreachable(&self, error: &reqwest::Error) -> anyhow::Error {
        let (server, port) = self.server.words();
        let cause = innermost(error);
        if !error.is_connect() {
            return anyhow!("the {server} at {} did not answer: {cause}", self.base);
        }
        anyhow!(
            "cannot reach the {server} at {}: {cause}; start it with `maestro start`, or name another one with --url \
             (its port: {port})",
            self.base
        )
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

impl Answer {
    pub fn is_success(&self) -> bool {
        self.status.is_success()
    }

    /// The body of a good answer.
    ///
    /// # Errors
    /// The server's error.
    pub fn json(&self) -> anyhow::Result<Value> {
        if !self.is_success() {
            return Err(self.refusal());
        }
        let not_ours = || {
            format!(
                "{}: {} is no answer of this server",
                self.asked,
                self.excerpt()
            )
        };
        serde_json::from_str(&self.text).with_context(not_ours)
    }

    /// The server's error, in its own words.
    pub fn message(&self) -> String {
        let body: Value = serde_json::from_str(&self.text).unwrap_or_default();
        match body["message"].as_str() {
            Some(message) => escaped(message).into_owned(),
            None => format!("{} {}", self.status, self.excerpt()),
        }
    }

    pub fn refusal(&self) -> anyhow::Error {
        anyhow!("{}: {}", self.asked, self.message())
    }

    fn excerpt(&self) -> String {
        let text: String = self.text.trim().chars().take(EXCERPT_MAX).collect();
        escaped(&format!("{text:?}")).into_owned()
    }
}
