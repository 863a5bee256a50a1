//! The schema: from nothing, from every older version, and what is refused.

use super::support::open;
use maestro_store::postgres::{MigrateError, Migrated, migrate};
use maestro_testkit::servers::postgres::{TestDatabase, database};

const STEPS: [&str; 7] = [
    include_str!("../../src/postgres/migrations/original/1.sql"),
    include_str!("../../src/postgres/migrations/original/2.sql"),
    include_str!("../../src/postgres/migrations/original/3.sql"),
    include_str!("../../src/postgres/migrations/original/4.sql"),
    include_str!("../../src/postgres/migrations/original/5.sql"),
    include_str!("../../src/postgres/migrations/original/6.sql"),
    include_str!("../../src/postgres/migrations/original/7.sql"),
];
/// Our own steps, until runtimes were created by themselves.
const BEFORE_RUNTIMES: [&str; 3] = [
    include_str!("../../src/postgres/migrations/ours/1.sql"),
    include_str!("../../src/postgres/migrations/ours/2.sql"),
    include_str!("../../src/postgres/migrations/ours/3.sql"),
];
const BOOKKEEPING: &str =
    "CREATE TABLE schema_migrations (version bigint not null primary key, dirty boolean not null)";
const COLUMNS: &str = "
    SELECT column_name, data_type, character_maximum_length, is_nullable, column_default
    FROM information_schema.columns
    WHERE table_schema = 'public' AND table_name IN ('schedulers', 'scheduler_versions')
    ORDER BY table_name, column_name";
/// As recorded from the original (contract 8.1).
const RECORDED: [&str; 17] = [
    "created_at|timestamp with time zone||YES|now()",
    "id|uuid||NO|uuid_generate_v4()",
    "name|character varying|255|NO|",
    "rollback_version|character varying|255|YES|",
    "rolling_update_status|character varying|255|YES|",
    "version|character varying|255|NO|",
    "yaml|text||NO|",
    "created_at|timestamp with time zone||NO|now()",
    "game|character varying|255|NO|",
    "id|uuid||NO|uuid_generate_v4()",
    "last_scale_op_at|integer||NO|0",
    "name|character varying|255|NO|",
    "state|text||NO|",
    "state_last_changed_at|integer||NO|0",
    "updated_at|timestamp with time zone||YES|",
    "version|character varying|255|YES|",
    "yaml|text||NO|",
];

fn is_complete(server: &TestDatabase) {
    assert_eq!(server.ask(COLUMNS), RECORDED);
    assert_eq!(server.ask("TABLE schema_migrations"), ["7|f"]);
    assert_eq!(server.ask("TABLE maestro_schema"), ["4"]);
    let index = "SELECT count(*) FROM pg_indexes WHERE indexname IN
                 ('schedulers_name_unique', 'scheduler_name', 'schedulers_version_unique')";
    assert_eq!(server.ask(index), ["3"]);
}

/// As the original left it at a version.
fn at_version(server: &TestDatabase, version: usize) {
    server.ask(BOOKKEEPING);
    server.ask(&STEPS[..version].concat());
    server.ask(&format!(
        "INSERT INTO schema_migrations VALUES ({version}, false)"
    ));
}

#[tokio::test]
async fn a_new_database_gets_everything_once() {
    let Some(server) = database().await else {
        return;
    };
    let database = open(server.url());
    let done = migrate(&database).await.unwrap();
    assert_eq!(done, Migrated::Done { from: 0, to: 7 });
    is_complete(&server);
    assert_eq!(migrate(&database).await.unwrap(), Migrated::UpToDate);
    is_complete(&server);
}

#[tokio::test]
async fn every_version_of_the_original_is_taken_over() {
    for version in 1..=7 {
        let Some(server) = database().await else {
            return;
        };
        at_version(&server, version);
        let columns = match version {
            1..=3 => "name, game, yaml, state) VALUES ('a', 'g', 'y', 's'",
            _ => "name, game, yaml, state, version) VALUES ('a', 'g', 'y', 's', '1'",
        };
        server.ask(&format!("INSERT INTO schedulers ({columns})"));
        let done = migrate(&open(server.url())).await.unwrap();
        let from = i64::try_from(version).unwrap();
        assert_eq!(done, Migrated::Done { from, to: 7 });
        is_complete(&server);
        let row =
            server.ask("SELECT name, game, yaml, state, coalesce(version, '') FROM schedulers");
        let version = if version < 4 { "" } else { "1" };
        assert_eq!(row, [format!("a|g|y|s|{version}")]);
    }
}

