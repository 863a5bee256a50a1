//! The six settings of the original that name a Redis (contract 1.4), as the one place that they must name.

use fred::types::config::{Config, ServerConfig};
use std::fmt;

/// A setting's key and its URL.
pub type RedisUrl = (&'static str, String);

/// Where the data is, and who asks for it.
#[derive(Clone, PartialEq, Eq)]
pub struct Place {
    /// Name or address of the server.
    pub host: String,
    /// Its port; 6379 unless the URL says otherwise.
    pub port: u16,
    /// Whether the connection is encrypted, and the server's certificate verified: `rediss://`.
    pub tls: bool,
    /// The user of the server's access list; `None` for its default user.
    pub username: Option<String>,
    /// The user's password.
    pub password: Option<String>,
    /// Number of the database.
    pub database: u8,
}

// By hand, so that no password gets into a log.
impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "rediss" } else { "redis" };
        let Self { host, port, .. } = self;
        write!(f, "{scheme}://{host}:{port}/{}", self.database)
    }
}

/// Why the settings name no place.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UrlError {
    #[error("no Redis is named; set adapters.roomStorage.redis.url")]
    None,
    #[error(
        "{key} = {url} is no URL of one Redis server ({reason}); write \
         redis://user:password@host:port/database, or rediss:// for TLS"
    )]
    Bad {
        key: &'static str,
        url: String,
        reason: String,
    },
    #[error(
        "the settings of Redis must name one server, database and user, because a change of a scheduler is one atomic \
         script there. Set all of them to one URL:\n{0}"
    )]
    Several(String),
}

/// The place that all settings name.
///
/// # Errors
/// If a URL cannot be read, or they name several places. Passwords are left out of the message.
pub fn one_place(urls: &[RedisUrl]) -> Result<Place, UrlError> {
    let mut places = Vec::with_capacity(urls.len());
    for (key, url) in urls {
        let place = parse(url).map_err(|reason| UrlError::Bad {
            key,
            url: without_password(url),
            reason,
        })?;
        places.push(place);
    }
    let first = places.first().ok_or(UrlError::None)?;
    if places.iter().any(|place| place != first) {
        let lines = urls.iter().map(|(key, url)| {
            let url = without_password(url);
            format!("  {key} = {url}")
        });
        let lines: Vec<String> = lines.collect();
        return Err(UrlError::Several(lines.join("\n")));
    }
    Ok(first.clone())
}

fn parse(url: &str) -> Result<Place, String> {
    let (scheme, rest) = url.split_once("://").ok_or("it has no scheme")?;
    let tls = match scheme {
        "redis" => false,
        "rediss" => true,
        "redis-cluster" | "rediss-cluster" => {
            return Err("scripts over several keys do not run on Redis Cluster".into());
        }
        other => return Err(format!("the scheme {other} is not known")),
    };
    // The connector for TLS is ours, so the client must not make one from the scheme.
    let config = Config::from_url_centralized(&format!("redis://{rest}"))
        .map_err(|error| error.details().to_owned())?;
    let ServerConfig::Centralized { server } = config.server else {
        return Err("it names several servers".into());
    };
    Ok(Place {
        host: server.host.to_string(),
        port: server.port,
        tls,
        username: config.username.filter(|name| !name.is_empty()),
        password: config.password.filter(|word| !word.is_empty()),
        database: config.database.unwrap_or(0),
    })
}

/// The URL with stars for its password. A text that is no URL is not shown beyond an `@`, which a password precedes.
fn without_password(url: &str) -> String {
    let Some((before, after)) = url.rsplit_once('@') else {
        return url.to_owned();
    };
    let (scheme, login) = before.split_once("://").unwrap_or(("", before));
    let user = login.split_once(':').map_or("", |(user, _)| user);
    format!("{scheme}://{user}:***@{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 6] = [
        "adapters.schedulerCache.redis.url",
        "adapters.operationStorage.redis.url",
        "adapters.operationFlow.redis.url",
        "adapters.operationLeaseStorage.redis.url",
        "adapters.roomStorage.redis.url",
        "adapters.instanceStorage.redis.url",
    ];

    fn all(url: &str) -> Vec<RedisUrl> {
        KEYS.iter().map(|key| (*key, url.to_owned())).collect()
    }

    #[test]
    fn six_urls_name_one_place() {
        let mut urls = all("redis://localhost:6379/0");
        let place = one_place(&urls).unwrap();
        assert_eq!(place.to_string(), "redis://localhost:6379/0");
        // The port and the database of another spelling are the same.
        urls[2].1 = "redis://localhost".into();
        assert_eq!(one_place(&urls), Ok(place));
        let place = one_place(&all("rediss://ann:s%40crt@db.example:6380/3")).unwrap();
        assert!(place.tls);
        assert_eq!((place.port, place.database), (6380, 3));
        assert_eq!(place.username.as_deref(), Some("ann"));
        assert_eq!(place.password.as_deref(), Some("s@crt"));
        assert_eq!(format!("{place:?}"), "rediss://db.example:6380/3");
    }

    #[test]
    fn several_places_are_refused_with_all_values_and_no_password() {
        let mut urls = all("redis://ann:geheim@one:6379/0");
        urls[4].1 = "redis://ann:geheim@two:6379/0".into();
        let refused = one_place(&urls).unwrap_err().to_string();
        for key in KEYS {
            assert!(refused.contains(key), "{refused}");
        }
        assert!(refused.contains("redis://ann:***@two:6379/0"), "{refused}");
        assert!(!refused.contains("geheim"), "{refused}");
        for other in [
            "redis://one:6379/1",
            "rediss://one:6379/0",
            "redis://:word@one:6379/0",
        ] {
            let mut urls = all("redis://one:6379/0");
            urls[0].1 = other.into();
            assert!(matches!(one_place(&urls), Err(UrlError::Several(_))));
        }
    }

    #[test]
    fn what_is_no_url_of_one_server_is_refused() {
        for url in [
            "",
            "localhost:6379",
            "redis-cluster://a:1",
            "unix:///tmp/redis",
            "redis://",
            "redis://u:geheim@host:port/0",
            "redis://host:6379/many",
        ] {
            let refused = one_place(&all(url)).unwrap_err();
            assert!(matches!(refused, UrlError::Bad { .. }), "{url}: {refused}");
            assert!(!refused.to_string().contains("geheim"), "{refused}");
        }
        assert_eq!(one_place(&[]), Err(UrlError::None));
    }
}
