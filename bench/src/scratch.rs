//! A temporary folder for rooms. Removed on drop, whatever the rooms did to it.

use maestro_runtime::process::remove_tree;
use std::io;
use std::path::{Path, PathBuf};

pub struct Scratch(PathBuf);

impl Scratch {
    /// A new folder whose name begins with `prefix`.
    ///
    /// # Errors
    /// If none can be created.
    pub fn new(prefix: &str) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix(prefix).tempdir()?;
        Ok(Self(folder.keep()))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = remove_tree(&self.0) {
            tracing::error!(folder = %self.0.display(), %error, "a temporary folder cannot be removed: remove it by hand");
        }
    }
}
