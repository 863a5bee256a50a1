//! Copies of the store while it is in use. What copies is given by the binary: no store is known here.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::{Code, Status};

/// Copies the store under a name of the operator's choice.
pub type Backup = Arc<
    dyn Fn(String) -> Pin<Box<dyn Future<Output = Result<BackupDone, BackupError>> + Send>>
        + Send
        + Sync,
>;

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupDone {
    /// The new file, on the server's machine.
    pub path: String,
    /// The size of the file.
    pub bytes: u64,
    /// How long the copy took.
    pub took: Duration,
}

/// Why nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    #[error(
        "{0:?} is no name of a backup: 1 to 64 letters, digits, '-', '_' and '.', the first of them no '.'"
    )]
    /// The name is none of a file in the folder of backups.
    Name(String),
    /// There is a backup of this name.
    #[error("the backup {0:?} is there already: choose another name, or move the file away")]
    Taken(String),
    /// The disk or the store failed; the text says how.
    #[error("the backup was not written: {0}")]
    NotWritten(String),
}

impl From<BackupError> for Status {
    fn from(error: BackupError) -> Self {
        let code = match error {
            BackupError::Name(_) => Code::InvalidArgument,
            BackupError::Taken(_) => Code::AlreadyExists,
            BackupError::NotWritten(_) => Code::Unavailable,
        };
        Self::new(code, error.to_string())
    }
}
