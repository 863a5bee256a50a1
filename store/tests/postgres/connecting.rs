//! Statements and transactions, and what is known after each failure.

use super::support::{SOON, hasty, open, settings};
use maestro_store::postgres::{Database, Outcome, PostgresSettings};
use maestro_testkit::eventually;
use maestro_testkit::servers::postgres::{PostgresServer, TestDatabase, database};
use std::time::{Duration, Instant};
use tokio_postgres::types::Type;

const COUNT: &str = "SELECT count(*) FROM notes";

async fn with_notes() -> Option<(TestDatabase, Database)> {
    let server = database().await?;
    server.ask("CREATE TABLE notes (id BIGINT PRIMARY KEY DEFERRABLE INITIALLY DEFERRED)");
    let database = open(server.url());
    Some((server, database))
}

async fn count(database: &Database) -> i64 {
    database.query(COUNT, &[]).await.unwrap()[0].get(0)
}

/// At the commit of a note above 100, the server does this.
fn at_commit(server: &TestDatabase, action: &str) {
    server.ask(&format!(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
           'BEGIN IF NEW.id > 100 THEN PERFORM {action}; END IF; RETURN NULL; END';
         CREATE CONSTRAINT TRIGGER fails AFTER INSERT ON notes DEFERRABLE INITIALLY DEFERRED
           FOR EACH ROW EXECUTE FUNCTION fail()"
    ));
}

#[tokio::test]
async fn statements_have_types_and_no_names() {
    let Some((_server, database)) = with_notes().await else {
        return;
    };
    let insert = "INSERT INTO notes SELECT unnest($1) RETURNING id";
    let ids = vec![3_i64, 4];
    let rows = database
        .change(insert, &[(&ids, Type::INT8_ARRAY)])
        .await
        .unwrap();
    assert_eq!(rows.len(), 2);
    let transaction = database.transaction().await.unwrap();
    let kept = "SELECT count(*) FROM pg_prepared_statements";
    let kept = transaction.query(kept, &[]).await.unwrap();
    assert_eq!(kept[0].get::<_, i64>(0), 0);
    transaction.rollback().await;
    assert_eq!(count(&database).await, 2);
}

#[tokio::test]
async fn a_transaction_is_applied_by_its_commit_alone() {
    let Some((server, database)) = with_notes().await else {
        return;
    };
    let insert = "INSERT INTO notes VALUES (1)";
    let transaction = database.transaction().await.unwrap();
    transaction.query(insert, &[]).await.unwrap();
    transaction.rollback().await;
    // This one is forgotten; its lock ends all the same.
    let transaction = database.transaction().await.unwrap();
    transaction.query("LOCK TABLE notes", &[]).await.unwrap();
    drop(transaction);
    let transaction = database.transaction().await.unwrap();
    transaction.query(insert, &[]).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(server.ask(COUNT), ["1"]);
}

#[tokio::test]
async fn a_refused_commit_is_certainly_not_applied() {
    let Some((_server, database)) = with_notes().await else {
        return;
    };
    let twice = database.transaction().await.unwrap();
    twice
        .query("INSERT INTO notes VALUES (1), (1)", &[])
        .await
        .unwrap();
    let error = twice.commit().await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotApplied);

    let failed = database.transaction().await.unwrap();
    failed
        .query("INSERT INTO notes VALUES (2)", &[])
        .await
        .unwrap();
    failed.query("SELECT 1 / 0", &[]).await.unwrap_err();
    let error = failed.commit().await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotApplied);
    assert_eq!(count(&database).await, 0);
}

#[tokio::test]
async fn a_connection_that_is_lost_while_committing_leaves_it_unknown() {
    let Some((server, database)) = with_notes().await else {
        return;
    };
    at_commit(&server, "pg_terminate_backend(pg_backend_pid())");
    let transaction = database.transaction().await.unwrap();
    transaction
        .query("INSERT INTO notes VALUES (101)", &[])
        .await
        .unwrap();
    let error = transaction.commit().await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    let change = database
        .change("INSERT INTO notes VALUES (102)", &[])
        .await
        .unwrap_err();
    assert_eq!(change.outcome(), Outcome::Unknown, "{change}");
    // Before the commit, everything is known.
    let transaction = database.transaction().await.unwrap();
    let error = transaction
        .query("SELECT pg_terminate_backend(pg_backend_pid())", &[])
        .await
        .unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");
    assert_eq!(count(&database).await, 0);
}

