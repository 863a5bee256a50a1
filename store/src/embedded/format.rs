//! The format of the file: a newer one is rejected, an older one is migrated after a copy was made.

use super::{
    error::OpenError,
    file, former,
    tables::{self, META, SEQS},
};
use maestro_core::domain::SchedulerName;
use redb::{Database, ReadableDatabase, WriteTransaction};
use std::path::{Path, PathBuf};

/// Migrates the tables from the format before `to`. Runs inside a transaction.
pub struct Migration {
    pub to: u64,
    pub apply: fn(&WriteTransaction) -> Result<(), redb::Error>,
}

/// The formats that a program knows: the one it writes, and the migrations to it.
pub struct Formats {
    pub current: u64,
    pub migrations: &'static [Migration],
}

/// Every change to the tables must raise `current`, add a migration, and keep a file of the format before in
/// `store/tests/formats`. A migration that was on the main branch is never changed, because files are at its format.
pub const FORMATS: Formats = Formats {
    current: 5,
    migrations: &[
        Migration {
            to: 2,
            apply: former::history_by_seconds,
        },
        Migration {
            to: 3,
            apply: former::rooms_in_parts,
        },
        Migration {
            to: 4,
            apply: former::versions_without_states,
        },
        Migration {
            to: 5,
            apply: former::without_runtimes,
        },
    ],
};

const FORMAT: &str = "format";
const INSTALLATION: &str = "installation";
const EPOCH: &str = "epoch";

/// Creates the tables of an empty store.
pub fn initialise(db: &Database, formats: &Formats) -> Result<(), redb::Error> {
    let txn = db.begin_write()?;
    tables::create_all(&txn)?;
    {
        let mut meta = txn.open_table(META)?;
        meta.insert(FORMAT, formats.current.to_string().as_str())?;
        meta.insert(INSTALLATION, uuid::Uuid::new_v4().to_string().as_str())?;
        meta.insert(EPOCH, "0")?;
    }
    txn.commit()?;
    Ok(())
}

/// The format of the file, which must be the current one.
pub fn of(path: &Path, db: &Database) -> Result<u64, OpenError> {
    let found = number(path, db, FORMAT)?;
    match found > FORMATS.current {
        true => Err(OpenError::Newer {
            file: path.into(),
            found,
            known: FORMATS.current,
        }),
        false => Ok(found),
    }
}

/// Migrates the file to the current format if necessary.
pub fn bring_up(path: &Path, db: Database, formats: &Formats) -> Result<Database, OpenError> {
    let found = number(path, &db, FORMAT)?;
    if found == formats.current {
        return Ok(db);
    }
    if found > formats.current {
        return Err(OpenError::Newer {
            file: path.into(),
            found,
            known: formats.current,
        });
    }
    // The file is copied while closed, so that the copy is complete.
    db.close()
        .map_err(|e| OpenError::database(path, e.into()))?;
    let copy = copy_name(path, formats.current);
    file::copy_durably(path, &copy).map_err(|e| OpenError::io(&copy, e))?;
    let db = file::open_existing(path)?;
    migrate(&db, found, formats).map_err(|reason| OpenError::Migration {
        file: path.into(),
        copy: copy.clone(),
        from: found,
        to: formats.current,
        reason,
    })?;
    tracing::info!(
        from = found, to = formats.current, copy = %copy.display(),
        "the store was migrated; the copy is for going back to the version before, and may be deleted"
    );
    Ok(db)
}

/// Runs all steps in one transaction: a crash in between leaves the old format.
fn migrate(db: &Database, found: u64, formats: &Formats) -> Result<(), String> {
    let run = || -> Result<u64, redb::Error> {
        let txn = db.begin_write()?;
        let mut reached = found;
        for step in formats.migrations {
            if step.to == reached + 1 {
                (step.apply)(&txn)?;
                reached = step.to;
            }
        }
        if reached == formats.current {
            txn.open_table(META)?
                .insert(FORMAT, reached.to_string().as_str())?;
            txn.commit()?;
        }
        Ok(reached)
    };
    match run() {
        Ok(reached) if reached == formats.current => Ok(()),
        Ok(reached) => Err(format!("there is no way on from format {reached}")),
        Err(e) => Err(e.to_string()),
    }
}

fn copy_name(path: &Path, format: u64) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".before-format-{format}"));
    name.into()
}

/// The installation's UUID. Rooms carry it, which distinguishes them from rooms of other installations.
pub fn installation(path: &Path, db: &Database) -> Result<String, OpenError> {
    text(path, db, INSTALLATION)
}

pub fn epoch(path: &Path, db: &Database) -> Result<u64, OpenError> {
    number(path, db, EPOCH)
}

/// Durably begins a new epoch, which fences every older writer. Seqs of names without any rows are therefore no longer
/// needed, and are removed as `forgotten`.
pub fn raise_epoch<'a>(
    path: &Path,
    db: &Database,
    forgotten: impl Iterator<Item = &'a SchedulerName>,
) -> Result<u64, OpenError> {
    let epoch = epoch(path, db)? + 1;
    let write = || -> Result<(), redb::Error> {
        let txn = db.begin_write()?;
        txn.open_table(META)?
            .insert(EPOCH, epoch.to_string().as_str())?;
        {
            let mut seqs = txn.open_table(SEQS)?;
            for name in forgotten {
                seqs.remove(name.as_str())?;
            }
        }
        txn.commit()?;
        Ok(())
    };
    write().map_err(|e| OpenError::database(path, e))?;
    Ok(epoch)
}

