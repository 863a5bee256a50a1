//! A real Redis server (Debian's package `redis-server`) on a free loopback port, in a folder of its own.
//!
//! It ends with the handle, and with the process of the test however that ends: a small shell between them waits for
//! the end of its input, which the kernel brings about, and then ends the server by its process id.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

pub use super::resp::{Connection, Reply};

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs};
use tempfile::TempDir;
use tokio::time::sleep;

const PROGRAM: &str = "redis-server";
/// How long the server may take to answer after its start.
const PATIENCE: Duration = Duration::from_secs(20);
/// A port may be taken by another process between its choice and its use.
const ATTEMPTS: u32 = 5;
/// The polling interval.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Starts the server behind it, says its process id, and ends it when its own input ends.
const KEEPER: &str = r#"
exec 3<&0
"$@" </dev/null >/dev/null 2>&1 3<&- &
echo $!
read -r _ <&3
kill -9 $!
wait $!
"#;

/// The existing server is used by one test at a time, because each of them empties its database.
static SHARED: AtomicBool = AtomicBool::new(false);

/// A running server, or one that was stopped to be started again.
pub struct RedisServer {
    kind: Kind,
    address: String,
    database: u8,
    password: Option<String>,
}

enum Kind {
    /// The server that `REDIS_URL` names.
    Existing,
    Own(Own),
}

struct Own {
    folder: TempDir,
    options: Vec<String>,
    port: u16,
    keeper: Option<Keeper>,
}

/// The shell that ends the server.
struct Keeper {
    shell: Child,
    server: u32,
}

impl RedisServer {
    /// An empty server for a test that neither configures nor stops it: the one that `REDIS_URL`
    /// (`redis://[:password@]host:port/database`) names, whose database is emptied, or one of its own. `None` if
    /// there is no program to start; then the test is skipped, and says so.
    pub async fn any() -> Option<Self> {
        match env::var("REDIS_URL") {
            Ok(url) if !url.is_empty() => Some(Self::existing(&url).await),
            _ => Self::start(&[]).await,
        }
    }

    /// A server of the test's own, without data on disk unless an option says otherwise. `options` are those of the
    /// program, such as `["--maxmemory", "2mb"]`; `{dir}` in them is its folder, and `{port}` another free
    /// port. `None` as for [`Self::any`].
    ///
    /// # Panics
    /// If the program is missing although the environment variable `CI` is set, or if the server does not start.
    pub async fn start(options: &[&str]) -> Option<Self> {
        let found = env::split_paths(&env::var_os("PATH").unwrap_or_default())
            .any(|folder| folder.join(PROGRAM).is_file());
        if !found {
            let missing = format!("{PROGRAM} is missing; type: sudo apt-get install {PROGRAM}");
            assert!(env::var_os("CI").is_none(), "{missing}");
            eprintln!("SKIPPED: {missing}");
            return None;
        }
        let folder = TempDir::with_prefix("maestro-redis-").unwrap();
        let inside = folder.path().to_str().unwrap().to_owned();
        let other = free_port().to_string();
        let options = options.iter().map(|option| {
            let option = option.replace("{dir}", &inside);
            option.replace("{port}", &other)
        });
        let own = Own {
            options: options.collect(),
            folder,
            port: 0,
            keeper: None,
        };
        let mut server = Self {
            kind: Kind::Own(own),
            address: String::new(),
            database: 0,
            password: None,
        };
        server.run().await;
        Some(server)
    }

