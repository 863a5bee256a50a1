//! A real Postgres server (Debian's package `postgresql`) on a free loopback port, in a folder of its own.
//!
//! Tests of one program share a server, and each has a database of its own. The server ends with the process of the
//! tests, however that ends: a small shell between them waits for the end of its input, which the kernel brings about,
//! and then ends the server by its process id and deletes its folder.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, process};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use tokio::time::sleep;

/// The user of the database; it needs no password.
pub(super) const USER: &str = "maestro";
/// The user of the system that runs the server if this is root, as which Postgres refuses to run.
const SERVICE: &str = "postgres";
/// Debian keeps the programs of the server here, by version, and not on the search path.
const VERSIONS: &str = "/usr/lib/postgresql";
/// How long the server may take to answer after its start.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// A port may be taken by another process between its choice and its use.
const ATTEMPTS: u32 = 5;
/// The polling interval.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Starts the server behind it, says its process id, and ends it when its own input ends. The folder is deleted then,
/// unless a line came before.
const KEEPER: &str = r#"
exec 3<&0
folder=$1; signal=$2; shift 2
"$@" </dev/null >>"$folder/log" 2>&1 3<&- &
echo $!
keep=
read -r keep <&3
kill "-$signal" $!
wait $!
[ -n "$keep" ] || rm -rf "$folder"
"#;

static SHARED: OnceCell<Option<PostgresServer>> = OnceCell::const_new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// A running server of the test's own, or one that was stopped to be started again.
pub struct PostgresServer {
    /// Before its folder: it is dropped first.
    keeper: Option<Keeper>,
    folder: TempDir,
    programs: PathBuf,
    options: Vec<String>,
    port: u16,
}

/// The shell that ends the server.
pub(super) struct Keeper {
    shell: Child,
    input: Option<ChildStdin>,
    pub server: u32,
}

/// A database for one test, at first without tables.
pub struct TestDatabase {
    url: String,
    name: String,
    /// Where the database can be dropped from, if the server is not of the tests' own.
    drop_from: Option<String>,
    psql: PathBuf,
}

/// A new database on the server that `DATABASE_URL` names, or on one that all tests of this program share. `None` if
/// there is no program to start; then the test is skipped, and says so.
///
/// # Panics
/// If the program is missing although the environment variable `CI` is set, or if the server does not start.
pub async fn database() -> Option<TestDatabase> {
    if let Ok(url) = env::var("DATABASE_URL")
        && !url.is_empty()
    {
        let psql = programs().map_or("psql".into(), |folder| folder.join("psql"));
        return Some(TestDatabase::create(psql, &url, true));
    }
    let server = SHARED.get_or_init(|| PostgresServer::start(&[])).await;
    server.as_ref().map(PostgresServer::database)
}

impl PostgresServer {
    /// A server of the test's own. `options` are settings of the server, such as `["max_connections=5"]`; `{dir}` in
    /// them is its folder. `None` as for [`database`].
    ///
    /// # Panics
    /// As [`database`].
    pub async fn start(options: &[&str]) -> Option<Self> {
        Self::start_with(options, &[]).await
    }

    /// As [`Self::start`], with its folder in this one, which may be a small file system. Its journal is small too.
    ///
    /// # Panics
    /// As [`database`].
    pub async fn start_in(folder: &Path, options: &[&str]) -> Option<Self> {
        let programs = programs_or_skip()?;
        let folder = TempDir::with_prefix_in("maestro-postgres-", folder).unwrap();
        Some(Self::start_at(programs, folder, options, &["--wal-segsize=1"]).await)
    }

