//! Connections to Postgres: a pool for short statements, and sessions of their own for what needs one.
//!
//! Everything but a session works behind PgBouncer in transaction mode: statements have no names, and nothing is set
//! that outlives a transaction.

use super::error::{DatabaseError, Outcome};
use super::tls::{self, TlsError};
use super::url::{Place, Target, UrlError};
use deadpool_postgres::{Manager, Object, Pool, Runtime, Timeouts};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

/// How long a statement may wait for a free connection.
const WAIT_MAX: Duration = Duration::from_secs(2);
/// How long a new connection may take, with TLS and login.
const CREATE_MAX: Duration = Duration::from_secs(5);
/// How long the server may take to hear that a statement is not waited for any more.
const CANCEL_MAX: Duration = Duration::from_secs(1);
/// The server ends a transaction that waits for us this long: a process that was stopped in the middle of one must not
/// keep its rows locked from the next owner.
const IDLE_IN_TRANSACTION_MAX: Duration = Duration::from_secs(3);

/// A parameter of a statement, with its type.
pub type Param<'a> = (&'a (dyn ToSql + Sync), Type);

/// How to connect.
pub struct PostgresSettings {
    /// `adapters.schedulerStorage.postgres.url`.
    pub url: String,
    /// `adapters.schedulerStorage.postgres.poolSize`, at least 1: connections besides those of sessions.
    pub pool_size: usize,
    /// How long one statement may take.
    pub statement_timeout: Duration,
}

/// Why the settings name no database.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Url(#[from] UrlError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("no pool of connections can be made: {0}")]
    Pool(#[from] deadpool_postgres::BuildError),
}

/// A database, whether it can be reached or not. Cheap to clone.
#[derive(Clone)]
pub struct Database(Arc<Inner>);

struct Inner {
    pool: Pool,
    config: Config,
    tls: MakeRustlsConnect,
    place: Place,
    statement_timeout: Duration,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Database({})", self.0.place)
    }
}

impl Database {
    /// Connects when the first statement needs it, as the original does (contract 1.1).
    ///
    /// # Errors
    /// If the URL cannot be read, or the certificates to verify the server with.
    pub fn open(settings: &PostgresSettings) -> Result<Self, OpenError> {
        let target = Target::parse(&settings.url)?;
        let tls = tls::connector(target.verify, target.authorities.as_deref())?;
        let manager = Manager::new(target.config.clone(), tls.clone());
        let timeouts = Timeouts {
            wait: Some(WAIT_MAX),
            create: Some(CREATE_MAX),
            recycle: None,
        };
        let pool = Pool::builder(manager)
            .max_size(settings.pool_size.max(1))
            .timeouts(timeouts)
            .runtime(Runtime::Tokio1)
            .build()?;
        Ok(Self(Arc::new(Inner {
            pool,
            config: target.config,
            tls,
            place: target.place,
            statement_timeout: settings.statement_timeout,
        })))
    }

    /// Server and database, for messages.
    pub fn place(&self) -> &Place {
        &self.0.place
    }

    /// Names or addresses of the servers that may be asked, with their ports; none for a socket of the file system.
    pub fn servers(&self) -> Vec<(String, u16)> {
        super::url::servers_of(&self.0.config)
    }

