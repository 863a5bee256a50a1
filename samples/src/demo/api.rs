//! The few calls of the HTTP APIs that the demonstration makes.

use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::time::Duration;

pub const SCHEDULER: &str = "demo";
/// The version that a new scheduler has.
pub const FIRST_VERSION: &str = "v1.0.0";
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const PAGE_SIZE: usize = 100;
/// Enough pages for all operations that a scheduler keeps.
const PAGES_MAX: usize = 10;

#[derive(Clone)]
pub struct Api {
    client: reqwest::Client,
    management: String,
    rooms: String,
}

/// A room allocated to us.
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

impl Counts {
    /// The number of rooms that are not ending.
    pub fn there(self) -> u64 {
        self.ready + self.occupied + self.pending
    }
}

/// A rolling update, as the scheduler sees it.
pub struct Rollout {
    pub in_progress: bool,
    pub active: String,
    pub old: u64,
    pub new: u64,
    pub waits_for: String,
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

    /// A fleet of at least `rooms`, at most `max`, with half of its rooms free.
    pub async fn create(&self, rooms: u32, max: u32) -> anyhow::Result<()> {
        let body = json!({
            "name": SCHEDULER, "game": "demo", "maxSurge": "50%", "roomsReplicas": rooms,
            "autoscaling": {"enabled": true, "min": rooms, "max": max, "cooldown": 2, "policy": {
                "type": "roomOccupancy",
                "parameters": {"roomOccupancy": {"readyTarget": 0.5, "downThreshold": 0.99}},
            }},
            "portRange": {"start": 20000, "end": 29999},
            "spec": {"terminationGracePeriod": "2s", "containers": [{
                "name": "game", "image": "maestro/room", "imagePullPolicy": "IfNotPresent",
                "command": crate::room::command(),
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

    /// Makes a major change, for which every room has to be replaced. Returns the id of the
    /// operation.
    pub async fn update(&self) -> anyhow::Result<String> {
        let body = json!({"spec": {"containers": [
            {"environment": [{"name": "BUILD", "value": "2"}]},
        ]}});
        let url = format!("{}/schedulers/{SCHEDULER}", self.management);
        let answer = self.client.patch(url).json(&body).send().await?;
        if !answer.status().is_success() {
            bail!("the update was refused: {}", answer.text().await?);
        }
        let body: Value = answer.json().await?;
        let id = body["operationId"].as_str();
        Ok(id.context("an update without an operation")?.to_owned())
    }

    pub async fn rollout(&self) -> anyhow::Result<Rollout> {
        let body = self
            .get(&format!("/schedulers/{SCHEDULER}/rollout"))
            .await?;
        let rollout = &body["rollout"];
        let text = |name: &str| rollout[name].as_str().unwrap_or_default().to_owned();
        let number = |name: &str| rollout[name].as_u64().unwrap_or_default();
        Ok(Rollout {
            in_progress: rollout["inProgress"] == true,
            active: text("activeVersion"),
            old: number("old"),
            new: number("new"),
            waits_for: text("waitingFor"),
        })
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

    /// Open operations, running ones first.
    pub async fn open_operations(&self) -> anyhow::Result<Vec<Value>> {
        let mut open = self.operations("active").await?;
        open.extend(self.operations("pending").await?);
        Ok(open)
    }

    /// Operations that have ended, newest first.
    pub async fn ended_operations(&self) -> anyhow::Result<Vec<Value>> {
        let mut all = Vec::new();
        for page in 1..=PAGES_MAX {
            let stage = format!("final&perPage={PAGE_SIZE}&page={page}");
            let found = self.operations(&stage).await?;
            let is_last = found.len() < PAGE_SIZE;
            all.extend(found);
            if is_last {
                break;
            }
        }
        Ok(all)
    }

    async fn operations(&self, stage: &str) -> anyhow::Result<Vec<Value>> {
        let path = format!("/schedulers/{SCHEDULER}/operations?stage={stage}");
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
