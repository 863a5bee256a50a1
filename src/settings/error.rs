//! Errors in settings, each with what to do about it.

use std::fmt;
use std::path::PathBuf;

/// One mistake.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("the settings file {} cannot be read: {source}", path.display())]
    Unreadable {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("the settings file {} is no YAML document: {why}", path.display())]
    Syntax { path: PathBuf, why: String },
    #[error("the settings file {} has to be a map of keys, such as `api: {{port: 8080}}`", path.display())]
    NoMap { path: PathBuf },
    #[error("the settings file {} has an unknown key {key:?}; did you mean {nearest:?}?", path.display())]
    UnknownKey {
        path: PathBuf,
        key: String,
        nearest: &'static str,
    },
    #[error("the settings file {} gives {key:?} a value, but it is a group of settings such as {inside:?}", path.display())]
    Group {
        path: PathBuf,
        key: String,
        inside: &'static str,
    },
    #[error("the settings file {} gives {key} a list, but it takes one value", path.display())]
    List { path: PathBuf, key: &'static str },
    #[error("the settings file {} sets {key} twice; case makes no difference in its name", path.display())]
    Twice { path: PathBuf, key: &'static str },
    #[error("{origin}: {key} cannot be {value:?}: {why}")]
    Value {
        origin: String,
        key: &'static str,
        /// Passwords in it are masked.
        value: String,
        why: String,
    },
    #[error("the variable {0} is not UTF-8; set it again or unset it")]
    NotUtf8(String),
}

/// All errors, so that they can be fixed at once.
#[derive(Debug)]
pub struct SettingsErrors {
    pub all: Vec<SettingsError>,
    /// Warnings.
    pub warnings: Vec<String>,
}

impl fmt::Display for SettingsErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.all.as_slice() {
            [only] => write!(f, "{only}"),
            all => {
                write!(f, "{} settings are wrong:", all.len())?;
                all.iter().try_for_each(|error| write!(f, "\n  {error}"))
            }
        }
    }
}

impl std::error::Error for SettingsErrors {}