/// A step was changed after databases had been brought to it: some of them have the table of runtimes, and some not.
#[tokio::test]
async fn a_database_of_before_the_runtimes_gets_their_table_and_keeps_its_rows() {
    for has_table in [false, true] {
        let Some(server) = database().await else {
            return;
        };
        at_version(&server, 7);
        server.ask(&BEFORE_RUNTIMES.concat());
        server.ask("CREATE TABLE maestro_schema (version BIGINT NOT NULL PRIMARY KEY)");
        server.ask("INSERT INTO maestro_schema VALUES (3)");
        server.ask("INSERT INTO maestro_version VALUES ('a', 'v1.0.0', '{}')");
        let runtimes = "SELECT scheduler FROM maestro_runtime";
        if has_table {
            server.ask(
                "CREATE TABLE maestro_runtime (scheduler TEXT NOT NULL PRIMARY KEY, record JSONB NOT NULL)",
            );
            server.ask("INSERT INTO maestro_runtime VALUES ('a', '{}')");
        }
        migrate(&open(server.url())).await.unwrap();
        is_complete(&server);
        assert_eq!(server.ask("SELECT scheduler FROM maestro_version"), ["a"]);
        let expected: &[&str] = if has_table { &["a"] } else { &[] };
        assert_eq!(server.ask(runtimes), expected);
    }
}

#[tokio::test]
async fn a_dirty_database_is_left_alone_until_it_is_repaired_as_told() {
    for version in [1, 4, 7] {
        let Some(server) = database().await else {
            return;
        };
        at_version(&server, version);
        server.ask("UPDATE schema_migrations SET dirty = true");
        let database = open(server.url());
        let error = migrate(&database).await.unwrap_err();
        let MigrateError::Dirty { repair, .. } = &error else {
            panic!("{error}")
        };
        assert!(error.to_string().contains(repair), "{error}");
        assert_eq!(server.ask("SELECT to_regclass('maestro_node')"), [""]);
        server.ask(repair);
        migrate(&database).await.unwrap();
        is_complete(&server);
    }
}

#[tokio::test]
async fn what_a_newer_program_made_is_refused() {
    let Some(server) = database().await else {
        return;
    };
    let database = open(server.url());
    migrate(&database).await.unwrap();
    server.ask("UPDATE maestro_schema SET version = 5");
    let error = migrate(&database).await.unwrap_err().to_string();
    assert!(error.contains("version 5 of maestro_schema"), "{error}");
    server.ask("UPDATE schema_migrations SET version = 8");
    let error = migrate(&database).await.unwrap_err().to_string();
    assert!(error.contains("version 8 of schema_migrations"), "{error}");
}

#[tokio::test]
async fn a_failure_changes_nothing() {
    let Some(server) = database().await else {
        return;
    };
    // A stranger's table is in the way of the third step.
    server.ask("CREATE TABLE scheduler_versions (name TEXT)");
    migrate(&open(server.url())).await.unwrap_err();
    assert_eq!(server.ask("SELECT to_regclass('schedulers')"), [""]);
    assert_eq!(server.ask("SELECT to_regclass('schema_migrations')"), [""]);
}

#[tokio::test]
async fn only_one_of_several_at_once_has_something_to_do() {
    let Some(server) = database().await else {
        return;
    };
    let one = || async { migrate(&open(server.url())).await.unwrap() };
    let all = tokio::join!(one(), one(), one(), one());
    let done = [all.0, all.1, all.2, all.3]
        .into_iter()
        .filter(|done| *done != Migrated::UpToDate);
    assert_eq!(done.count(), 1);
    is_complete(&server);
}
