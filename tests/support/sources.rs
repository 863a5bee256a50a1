//! The files of this repository, for tests that check references between pages and comments.

use std::fs;
use std::path::Path;

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Calls `each` with the path (from the root) and the text of every file of our own that has one of these extensions.
pub fn sources(extensions: &[&str], each: &mut dyn FnMut(&Path, &str)) {
    walk(root(), extensions, each);
}

fn walk(folder: &Path, extensions: &[&str], each: &mut dyn FnMut(&Path, &str)) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() {
            // Build output, and the data of a server that was run here.
            let foreign = name == "target" || name == "maestro-data";
            if !foreign && !name.to_string_lossy().starts_with('.') {
                walk(&path, extensions, each);
            }
        } else if extensions
            .iter()
            .any(|e| path.extension().is_some_and(|x| x == *e))
        {
            let text = fs::read_to_string(&path).expect("a source");
            each(path.strip_prefix(root()).expect("below the root"), &text);
        }
    }
}
