//! `docs/compatibility.md` names the test of every rule; those tests exist.

#[path = "support/sources.rs"]
mod sources;

use sources::{root, sources};
use std::collections::HashSet;
use std::fs;

const PAGE: &str = "docs/compatibility.md";
const DECISIONS: u32 = 38;

/// The names of all functions of the workspace's own sources.
fn functions() -> HashSet<String> {
    let mut found = HashSet::new();
    sources(&["rs"], &mut |_, text| {
        let names = text.split("fn ").skip(1).map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            rest[..end.unwrap_or(rest.len())].to_owned()
        });
        found.extend(names);
    });
    found
}

/// The cells of the rows of the page's tables whose header has `column`, with the row's first cell.
fn cells(page: &str, column: &str) -> Vec<(String, String)> {
    let mut position = None;
    let mut found = Vec::new();
    for line in page.lines() {
        let Some(inner) = line.strip_prefix('|') else {
            position = None;
            continue;
        };
        let row: Vec<&str> = inner.split('|').map(str::trim).collect();
        match position {
            None => {
                position = row
                    .iter()
                    .position(|cell| *cell == column)
                    .or(Some(usize::MAX))
            }
            Some(at) if at < row.len() && !row[0].starts_with("--") => {
                found.push((row[0].to_owned(), row[at].to_owned()));
            }
            Some(_) => {}
        }
    }
    found
}

/// The words between backticks that look like the name of a test.
fn tests_of(cell: &str) -> Vec<&str> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| word.matches('_').count() >= 2)
        .collect()
}

#[test]
fn every_rule_names_tests_that_exist() {
    let page = fs::read_to_string(root().join(PAGE)).expect(PAGE);
    let known = functions();
    let decisions = cells(&page, "shown by");
    let lines = cells(&page, "tests");
    assert!(lines.len() >= 30, "{} rule groups", lines.len());
    for (rule, cell) in decisions.iter().chain(&lines) {
        let tests = tests_of(cell);
        let later = cell.contains("come with") || cell.contains("comes with");
        assert!(later || !tests.is_empty(), "{rule} names no test: {cell}");
        for test in tests {
            assert!(
                known.contains(test),
                "{PAGE}, {rule}: there is no test `{test}` any more; name the one that shows it now"
            );
        }
    }
}

#[test]
fn every_decision_has_its_row() {
    let page = fs::read_to_string(root().join(PAGE)).expect(PAGE);
    let rows: Vec<String> = cells(&page, "shown by")
        .into_iter()
        .map(|row| row.0)
        .collect();
    for number in 1..=DECISIONS {
        let name = format!("D{number}");
        let has = |row: &String| row.split(", ").any(|word| word == name);
        assert!(rows.iter().any(has), "{name} is missing in {rows:?}");
    }
}
