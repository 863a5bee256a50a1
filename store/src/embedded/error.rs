//! Why a data folder cannot be opened, with messages that say what to do.

use maestro_core::ports::Cause;
use std::{io, path::PathBuf};

/// A data folder that cannot be opened. Nothing in it was changed, except as described by `Migration`.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "data folder {} is in use by {holder}; stop it or choose another with --data-dir",
        dir.display()
    )]
    InUse { dir: PathBuf, holder: String },
    #[error("{} cannot be used: {source}; {advice}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
        advice: &'static str,
    },
    #[error(
        "{} was not written by Maestro; move it away or choose another folder with --data-dir",
        file.display()
    )]
    Foreign { file: PathBuf },
    #[error(
        "{} is damaged ({reason}); put a copy of it back, or move it away to start empty",
        file.display()
    )]
    Damaged { file: PathBuf, reason: String },
    #[error(
        "{} has format {found} and this program knows formats up to {known}; start a newer \
         Maestro, or put back the copy that an upgrade made (maestro.redb.before-format-{found})",
        file.display()
    )]
    Newer {
        file: PathBuf,
        found: u64,
        known: u64,
    },
    #[error(
        "{} cannot be brought from format {from} to format {to} ({reason}); its copy {} is as \
         it was: start the Maestro that wrote it, or report this",
        file.display(),
        copy.display()
    )]
    Migration {
        file: PathBuf,
        copy: PathBuf,
        from: u64,
        to: u64,
        reason: String,
    },
}

/// Why an operation on the file failed, in the operating system's words.
pub(super) fn cause(error: redb::Error) -> Cause {
    match error {
        redb::Error::Io(error) => io_cause(error),
        other => Cause::of(other),
    }
}

pub(super) fn io_cause(error: io::Error) -> Cause {
    match io_words(&error) {
        Some(words) => Cause::new(words, error),
        None => Cause::of(error),
    }
}

/// The usual text for an error, without the system's error number.
fn io_words(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        io::ErrorKind::StorageFull => Some("no space left on device"),
        io::ErrorKind::QuotaExceeded => Some("disk quota exceeded"),
        io::ErrorKind::FileTooLarge => Some("file too large"),
        io::ErrorKind::ReadOnlyFilesystem => Some("read-only file system"),
        _ => None,
    }
}

impl OpenError {
    /// The cause without the file name and the advice for a start.
    pub(super) fn cause(self) -> Cause {
        match self {
            Self::Io { source, .. } => io_cause(source),
            other => Cause::of(other),
        }
    }

    /// An I/O error with suitable advice.
    pub(super) fn io(path: impl Into<PathBuf>, source: io::Error) -> Self {
        let advice = match source.kind() {
            io::ErrorKind::PermissionDenied => {
                "run as the user that owns it, or choose another folder with --data-dir"
            }
            io::ErrorKind::ReadOnlyFilesystem => {
                "make its disk writable, or choose another folder with --data-dir"
            }
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => "make room there, then start again",
            _ => "see that it is a folder that can be written, or choose another with --data-dir",
        };
        Self::Io {
            path: path.into(),
            source,
            advice,
        }
    }

    /// An error of redb about `file`, classified by what an operator can do about it.
    pub(super) fn database(file: impl Into<PathBuf>, error: redb::Error) -> Self {
        let file = file.into();
        match error {
            redb::Error::Io(e)
                if !matches!(
                    e.kind(),
                    io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
                ) =>
            {
                Self::io(file, e)
            }
            redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => Self::InUse {
                dir: file.parent().map(Into::into).unwrap_or_default(),
                holder: "another program that has its file open".into(),
            },
            redb::Error::TableTypeMismatch { .. }
            | redb::Error::TableDoesNotExist(_)
            | redb::Error::TableIsMultimap(_)
            | redb::Error::TypeDefinitionChanged { .. } => Self::Foreign { file },
            other => Self::Damaged {
                file,
                reason: other.to_string(),
            },
        }
    }
}
