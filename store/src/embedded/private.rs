//! Access permissions of our files. Files are for the owner only, whatever the umask; so is a folder that we created,
//! or that contains our store and belongs to us. Any other folder is left unchanged (`/tmp` must stay shared), and a
//! warning says who can read it.

use rustix::fs::OFlags;
use std::{
    fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

/// The name of the store in the data folder.
pub const NAME: &str = "maestro.redb";
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;
const STICKY: u32 = 0o1000;

/// Creates a missing data folder, and restricts access to one of ours.
pub fn open_folder(dir: &Path) -> io::Result<()> {
    if make_folder(dir)? {
        return Ok(());
    }
    let metadata = fs::metadata(dir)?;
    let Some(readers) = readers(&metadata) else {
        return Ok(());
    };
    let folder = dir.display();
    if !is_to_close(dir, &metadata) {
        let advice = "files of ours in it are for their owner only; chmod 700 closes the folder";
        tracing::warn!(%folder, "the data folder can be read by {readers}: {advice}");
        return Ok(());
    }
    match fs::set_permissions(dir, Permissions::from_mode(FOLDER_MODE)) {
        Ok(()) => tracing::info!(%folder, "the data folder could be read by {readers}: closed it"),
        Err(error) => {
            tracing::warn!(%folder, %error, "the data folder can be read by {readers}, and that cannot be changed");
        }
    }
    Ok(())
}

/// Creates the folder; `false` if it existed.
fn make_folder(dir: &Path) -> io::Result<bool> {
    if fs::metadata(dir).is_ok_and(|metadata| metadata.is_dir()) {
        return Ok(false);
    }
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty())
        && !parent.exists()
    {
        make_folder(parent)?;
    }
    DirBuilder::new().mode(FOLDER_MODE).create(dir)?;
    // The umask may have removed more permissions than wanted.
    close(dir, FOLDER_MODE);
    Ok(true)
}

/// Whether access is to be restricted: not for a shared folder, and not for another user's.
fn is_to_close(dir: &Path, metadata: &Metadata) -> bool {
    let ours = metadata.uid() == rustix::process::geteuid().as_raw();
    let everybodys = metadata.mode() & STICKY != 0;
    let has_store = dir.join(NAME).is_file();
    ours && !everybodys && has_store
}

/// Who else can read the folder; `None` if nobody can.
fn readers(metadata: &Metadata) -> Option<String> {
    let mode = metadata.mode();
    match (mode & 0o007, mode & 0o070) {
        (0, 0) => None,
        (0, _) => Some(format!(
            "group {} (mode {:04o})",
            metadata.gid(),
            mode & 0o7777
        )),
        _ => Some(format!(
            "every user of this machine (mode {:04o})",
            mode & 0o7777
        )),
    }
}

/// Creates a new, empty private file, which must not exist yet.
pub fn create_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    let file = options.mode(FILE_MODE).open(path)?;
    close(path, FILE_MODE);
    Ok(file)
}

/// Opens a small private file, or creates it if it is missing. Links are not followed: in a shared folder they could
/// lead anywhere.
pub fn open_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).mode(FILE_MODE);
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = options
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    if !file.metadata()?.is_file() {
        let words = "not a regular file";
        return Err(io::Error::new(io::ErrorKind::InvalidData, words));
    }
    close(path, FILE_MODE);
    Ok(file)
}

/// Restricts access to a file, which an earlier version may have created.
pub fn close_file(path: &Path) {
    close(path, FILE_MODE);
}

fn close(path: &Path, wanted: u32) {
    let has = fs::symlink_metadata(path).map(|metadata| metadata.mode() & 0o7777);
    if has.is_ok_and(|mode| mode == wanted) {
        return;
    }
    if let Err(error) = fs::set_permissions(path, Permissions::from_mode(wanted)) {
        let path = path.display();
        tracing::warn!(%path, %error, "others may be able to read it, and that cannot be changed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_folder_is_closed_when_it_was_made_here_or_has_our_store() {
        let top = tempfile::tempdir().unwrap();
        let made = top.path().join("a/b");
        open_folder(&made).unwrap();
        assert_eq!([mode(&made), mode(&top.path().join("a"))], [0o700, 0o700]);
        for (name, has_store, before, after) in [
            ("found", false, 0o755, 0o755),
            ("ours", true, 0o755, 0o700),
            ("ours-group", true, 0o750, 0o700),
            ("everybodys", true, 0o1777, 0o1777),
        ] {
            let dir = top.path().join(name);
            fs::create_dir(&dir).unwrap();
            if has_store {
                fs::write(dir.join(NAME), "").unwrap();
            }
            set(&dir, before);
            open_folder(&dir).unwrap();
            assert_eq!(mode(&dir), after, "{name}");
        }
        fs::write(top.path().join("file"), "").unwrap();
        assert!(open_folder(&top.path().join("file")).is_err());
        assert!(open_folder(&top.path().join("file/below")).is_err());
    }

    #[test]
    fn a_warning_says_who_can_read() {
        let top = tempfile::tempdir().unwrap();
        let who = |wanted| {
            set(top.path(), wanted);
            readers(&fs::metadata(top.path()).unwrap())
        };
        assert_eq!(who(0o700), None);
        assert!(who(0o750).unwrap().starts_with("group "));
        let all = who(0o1777).unwrap();
        assert_eq!(all, "every user of this machine (mode 1777)");
    }

    #[test]
    fn files_are_for_the_owner_only_and_never_behind_a_link() {
        let top = tempfile::tempdir().unwrap();
        let path = top.path().join("file");
        drop(create_file(&path).unwrap());
        assert_eq!(mode(&path), 0o600);
        assert!(create_file(&path).is_err());
        set(&path, 0o644);
        drop(open_file(&path).unwrap());
        assert_eq!(mode(&path), 0o600);
        let link = top.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(open_file(&link).is_err());
        assert!(open_file(top.path()).is_err());
    }
}
