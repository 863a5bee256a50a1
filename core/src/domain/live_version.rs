//! A version of a managed scheduler: whether it has rooms, how many, and the configuration of their containers.

use super::version::SchedulerVersion;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// How far a version of a managed scheduler is (architecture 6, Live versions).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum VersionPhase {
    /// It has no rooms; those that are left are being drained.
    #[default]
    Stopped,
    /// Its rooms are being created, and are not all ready yet.
    Starting,
    /// It has its rooms, and callers of allocations get none of them.
    Started,
    /// Like [`Self::Started`], and callers get its rooms. At most one version is.
    Published,
    /// Its rooms are being ended.
    Stopping,
    /// It did not start or stop in time. It keeps the rooms that it has and gets no others.
    Error,
}

impl VersionPhase {
    /// The word in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "STOPPED",
            Self::Starting => "STARTING",
            Self::Started => "STARTED",
            Self::Published => "PUBLISHED",
            Self::Stopping => "STOPPING",
            Self::Error => "ERROR",
        }
    }

    /// Whether rooms of the version are created.
    pub fn wants_rooms(self) -> bool {
        matches!(self, Self::Starting | Self::Started | Self::Published)
    }
}

impl fmt::Display for VersionPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The stored state of a version, in addition to its document. A version without one is stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LiveVersion {
    /// The version.
    pub version: SchedulerVersion,
    /// How far it is.
    pub phase: VersionPhase,
    /// Wanted number of rooms while it is starting or started. That of a published version follows from its document.
    pub rooms: i32,
    /// A stop that does not wait for matches.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
    /// Variables of every container of its rooms.
    #[serde(skip_serializing_if = "ConfigPairs::is_empty")]
    pub config: ConfigPairs,
    /// How often the configuration was replaced; each room remembers the number that it was created with.
    #[serde(skip_serializing_if = "is_zero")]
    pub revision: u64,
    /// Rooms with an earlier revision are replaced.
    #[serde(skip_serializing_if = "is_zero")]
    pub fresh_from: u64,
    /// They are replaced all at once, rather than by the surge.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub at_once: bool,
    /// Why it is in [`VersionPhase::Error`]; empty otherwise.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub failure: String,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl LiveVersion {
    /// A version that was never started.
    pub fn stopped(version: SchedulerVersion) -> Self {
        Self {
            version,
            ..Self::default()
        }
    }
}

/// What happens to running rooms when the configuration of their version is replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfigRestart {
    /// They are replaced by the surge, as in a rollout.
    #[default]
    Rolling,
    /// Those without a match are ended at once, and then replaced.
    All,
    /// They stay as they are; rooms that are created later have the new configuration.
    None,
}

impl ConfigRestart {
    /// The word in the API and in an operation's input.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rolling => "rolling",
            Self::All => "all",
            Self::None => "none",
        }
    }
}

/// Maximum size of all names and values of a configuration.
const BYTES_MAX: usize = 1024 * 1024;
/// Maximum size of one pair: Linux takes no longer variable, with its `=` and its end.
const PAIR_BYTES_MAX: usize = 128 * 1024 - 2;
/// Maximum length of a name, as Kubernetes limits it.
const NAME_MAX: usize = 253;

/// Names and values of variables. They may be secrets, so that `Debug` shows the names alone.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ConfigPairs(Arc<BTreeMap<String, String>>);

impl ConfigPairs {
    /// Takes pairs that can be variables of a process.
    ///
    /// # Errors
    /// For a name that is none or is repeated, and for pairs that are too large.
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, String> {
        let mut taken = BTreeMap::new();
        let mut bytes = 0_usize;
        for (name, value) in pairs {
            if !is_variable(&name) {
                return Err(format!(
                    "{name:?} is no name of a configuration pair: use letters, digits, '_', '-' and '.', beginning \
                     with no digit, at most {NAME_MAX} of them"
                ));
            }
            if value.contains('\0') {
                return Err(format!(
                    "the value of {name} has a NUL byte, which no variable can have"
                ));
            }
            let size = name.len() + value.len();
            bytes = bytes.saturating_add(size);
            if size > PAIR_BYTES_MAX {
                return Err(format!(
                    "{name} has {size} bytes with its value, and {PAIR_BYTES_MAX} are allowed"
                ));
            }
            if bytes > BYTES_MAX {
                return Err(format!("the configuration has more than {BYTES_MAX} bytes"));
            }
            if taken.contains_key(&name) {
                return Err(format!("{name} is configured twice: send it once"));
            }
            taken.insert(name, value);
        }
        Ok(Self(Arc::new(taken)))
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The pairs, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

fn is_variable(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let first = name.chars().next();
    first.is_some_and(|c| !c.is_ascii_digit())
        && name.len() <= NAME_MAX
        && name.chars().all(allowed)
}

impl fmt::Debug for ConfigPairs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl<'de> Deserialize<'de> for ConfigPairs {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::deserialize(deserializer).map(|pairs| Self(Arc::new(pairs)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(of: &[(&str, &str)]) -> Result<ConfigPairs, String> {
        let owned = of
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        ConfigPairs::new(owned)
    }

    #[test]
    fn pairs_are_refused_that_no_container_could_have() {
        let long = "x".repeat(NAME_MAX + 1);
        for (refused, why) in [
            (vec![("", "1")], "is no name"),
            (vec![("1A", "1")], "is no name"),
            (vec![("A=B", "1")], "is no name"),
            (vec![("Ä", "1")], "is no name"),
            (vec![(&*long, "1")], "is no name"),
            (vec![("A", "1\0")], "NUL"),
            (vec![("A", "1"), ("A", "2")], "twice"),
        ] {
            let text = pairs(&refused).unwrap_err();
            assert!(text.contains(why), "{text}");
        }
        let value = "v".repeat(PAIR_BYTES_MAX - 1);
        assert!(pairs(&[("A", &value)]).is_ok());
        assert!(pairs(&[("AB", &value)]).unwrap_err().contains("allowed"));
        let many = (0..9).map(|n| (format!("A{n}"), "v".repeat(PAIR_BYTES_MAX - 2)));
        assert!(ConfigPairs::new(many).unwrap_err().contains("more than"));
    }

    #[test]
    fn values_are_stored_and_never_shown() {
        let config = pairs(&[("TOKEN", "secret"), ("a.b-c", "")]).unwrap();
        let text = format!("{config:?}");
        assert!(text.contains("TOKEN") && !text.contains("secret"), "{text}");
        let live = LiveVersion {
            config,
            phase: VersionPhase::Published,
            ..LiveVersion::stopped("v1.0.0".into())
        };
        let stored = serde_json::to_string(&live).unwrap();
        let expected = r#"{"version":"v1.0.0","phase":"PUBLISHED","rooms":0,"config":{"TOKEN":"secret","a.b-c":""}}"#;
        assert_eq!(stored, expected);
        assert_eq!(serde_json::from_str::<LiveVersion>(&stored).unwrap(), live);
    }
}