    /// As [`Self::start`], with these files in its folder: names and contents. Only the server can read them.
    ///
    /// # Panics
    /// As [`database`].
    pub async fn start_with(options: &[&str], files: &[(&str, &[u8])]) -> Option<Self> {
        let programs = programs_or_skip()?;
        let folder = TempDir::with_prefix("maestro-postgres-").unwrap();
        for (name, contents) in files {
            let path = folder.path().join(name);
            fs::write(&path, contents).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        Some(Self::start_at(programs, folder, options, &[]).await)
    }

    async fn start_at(
        programs: PathBuf,
        folder: TempDir,
        options: &[&str],
        initial: &[&str],
    ) -> Self {
        give_to_service(folder.path());
        let mut initdb = service(&programs.join("initdb"));
        initdb.args(["-N", "--no-sync", "-A", "trust", "-E", "UTF8", "--locale=C"]);
        initdb.args(initial).args(["-U", USER, "-D"]);
        run(initdb.arg(folder.path().join("data")));
        let inside = folder.path().to_str().unwrap().to_owned();
        let options = options.iter().map(|o| o.replace("{dir}", &inside));
        let mut server = Self {
            options: options.collect(),
            programs,
            folder,
            port: 0,
            keeper: None,
        };
        server.run().await;
        server
    }

    /// `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A new database.
    pub fn database(&self) -> TestDatabase {
        TestDatabase::create(self.programs.join("psql"), &self.root(), false)
    }

    /// Ends the server as a failure does. What was committed stays.
    pub fn kill(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            keeper.input.as_mut().unwrap().write_all(b"keep\n").unwrap();
        }
    }

    /// Starts a stopped server again on its port.
    pub async fn again(&mut self) {
        assert!(self.keeper.is_none(), "stop the server first");
        self.run().await;
    }

    /// The process id of the running server.
    pub fn pid(&self) -> u32 {
        self.keeper.as_ref().expect("it runs").server
    }

    fn root(&self) -> String {
        format!(
            "postgres://{USER}@{}/postgres?sslmode=disable",
            self.address()
        )
    }

    async fn run(&mut self) {
        let mut started = false;
        for _ in 0..ATTEMPTS {
            started = started || self.try_to_run().await;
        }
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        assert!(started, "Postgres does not start:\n{log}");
    }

    /// False if the server ended instead, for example because its port is taken.
    async fn try_to_run(&mut self) -> bool {
        let fresh = self.port == 0;
        if fresh {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            self.port = free.local_addr().unwrap().port();
        }
        self.keeper = Some(self.keeper());
        let process = format!("/proc/{}", self.pid());
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if psql(&self.programs.join("psql"), &self.root(), "SELECT 1").is_ok() {
                return true;
            }
            if !Path::new(&process).exists() {
                break;
            }
            sleep(LOOK_EVERY).await;
        }
        self.kill();
        if fresh {
            self.port = 0;
        }
        false
    }

    fn keeper(&self) -> Keeper {
        let mut command = service(&self.programs.join("postgres"));
        command.arg("-D").arg(self.folder.path().join("data"));
        command.args(["-p", &self.port.to_string(), "-F"]);
        let quick = ["full_page_writes=off", "shared_buffers=16MB"];
        let local = ["listen_addresses=127.0.0.1", "unix_socket_directories="];
        let own = self.options.iter().map(String::as_str);
        for option in local.into_iter().chain(quick).chain(own) {
            command.args(["-c", option]);
        }
        Keeper::of(&command, self.folder.path(), "QUIT")
    }
}

impl Keeper {
    /// Runs a program, whose output is in the log of this folder, and which this signal ends at once.
    pub(super) fn of(program: &Command, folder: &Path, signal: &str) -> Self {
        let mut command = Command::new("sh");
        command
            .args(["-c", KEEPER, "keeper"])
            .arg(folder)
            .arg(signal);
        command.arg(program.get_program()).args(program.get_args());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(Stdio::null()).current_dir("/");
        let mut shell = command.spawn().unwrap();
        let mut line = String::new();
        let said = BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line);
        said.unwrap();
        Self {
            input: shell.stdin.take(),
            server: line.trim().parse().unwrap(),
            shell,
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.shell.wait();
    }
}

impl TestDatabase {
    fn create(program: PathBuf, server: &str, drop_later: bool) -> Self {
        let number = DATABASES.fetch_add(1, Ordering::Relaxed);
        let name = format!("maestro_{}_{number}", process::id());
        let made = psql(&program, server, &format!("CREATE DATABASE {name}"));
        made.unwrap();
        Self {
            url: with_database(server, &name),
            name,
            drop_from: drop_later.then(|| server.to_owned()),
            psql: program,
        }
    }

