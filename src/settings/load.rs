//! Reading settings: unknown keys in the file are errors with the nearest name, unknown
//! variables are warnings (D24).

use super::Settings;
use super::keys::{ALIASES, CLUSTER, KEYS, WITHOUT_EFFECT};
use serde_json::Value;
use std::path::Path;

const PREFIX: &str = "MAESTRO_";

#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("the settings file {path} cannot be read")]
    Unreadable {
        path: String,
        source: std::io::Error,
    },
    #[error("the settings file {path} is no YAML document: {why}")]
    Syntax { path: String, why: String },
    #[error("the settings file {path} has an unknown key {key:?}; did you mean {nearest:?}?")]
    UnknownKey {
        path: String,
        key: String,
        nearest: String,
    },
    #[error("{origin}: {key} cannot be {value:?}: {why}")]
    Value {
        origin: String,
        key: String,
        value: String,
        why: String,
    },
}

/// Settings from the file (if one is named) and the environment, with warnings to log.
pub fn load(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<(Settings, Vec<String>), SettingsError> {
    let mut settings = Settings::default();
    let mut warnings = Vec::new();
    if let Some(path) = file {
        read_file(path, &mut settings, &mut warnings)?;
    }
    for (name, value) in environment {
        read_variable(&name, &value, &mut settings, &mut warnings)?;
    }
    Ok((settings, warnings))
}

fn read_file(
    path: &Path,
    settings: &mut Settings,
    warnings: &mut Vec<String>,
) -> Result<(), SettingsError> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|source| SettingsError::Unreadable {
        path: shown.clone(),
        source,
    })?;
    let document: Value = serde_saphyr::from_str(&text).map_err(|error| SettingsError::Syntax {
        path: shown.clone(),
        why: error.to_string(),
    })?;
    let mut values = Vec::new();
    flatten(&document, String::new(), &mut values);
    for (key, value) in values {
        if !known(&key) {
            let nearest = nearest(&key).to_owned();
            return Err(SettingsError::UnknownKey {
                path: shown,
                key,
                nearest,
            });
        }
        apply(&shown, &key, &value, settings, warnings)?;
    }
    Ok(())
}

fn flatten(value: &Value, path: String, into: &mut Vec<(String, String)>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                flatten(value, path, into);
            }
        }
        // An empty key or document sets nothing.
        Value::Null => {}
        Value::String(text) => into.push((path, text.clone())),
        other => into.push((path, other.to_string())),
    }
}

fn read_variable(
    name: &str,
    value: &str,
    settings: &mut Settings,
    warnings: &mut Vec<String>,
) -> Result<(), SettingsError> {
    let upper = name.to_ascii_uppercase();
    let Some(rest) = upper.strip_prefix(PREFIX) else {
        return Ok(());
    };
    // A set but empty variable leaves the file's value (contract 1.3).
    if value.is_empty() || belongs_to_others(rest, value) {
        return Ok(());
    }
    match all_paths().find(|path| path.to_ascii_uppercase().replace('.', "_") == rest) {
        Some(path) => apply(name, path, value, settings, warnings),
        None => {
            warnings.push(format!("the variable {name} is no setting: passed over"));
            Ok(())
        }
    }
}

/// Variables that a room, the tests, or Kubernetes for its Services put there (D24).
fn belongs_to_others(rest: &str, value: &str) -> bool {
    let of_room = [
        "SCHEDULER_NAME",
        "ROOM_ID",
        "ROOMS_API_URL",
        "INSTALLATION",
        "GOLDEN",
        "PORT",
    ];
    of_room.contains(&rest)
        || rest.starts_with("PORT_")
        || rest.ends_with("_SERVICE_HOST")
        || rest.ends_with("_SERVICE_PORT")
        || rest.contains("_SERVICE_PORT_")
        || (rest.contains("_PORT") && (value.contains("://") || rest.contains("_TCP")))
}

fn all_paths() -> impl Iterator<Item = &'static str> {
    let keys = KEYS.iter().map(|key| key.path);
    let aliases = ALIASES.iter().map(|(old, _)| *old);
    keys.chain(WITHOUT_EFFECT.iter().copied())
        .chain(CLUSTER.iter().copied())
        .chain(aliases)
}

fn known(key: &str) -> bool {
    all_paths().any(|path| path.eq_ignore_ascii_case(key))
}

