//! `POST /backup` of the internal server: a copy of the store while it is in use.
//!
//! What copies is given by the binary: no store is known here.

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::web::{Bytes, Data};
use futures_util::future::BoxFuture;
use maestro_api::{Code, Status};
use serde::{Deserialize, Serialize};

use crate::gateway::refusal;

/// Copies the store under a name of the operator's choice.
pub type Backup =
    Arc<dyn Fn(String) -> BoxFuture<'static, Result<BackupDone, BackupError>> + Send + Sync>;

/// What was written.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BackupDone {
    /// The new file, on the server's machine.
    pub path: String,
    pub bytes: u64,
    /// How long the copy took.
    pub seconds: f64,
}

/// Why nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    #[error(
        "{0:?} is no name of a backup: 1 to 64 letters, digits, '-', '_' and '.', the first of them no '.'"
    )]
    Name(String),
    #[error("the backup {0:?} is there already: choose another name, or move the file away")]
    Taken(String),
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    name: String,
}

pub(crate) async fn handle(backup: Data<Backup>, body: Bytes) -> HttpResponse {
    let Wanted { name } = match serde_json::from_slice(&body) {
        Ok(wanted) => wanted,
        Err(error) => {
            let text = format!("the body has to be {{\"name\": \"…\"}}: {error}");
            return refusal(Status::invalid_argument(text));
        }
    };
    match backup(name).await {
        Ok(done) => HttpResponse::Ok().json(done),
        Err(error) => refusal(error.into()),
    }
}
