//! Why rooms are removed.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Why Maestro removes a room: the reasons of contract 5.4, and ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RemovalReason {
    /// More rooms than the autoscaling or the replicas ask for.
    ScaleDown,
    /// It was silent, unready or ending for too long.
    ExpiredRoom,
    /// A validation room whose operation failed or was canceled.
    NewVersionRollback,
    /// A validation room that has served its purpose.
    NewVersionValidationFinished,
    /// A room of another version replaces it.
    RollingUpdateReplace,
    /// The operation that added it was rolled back (D16).
    AddRoomsRollback,
    /// A user ordered it.
    RequestedByUser,
    /// Its scheduler is being deleted.
    SchedulerDeleted,
    /// The runtime could not create it.
    CreationFailed,
    /// Its version is stopped, or was never started, on a managed scheduler.
    VersionStopped,
}

impl RemovalReason {
    const ALL: [Self; 10] = [
        Self::ScaleDown,
        Self::ExpiredRoom,
        Self::NewVersionRollback,
        Self::NewVersionValidationFinished,
        Self::RollingUpdateReplace,
        Self::AddRoomsRollback,
        Self::RequestedByUser,
        Self::SchedulerDeleted,
        Self::CreationFailed,
        Self::VersionStopped,
    ];

    /// The word in documents, histories and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ScaleDown => "scale_down",
            Self::ExpiredRoom => "expired_room",
            Self::NewVersionRollback => "new_version_rollback",
            Self::NewVersionValidationFinished => "new_version_validation_finished",
            Self::RollingUpdateReplace => "rolling_update_replace",
            Self::AddRoomsRollback => "add_rooms_rollback",
            Self::RequestedByUser => "requested_by_user",
            Self::SchedulerDeleted => "scheduler_deleted",
            Self::CreationFailed => "creation_failed",
            Self::VersionStopped => "version_stopped",
        }
    }
}

/// The reason in an operation's input: one of ours, or the word of another program, which is kept unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReasonWord {
    /// One of our reasons.
    Known(RemovalReason),
    /// Never the word of one of our reasons.
    Other(String),
}

impl ReasonWord {
    /// The word in the operation's input.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(reason) => reason.as_str(),
            Self::Other(word) => word,
        }
    }

    /// The reason recorded at the removed rooms; an unknown word counts as a user's order.
    pub fn reason(&self) -> RemovalReason {
        match self {
            Self::Known(reason) => *reason,
            Self::Other(_) => RemovalReason::RequestedByUser,
        }
    }
}

impl From<RemovalReason> for ReasonWord {
    fn from(reason: RemovalReason) -> Self {
        Self::Known(reason)
    }
}

impl From<String> for ReasonWord {
    fn from(word: String) -> Self {
        let known = RemovalReason::ALL.into_iter().find(|r| r.as_str() == word);
        known.map_or(Self::Other(word), Self::Known)
    }
}

impl From<&str> for ReasonWord {
    fn from(word: &str) -> Self {
        Self::from(word.to_owned())
    }
}

impl fmt::Display for ReasonWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ReasonWord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ReasonWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_read_back_and_other_words_stay() {
        for reason in RemovalReason::ALL {
            assert_eq!(ReasonWord::from(reason.as_str()), reason.into());
            let text = serde_json::to_string(&ReasonWord::from(reason)).unwrap();
            assert_eq!(text, serde_json::to_string(&reason).unwrap());
        }
        let foreign = ReasonWord::from("spring_cleaning");
        assert_eq!(foreign.as_str(), "spring_cleaning");
        assert_eq!(foreign.reason(), RemovalReason::RequestedByUser);
    }
}
