//! From the sources to the settings in force: the file, then variables, then flags (contract 1.3, D24).

use super::environment::{self, Variable};
use super::error::{SettingsError, SettingsErrors};
use super::file;
use super::key::{Effect, Key, Selects};
use super::keys::{self, KEYS};
use super::origin::{MASK, Origin, masked};
use super::{Settings, StoreKind};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Settings with their origins.
#[derive(Debug)]
pub struct Loaded {
    pub settings: Settings,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    /// The origins of set keys, by path.
    pub origins: BTreeMap<&'static str, Origin>,
    /// For the log.
    pub warnings: Vec<String>,
}

/// Values from the command line: a key's path, the flag and the value.
pub type Flags<'a> = &'a [(&'static str, &'static str, String)];

struct Assignment {
    key: &'static Key,
    text: String,
    /// What the file has where that is another text.
    written: Option<String>,
    origin: Origin,
}

/// # Errors
/// All errors of the file, of variables and of flags.
pub fn load(
    path: Option<&Path>,
    variables: impl Iterator<Item = (OsString, OsString)>,
    flags: Flags<'_>,
) -> Result<Loaded, SettingsErrors> {
    let mut sources = Sources::default();
    if let Some(path) = path {
        sources.read_file(path);
    }
    sources.read_variables(variables);
    for (path, flag, text) in flags {
        let found = keys::find(path);
        sources.assignments.extend(found.map(|(key, _)| Assignment {
            key,
            text: text.clone(),
            written: None,
            origin: Origin::Flag(flag),
        }));
    }
    sources.resolve(path)
}

#[derive(Default)]
struct Sources {
    /// Later ones win.
    assignments: Vec<Assignment>,
    warnings: Vec<String>,
    errors: Vec<SettingsError>,
}

impl Sources {
    fn read_file(&mut self, path: &Path) {
        let shown = path.display().to_string();
        let (mut entries, errors) = file::read(path);
        self.errors.extend(errors);
        // A key takes precedence over its old name, wherever it is.
        entries.sort_by_key(|entry| entry.alias.is_none());
        for entry in entries {
            let old = entry.alias.filter(|alias| alias.old);
            if let Some(alias) = old {
                let (old, new) = (alias.name, alias.of);
                self.warnings.push(format!(
                    "the settings file {shown} uses the old name {old}: write {new}"
                ));
            }
            self.assignments.push(Assignment {
                key: entry.key,
                text: entry.text,
                written: Some(entry.written),
                origin: Origin::File(shown.clone(), entry.alias.map(|alias| alias.name)),
            });
        }
    }

    fn read_variables(&mut self, variables: impl Iterator<Item = (OsString, OsString)>) {
        let mut found = Vec::new();
        for (name, value) in variables {
            let name = name.to_string_lossy().into_owned();
            if !environment::is_ours(&name) {
                continue;
            }
            let Ok(value) = value.into_string() else {
                self.errors.push(SettingsError::NotUtf8(name));
                continue;
            };
            match environment::classify(&name, &value) {
                Variable::Setting(key, alias) => found.push((alias, name, key, value)),
                Variable::NotOurs => {}
                Variable::Unknown { nearest } => self.warnings.push(format!(
                    "the variable {name} is not a setting and is ignored; did you mean {nearest}?"
                )),
            }
        }
        // A key takes precedence over its old name; the environment has no order, so names are sorted.
        found.sort_by(|a, b| (a.0.is_none(), &a.1).cmp(&(b.0.is_none(), &b.1)));
        for (alias, name, key, text) in found {
            if let Some(alias) = alias.filter(|alias| alias.old) {
                let new = super::key::variable(alias.of);
                self.warnings
                    .push(format!("the variable {name} is an old name: write {new}"));
            }
            self.assignments.push(Assignment {
                key,
                text,
                written: None,
                origin: Origin::Variable(name, alias.map(|alias| alias.name)),
            });
        }
    }

    fn resolve(mut self, path: Option<&Path>) -> Result<Loaded, SettingsErrors> {
        let mut winners = BTreeMap::new();
        for assignment in self.assignments {
            winners.insert(assignment.key.path, assignment);
        }
        let (mut settings, mut origins) = (Settings::default(), BTreeMap::new());
        for (path, assignment) in winners {
            let Assignment {
                key,
                text,
                written,
                origin,
            } = assignment;
            if let Err(why) = key.put(&mut settings, &text) {
                self.errors.push(SettingsError::Value {
                    origin: origin.to_string(),
                    key: path,
                    value: match key.is_secret() {
                        true => MASK.to_owned(),
                        false => masked(written.as_ref().unwrap_or(&text)),
                    },
                    why,
                });
            }
            origins.insert(path, origin);
        }
        if !self.errors.is_empty() {
            return Err(SettingsErrors {
                all: self.errors,
                warnings: self.warnings,
            });
        }
        let mut loaded = Loaded {
            settings,
            file: path.map(Path::to_owned),
            origins,
            warnings: self.warnings,
        };
        loaded.warn_of_what_has_no_effect();
        Ok(loaded)
    }
}

impl Loaded {
    /// Whether a key has a non-default value. A file that spells out the defaults, as ours does, selects nothing by
    /// that.
    pub fn is_changed(&self, key: &Key) -> bool {
        self.origins.contains_key(key.path)
            && key.show(&self.settings) != key.show(&Settings::default())
    }

    /// Whether someone has decided on this key: with a variable or a flag, or with a value of their own in the file.
    /// Files spell out all defaults, so that one says nothing there.
    pub fn is_set_by_hand(&self, path: &str) -> bool {
        match self.origins.get(path) {
            Some(Origin::Variable(..) | Origin::Flag(_)) => true,
            _ => KEYS
                .iter()
                .any(|key| key.path == path && self.is_changed(key)),
        }
    }

    /// A key with where it was set, for messages.
    pub fn named(&self, key: &Key) -> String {
        match self.origins.get(key.path) {
            Some(origin) => format!("{} ({origin})", key.path),
            None => key.path.to_owned(),
        }
    }

    fn warn_of_what_has_no_effect(&mut self) {
        let embedded = self.settings.store == StoreKind::Embedded;
        let has_effect = |key: &Key| {
            key.effect == Effect::Here && !(embedded && key.selects == Some(Selects::Store))
        };
        let idle = KEYS
            .iter()
            .filter(|key| !has_effect(key) && self.is_changed(key));
        let idle: Vec<String> = idle.map(|key| self.named(key)).collect();
        if !idle.is_empty() {
            self.warnings.push(format!(
                "set, but without effect in this build: {}",
                idle.join(", ")
            ));
        }
    }
}
