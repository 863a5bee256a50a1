//! The few calls of the HTTP APIs that the demonstration makes.

use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::time::Duration;

pub const SCHEDULER: &str = "demo";
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub struct Api {
    client: reqwest::Client,
    management: String,
    rooms: String,
}

/// A room that was given to us.
pub struct Allocation {
    pub room: String,
    pub game: String,
}

/// Rooms by status, as `/schedulers/info` counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub ready: u64,
    pub occupied: u64,
    pub pending: u64,
    pub terminating: u64,
}

impl Api {
    pub fn new(management: &str, rooms: &str) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().timeout(CALL_TIMEOUT).build()?;
        Ok(Self {
            client,
            management: management.into(),
            rooms: rooms.into(),
        })
    }

    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let answer = self
            .client
            .get(format!("{}{path}", self.management))
            .send()
            .await?;
        let status = answer.status();
        let body: Value = answer.json().await?;
        if !status.is_success() {
            bail!("GET {path}: {status}: {body}");
        }
        Ok(body)
    }

    pub async fn create(&self, rooms: u32) -> anyhow::Result<()> {
        let body = json!({
            "name": SCHEDULER, "game": "demo", "maxSurge": "25%", "roomsReplicas": rooms,
            "portRange": {"start": 20000, "end": 29999},
            "spec": {"terminationGracePeriod": "2s", "containers": [{
                "name": "game", "image": "maestro/room", "imagePullPolicy": "IfNotPresent",
                "command": ["maestro", "room", "--ping-interval", "1s"],
                "requests": {"memory": "20Mi", "cpu": "10m"}, "limits": {"memory": "100Mi", "cpu": "200m"},
                "ports": [{"name": "game", "protocol": "tcp", "port": 7777}],
            }]},
        });
        let url = format!("{}/schedulers", self.management);
        let answer = self.client.post(url).json(&body).send().await?;
        if !answer.status().is_success() {
            bail!("the scheduler was refused: {}", answer.text().await?);
        }
        Ok(())
    }

    pub async fn counts(&self) -> anyhow::Result<Counts> {
        let body = self.get("/schedulers/info?game=demo").await?;
        let info = body["schedulers"].get(0).context("the scheduler is gone")?;
        let of = |name: &str| info[name].as_u64().unwrap_or_default();
        Ok(Counts {
            ready: of("roomsReady"),
            occupied: of("roomsOccupied"),
            pending: of("roomsPending"),
            terminating: of("roomsTerminating"),
        })
    }

    /// `None`: no room is ready now.
    pub async fn allocate(&self) -> anyhow::Result<Option<Allocation>> {
        let url = format!("{}/scheduler/{SCHEDULER}/rooms/allocate", self.rooms);
        let answer = self.client.post(url).send().await?;
        if !answer.status().is_success() {
            return Ok(None);
        }
        let body: Value = answer.json().await?;
        let room = body["roomId"]
            .as_str()
            .context("an allocation without a room")?
            .to_owned();
        let host = body["host"].as_str().unwrap_or_default();
        let port = body["ports"][0]["port"]
            .as_u64()
            .context("an allocation without a port")?;
        Ok(Some(Allocation {
            room,
            game: format!("{host}:{port}"),
        }))
    }

    pub async fn delete(&self) -> anyhow::Result<()> {
        let url = format!("{}/schedulers/{SCHEDULER}", self.management);
        let answer = self.client.delete(url).send().await?;
        if !answer.status().is_success() {
            bail!("the deletion was refused: {}", answer.text().await?);
        }
        Ok(())
    }

    pub async fn exists(&self) -> anyhow::Result<bool> {
        let url = format!("{}/schedulers/{SCHEDULER}", self.management);
        Ok(self.client.get(url).send().await?.status().is_success())
    }

    /// Operations of a stage, newest first.
    pub async fn operations(&self, stage: &str) -> anyhow::Result<Vec<Value>> {
        let pages = if stage == "final" { "&perPage=100" } else { "" };
        let path = format!("/schedulers/{SCHEDULER}/operations?stage={stage}{pages}");
        let body = self.get(&path).await?;
        Ok(body["operations"].as_array().cloned().unwrap_or_default())
    }

    pub async fn operation(&self, id: &str) -> anyhow::Result<Value> {
        let body = self
            .get(&format!("/schedulers/{SCHEDULER}/operations/{id}"))
            .await?;
        Ok(body["operation"].clone())
    }
}