#[tokio::test]
async fn a_change_that_takes_too_long_is_unknown_and_canceled() {
    let Some((server, _)) = with_notes().await else {
        return;
    };
    at_commit(&server, "pg_sleep(60)");
    let database = hasty(server.url(), Duration::from_millis(50));
    let error = database
        .change("INSERT INTO notes VALUES (101)", &[])
        .await
        .unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    let active = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND query LIKE 'INSERT%' AND state = 'active'",
        server.name()
    );
    let sleeps = || server.ask(&active) == ["0"];
    eventually(SOON, "the statement is canceled", sleeps).await;
    assert_eq!(server.ask(COUNT), ["0"]);
}

#[tokio::test]
async fn a_restart_of_the_server_costs_no_reads() {
    let Some(mut server) = PostgresServer::start(&[]).await else {
        return;
    };
    let test = server.database();
    let database = open(test.url());
    database.query("SELECT 1", &[]).await.unwrap();
    server.kill();
    let error = database.query("SELECT 1", &[]).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotApplied);
    let text = error.to_string();
    assert!(text.contains(&server.address()), "{text}");
    assert!(text.contains(test.name()), "{text}");
    server.again().await;
    database.query("SELECT 1", &[]).await.unwrap();
    let transaction = database.transaction().await.unwrap();
    transaction.commit().await.unwrap();
}

#[tokio::test]
async fn a_session_hears_notifications_until_it_is_lost() {
    let Some((server, database)) = with_notes().await else {
        return;
    };
    let mut session = database.session().await.unwrap();
    session.client().batch_execute("LISTEN news").await.unwrap();
    server.ask("NOTIFY news, 'hello'");
    let heard = session.notification().await.unwrap();
    assert_eq!((heard.channel(), heard.payload()), ("news", "hello"));
    server.ask(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND query LIKE 'LISTEN%'",
    );
    assert!(session.notification().await.is_none());
}

#[tokio::test]
async fn failures_say_what_to_do() {
    let Some((server, database)) = with_notes().await else {
        return;
    };
    let says = async |database: &Database, sql: &str, advice: &str| {
        let error = database.query(sql, &[]).await.expect_err(sql);
        let text = error.to_string();
        assert!(text.starts_with("Postgres "), "{text}");
        assert!(text.contains(advice), "{text}");
    };
    says(&database, "SELECT * FROM schedulers", "maestro migrate").await;
    let other = server.url().replace(server.name(), "missing");
    says(&open(&other), "SELECT 1", "create the database").await;
    let login = server.url().replace("maestro@", "stranger:hush@");
    if login != server.url() {
        let stranger = open(&login);
        says(&stranger, "SELECT 1", "user and password").await;
        let error = stranger.query("SELECT 1", &[]).await.unwrap_err();
        assert!(!format!("{error} {error:?} {stranger:?}").contains("hush"));
    }
    let nobody = open("postgres://a:b@127.0.0.1:1/c");
    says(&nobody, "SELECT 1", "127.0.0.1:1, database c").await;
    server.ask(&format!(
        "ALTER DATABASE {} SET default_transaction_read_only = on",
        server.name()
    ));
    let read_only = open(server.url());
    let error = read_only
        .change("INSERT INTO notes VALUES (1)", &[])
        .await
        .unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotApplied);
    assert!(error.to_string().contains("name the primary"), "{error}");
}

#[tokio::test]
async fn a_pool_without_a_free_connection_says_so() {
    let Some(server) = database().await else {
        return;
    };
    let settings = PostgresSettings {
        pool_size: 1,
        ..settings(server.url())
    };
    let database = Database::open(&settings).unwrap();
    let taken = database.transaction().await.unwrap();
    let error = database.query("SELECT 1", &[]).await.unwrap_err();
    assert!(error.to_string().contains("poolSize"), "{error}");
    taken.rollback().await;
    database.query("SELECT 1", &[]).await.unwrap();
}

#[tokio::test]
async fn a_full_server_says_what_to_set() {
    let limits = ["max_connections=4", "superuser_reserved_connections=3"];
    let Some(server) = PostgresServer::start(&limits).await else {
        return;
    };
    let test = server.database();
    test.ask("CREATE ROLE plain LOGIN");
    let url = test.url().replace("maestro@", "plain@");
    let database = open(&url);
    // The server frees the place of `psql` a moment after that has ended.
    let until = Instant::now() + Duration::from_secs(10);
    let taken = loop {
        match database.transaction().await {
            Ok(taken) => break taken,
            Err(error) => assert!(Instant::now() < until, "{error}"),
        }
    };
    let error = database.query("SELECT 1", &[]).await.unwrap_err();
    assert!(error.to_string().contains("max_connections"), "{error}");
    taken.rollback().await;
}
