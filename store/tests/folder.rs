//! Folders and files that are rejected, with errors that say what to do.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use maestro_store::embedded::{EmbeddedStore, OpenError};
use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
};

fn refusal(dir: &Path) -> OpenError {
    EmbeddedStore::open(dir).err().expect("it is refused")
}

#[test]
#[ignore = "run by a_second_process_is_told_which_one_has_the_folder"]
fn holds_the_folder() {
    let Some(dir) = support::folder_of_parent() else {
        return;
    };
    let store = EmbeddedStore::open(&dir).unwrap();
    println!("\nheld");
    // Blocks until the parent process ends it or is gone.
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    drop(store);
}

#[test]
fn a_second_process_is_told_which_one_has_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    let mut holder = support::child("holds_the_folder", dir.path())
        .spawn()
        .unwrap();
    let output = BufReader::new(holder.stdout.take().unwrap());
    let mut lines = output.lines().map_while(Result::ok);
    assert!(lines.any(|line| line == "held"));

    let refused = refusal(dir.path());
    assert!(matches!(refused, OpenError::InUse { .. }), "{refused}");
    let text = refused.to_string();
    let start = format!(
        "data folder {} is in use by process {} (started 2",
        dir.path().display(),
        holder.id()
    );
    assert!(text.starts_with(&start), "{text}");
    let advice = "); stop it or choose another with --data-dir";
    assert!(text.ends_with(advice), "{text}");

    holder.kill().unwrap();
    holder.wait().unwrap();
    EmbeddedStore::open(dir.path()).unwrap();
}

#[tokio::test]
async fn a_closed_store_gives_the_folder_up_and_answers_with_errors() {
    use maestro_core::ports::{CommitError, Store, StoreError};
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(dir.path()).unwrap();
    let installation = store.installation().to_owned();
    let owner = maestro_testkit::contract::store::Owner::of(&support::ports(&store), "a").await;
    store.close().await;
    store.close().await;
    let refused = store.commit(owner.fence(), [].into()).await;
    assert!(matches!(refused, Err(CommitError::NotApplied(_))));
    let refused = owner.try_load().await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))));
    let again = EmbeddedStore::open(dir.path()).unwrap();
    assert_eq!(again.installation(), installation);
}

#[test]
fn a_foreign_file_is_refused_and_left_as_it_is() {
    for contents in ["", "r", "SQLite format 3\0", "not a database at all"] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("maestro.redb");
        fs::write(&file, contents).unwrap();
        let refused = refusal(dir.path());
        assert!(matches!(refused, OpenError::Foreign { .. }), "{refused}");
        assert_eq!(fs::read_to_string(&file).unwrap(), contents);
    }
}

#[test]
fn a_database_of_another_program_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let db = redb::Database::create(dir.path().join("maestro.redb")).unwrap();
    let txn = db.begin_write().unwrap();
    let table: redb::TableDefinition<&str, u64> = redb::TableDefinition::new("meta");
    txn.open_table(table).unwrap().insert("format", 1).unwrap();
    txn.commit().unwrap();
    drop(db);
    let refused = refusal(dir.path());
    assert!(matches!(refused, OpenError::Foreign { .. }), "{refused}");
}

#[test]
fn a_creation_that_was_cut_off_is_begun_again() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("maestro.redb.new"), "redb, the first half").unwrap();
    EmbeddedStore::open(dir.path()).unwrap();
    assert!(!dir.path().join("maestro.redb.new").exists());
}

#[test]
fn a_folder_that_cannot_be_made_or_written_is_refused_with_advice() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below"), "/proc/maestro".into()] {
        let refused = refusal(&path);
        assert!(matches!(refused, OpenError::Io { .. }), "{refused}");
        let text = refused.to_string();
        assert!(text.contains("--data-dir"), "{text}");
        assert!(text.contains(&*path.to_string_lossy()), "{text}");
    }
}

#[test]
fn a_folder_of_somebody_else_is_refused_with_advice() {
    use std::os::unix::fs::PermissionsExt;
    if rustix::process::geteuid().is_root() {
        println!("skipped, because root may write everywhere");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o500)).unwrap();
    let refused = refusal(dir.path()).to_string();
    assert!(
        refused.contains("run as the user that owns it"),
        "{refused}"
    );
}
