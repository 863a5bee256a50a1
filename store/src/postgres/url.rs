//! The URL of `adapters.schedulerStorage.postgres.url` (contract 1.4), read as the original reads it.

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use tracing::warn;

const KEY: &str = "adapters.schedulerStorage.postgres.url";
const PORT: u16 = 5432;

/// Options of the URL that the driver reads. Others are passed over, as the original does.
const KNOWN: [&str; 15] = [
    "application_name",
    "channel_binding",
    "connect_timeout",
    "dbname",
    "hostaddr",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "load_balance_hosts",
    "options",
    "password",
    "port",
    "target_session_attrs",
    "tcp_user_timeout",
];
/// Known as well: they may be the only place that names the server and the user.
const PLACES: [&str; 2] = ["host", "user"];

/// The limits of a connection, unless the URL sets them.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A peer that is gone without a word is noticed within about ten seconds.
const SILENT_MAX: Duration = Duration::from_secs(10);
const KEEPALIVE_IDLE: Duration = Duration::from_secs(4);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
const KEEPALIVE_RETRIES: u32 = 3;

/// Why the URL names no database.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{KEY} is no URL of a Postgres database ({0}); write \
     postgres://user:password@host:port/database?sslmode=verify-full"
)]
pub struct UrlError(String);

/// What of the server's certificate is verified (libpq's `sslmode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// Nothing: the connection is encrypted, and may be encrypted by anybody.
    Nothing,
    /// That an authority that we trust has signed it.
    Authority,
    /// That, and that it was made for the name of the host.
    AuthorityAndName,
}

/// Where the database is, for messages: without user and password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    server: String,
    database: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, database } = self;
        write!(f, "Postgres {server}, database {database}")
    }
}

/// A URL that was read.
pub struct Target {
    pub config: Config,
    pub place: Place,
    pub verify: Verify,
    /// The file with the authorities to trust; those of the system if it is not set.
    pub authorities: Option<PathBuf>,
}

/// Whether a URL can be used, as far as its text says.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_url(url: &str) -> Result<(), UrlError> {
    Target::parse(url).map(drop)
}

impl Target {
    /// # Errors
    /// If the text is no URL of a Postgres database. The message does not repeat it, because of its password.
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = url.split_once("://").ok_or_else(|| bad("no scheme"))?;
        if scheme != "postgres" && scheme != "postgresql" {
            return Err(bad("its scheme is not postgres"));
        }
        let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
        let options = Options::read(options);
        let kept = options.kept.join("&");
        let url = format!("postgres://{}?{kept}", with_safe_login(place));
        let mut config: Config = url.parse().map_err(|error| bad(&reason(&error)))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(bad("it names no host"));
        }
        let (mode, verify) = tls(options.mode.as_deref(), options.authorities.is_some())?;
        config.ssl_mode(mode);
        set_limits(&mut config);
        Ok(Self {
            place: place_of(&config),
            config,
            verify,
            authorities: options.authorities,
        })
    }
}

fn bad(why: &str) -> UrlError {
    UrlError(why.to_owned())
}

/// The driver's words about the option that is wrong; they do not contain its value.
fn reason(error: &tokio_postgres::Error) -> String {
    let source = std::error::Error::source(error);
    source.map_or_else(|| error.to_string(), ToString::to_string)
}

#[derive(Default)]
struct Options<'a> {
    kept: Vec<&'a str>,
    mode: Option<String>,
    authorities: Option<PathBuf>,
}

impl<'a> Options<'a> {
    fn read(text: &'a str) -> Self {
        let mut options = Self::default();
        for option in text.split('&').filter(|option| !option.is_empty()) {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            let value = percent_decode_str(value).decode_utf8_lossy().into_owned();
            match key {
                "sslmode" => options.mode = Some(value),
                "sslrootcert" if !value.is_empty() => options.authorities = Some(value.into()),
                _ if (KNOWN.contains(&key) || PLACES.contains(&key)) && option.contains('=') => {
                    options.kept.push(option);
                }
                _ => warn!("{KEY}: the option {key} is unknown, and has no effect"),
            }
        }
        options
    }
}

/// The part before the options with user and password encoded: in URLs of the original's users they need not be.
fn with_safe_login(place: &str) -> String {
    let end = place.find('/').unwrap_or(place.len());
    let (authority, path) = place.split_at(end);
    let Some((login, hosts)) = authority.rsplit_once('@') else {
        return place.to_owned();
    };
    let encode = |text: &str| {
        let bytes = percent_decode_str(text).decode_utf8_lossy();
        utf8_percent_encode(&bytes, NON_ALPHANUMERIC).to_string()
    };
    let login = match login.split_once(':') {
        Some((user, password)) => format!("{}:{}", encode(user), encode(password)),
        None => encode(login),
    };
    format!("{login}@{hosts}{path}")
}

/// As libpq: an authority that is named makes `require` verify it.
fn tls(mode: Option<&str>, has_authorities: bool) -> Result<(SslMode, Verify), UrlError> {
    let unverified = match has_authorities {
        true => Verify::Authority,
        false => Verify::Nothing,
    };
    match mode.unwrap_or("prefer") {
        "disable" => Ok((SslMode::Disable, Verify::Nothing)),
        "" | "allow" | "prefer" => Ok((SslMode::Prefer, Verify::Nothing)),
        "require" => Ok((SslMode::Require, unverified)),
        "verify-ca" => Ok((SslMode::Require, Verify::Authority)),
        "verify-full" => Ok((SslMode::Require, Verify::AuthorityAndName)),
        _ => Err(bad(
            "sslmode is none of disable, prefer, require, verify-ca, verify-full",
        )),
    }
}

