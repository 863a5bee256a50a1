//! The schedulers in `examples/`: both formats are equal, and the binary understands their commands.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// All examples, read from their JSON.
fn examples() -> Vec<(PathBuf, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let files = fs::read_dir(folder)
        .expect("examples exist")
        .map(|entry| entry.expect("a readable folder").path());
    let json = files.filter(|path| {
        path.extension()
            .is_some_and(|extension| extension == "json")
    });
    json.map(|path| {
        let text = fs::read_to_string(&path).expect("a text");
        let value = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path, value)
    })
    .collect()
}

#[test]
fn json_and_yaml_say_the_same() {
    for (path, json) in examples() {
        let path = path.with_extension("yaml");
        let text =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let yaml: Value = serde_saphyr::from_str(&text)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(yaml, json, "{}", path.display());
    }
}

#[test]
fn their_commands_are_understood() {
    let mut commands = 0;
    for (path, scheduler) in examples() {
        for container in scheduler["spec"]["containers"]
            .as_array()
            .expect("containers")
        {
            let words: Vec<&str> = container["command"]
                .as_array()
                .expect("a command")
                .iter()
                .filter_map(Value::as_str)
                .collect();
            assert_eq!(words[0], "maestro", "{}", path.display());
            // Help is printed only if everything before it is valid.
            let binary = env!("CARGO_BIN_EXE_maestro");
            let output = Command::new(binary)
                .args(&words[1..])
                .arg("--help")
                .output()
                .expect("the binary starts");
            assert!(
                output.status.success(),
                "{}: {words:?}: {output:?}",
                path.display()
            );
            commands += 1;
        }
    }
    assert!(commands >= 4);
}