/// A durable write without changes: tests whether anything can be stored.
pub fn write_again(db: &Database, epoch: u64) -> Result<(), redb::Error> {
    let txn = db.begin_write()?;
    txn.open_table(META)?
        .insert(EPOCH, epoch.to_string().as_str())?;
    txn.commit()?;
    Ok(())
}

fn number(path: &Path, db: &Database, key: &str) -> Result<u64, OpenError> {
    text(path, db, key)?
        .parse()
        .map_err(|_| OpenError::Foreign { file: path.into() })
}

fn text(path: &Path, db: &Database, key: &str) -> Result<String, OpenError> {
    let read = || -> Result<Option<String>, redb::Error> {
        let meta = db.begin_read()?.open_table(META)?;
        Ok(meta.get(key)?.map(|v| v.value().to_owned()))
    };
    read()
        .map_err(|e| OpenError::database(path, e))?
        .ok_or_else(|| OpenError::Foreign { file: path.into() })
}

#[cfg(test)]
mod tests {
    use super::super::{opening, private, tables::HISTORY};
    use super::*;
    use maestro_core::ports::OperatorRecord;
    use redb::{ReadableTable, TableDefinition};

    const ONE: Formats = Formats {
        current: 1,
        migrations: &[],
    };
    const NEW: TableDefinition<&str, u64> = TableDefinition::new("new_in_2");
    const TWO: Formats = Formats {
        current: 2,
        migrations: &[Migration {
            to: 2,
            apply: |txn| {
                txn.open_table(NEW)?.insert("migrated", 1)?;
                Ok(())
            },
        }],
    };
    const THREE_WITHOUT_A_WAY: Formats = Formats {
        current: 3,
        migrations: TWO.migrations,
    };

    fn format_of(path: &Path) -> u64 {
        let db = file::open_existing(path).unwrap();
        number(path, &db, FORMAT).unwrap()
    }

    #[test]
    fn an_older_format_is_migrated_after_a_copy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(private::NAME);
        let before = installation(&path, &opening::open(dir.path(), &ONE).unwrap()).unwrap();
        let db = opening::open(dir.path(), &TWO).unwrap();
        assert_eq!(number(&path, &db, FORMAT).unwrap(), 2);
        assert_eq!(installation(&path, &db).unwrap(), before);
        let new = db.begin_read().unwrap().open_table(NEW).unwrap();
        assert_eq!(new.get("migrated").unwrap().unwrap().value(), 1);
        drop((new, db));
        assert_eq!(
            format_of(&dir.path().join("maestro.redb.before-format-2")),
            1
        );
    }

    #[test]
    fn the_history_of_the_first_format_is_kept_by_seconds() {
        let dir = tempfile::tempdir().unwrap();
        let db = opening::open(dir.path(), &ONE).unwrap();
        let txn = db.begin_write().unwrap();
        {
            let mut history = txn.open_table(HISTORY).unwrap();
            for (at, id) in [(1_999_999, 1), (1_000_000, 2), (-1, 3)] {
                history.insert(("fleet", at, id), ()).unwrap();
            }
        }
        txn.commit().unwrap();
        drop(db);
        let db = opening::open(dir.path(), &FORMATS).unwrap();
        let history = db.begin_read().unwrap().open_table(HISTORY).unwrap();
        let rows = history.iter().unwrap().map(|row| {
            let (key, _) = row.unwrap();
            let (name, at, id) = key.value();
            (name.to_owned(), at, id)
        });
        let fleet = || "fleet".to_owned();
        let expected = [(fleet(), -1, 3), (fleet(), 1, 1), (fleet(), 1, 2)];
        assert_eq!(rows.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_rollout_that_the_first_format_held_stays_held() {
        let record: OperatorRecord =
            tables::decode("rollouts", "fleet", br#"{"paused":true}"#).unwrap();
        let held = OperatorRecord {
            rollout_paused: true,
            ..OperatorRecord::default()
        };
        assert_eq!(record, held);
    }

    #[test]
    fn a_newer_format_is_refused_and_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        drop(opening::open(dir.path(), &TWO).unwrap());
        let refused = opening::open(dir.path(), &ONE).err().unwrap();
        assert!(matches!(
            refused,
            OpenError::Newer {
                found: 2,
                known: 1,
                ..
            }
        ));
        assert!(refused.to_string().contains("start a newer Maestro"));
        assert_eq!(format_of(&dir.path().join(private::NAME)), 2);
    }

    #[test]
    fn a_migration_that_cannot_go_on_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        drop(opening::open(dir.path(), &ONE).unwrap());
        let refused = opening::open(dir.path(), &THREE_WITHOUT_A_WAY)
            .err()
            .unwrap();
        assert!(matches!(
            refused,
            OpenError::Migration { from: 1, to: 3, .. }
        ));
        assert_eq!(format_of(&dir.path().join(private::NAME)), 1);
        drop(opening::open(dir.path(), &ONE).unwrap());
    }
}