fn set_limits(config: &mut Config) {
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(SILENT_MAX);
    }
    if config.get_keepalives_interval().is_none() {
        config
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_INTERVAL);
    }
    if config.get_keepalives_retries().is_none() {
        config.keepalives_retries(KEEPALIVE_RETRIES);
    }
    if config.get_application_name().is_none() {
        config.application_name("maestro");
    }
}

/// Names or addresses with their ports, without sockets of the file system.
pub fn servers_of(config: &Config) -> Vec<(String, u16)> {
    let ports = config.get_ports();
    let port = |at: usize| ports.get(at).or(ports.first()).copied().unwrap_or(PORT);
    let mut named: Vec<Option<String>> = config
        .get_hosts()
        .iter()
        .map(|host| match host {
            Host::Tcp(name) => Some(name.clone()),
            Host::Unix(_) => None,
        })
        .collect();
    // An address beside a name is the one that is connected to.
    for (at, address) in config.get_hostaddrs().iter().enumerate() {
        match named.get_mut(at) {
            Some(name) => *name = Some(address.to_string()),
            None => named.push(Some(address.to_string())),
        }
    }
    let named = named.into_iter().enumerate();
    named
        .filter_map(|(at, host)| Some((host?, port(at))))
        .collect()
}

fn place_of(config: &Config) -> Place {
    let ports = config.get_ports();
    let port = |at: usize| ports.get(at).or(ports.first()).copied().unwrap_or(PORT);
    let named = config.get_hosts().iter().map(|host| match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    });
    let mut hosts: Vec<String> = named.collect();
    if hosts.is_empty() {
        hosts.extend(config.get_hostaddrs().iter().map(ToString::to_string));
    }
    let servers = hosts.iter().enumerate().map(|(at, host)| {
        let host = match host.contains(':') {
            true => format!("[{host}]"),
            false => host.clone(),
        };
        format!("{host}:{}", port(at))
    });
    let server = servers.collect::<Vec<_>>().join(",");
    let database = config.get_dbname().or(config.get_user());
    Place {
        server,
        database: database.unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Target {
        Target::parse(url).unwrap()
    }

    #[test]
    fn user_and_password_are_decoded() {
        let target = read("postgres://ma%40estro:p@ss%2Fwo:rd@db:6432/ma%2Destro?sslmode=disable");
        assert_eq!(target.config.get_user(), Some("ma@estro"));
        assert_eq!(target.config.get_password(), Some(&b"p@ss/wo:rd"[..]));
        assert_eq!(target.config.get_dbname(), Some("ma-estro"));
        let text = target.place.to_string();
        assert_eq!(text, "Postgres db:6432, database ma-estro");
    }

    #[test]
    fn several_hosts_and_addresses_are_shown() {
        let target = read("postgresql://a:b@one,[::1]:7/x?target_session_attrs=read-write");
        let text = target.place.to_string();
        assert_eq!(text, "Postgres one:5432,[::1]:7, database x");
        let socket = read("postgres://%2Frun%2Fpostgresql/x?user=me");
        assert_eq!(
            socket.place.to_string(),
            "Postgres /run/postgresql:5432, database x"
        );
    }

    #[test]
    fn modes_of_tls_mean_what_they_mean_to_libpq() {
        let mode = |options: &str| {
            let target = read(&format!("postgres://u:p@h/d{options}"));
            (target.config.get_ssl_mode(), target.verify)
        };
        assert_eq!(mode(""), (SslMode::Prefer, Verify::Nothing));
        assert_eq!(
            mode("?sslmode=disable"),
            (SslMode::Disable, Verify::Nothing)
        );
        assert_eq!(
            mode("?sslmode=require"),
            (SslMode::Require, Verify::Nothing)
        );
        let named = mode("?sslmode=require&sslrootcert=/a");
        assert_eq!(named, (SslMode::Require, Verify::Authority));
        let by_authority = mode("?sslmode=verify-ca");
        assert_eq!(by_authority, (SslMode::Require, Verify::Authority));
        let full = mode("?sslmode=verify-full");
        assert_eq!(full, (SslMode::Require, Verify::AuthorityAndName));
        let target = read("postgres://u:p@h/d?sslrootcert=%2Fetc%2Fca.pem");
        assert_eq!(target.authorities, Some(PathBuf::from("/etc/ca.pem")));
    }

    #[test]
    fn unknown_options_are_passed_over_and_known_ones_kept() {
        let target =
            read("postgres://u:p@h/d?pool_max_conns=3&connect_timeout=7&flag&application_name=x");
        assert_eq!(
            target.config.get_connect_timeout(),
            Some(&Duration::from_secs(7))
        );
        assert_eq!(target.config.get_application_name(), Some("x"));
    }

    #[test]
    fn a_refusal_says_what_is_wrong_and_never_the_password() {
        for url in [
            "secret",
            "mysql://u:secret@h/d",
            "postgres://u:secret@h:port/d",
            "postgres://u:secret@/d",
            "postgres://u:secret@h/d?sslmode=often",
            "postgres://u:secret@h/d?connect_timeout=soon",
        ] {
            let text = Target::parse(url).err().expect(url).to_string();
            assert!(text.starts_with(KEY), "{text}");
            assert!(!text.contains("secret"), "{text}");
        }
    }
}
