//! Words of the contract's documents. One that nobody knows passes through as it was written:
//! another program may know it.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// An enum of words, each with its text; any other text is `Other`.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $word:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$word_doc])* $word,)+
            /// A word of another program. Never the text of one of the others.
            Other(String),
        }

        impl $name {
            /// The words that are known.
            pub const KNOWN: &[$name] = &[$(Self::$word),+];

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

/// As people and documents have it: its text.
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
        /// From its creation, or the start of an edit of versions, to the end of that.
        Creating = "creating",
        InSync = "in-sync",
        Terminating = "terminating",
        /// Its rooms fail again and again (D23).
        OnError = "on-error",
    }
}

words! {
    /// When a container that has ended is started again (contract 4.8).
    RestartPolicy {
        /// Means [`Self::Never`] (D4).
        Unset = "",
        Always = "Always",
        OnFailure = "OnFailure",
        Never = "Never",
    }
}

impl RestartPolicy {
    /// What it comes to: absent and empty mean [`Self::Never`] (D4).
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
        RoomOccupancy = "roomOccupancy",
        FixedBuffer = "fixedBuffer",
    }
}

/// How many rooms a rollout may have beyond the wanted number (contract 5.7): the text as it
/// was written, since `+3` and `3` are two documents, and what it means.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Surge {
    text: String,
    size: Option<SurgeSize>,
}

/// What a [`Surge`] means, if it means anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SurgeSize {
    Rooms(i64),
    /// Of the wanted number.
    Percent(i64),
}

impl Surge {
    pub fn as_str(&self) -> &str {
        &self.text
    }
    /// `None`: the text is neither a number nor a share.
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