    async fn existing(url: &str) -> Self {
        let rest = url
            .strip_prefix("redis://")
            .expect("REDIS_URL is redis://…");
        let (login, place) = rest.rsplit_once('@').unwrap_or(("", rest));
        let (address, database) = place.split_once('/').unwrap_or((place, "0"));
        while SHARED.swap(true, Ordering::Acquire) {
            sleep(LOOK_EVERY).await;
        }
        let password = login
            .split_once(':')
            .map(|(_, password)| password.to_owned());
        let server = Self {
            kind: Kind::Existing,
            address: address.to_owned(),
            database: database
                .parse()
                .expect("REDIS_URL ends with a database number"),
            password,
        };
        server.ask(&["FLUSHDB"]);
        server
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The URL of its database, with the password.
    pub fn url(&self) -> String {
        let login = match &self.password {
            Some(password) => format!(":{password}@"),
            None => String::new(),
        };
        format!("redis://{login}{}/{}", self.address, self.database)
    }

    /// The folder of a server of the test's own.
    pub fn folder(&self) -> &Path {
        self.own().folder.path()
    }

    /// Another connection, to its database.
    pub fn connection(&self) -> Connection {
        let mut connection = Connection::open(&self.address).unwrap();
        if let Some(password) = &self.password {
            connection.ask(&["AUTH", password]).unwrap();
        }
        let database = self.database.to_string();
        connection.ask(&["SELECT", &database]).unwrap();
        connection
    }

    /// The reply to one command, over a connection of its own.
    pub fn ask(&self, command: &[&str]) -> Reply {
        self.connection().ask(command).unwrap()
    }

    /// The texts of the reply to one command.
    pub fn texts(&self, command: &[&str]) -> Vec<String> {
        self.ask(command).texts()
    }

    /// Ends the server as a failure does. Data that it has written to disk stays there.
    pub fn kill(&mut self) {
        self.own_mut().keeper = None;
    }

    /// Deletes what a stopped server wrote to disk.
    pub fn forget(&mut self) {
        let own = self.own_mut();
        assert!(own.keeper.is_none(), "stop the server first");
        for entry in fs::read_dir(own.folder.path()).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if name == "appendonlydir" {
                fs::remove_dir_all(path).unwrap();
            } else if name.ends_with(".rdb") || name.ends_with(".aof") {
                fs::remove_file(path).unwrap();
            }
        }
    }

    /// Starts a stopped server again on its port.
    pub async fn again(&mut self) {
        assert!(self.own().keeper.is_none(), "stop the server first");
        self.run().await;
    }

    /// The process id of a running server of the test's own.
    pub fn pid(&self) -> u32 {
        self.own().keeper.as_ref().expect("it runs").server
    }

    fn own(&self) -> &Own {
        match &self.kind {
            Kind::Own(own) => own,
            Kind::Existing => panic!("the server of REDIS_URL belongs to somebody else"),
        }
    }

    fn own_mut(&mut self) -> &mut Own {
        match &mut self.kind {
            Kind::Own(own) => own,
            Kind::Existing => panic!("the server of REDIS_URL belongs to somebody else"),
        }
    }

    async fn run(&mut self) {
        let own = self.own_mut();
        let mut started = false;
        for _ in 0..ATTEMPTS {
            started = started || own.start().await;
        }
        let log = fs::read_to_string(own.folder.path().join("log")).unwrap_or_default();
        assert!(started, "{PROGRAM} does not start:\n{log}");
        self.address = format!("127.0.0.1:{}", self.own().port);
    }
}

impl Own {
    /// False if the server ended instead, for example because its port is taken.
    async fn start(&mut self) -> bool {
        if self.port == 0 {
            self.port = free_port();
        }
        let port = self.port.to_string();
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER, "keeper", PROGRAM]);
        command.args(["--port", &port, "--bind", "127.0.0.1", "--save", ""]);
        command.args(["--appendonly", "no", "--logfile", "log", "--dir"]);
        command.arg(self.folder.path()).args(&self.options);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut shell = command.spawn().unwrap();
        let mut line = String::new();
        let said = BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line);
        said.unwrap();
        let server = line.trim().parse().unwrap();
        self.keeper = Some(Keeper { shell, server });
        let until = Instant::now() + PATIENCE;
        let address = format!("127.0.0.1:{port}");
        while Instant::now() < until {
            // A server that asks for a password, or still loads its data, is up as well; one that loads is waited for.
            let answer = Connection::open(&address).and_then(|mut c| c.ask(&["PING"]));
            match answer {
                Ok(Reply::Error(words)) if words.starts_with("LOADING") => {}
                Ok(_) => return true,
                Err(_) if !Path::new(&format!("/proc/{server}")).exists() => break,
                Err(_) => {}
            }
            sleep(LOOK_EVERY).await;
        }
        self.keeper = None;
        self.port = 0;
        false
    }
}

fn free_port() -> u16 {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap().port()
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if let Kind::Existing = self.kind {
            SHARED.store(false, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_runs_is_stopped_and_leaves_nothing() {
        let Some(mut server) = RedisServer::start(&["--appendonly", "yes"]).await else {
            return;
        };
        let folder = server.folder().to_owned();
        assert_eq!(server.ask(&["SET", "a", "ü"]), Reply::Text("OK".into()));
        server.kill();
        server.again().await;
        assert_eq!(server.texts(&["MGET", "a", "b"]), ["ü"]);
        server.kill();
        server.forget();
        server.again().await;
        assert_eq!(server.ask(&["GET", "a"]), Reply::Nil);
        let process = format!("/proc/{}", server.pid());
        assert!(Path::new(&process).exists());
        drop(server);
        assert!(!Path::new(&process).exists());
        assert!(!folder.exists());
    }
}