    /// Its URL, as in the settings of Maestro.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The rows that `psql` answers: columns are separated by `|`, and a missing value is empty.
    ///
    /// # Panics
    /// If the server refuses a statement.
    pub fn ask(&self, sql: &str) -> Vec<String> {
        self.try_ask(sql).unwrap()
    }

    /// As [`Self::ask`].
    ///
    /// # Errors
    /// The words of the server.
    pub fn try_ask(&self, sql: &str) -> Result<Vec<String>, String> {
        psql(&self.psql, &self.url, sql)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if let Some(server) = &self.drop_from {
            let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
            if let Err(words) = psql(&self.psql, server, &drop) {
                eprintln!("{}: {words}", self.name);
            }
        }
    }
}

fn programs_or_skip() -> Option<PathBuf> {
    let found = programs();
    if found.is_none() {
        let missing = "initdb is missing; type: sudo apt-get install postgresql";
        assert!(env::var_os("CI").is_none(), "{missing}");
        eprintln!("SKIPPED: {missing}");
    }
    found
}

/// The URL of another database of the same server.
fn with_database(server: &str, name: &str) -> String {
    let (place, options) = match server.split_once('?') {
        Some((place, options)) => (place, format!("?{options}")),
        None => (server, String::new()),
    };
    let start = place.find("://").map_or(0, |at| at + 3);
    let end = place[start..]
        .find('/')
        .map_or(place.len(), |at| start + at);
    format!("{}/{name}{options}", &place[..end])
}

/// The folder of the newest version's programs.
fn programs() -> Option<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir(VERSIONS)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(_, folder)| folder.join("initdb").is_file())
        .collect();
    versions.sort();
    let search = env::var_os("PATH").unwrap_or_default();
    let mut path = env::split_paths(&search);
    let debian = versions.pop().map(|(_, folder)| folder);
    debian.or_else(|| path.find(|folder| folder.join("initdb").is_file()))
}

/// Whoever runs the server may write there.
pub(super) fn give_to_service(folder: &Path) {
    if is_root() {
        let mut owner = Command::new("chown");
        run(owner.args(["-R", SERVICE]).arg(folder));
    }
}

/// A program that runs as the user whom the server needs.
pub(super) fn service(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", SERVICE, "--regid", SERVICE, "--init-groups"]);
    command.arg(program).current_dir("/");
    command
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {words}");
}

fn psql(program: &Path, url: &str, sql: &str) -> Result<Vec<String>, String> {
    let mut command = Command::new(program);
    command.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql]);
    let output = command.output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_runs_is_stopped_and_leaves_nothing() {
        let Some(mut server) = PostgresServer::start(&["max_connections=7"]).await else {
            return;
        };
        let database = server.database();
        assert_eq!(database.ask("SHOW max_connections"), ["7"]);
        database.ask("CREATE TABLE a AS SELECT 'ü' AS b, NULL AS c, 1 AS d");
        server.kill();
        assert!(database.try_ask("SELECT * FROM a").is_err());
        server.again().await;
        assert_eq!(database.ask("SELECT * FROM a"), ["ü||1"]);
        let process = format!("/proc/{}", server.pid());
        let folder = server.folder.path().to_owned();
        assert!(Path::new(&process).exists());
        drop(server);
        assert!(!Path::new(&process).exists());
        assert!(!folder.exists());
    }

    #[tokio::test]
    async fn each_test_has_a_database_of_its_own() {
        let (Some(one), Some(two)) = (database().await, database().await) else {
            return;
        };
        one.ask("CREATE TABLE a (b INTEGER)");
        assert!(two.try_ask("SELECT * FROM a").is_err());
        assert_ne!(one.name(), two.name());
    }

    #[test]
    fn the_name_is_replaced_in_every_kind_of_url() {
        let named = |url| with_database(url, "n");
        assert_eq!(
            named("postgres://u:p@h:1/a?b=c"),
            "postgres://u:p@h:1/n?b=c"
        );
        assert_eq!(named("postgres://h"), "postgres://h/n");
        assert_eq!(named("postgres://h?b=c"), "postgres://h/n?b=c");
    }
}
