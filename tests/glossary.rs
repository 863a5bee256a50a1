//! The files that ARCHITECTURE.md, CONTRIBUTING.md and `docs/glossary.md` name exist, and contain the names that are
//! given with them. The part of ARCHITECTURE.md that a newcomer's question refers to names the file with the answer.

use regex::Regex;
use std::fs;
use std::path::Path;

const PAGES: &[&str] = &["ARCHITECTURE.md", "CONTRIBUTING.md", "docs/glossary.md"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page(name: &str) -> String {
    fs::read_to_string(root().join(name)).expect(name)
}

/// Whether a word between backticks is a path, which begins with a folder of the repository.
fn is_path(word: &str) -> bool {
    let top = word.split('/').next().unwrap_or_default();
    let plain = word
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    plain && word.contains('/') && !top.is_empty() && root().join(top).is_dir()
}

/// The files and names in a page that the repository does not have.
fn missing(text: &str) -> Vec<String> {
    let named = Regex::new(r"`([^`\s]+)`(?: \(`(\w+)`\))?").expect("a pattern");
    let mut missing = Vec::new();
    for line in text.lines() {
        // Rows of the table of crates name files relative to the crate's folder.
        let folder = line
            .strip_prefix("| `")
            .and_then(|rest| rest.split_once("/`"));
        for found in named.captures_iter(line) {
            let word = &found[1];
            let inside = folder.map(|(folder, _)| root().join(folder).join(word));
            if !is_path(word) || inside.is_some_and(|path| path.exists()) {
                continue;
            }
            let path = root().join(word);
            let name = found.get(2).map_or("", |name| name.as_str());
            let text = fs::read_to_string(&path).unwrap_or_default();
            if !path.exists() || !text.contains(name) {
                missing.push(found[0].to_owned());
            }
        }
    }
    missing
}

#[test]
fn the_code_that_pages_name_is_there() {
    for name in PAGES {
        let missing = missing(&page(name));
        assert!(
            missing.is_empty(),
            "{name} names what is not there: {missing:#?}"
        );
    }
    let invented = "`core/src/nothing.rs`, `core/src/rules/version.rs` (`is_colonel`), `core/src/lib.rs`, `a/b`";
    assert_eq!(
        missing(invented),
        [
            "`core/src/nothing.rs`",
            "`core/src/rules/version.rs` (`is_colonel`)"
        ]
    );
}

#[test]
fn questions_are_answered_within_two_hops() {
    let (glossary, architecture) = (page("docs/glossary.md"), page("ARCHITECTURE.md"));
    let questions = glossary
        .split("## Questions")
        .nth(1)
        .expect("the questions");
    let rows = questions.lines().filter(|line| line.contains("?"));
    let mut asked = 0;
    for row in rows.filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let number = cells[2].trim_start_matches('[').split(']').next();
        let heading = format!("\n## {}. ", number.expect("a part"));
        let part = architecture.split(&heading).nth(1).expect(cells[2]);
        let part = part.split("\n## ").next().expect("its text");
        let file = cells[3].split('`').nth(1).expect("a file");
        assert!(
            part.contains(file),
            "{}: {heading} does not name {file}",
            cells[1]
        );
        asked += 1;
    }
    assert!(asked >= 10, "{asked} questions");
}
