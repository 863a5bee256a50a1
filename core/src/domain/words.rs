//! Words of the contract's documents. Unknown words are kept unchanged, because another program may know them.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Declares an enum of words with their texts; any other text is `Other`.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $word:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$word_doc])* $word,)+
            /// A word of another program; never the text of a known word.
            Other(String),
        }

        impl $name {
            /// The known words.
            pub const KNOWN: &[$name] = &[$(Self::$word),+];

            /// The text in documents.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$word => $text,)+
                    Self::Other(text) => text,
                }
            }
        }
        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                match text {
                    $($text => Self::$word,)+
                    other => Self::Other(other.to_owned()),
                }
            }
        }
        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self::from(text.as_str())
            }
        }
        impl Default for $name {
            fn default() -> Self {
                Self::from("")
            }
        }
        text_form!($name);
    };
}

/// Displays and serializes a type as its text.
macro_rules! text_form {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer).map(Self::from)
            }
        }
    };
}

words! {
    /// State of a scheduler (contract 4.1).
    SchedulerPhase {
        /// From its creation, or from the start of an edit of its versions, until that has ended.
        Creating = "creating",
        /// No edit is in progress, and its rooms do not keep failing.
        InSync = "in-sync",
        /// Its deletion is in progress; it accepts no edits.
        Terminating = "terminating",
        /// Its rooms fail repeatedly (D23).
        OnError = "on-error",
    }
}

words! {
    /// When a container that has ended is restarted (contract 4.8).
    RestartPolicy {
        /// Absent; means [`Self::Never`] (D4).
        Unset = "",
        /// Restarted whatever its exit code.
        Always = "Always",
        /// Restarted unless it exited with code 0.
        OnFailure = "OnFailure",
        /// Not restarted; the room is replaced once all its containers have ended.
        Never = "Never",
    }
}

impl RestartPolicy {
    /// The policy in effect: absent and empty mean [`Self::Never`] (D4).
    pub fn effective(&self) -> &Self {
        match self {
            Self::Unset => &Self::Never,
            policy => policy,
        }
    }
}

words! {
    /// Kind of an autoscaling policy (contract 5.7).
    PolicyKind {
        /// Keeps a share of the match slots free.
        RoomOccupancy = "roomOccupancy",
        /// Keeps a fixed number of rooms ready.
        FixedBuffer = "fixedBuffer",
    }
}

/// The number of rooms that a rollout may have beyond the desired number (contract 5.7): the text as it was written,
/// because `+3` and `3` are different documents, and its meaning.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Surge {
    text: String,
    size: Option<SurgeSize>,
}

/// The meaning of a valid [`Surge`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SurgeSize {
    /// A number of rooms.
    Rooms(i64),
    /// A percentage of the desired number.
    Percent(i64),
}

impl Surge {
    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
    /// `None` if the text is neither a number nor a percentage.
    pub fn size(&self) -> Option<SurgeSize> {
        self.size
    }
}

impl From<String> for Surge {
    fn from(text: String) -> Self {
        let size = match text.strip_suffix('%') {
            Some(share) => share.parse().map(SurgeSize::Percent),
            None => text.parse().map(SurgeSize::Rooms),
        };
        let size = size.ok();
        Self { text, size }
    }
}

impl From<&str> for Surge {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

text_form!(Surge);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_and_written_as_they_are() {
        for phase in SchedulerPhase::KNOWN {
            assert_eq!(SchedulerPhase::from(phase.as_str()), *phase);
        }
        let foreign = SchedulerPhase::from("resting");
        assert_eq!(foreign, SchedulerPhase::Other("resting".into()));
        assert_eq!(serde_json::to_string(&foreign).unwrap(), "\"resting\"");
        let read: RestartPolicy = serde_json::from_str("\"OnFailure\"").unwrap();
        assert_eq!(read, RestartPolicy::OnFailure);
        assert_eq!(RestartPolicy::default(), RestartPolicy::Unset);
        assert_eq!(PolicyKind::default().as_str(), "");
    }

    #[test]
    fn a_surge_keeps_its_text() {
        for (text, size) in [
            ("3", Some(SurgeSize::Rooms(3))),
            ("+3", Some(SurgeSize::Rooms(3))),
            ("10%", Some(SurgeSize::Percent(10))),
            ("5%%", None),
            ("", None),
        ] {
            let surge = Surge::from(text);
            assert_eq!((surge.as_str(), surge.size()), (text, size));
        }
    }
}
