//! Keeps a log that its room holds open below a size, by copying and truncating it. This is for rooms that write
//! directly into a file: those started before log writers existed (see `log_writer`), and those without a writer.

use super::{logs::rotated, safe_open};
use std::{
    fs, io,
    io::{Seek, SeekFrom},
    path::Path,
};

/// Renames rotated files to make room for a new `.1`; there are at most `files` files.
pub fn shift(log: &Path, files: usize) -> io::Result<()> {
    for number in (1..files.saturating_sub(1)).rev() {
        match fs::rename(rotated(log, number), rotated(log, number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Keeps the log below `bytes`, `files` in all. What is written between copy and truncate
/// is lost.
///
/// # Errors
/// The copy failed, on a full disk for example: it is removed, and the log truncated all the same,
/// since a growing log would make matters worse.
pub fn rotate(log: &Path, bytes: u64, files: usize) -> io::Result<bool> {
    match fs::symlink_metadata(log) {
        Ok(metadata) if metadata.len() > bytes => {}
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => return Ok(false),
    }
    let current = safe_open::read_write(log)?;
    let kept = match files > 1 {
        true => keep_newest(&current, log, bytes, files),
        false => Ok(()),
    };
    current.set_len(0)?;
    kept.map(|()| true)
}

fn keep_newest(mut current: &fs::File, log: &Path, bytes: u64, files: usize) -> io::Result<()> {
    shift(log, files)?;
    // The newest part of a log that grew faster than the rounds.
    let length = current.metadata()?.len();
    current.seek(SeekFrom::Start(length.saturating_sub(bytes)))?;
    let place = rotated(log, 1);
    let mut copy = safe_open::create(&place)?;
    // A fast writer must not keep us copying.
    let copied = io::copy(&mut io::Read::take(current, bytes), &mut copy);
    if let Err(error) = copied {
        let _ = fs::remove_file(&place);
        let text = format!("its older lines are lost: {error}");
        return Err(io::Error::new(error.kind(), text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::logs::{Bounds, tail};
    use super::*;
    use std::{fs::OpenOptions, io::Write};

    #[test]
    fn rotation_keeps_the_writer_and_the_number_of_files() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("game.log");
        let mut writer = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&log)
            .unwrap();
        for round in 0..5 {
            writeln!(writer, "round {round} {}", "x".repeat(100)).unwrap();
            assert!(rotate(&log, 100, 3).unwrap());
            assert!(!rotate(&log, 100, 3).unwrap());
        }
        writeln!(writer, "young").unwrap();
        assert_eq!(fs::read(&log).unwrap(), b"young\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
        let lines = tail(&log, 3, Bounds::of_request(2)).unwrap();
        assert_eq!(lines[1], "young");
        assert_eq!(lines.len(), 2, "the tail goes on into the rotated file");
    }

    #[test]
    fn a_copy_that_fails_is_removed_and_the_log_is_truncated_all_the_same() {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        // The limit is a whole process's, so a child of ours runs into it.
        const INSIDE: &str = "MAESTRO_TEST_INSIDE";
        if std::env::var_os(INSIDE).is_none() {
            let test = "process::linux::rotation::tests::a_copy_that_fails_is_removed_and_the_log_is_truncated_all_the_same";
            let child = std::process::Command::new("sh")
                // The signal that comes with the error ends a process that does not ignore it.
                .args(["-c", r#"trap "" XFSZ; exec "$0" "$@""#])
                .arg(std::env::current_exe().unwrap())
                .args([test, "--exact"])
                .env(INSIDE, "1")
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&child.stdout);
            assert!(
                child.status.success() && said.contains("1 passed"),
                "{said}"
            );
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("game.log");
        fs::write(&log, vec![b'x'; 100_000]).unwrap();
        fs::write(rotated(&log, 1), "older\n").unwrap();
        let before = getrlimit(Resource::Fsize);
        let small = Rlimit {
            current: Some(40_000),
            ..before
        };
        setrlimit(Resource::Fsize, small).unwrap();
        let failed = rotate(&log, 50_000, 3).unwrap_err();
        assert!(failed.to_string().contains("lost"), "{failed}");
        assert_eq!(fs::metadata(&log).unwrap().len(), 0);
        assert!(!rotated(&log, 1).exists(), "no part of a copy is left");
        let older = fs::read_to_string(rotated(&log, 2)).unwrap();
        assert_eq!(older, "older\n");
    }
}
