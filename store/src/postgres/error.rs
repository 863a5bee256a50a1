//! Failures of the database: what became of the change, and what a person can do.

use super::url::Place;
use deadpool_postgres::{PoolError, TimeoutType};
use maestro_core::ports::{Cause, CommitError, StoreError};
use std::error::Error;
use std::fmt;
use tokio_postgres::error::{DbError, Severity, SqlState};

/// What became of the statement that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Certainly nothing was changed.
    NotApplied,
    /// The connection was lost, or the time was up, after the change had been sent.
    Unknown,
}

/// A failure, in words that name the server and the database, and never the password.
#[derive(Clone, Debug)]
pub struct DatabaseError {
    outcome: Outcome,
    state: Option<SqlState>,
    text: String,
    /// What a person can do; the last part of the text.
    advice: &'static str,
}

impl fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for DatabaseError {}

impl DatabaseError {
    /// What became of the change.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The server's code, if it was the server that refused.
    pub fn state(&self) -> Option<&SqlState> {
        self.state.as_ref()
    }

    /// Whether it may work later although nobody has changed the settings: the server is starting, out of reach or
    /// busy,
    /// or `maestro migrate` runs beside this process.
    pub fn may_pass(&self) -> bool {
        [UNREACHABLE, BUSY, SLOW, STARTING, CONNECTIONS, MIGRATE].contains(&self.advice)
    }

    /// Whether the server refused what was to be written, such as by a constraint or a trigger that somebody added:
    /// others can be written as before.
    pub fn is_about_data(&self) -> bool {
        let class = |state: &SqlState| {
            let code = state.code();
            code.starts_with("22") || code.starts_with("23") || code == "P0001"
        };
        self.state.as_ref().is_some_and(class)
    }

    /// A statement failed that changes nothing by itself: a read, or one of a transaction that is not committed.
    pub(super) fn refused(place: &Place, error: &tokio_postgres::Error) -> Self {
        Self::new(Outcome::NotApplied, place, error)
    }

    /// A statement failed that commits.
    pub(super) fn of_commit(place: &Place, error: &tokio_postgres::Error) -> Self {
        let refused = error.as_db_error().is_some_and(is_certain);
        let outcome = match refused {
            true => Outcome::NotApplied,
            false => Outcome::Unknown,
        };
        Self::new(outcome, place, error)
    }

    fn new(outcome: Outcome, place: &Place, error: &tokio_postgres::Error) -> Self {
        let (words, advice) = match error.as_db_error() {
            Some(refusal) => (refusal.message().to_owned(), advice(refusal.code())),
            None => (chain(error), lost(error)),
        };
        Self {
            outcome,
            state: error.code().cloned(),
            text: sentence(place, &words, advice),
            advice,
        }
    }

    pub(super) fn timeout(outcome: Outcome, place: &Place, doing: &str) -> Self {
        let text = format!("{doing} took too long");
        Self::said(outcome, place, &text, SLOW)
    }

    pub(super) fn said(outcome: Outcome, place: &Place, words: &str, advice: &'static str) -> Self {
        Self {
            outcome,
            state: None,
            text: sentence(place, words, advice),
            advice,
        }
    }

    /// No connection, so nothing was sent.
    pub(super) fn of_pool(place: &Place, error: &PoolError) -> Self {
        let said = |words: &str, advice| Self::said(Outcome::NotApplied, place, words, advice);
        match error {
            PoolError::Backend(error) => Self::refused(place, error),
            PoolError::Timeout(TimeoutType::Wait) => {
                said("all connections of the pool are in use", BUSY)
            }
            PoolError::Timeout(_) => said("the server does not answer", UNREACHABLE),
            other => said(&other.to_string(), UNREACHABLE),
        }
    }
}

impl From<DatabaseError> for StoreError {
    fn from(error: DatabaseError) -> Self {
        Self::Unavailable(Cause::of(error))
    }
}

impl From<DatabaseError> for CommitError {
    fn from(error: DatabaseError) -> Self {
        match error.outcome {
            Outcome::NotApplied => Self::NotApplied(Cause::of(error)),
            Outcome::Unknown => Self::Unknown(Cause::of(error)),
        }
    }
}

/// Whether this answer to a commit says that it was not done. A server that shuts down may say so after it was done.
fn is_certain(refusal: &DbError) -> bool {
    let code = refusal.code();
    let about_connection = code.code().starts_with("08");
    let fatal = matches!(
        refusal.parsed_severity(),
        Some(Severity::Fatal | Severity::Panic)
    );
    !fatal && !about_connection && *code != SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN
}

const BUSY: &str = "set adapters.schedulerStorage.postgres.poolSize higher, or see in \
                    pg_stat_activity what is slow";
const SLOW: &str = "see in pg_stat_activity what it waits for";
const UNREACHABLE: &str =
    "see that the server runs, and check the address in adapters.schedulerStorage.postgres.url";
const TLS: &str = "check sslmode and sslrootcert in adapters.schedulerStorage.postgres.url";
const LOGIN: &str = "check user and password in adapters.schedulerStorage.postgres.url";
const STARTING: &str = "the server is starting or shutting down; it is asked again by itself";
const CONNECTIONS: &str = "raise max_connections of the server, or set adapters.schedulerStorage.postgres.poolSize \
                           lower on every node";
const MIGRATE: &str = "run `maestro migrate`";

fn advice(code: &SqlState) -> &'static str {
    match code.code() {
        "42P01" | "42703" => MIGRATE,
        "42501" => "let the user of adapters.schedulerStorage.postgres.url own the tables",
        "3D000" => {
            "create the database, or correct its name in adapters.schedulerStorage.postgres.url"
        }
        "53100" => "free space on the disk of the database",
        "53300" => CONNECTIONS,
        "25006" => {
            "this server takes no changes: name the primary in adapters.schedulerStorage.postgres.url, \
             or end its read-only mode"
        }
        "57P01" | "57P02" | "57P03" => STARTING,
        "57014" | "55P03" => SLOW,
        state if state.starts_with("28") => LOGIN,
        state if state.starts_with("53") => {
            "the server is short of resources: its log says of which"
        }
        state if state.starts_with("22") || state.starts_with("23") || state == "P0001" => {
            "a constraint, a trigger or the type of a column forbids it; drop it if Maestro did not make it, or correct \
             the row"
        }
        _ => "the server's log says more",
    }
}

/// About a failure that is not the server's answer.
fn lost(error: &tokio_postgres::Error) -> &'static str {
    let text = chain(error);
    if text.contains("TLS") || text.contains("certificate") {
        TLS
    } else if text.contains("authentication") || text.contains("password") {
        LOGIN
    } else {
        UNREACHABLE
    }
}

/// The message of an error and of what is behind it.
fn chain(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.ends_with(&words) {
            text = format!("{text}: {words}");
        }
        source = cause.source();
    }
    text
}

fn sentence(place: &Place, words: &str, advice: &str) -> String {
    format!("{place}: {words}; {advice}")
}
