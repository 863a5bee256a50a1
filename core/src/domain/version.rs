//! The version of a scheduler.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::{fmt, sync::Arc};

/// Version of a scheduler: `v` and a semantic version (contract 4.3). Other texts, written by other tools, are kept
/// unchanged. Two versions are equal if their texts are. They are ordered by number, v10 after v9; texts without a
/// number come first.
///
/// Cheap to clone and to compare with its clones: each room and each count of rooms carries one.
#[derive(Clone, Default)]
pub struct SchedulerVersion(Arc<Parsed>);

#[derive(Default)]
struct Parsed {
    text: Box<str>,
    number: Option<semver::Version>,
}

impl SchedulerVersion {
    /// The version of a scheduler when it is created: `v1.0.0`.
    pub fn initial() -> Self {
        "v1.0.0".into()
    }
    /// The text as it was written, with its `v`.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }
    /// The number after the `v`; `None` for other texts.
    pub fn semver(&self) -> Option<&semver::Version> {
        self.0.number.as_ref()
    }
}

impl From<&str> for SchedulerVersion {
    fn from(text: &str) -> Self {
        Self(Arc::new(Parsed {
            text: text.into(),
            number: text.strip_prefix('v').unwrap_or(text).parse().ok(),
        }))
    }
}

impl From<String> for SchedulerVersion {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl PartialEq for SchedulerVersion {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.text == other.0.text
    }
}

impl Eq for SchedulerVersion {}

impl Hash for SchedulerVersion {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.text.hash(state);
    }
}

impl Ord for SchedulerVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        if Arc::ptr_eq(&self.0, &other.0) {
            return Ordering::Equal;
        }
        let by_number = self.0.number.cmp(&other.0.number);
        by_number.then_with(|| self.0.text.cmp(&other.0.text))
    }
}

impl PartialOrd for SchedulerVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for SchedulerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl fmt::Debug for SchedulerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl Serialize for SchedulerVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.text)
    }
}

impl<'de> Deserialize<'de> for SchedulerVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_number_and_compared_by_text() {
        let mut versions: Vec<SchedulerVersion> = [
            "v10.0.0", "v9.2.0", "draft", "v9.10.0", "1.0.0", "v1.0.0", "",
        ]
        .map(SchedulerVersion::from)
        .into();
        versions.sort();
        let texts: Vec<&str> = versions.iter().map(SchedulerVersion::as_str).collect();
        let expected = [
            "", "draft", "1.0.0", "v1.0.0", "v9.2.0", "v9.10.0", "v10.0.0",
        ];
        assert_eq!(texts, expected);
        assert_ne!(SchedulerVersion::from("1.0.0"), "v1.0.0".into());
    }
}
