//! The API calls that prepare a measurement and read its outcome, as JSON.

use crate::wire::{self, Connection};
use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The polling interval.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// One connection to one API.
pub struct Api {
    connection: Connection,
    host: String,
}

impl Api {
    pub async fn connect(url: &str) -> anyhow::Result<Self> {
        let host = wire::address_of(url).to_owned();
        let opened = Connection::open(&host).await;
        let connection = opened.with_context(|| format!("cannot reach {url}"))?;
        Ok(Self { connection, host })
    }

    /// Makes a call; returns the status and body of the answer.
    pub async fn call(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(u16, Value)> {
        let body = body.map(Value::to_string);
        let request = wire::request(method, &self.host, path, body.as_deref());
        let answered = self.connection.call(&request).await;
        let answer = answered.with_context(|| format!("{method} {path}"))?;
        let bytes = self.connection.body(&answer);
        let text = || Value::String(String::from_utf8_lossy(bytes).into_owned());
        let value = serde_json::from_slice(bytes).unwrap_or_else(|_| text());
        Ok((answer.status, value))
    }

    /// Makes a call that must be answered 200; returns the body.
    pub async fn ok(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        match self.call(method, path, body).await? {
            (200, value) => Ok(value),
            (status, value) => bail!("{method} {path}: {status}: {value}"),
        }
    }

    pub async fn create(&mut self, scheduler: &Value) -> anyhow::Result<()> {
        self.ok("POST", "/schedulers", Some(scheduler)).await?;
        Ok(())
    }

    /// The number of ready rooms of this game.
    pub async fn ready(&mut self, game: &str) -> anyhow::Result<u64> {
        let path = format!("/schedulers/info?game={game}");
        let body = self.ok("GET", &path, None).await?;
        let infos = body["schedulers"].as_array().into_iter().flatten();
        let ready = infos.map(|info| info["roomsReady"].as_u64().unwrap_or(0));
        Ok(ready.sum())
    }

    /// Waits until the game has this many ready rooms.
    pub async fn until_ready(
        &mut self,
        game: &str,
        wanted: u64,
        within: Duration,
    ) -> anyhow::Result<()> {
        let until = Instant::now() + within;
        loop {
            let ready = self.ready(game).await?;
            if ready >= wanted {
                return Ok(());
            }
            if Instant::now() > until {
                bail!("{ready} of {wanted} rooms of {game} were ready within {within:?}");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until the scheduler is in sync.
    pub async fn until_in_sync(&mut self, name: &str, within: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + within;
        loop {
            let path = format!("/schedulers/{name}");
            let body = self.ok("GET", &path, None).await?;
            if body["scheduler"]["state"] == "in-sync" {
                return Ok(());
            }
            if Instant::now() > until {
                bail!("{name} is not in sync after {within:?}: {body}");
            }
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
    }

    /// Deletes the scheduler and waits until it is gone.
    pub async fn delete(&mut self, name: &str, within: Duration) -> anyhow::Result<()> {
        let path = format!("/schedulers/{name}");
        self.ok("DELETE", &path, None).await?;
        let until = Instant::now() + within;
        while self.call("GET", &path, None).await?.0 == 200 {
            if Instant::now() > until {
                bail!("{name} is still there after {within:?}");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }
}

/// The body that creates a scheduler of rooms with one port each, or without ports if the machine
/// does not have enough.
pub fn scheduler(name: &str, game: &str, rooms: u32) -> Value {
    let ports = match rooms {
        0..=60_000 => json!([{"name": "game", "protocol": "udp", "port": 7777}]),
        _ => json!([]),
    };
    json!({
        "name": name, "game": game, "maxSurge": "25%", "roomsReplicas": rooms,
        "portRange": {"start": 1024, "end": 65535},
        "spec": {"terminationGracePeriod": "2s", "containers": [{
            "name": "game", "image": "maestro/room", "imagePullPolicy": "IfNotPresent",
            "command": maestro_samples::room::command(),
            "requests": {"memory": "20Mi", "cpu": "10m"}, "limits": {"memory": "100Mi", "cpu": "200m"},
            "ports": ports,
        }]},
        "forwarders": [],
    })
}
