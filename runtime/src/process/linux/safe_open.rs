//! Files in folders that a room can write. What has one of our names there may be anything: a link
//! to a foreign file, a FIFO without a writer, a folder. Nothing here follows a link in the last
//! part of a path, waits for the other end of a FIFO, or returns a file that is not regular.

use super::folder::is_refused;
use rustix::{
    fs::{Mode, OFlags, fchmod, fcntl_getfl, fcntl_setfl},
    io::Errno,
};
use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

/// Files of ours are for the owner only, whatever the umask.
pub const MODE: u32 = 0o600;

/// Opens a file for reading.
pub fn read(path: &Path) -> io::Result<File> {
    open(OpenOptions::new().read(true), path, OFlags::NOFOLLOW)
}

/// For reading; links are followed. Only for the user's own folders, where links are intended (a
/// mounted secret is one).
pub fn read_linked(path: &Path) -> io::Result<File> {
    open(OpenOptions::new().read(true), path, OFlags::empty())
}

/// For reading and writing; it must exist.
pub fn read_write(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    open(options.read(true).write(true), path, OFlags::NOFOLLOW)
}

/// For appending; created if missing.
pub fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = open(
        options.append(true).create(true).mode(MODE),
        path,
        OFlags::NOFOLLOW,
    )?;
    make_private(&file)?;
    Ok(file)
}

/// A new, empty file for writing. An existing entry is removed first, unless it is a folder:
/// nothing is written through what somebody else put there.
pub fn create(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    let options = options.write(true).create_new(true).mode(MODE);
    let file = open(options, path, OFlags::NOFOLLOW)?;
    make_private(&file)?;
    Ok(file)
}

/// The whole file, which must not be longer than `bytes_max`.
pub fn read_all(file: File, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more than allowed detects a longer file, even one that is growing.
    file.take(bytes_max.saturating_add(1))
        .read_to_end(&mut bytes)?;
    match bytes.len() as u64 > bytes_max {
        true => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("longer than {bytes_max} bytes"),
        )),
        false => Ok(bytes),
    }
}

fn open(options: &mut OpenOptions, path: &Path, more: OFlags) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY | more;
    let file = options
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .map_err(in_words)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(not_regular(&metadata));
    }
    // A room inherits its log: it must find an ordinary file.
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

fn in_words(error: io::Error) -> io::Error {
    let words = match Errno::from_io_error(&error) {
        Some(Errno::LOOP) => "it is a link, not a regular file; remove it",
        // The other end of a FIFO is not open, or a socket has the name.
        Some(Errno::NXIO) => "it is a pipe or a socket, not a regular file; remove it",
        _ => return error,
    };
    io::Error::new(io::ErrorKind::InvalidData, words)
}

fn not_regular(metadata: &Metadata) -> io::Error {
    let kind = match rustix::fs::FileType::from_raw_mode(metadata.mode()) {
        rustix::fs::FileType::Directory => "a folder",
        rustix::fs::FileType::Fifo => "a pipe",
        rustix::fs::FileType::Socket => "a socket",
        _ => "a device",
    };
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("it is {kind}, not a regular file; remove it"),
    )
}

/// The mode of a creation is cut by the umask, and what was there keeps its own.
fn make_private(file: &File) -> io::Result<()> {
    if file.metadata()?.mode() & 0o7777 == MODE {
        return Ok(());
    }
    let changed = fchmod(file, Mode::from_raw_mode(MODE)).map_err(io::Error::from);
    match changed {
        // A volume without modes: the folder decides about access.
        Err(error) if is_refused(&error) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::Write, os::unix::fs::symlink, path::PathBuf};

    /// What may stand where a file is expected.
    fn strange(folder: &Path) -> Vec<PathBuf> {
        let at = |name: &str| folder.join(name);
        let fifo = at("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        assert!(made.unwrap().success());
        std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        fs::create_dir(at("folder")).unwrap();
        fs::write(at("target"), "secret").unwrap();
        symlink(at("target"), at("link")).unwrap();
        symlink(at("nothing"), at("dangling")).unwrap();
        symlink("/dev/zero", at("device")).unwrap();
        ["fifo", "socket", "folder", "link", "dangling", "device"]
            .map(at)
            .into()
    }

    #[test]
    fn only_a_regular_file_is_opened_and_nothing_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        for path in strange(folder.path()) {
            for open in [read, read_write, append] {
                let refused = open(&path).err().map(|error| error.to_string());
                let refused = refused.unwrap_or_else(|| panic!("{} was opened", path.display()));
                let known = ["not a regular file", "Is a directory"];
                assert!(known.iter().any(|k| refused.contains(k)), "{refused}");
            }
        }
        assert!(
            !folder.path().join("nothing").exists(),
            "made through a link"
        );
        assert!(read_linked(&folder.path().join("link")).is_ok());
        for name in ["fifo", "folder", "device", "dangling"] {
            assert!(read_linked(&folder.path().join(name)).is_err(), "{name}");
        }
    }

    #[test]
    fn a_new_file_replaces_what_has_its_name_and_writes_through_nothing() {
        let folder = tempfile::tempdir().unwrap();
        for path in strange(folder.path()) {
            match create(&path) {
                Ok(mut file) => {
                    file.write_all(b"ours").unwrap();
                    assert!(fs::symlink_metadata(&path).unwrap().is_file());
                }
                Err(error) => assert!(path.ends_with("folder"), "{error}"),
            }
        }
        let target = fs::read_to_string(folder.path().join("target")).unwrap();
        assert_eq!(target, "secret");
    }

    #[test]
    fn a_file_of_ours_is_for_the_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old.log");
        fs::write(&path, "line\n").unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        for file in [append(&path), create(&folder.path().join("new"))] {
            assert_eq!(file.unwrap().metadata().unwrap().mode() & 0o7777, MODE);
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "line\n");
    }

    #[test]
    fn a_file_is_read_up_to_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read_all(read(&path).unwrap(), 5).unwrap(), b"12345");
        assert!(read_all(read(&path).unwrap(), 4).is_err());
    }
}