fn apply(
    origin: &str,
    key: &str,
    value: &str,
    settings: &mut Settings,
    warnings: &mut Vec<String>,
) -> Result<(), SettingsError> {
    let mut path = key;
    if let Some((old, new)) = ALIASES
        .iter()
        .find(|(old, _)| old.eq_ignore_ascii_case(key))
    {
        warnings.push(format!("{origin}: {old} is the old name of {new}"));
        path = new;
    }
    if CLUSTER.iter().any(|known| known.eq_ignore_ascii_case(path)) {
        settings.cluster_keys.push(path.to_owned());
        return Ok(());
    }
    let Some(key) = KEYS
        .iter()
        .find(|known| known.path.eq_ignore_ascii_case(path))
    else {
        return Ok(());
    };
    (key.set)(settings, value).map_err(|why| SettingsError::Value {
        origin: origin.to_owned(),
        key: key.path.to_owned(),
        value: value.to_owned(),
        why,
    })
}

/// The known key that takes the fewest edits.
fn nearest(key: &str) -> &'static str {
    let wanted = key.to_ascii_lowercase();
    all_paths()
        .min_by_key(|path| distance(&wanted, &path.to_ascii_lowercase()))
        .unwrap_or("api.port")
}

/// Edit distance (Levenshtein), one row at a time.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            let replace = diagonal + usize::from(x != *y);
            row[j + 1] = replace.min(above + 1).min(row[j] + 1);
            diagonal = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn from_env(pairs: &[(&str, &str)]) -> Result<(Settings, Vec<String>), SettingsError> {
        load(
            None,
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned())),
        )
    }

    fn from_file(text: &str) -> Result<(Settings, Vec<String>), SettingsError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        load(Some(file.path()), std::iter::empty())
    }

    #[test]
    fn nothing_set_means_the_shipped_values() {
        let (settings, warnings) = from_env(&[]).unwrap();
        assert_eq!((settings.api.port, settings.rooms_api.port), (8080, 8070));
        assert_eq!(settings.core.ping_timeout, Duration::from_secs(240));
        assert!(warnings.is_empty());
    }

    #[test]
    fn variables_are_found_without_regard_to_case_and_beat_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "api: {port: 1000}\nroomsApi: {port: 1001}").unwrap();
        let env = [
            ("MAESTRO_API_PORT", "2000"),
            ("maestro_workers_paused", "true"),
        ];
        let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let (settings, _) = load(Some(file.path()), env).unwrap();
        assert_eq!((settings.api.port, settings.rooms_api.port), (2000, 1001));
        assert!(settings.core.paused);
    }

    #[test]
    fn an_unknown_key_names_the_nearest_one() {
        let error = from_file("api: {prot: 1}").unwrap_err().to_string();
        assert!(error.contains("did you mean \"api.port\""), "{error}");
    }

    #[test]
    fn the_contracts_own_typos_and_old_names_are_accepted() {
        let (settings, warnings) = from_file(
            "workers:\n  storageClenupInterval: 1h\n  operationExecution:\n    healthControllerInterval: 5s\n",
        )
        .unwrap();
        assert_eq!(settings.core.cleanup_interval, Duration::from_secs(3600));
        assert_eq!(settings.core.health_interval, Duration::from_secs(5));
        assert_eq!(warnings.len(), 1);
    }

    #[test]
    fn foreign_variables_are_no_settings() {
        let (_, warnings) = from_env(&[
            ("MAESTRO_API_SERVICE_HOST", "10.0.0.1"),
            ("MAESTRO_API_PORT_80_TCP", "tcp://10.0.0.1:80"),
            ("MAESTRO_API_PORT", ""),
            ("MAESTRO_ROOM_ID", "x"),
        ])
        .unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        let (_, warnings) = from_env(&[("MAESTRO_NO_SUCH_THING", "1")]).unwrap();
        assert_eq!(warnings.len(), 1);
        // A service called "api" injects MAESTRO_API_PORT=tcp://…: not a port.
        assert!(from_env(&[("MAESTRO_API_PORT", "tcp://10.0.0.1:80")]).is_ok());
    }

    #[test]
    fn bad_values_are_told_with_their_origin() {
        for (key, value) in [
            ("MAESTRO_API_PORT", "70000"),
            ("MAESTRO_WORKERS_PAUSED", "perhaps"),
            ("MAESTRO_WORKERS_HEALTHCONTROLLERINTERVAL", "0s"),
            ("MAESTRO_SERVICES_ROOMMANAGER_ROOMPINGTIMEOUTMILLIS", "10s"),
        ] {
            let error = from_env(&[(key, value)]).unwrap_err().to_string();
            assert!(error.contains(key) && error.contains(value), "{error}");
        }
    }
}
