//! A real PgBouncer (Debian's package `pgbouncer`) in transaction mode, in front of a Postgres of the tests.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use super::postgres::{Keeper, PATIENCE, USER, service};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Instant;
use std::{env, fs};
use tempfile::TempDir;
use tokio::time::{Duration, sleep};

const PROGRAM: &str = "pgbouncer";
/// Debian installs it where the search path of users does not lead.
const DEBIAN: &str = "/usr/sbin";
/// The polling interval.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A running pool. It ends with the handle, and with the process of the test however that ends.
pub struct PgBouncer {
    port: u16,
    _keeper: Keeper,
}

impl PgBouncer {
    /// A pool of few connections for the databases of a server, which is `host:port`. `None` if there is no program to
    /// start; then the test is skipped, and says so.
    ///
    /// # Panics
    /// If the program is missing although the environment variable `CI` is set, or if it does not start.
    pub async fn start(server: &str) -> Option<Self> {
        let path = env::var_os("PATH").unwrap_or_default();
        let mut folders = env::split_paths(&path).chain([DEBIAN.into()]);
        let Some(folder) = folders.find(|folder| folder.join(PROGRAM).is_file()) else {
            let missing = format!("{PROGRAM} is missing; type: sudo apt-get install {PROGRAM}");
            assert!(env::var_os("CI").is_none(), "{missing}");
            eprintln!("SKIPPED: {missing}");
            return None;
        };
        let (host, to) = server.rsplit_once(':').unwrap();
        let files = TempDir::with_prefix("maestro-pgbouncer-").unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let settings = format!(
            "[databases]\n* = host={host} port={to} user={USER}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\ndefault_pool_size = 5\n"
        );
        let file = files.path().join("pgbouncer.ini");
        fs::write(&file, settings).unwrap();
        super::postgres::give_to_service(files.path());
        let mut program = service(&folder.join(PROGRAM));
        program.arg(&file);
        // The keeper deletes the folder.
        let keeper = Keeper::of(&program, &files.keep(), "TERM");
        let process = format!("/proc/{}", keeper.server);
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let runs = Path::new(&process).exists() && Instant::now() < until;
            let log = fs::read_to_string(file.with_file_name("log")).unwrap_or_default();
            assert!(runs, "{PROGRAM} does not start:\n{log}");
            sleep(LOOK_EVERY).await;
        }
        Some(Self {
            port,
            _keeper: keeper,
        })
    }

    /// `host:port`, in the place of the server's own.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}
