//! The command line as the contract specifies it.

use std::process::{Command, Output};

fn maestro(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_maestro"))
        .args(args)
        .output()
        .expect("the binary starts")
}

#[test]
fn what_is_unknown_is_told_on_stderr_with_status_1() {
    for args in [
        &["fly"][..],
        &["--fly"],
        &["start", "nothing"],
        &["start", "--fly"],
        &["start", "-c", "no-such-file.yaml"],
        &["check-config", "--format", "xml"],
        &["check-config", "-c", "no-such-file.yaml"],
        &["start", "-l", "loud"],
        &["room", "--ping-interval", "5"],
    ] {
        let output = maestro(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(
            output.stdout.is_empty() && !output.stderr.is_empty(),
            "{args:?}: {output:?}"
        );
    }
}

#[test]
fn version_and_help_go_to_stdout() {
    let version = maestro(&["--version"]);
    assert!(version.status.success());
    assert_eq!(
        String::from_utf8_lossy(&version.stdout),
        format!("maestro {}\n", env!("CARGO_PKG_VERSION"))
    );
    for args in [
        &[][..],
        &["--help"],
        &["start", "--help"],
        &["room", "--help"],
    ] {
        let output = maestro(args);
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{args:?}"
        );
        assert!(
            String::from_utf8_lossy(&output.stdout).contains("Usage: maestro"),
            "{args:?}"
        );
    }
}
