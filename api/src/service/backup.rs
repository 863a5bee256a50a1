//! Copies of the store while it is in use. The binary supplies the function that copies: no store is known here.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::{Code, Status};

/// Copies the store under a name that the operator chooses.
pub type Backup = Arc<
    dyn Fn(String) -> Pin<Box<dyn Future<Output = Result<BackupDone, BackupError>> + Send>>
        + Send
        + Sync,
>;

/// The result of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupDone {
    /// The new file, on the server's machine.
    pub path: String,
    /// The size of the file.
    pub bytes: u64,
    /// How long the copy took.
    pub took: Duration,
}

/// Why no backup was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    #[error(
        "{0:?} is no name of a backup: 1 to 64 letters, digits, '-', '_' and '.', the first of them no '.'"
    )]
    /// The name is not valid for a file in the folder of backups.
    Name(String),
    /// A backup with this name exists.
    #[error("the backup {0:?} is there already: choose another name, or move the file away")]
    Taken(String),
    /// The disk or the store failed, for the given reason.
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
