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

/// This test binary as a process of its own, which runs the ignored test `name` on `dir`.
pub fn child(name: &str, dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", name, "--ignored", "--nocapture"])
        .env(FOLDER, dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

/// The folder that the parent passed; `None` when the test runs by itself.
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

/// Random numbers from a printed seed (splitmix64).
pub struct Random(u64);

impl Random {
    /// `MAESTRO_TEST_SEED` repeats a run.
    pub fn seeded() -> Self {
        let given = std::env::var("MAESTRO_TEST_SEED").ok();
        let now = || std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
        let seed = given.map_or_else(now, |text| text.parse().unwrap());
        println!("MAESTRO_TEST_SEED={seed}");
        Self(seed)
    }
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}
