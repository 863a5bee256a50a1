//! The room's connection to the rooms API: one ping at a time over a kept connection.

use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::game::{Report, Status};

/// A slower answer is useless; the next ping carries newer data.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// The result of a ping.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    Accepted,
    /// The answer was not `success: true`.
    Refused(String),
    /// No answer came.
    Unreachable(String),
}

/// The connection to the room's own ping route.
#[derive(Debug)]
pub struct Link {
    client: reqwest::Client,
    url: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Ping {
    status: Status,
    timestamp: i64,
    running_matches: u32,
    metadata: Metadata,
}

#[derive(Serialize)]
struct Metadata {
    players: u32,
    pid: u32,
}

#[derive(Deserialize)]
struct Answer {
    success: bool,
}

impl Link {
    /// # Errors
    /// If no client can be created.
    pub fn new(rooms_api_url: &str, scheduler: &str, room: &str) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            // Rooms call their orchestrator directly, whatever the proxy settings.
            .no_proxy()
            .timeout(ANSWER_MAX)
            .pool_max_idle_per_host(1)
            // The server decides how long an idle connection stays open: a room may ping rarely.
            .pool_idle_timeout(None)
            .build()
            .context("no HTTP client")?;
        let base = rooms_api_url.trim_end_matches('/');
        Ok(Self {
            client,
            url: format!("{base}/scheduler/{scheduler}/rooms/{room}/ping"),
        })
    }

    /// Sends one ping and waits for its answer, at most [`ANSWER_MAX`].
    pub async fn ping(&self, report: &Report) -> Outcome {
        let ping = Ping {
            status: report.status,
            timestamp: jiff::Timestamp::now().as_second(),
            running_matches: report.matches,
            metadata: Metadata {
                players: report.players,
                pid: std::process::id(),
            },
        };
        let response = match self.client.put(&self.url).json(&ping).send().await {
            Ok(response) => response,
            Err(error) => return Outcome::Unreachable(innermost(&error)),
        };
        let status = response.status();
        match response.json::<Answer>().await {
            Ok(Answer { success: true }) if status.is_success() => Outcome::Accepted,
            Ok(_) => Outcome::Refused("success: false".to_owned()),
            Err(_) => Outcome::Refused(format!("HTTP status {status}")),
        }
    }
}

/// The innermost cause: "connection refused" says more than "error sending request".
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
