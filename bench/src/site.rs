//! A server in its own folder, with fleets on it.

use crate::api::{self, Api};
use crate::args::{Common, TargetArgs};
use crate::load::{Generator, Requests};
use crate::scratch::Scratch;
use crate::server::{Server, Stores};
use crate::wire;
use anyhow::{Context, bail};
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The timeout of all waits: sixty thousand rooms on a slow machine.
pub const PATIENCE: Duration = Duration::from_secs(600);

/// More rooms than are ever created, including those from before a restart.
const ROOMS_MAX: u32 = 250_000;

/// A ping as a room of a game sends it.
pub const PING: &str = r#"{"status":"ready","timestamp":"12312312313","metadata":{"region":"eu","map":"forest","players":3}}"#;
/// What the answer to an accepted ping contains.
pub const TAKEN: &[u8] = br#""success":true"#;

/// A server that was started here, with its folder.
pub struct Site {
    pub server: Server,
    pub folder: Scratch,
    settings: Vec<(&'static str, String)>,
    stores: Stores,
}

impl Site {
    /// A server with simulated rooms whose ping timeout is an hour.
    pub async fn simulated(common: &Common, more: &[(&'static str, &str)]) -> anyhow::Result<Self> {
        let hour = || "3600000".to_owned();
        let mut settings = vec![
            ("MAESTRO_RUNTIME_TYPE", "simulated".to_owned()),
            ("MAESTRO_LIMITS_ROOMS_PERSCHEDULER", ROOMS_MAX.to_string()),
            ("MAESTRO_LIMITS_ROOMS_PERNODE", ROOMS_MAX.to_string()),
            ("MAESTRO_SERVICES_ROOMMANAGER_ROOMPINGTIMEOUTMILLIS", hour()),
            (
                "MAESTRO_SERVICES_ROOMMANAGER_ROOMINITIALIZATIONTIMEOUTMILLIS",
                hour(),
            ),
            (
                "MAESTRO_SERVICES_ROOMMANAGER_ROOMALLOCATIONTTLMILLIS",
                hour(),
            ),
        ];
        settings.extend(
            more.iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        );
        Self::with(common, settings).await
    }

    pub async fn with(
        common: &Common,
        mut settings: Vec<(&'static str, String)>,
    ) -> anyhow::Result<Self> {
        let stores = match common.stores {
            true => Stores::OfEnvironment,
            false => Stores::Own,
        };
        let folder = Scratch::new("maestro-bench-");
        let folder = folder.context("cannot make a temporary folder")?;
        let list = folder.path().join("rooms").display().to_string();
        settings.push(("MAESTRO_RUNTIME_SIMULATED_ROOMLIST", list));
        Ok(Self {
            server: Server::start(folder.path(), &settings, stores).await?,
            folder,
            settings,
            stores,
        })
    }

    fn room_list(&self) -> PathBuf {
        self.folder.path().join("rooms")
    }

    /// Ids of the rooms that were created so far, of all schedulers.
    pub fn rooms(&self) -> anyhow::Result<Vec<String>> {
        read_rooms(&self.room_list())
    }

    /// Waits until this many rooms were created since the server first started.
    ///
    /// # Errors
    /// If they are not created in time.
    pub async fn until_created(&self, rooms: u64) -> anyhow::Result<()> {
        let mut list = File::open(self.room_list()).context("the list of rooms is gone")?;
        let (mut seen, mut fresh) = (0, Vec::new());
        let until = Instant::now() + PATIENCE;
        loop {
            fresh.clear();
            list.read_to_end(&mut fresh)?;
            seen += fresh.iter().filter(|byte| **byte == b'\n').count() as u64;
            if seen >= rooms {
                return Ok(());
            }
            if Instant::now() > until {
                bail!("{seen} of {rooms} rooms were created within {PATIENCE:?}");
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Ends the server with TERM and starts it again on the same data. Returns the new site, and
    /// how long the end took.
    pub async fn restart(self) -> anyhow::Result<(Self, Duration)> {
        // On the same ports, because surviving rooms ping there.
        let mut settings = self.settings.clone();
        for (name, url) in [
            ("MAESTRO_API_PORT", &self.server.management),
            ("MAESTRO_ROOMSAPI_PORT", &self.server.rooms),
        ] {
            let port = url.rsplit(':').next().unwrap_or("0");
            settings.push((name, port.to_owned()));
        }
        let ended_in = self.server.process.stop().await?;
        let server = Server::start(self.folder.path(), &settings, self.stores).await?;
        let site = Self {
            server,
            folder: self.folder,
            settings: self.settings,
            stores: self.stores,
        };
        Ok((site, ended_in))
    }

    /// Creates a simulated fleet and pings each of its rooms once. Returns the times until all were
    /// created, and until all were ready.
    pub async fn ready_fleet(
        &self,
        name: &str,
        rooms: u32,
        connections: u32,
    ) -> anyhow::Result<(Duration, Duration)> {
        let mut api = Api::connect(&self.server.management).await?;
        let wanted = u64::from(rooms);
        let before = self.rooms()?.len() as u64;
        let began = Instant::now();
        api.create(&api::scheduler(name, name, rooms)).await?;
        self.until_created(before + wanted).await?;
        let created = began.elapsed();
        let prefix = format!("{name}-");
        let listed = self.rooms()?;
        let of_it: Vec<_> = listed
            .into_iter()
            .filter(|r| r.starts_with(&prefix))
            .collect();
        ping_once(&self.server.rooms, name, &of_it, connections).await?;
        api.until_ready(name, wanted, PATIENCE).await?;
        Ok((created, began.elapsed()))
    }
}

/// The target of the load: our own server, or a running one.
pub struct Target {
    pub management: Option<String>,
    pub rooms: Option<String>,
    pub internal: Option<String>,
    pub pid: Option<u32>,
    /// Held during the measurement.
    pub site: Option<Site>,
}

impl Target {
    pub fn own(site: Site) -> Self {
        Self {
            management: Some(site.server.management.clone()),
            rooms: Some(site.server.rooms.clone()),
            internal: Some(site.server.internal.clone()),
            pid: Some(site.server.process.pid()),
            site: Some(site),
        }
    }

    /// The running server that the arguments name, if any.
    pub fn named(args: &TargetArgs) -> Option<Self> {
        (args.target_management.is_some() || args.target_rooms.is_some()).then(|| Self {
            management: args.target_management.clone(),
            rooms: args.target_rooms.clone(),
            internal: None,
            pid: args.pid,
            site: None,
        })
    }

    pub fn rooms_url(&self) -> anyhow::Result<&str> {
        self.rooms.as_deref().context("--target-rooms is missing")
    }
    pub fn management_url(&self) -> anyhow::Result<&str> {
        let url = self.management.as_deref();
        url.context("--target-management is missing")
    }

    /// Ends the server, if it is ours.
    pub async fn end(self) -> anyhow::Result<()> {
        if let Some(site) = self.site {
            site.server.process.stop().await?;
        }
        Ok(())
    }
}

pub fn read_rooms(file: &std::path::Path) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(file);
    let text = text.with_context(|| format!("cannot read {}", file.display()))?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// One ping request for each room.
pub fn pings(url: &str, scheduler: &str, rooms: &[String]) -> Vec<Vec<u8>> {
    let host = wire::address_of(url);
    let path = |room: &String| format!("/scheduler/{scheduler}/rooms/{room}/ping");
    let request = |room| wire::request("PUT", host, &path(room), Some(PING));
    rooms.iter().map(request).collect()
}

/// Pings each room once, which makes it ready.
pub async fn ping_once(
    url: &str,
    scheduler: &str,
    rooms: &[String],
    connections: u32,
) -> anyhow::Result<()> {
    let requests = Requests {
        once: true,
        ..Requests::cycle(pings(url, scheduler, rooms), TAKEN)
    };
    let mut generator = Generator::new(wire::address_of(url), connections, None, requests);
    let slice = generator.slice(PATIENCE).await?;
    if slice.refused + slice.failed > 0 {
        let bad = slice.refused + slice.failed;
        bail!("{bad} of {} first pings were not accepted", rooms.len());
    }
    Ok(())
}
