//! A small matchmaker: allocates rooms and starts matches in them.

use super::api::{Allocation, Api};
use std::collections::HashSet;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub const MATCH_SECONDS: u64 = 2;
const PLAYERS: u32 = 4;
/// How often to retry a room that does not answer.
const LOOKS: usize = 3;
const LINE_TIMEOUT: Duration = Duration::from_secs(2);

/// Its statistics.
#[derive(Default)]
pub struct Tally {
    pub matches: AtomicU64,
    /// Completed matches; the others were cut short.
    whole: AtomicU64,
    /// Rooms that were allocated while we still had them: must stay zero.
    pub twice: AtomicU64,
    held: Mutex<HashSet<String>>,
}

/// The number of matches that begin per second. May change at any time.
pub struct Load(AtomicU64);

impl Load {
    pub fn new(per_second: f64) -> Self {
        Self(AtomicU64::new(per_second.to_bits()))
    }

    pub fn set(&self, per_second: f64) {
        self.0.store(per_second.to_bits(), Relaxed);
    }

    fn pause(&self) -> Duration {
        Duration::from_secs_f64(1.0 / f64::from_bits(self.0.load(Relaxed)).max(0.1))
    }
}

/// How the matchmaker is stopped.
#[derive(Clone, Default)]
pub struct Stop {
    /// No new match begins; running ones finish.
    pub soon: CancellationToken,
    /// Running matches are abandoned.
    pub now: CancellationToken,
}

/// Allocates according to `load` until stopped.
pub async fn run(api: Api, tally: Arc<Tally>, load: Arc<Load>, stop: Stop) {
    let mut matches = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.soon.cancelled() => break,
            () = stop.now.cancelled() => break,
            () = tokio::time::sleep(load.pause()) => {}
        }
        if let Ok(Some(room)) = api.allocate().await {
            tally.take(&room);
            let tally = tally.clone();
            matches.spawn(async move { play(room, &tally).await });
        }
        while matches.try_join_next().is_some() {}
    }
    let ended = async { while matches.join_next().await.is_some() {} };
    tokio::select! {
        () = ended => {}
        () = stop.now.cancelled() => matches.shutdown().await,
    }
}

async fn play(room: Allocation, tally: &Tally) {
    let started = command(&room.game, &format!("match {MATCH_SECONDS} {PLAYERS}")).await;
    if started.is_ok_and(|answer| answer.starts_with("ok")) {
        tally.matches.fetch_add(1, Relaxed);
        // The room is released shortly before it pings `ready` again.
        tokio::time::sleep(Duration::from_secs(MATCH_SECONDS) - Duration::from_millis(100)).await;
        if plays_on(&room.game).await {
            tally.whole.fetch_add(1, Relaxed);
        }
    }
    tally.give_back(&room.room);
}

/// Whether the room of our match still exists shortly before the match ends, and is not
/// terminating.
async fn plays_on(game: &str) -> bool {
    for _ in 0..LOOKS {
        match command(game, "status").await {
            Ok(status) => return !status.starts_with("terminat"),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return false,
            // The machine is busy.
            Err(_) => {}
        }
    }
    false
}

/// Sends one line to a room's game port and reads one back.
pub async fn command(game: &str, line: &str) -> std::io::Result<String> {
    let work = async {
        let mut stream = TcpStream::connect(game).await?;
        stream.write_all(format!("{line}\n").as_bytes()).await?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).await?;
        Ok(answer.trim_end().to_owned())
    };
    tokio::time::timeout(LINE_TIMEOUT, work)
        .await
        .map_err(std::io::Error::from)?
}

impl Tally {
    /// Matches whose room ended first, or that were still running at the end.
    pub fn cut_short(&self) -> u64 {
        let matches = self.matches.load(Relaxed);
        matches.saturating_sub(self.whole.load(Relaxed))
    }

    pub fn take(&self, room: &Allocation) {
        if let Ok(mut held) = self.held.lock()
            && !held.insert(room.room.clone())
        {
            self.twice.fetch_add(1, Relaxed);
        }
    }

    pub fn give_back(&self, room: &str) {
        if let Ok(mut held) = self.held.lock() {
            held.remove(room);
        }
    }
}
