//! The built binary as a command that ends by itself.

use super::support::BINARY;
use std::process::{Command, Output};

/// Runs the binary; returns whether it succeeded, and its output.
pub fn run(arguments: &[&str]) -> (bool, String) {
    let output: Output = Command::new(BINARY)
        .args(arguments)
        .output()
        .expect("the binary starts");
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8(said).expect("a text"),
    )
}

pub fn good(arguments: &[&str]) -> String {
    let (ended_well, said) = run(arguments);
    assert!(ended_well, "{arguments:?}: {said}");
    said
}

/// Runs a command that must fail, and checks that its output contains all of `texts`.
pub fn bad(arguments: &[&str], texts: &[&str]) {
    let (ended_well, said) = run(arguments);
    assert!(!ended_well, "{arguments:?}: {said}");
    for text in texts {
        assert!(said.contains(text), "no {text:?} in {said}");
    }
}
