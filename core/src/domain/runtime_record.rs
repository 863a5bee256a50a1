//! A runtime: the place of a scheduler's rooms with the rights in it, made by itself, also before there is a scheduler
//! (architecture 7, Objects of a runtime).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A stored runtime. A scheduler that is created under its name adopts it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeRecord {
    /// When it was last made as a whole, or the attempt failed; its operator has to be ready some time after this.
    pub made_at: Timestamp,
    /// Why not all of it was made; empty if it was.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub failure: String,
}

/// Why the objects of a runtime cannot be written, by what the caller can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlatformFault {
    /// An object of this name exists, and Maestro did not make it.
    Foreign,
    /// This process lacks a right.
    Forbidden,
    /// The platform will never take the object as it is.
    Invalid,
    /// An earlier place of this name is still being removed: the same call is repeated until it is gone.
    Terminating,
    /// The platform cannot be reached. A later attempt may succeed.
    Unavailable,
}