    /// The rows of a statement that changes nothing. It is asked once more if the connection was lost, so that the
    /// restart of a server costs no reads.
    ///
    /// # Errors
    /// If the server refuses, cannot be reached, or takes too long.
    pub async fn query(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, DatabaseError> {
        let answer = match self.ask(sql, params).await? {
            Err(failure) if failure.is_lost() => self.ask(sql, params).await?,
            answer => answer,
        };
        answer.map_err(|failure| failure.of_refusal(self.place()))
    }

    /// The rows of one statement that changes something; it commits by itself.
    ///
    /// # Errors
    /// As [`Self::query`]; [`DatabaseError::outcome`] says whether it may have been applied.
    pub async fn change(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, DatabaseError> {
        let answer = self.ask(sql, params).await?;
        answer.map_err(|failure| failure.of_commit(self.place()))
    }

    /// Begins a transaction. End it with [`Transaction::commit`] or [`Transaction::rollback`]: one that is dropped ends
    /// with its connection.
    ///
    /// # Errors
    /// As [`Self::query`].
    pub async fn transaction(&self) -> Result<Transaction, DatabaseError> {
        // The server may have closed an idle connection a moment ago. Nothing is lost by asking again.
        let begun = match self.begin().await? {
            Err(failure) if failure.is_lost() => self.begin().await?,
            begun => begun,
        };
        begun.map_err(|failure| failure.of_refusal(self.place()))
    }

    async fn ask(
        &self,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<Answer<Vec<Row>>, DatabaseError> {
        let lease = self.lease().await?;
        let answer = lease.wait(lease.client().query_typed(sql, params)).await;
        Ok(lease.end(answer))
    }

    async fn begin(&self) -> Result<Answer<Transaction>, DatabaseError> {
        // In one message, so that it costs one round trip.
        let begin = format!(
            "BEGIN; SET LOCAL statement_timeout = {}; SET LOCAL idle_in_transaction_session_timeout = {}",
            self.0.statement_timeout.as_millis(),
            IDLE_IN_TRANSACTION_MAX.as_millis(),
        );
        let lease = self.lease().await?;
        let begun = lease.wait(lease.client().batch_execute(&begin)).await;
        Ok(begun.map(|()| Transaction { lease }))
    }

    async fn lease(&self) -> Result<Lease, DatabaseError> {
        let object = self.0.pool.get().await;
        let object = object.map_err(|error| DatabaseError::of_pool(self.place(), &error))?;
        Ok(Lease {
            object: Some(object),
            database: self.clone(),
            is_idle: false,
        })
    }

    /// Why a statement of a transaction failed; nothing of it is applied.
    pub fn explain(&self, error: &tokio_postgres::Error) -> DatabaseError {
        DatabaseError::refused(self.place(), error)
    }

    pub(super) fn explain_commit(&self, error: &tokio_postgres::Error) -> DatabaseError {
        DatabaseError::of_commit(self.place(), error)
    }

    pub(super) fn config(&self) -> &Config {
        &self.0.config
    }

    pub(super) fn tls(&self) -> MakeRustlsConnect {
        self.0.tls.clone()
    }
}

type Answer<T> = Result<T, Failure>;

/// Why there is no answer to a statement.
enum Failure {
    Statement(tokio_postgres::Error),
    Timeout,
}

impl Failure {
    fn is_lost(&self) -> bool {
        matches!(self, Self::Statement(error) if error.is_closed())
    }

    fn of_refusal(&self, place: &Place) -> DatabaseError {
        match self {
            Self::Statement(error) => DatabaseError::refused(place, error),
            Self::Timeout => DatabaseError::timeout(Outcome::NotApplied, place, "a statement"),
        }
    }

    fn of_commit(&self, place: &Place) -> DatabaseError {
        match self {
            Self::Statement(error) => DatabaseError::of_commit(place, error),
            Self::Timeout => DatabaseError::timeout(Outcome::Unknown, place, "a change"),
        }
    }
}

/// A connection of the pool, for one statement or one transaction. If that is not over when this is dropped, the
/// connection ends instead of being used again.
struct Lease {
    object: Option<Object>,
    database: Database,
    is_idle: bool,
}

impl Lease {
    fn client(&self) -> &Client {
        match &self.object {
            Some(object) => object,
            None => unreachable!("only the drop takes it"),
        }
    }

    async fn wait<T>(
        &self,
        statement: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Answer<T> {
        match timeout(self.database.0.statement_timeout, statement).await {
            Ok(answer) => answer.map_err(Failure::Statement),
            Err(_) => Err(Failure::Timeout),
        }
    }

    /// Gives the connection back after a statement, unless that still runs on it.
    fn end<T>(self, answer: Answer<T>) -> Answer<T> {
        if !matches!(answer, Err(Failure::Timeout)) {
            self.give_back();
        }
        answer
    }

    fn give_back(mut self) {
        self.is_idle = true;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(object) = self.object.take() else {
            return;
        };
        let (false, Ok(tasks)) = (self.is_idle, Handle::try_current()) else {
            return;
        };
        let connection = Object::take(object);
        let (token, tls) = (connection.cancel_token(), self.database.tls());
        tasks.spawn(async move {
            // The statement would go on, and hold its locks, until it notices that nobody waits for it.
            let _ = timeout(CANCEL_MAX, token.cancel_query(tls)).await;
            drop(connection);
        });
    }
}

/// A transaction that has begun.
pub struct Transaction {
    lease: Lease,
}

impl Transaction {
    /// For statements of its own. The server's limit of time applies to them.
    pub fn client(&self) -> &Client {
        self.lease.client()
    }

    /// The rows of a statement.
    ///
    /// # Errors
    /// If the server refuses, is lost, or takes too long: nothing of the transaction is applied then.
    pub async fn query(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, DatabaseError> {
        let statement = self.client().query_typed(sql, params);
        let answer = self.lease.wait(statement).await;
        answer.map_err(|failure| failure.of_refusal(self.lease.database.place()))
    }

    /// # Errors
    /// [`DatabaseError::outcome`] says whether it may have been applied.
    pub async fn commit(self) -> Result<(), DatabaseError> {
        // A commit after a statement that failed is answered as a success, although it rolls back; a query is not.
        let statement = self.client().batch_execute("SELECT 1; COMMIT");
        let answer = self.lease.wait(statement).await;
        let place = self.lease.database.place();
        answer.map_err(|failure| failure.of_commit(place))?;
        self.lease.give_back();
        Ok(())
    }

    /// Ends it without changes. Nothing can go wrong: a connection that fails here ends it too.
    pub async fn rollback(self) {
        let statement = self.client().batch_execute("ROLLBACK");
        if let Ok(()) = self.lease.wait(statement).await {
            self.lease.give_back();
        }
    }
}
