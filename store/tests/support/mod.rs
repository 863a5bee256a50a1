//! Shared by the fault tests: separate processes, and repeatable random numbers.
#![allow(dead_code, reason = "each test uses a part of it")]

use maestro_core::ports::{Ownership, Reads, Store};
use maestro_store::embedded::EmbeddedStore;
use maestro_testkit::contract::store::Ports;
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

const FOLDER: &str = "MAESTRO_STORE_TEST_FOLDER";

pub fn ports(store: &Arc<EmbeddedStore>) -> Ports {
    Ports {
        store: store.clone() as Arc<dyn Store>,
        reads: store.clone() as Arc<dyn Reads>,
        ownership: store.clone() as Arc<dyn Ownership>,
    }
}

/// Runs the ignored test `name` of this binary on `dir`, as a separate process.
pub fn child(name: &str, dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", name, "--ignored", "--nocapture"])
        .env(FOLDER, dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

/// The folder that the parent passed; `None` if the test was started directly.
pub fn folder_of_parent() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

/// Waits until `level` holds.
pub async fn eventually(what: &str, mut level: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !level().await {
        assert!(Instant::now() < deadline, "not within 20 s: {what}");
        tokio::task::yield_now().await;
    }
}

/// Random numbers from a printed seed.
pub struct Random(fastrand::Rng);

impl Random {
    /// `MAESTRO_TEST_SEED` repeats a run.
    pub fn seeded() -> Self {
        let given = std::env::var("MAESTRO_TEST_SEED").ok();
        let now = || std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
        let seed = given.map_or_else(now, |text| text.parse().unwrap());
        println!("MAESTRO_TEST_SEED={seed}");
        Self(fastrand::Rng::with_seed(seed))
    }
    pub fn below(&mut self, bound: usize) -> usize {
        self.0.usize(..bound)
    }
}
