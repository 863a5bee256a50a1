//! What there is of a runtime and of its versions on a machine: files in the folder of the scheduler's rooms. They go
//! with the folder. Processes have no rights that could be given to them, and no address in common, so the files only
//! tell what is the case:
//!
//! | file | says |
//! |---|---|
//! | `runtime.json` | the runtime was created by itself |
//! | `<version>.config.json` | the configuration of a version with rooms |
//! | `active-entrypoint.json` | the published version, and its ports |

use super::folder::{self, create_private, is_safe_name};
use super::host::Host;
use async_trait::async_trait;
use maestro_core::domain::{OperationId, PlatformFault, SchedulerName};
use maestro_core::ports::{
    PlatformError, PlatformObjects, Prepared, Published, RuntimeCondition, RuntimeError, Shown,
    VersionConfig,
};
use serde_json::{Value, json};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

const RUNTIME: &str = "runtime.json";
const CONFIG: &str = ".config.json";
/// A file that is being written.
const NEXT: &str = ".next";
const SERVICE: &str = "active-entrypoint.json";
/// The configuration may be secret.
const MODE: u32 = 0o600;

/// Writes the files.
pub struct ProcessPlatform {
    host: Arc<Host>,
}

impl ProcessPlatform {
    pub fn new(host: Arc<Host>) -> Self {
        Self { host }
    }

    async fn in_folder<T: Send + 'static>(
        &self,
        name: &SchedulerName,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, PlatformError> {
        let folder: PathBuf = self.host.rooms.scheduler(name).ok_or_else(|| {
            let text = format!("{:?} is no name of a folder", name.as_str());
            PlatformError::new(PlatformFault::Invalid, text)
        })?;
        let done = self.host.jobs.run(move || {
            let done = work(&folder);
            done.map_err(|error| {
                let text = format!("cannot write in the folder {}: {error}", folder.display());
                PlatformError::new(PlatformFault::Unavailable, text)
            })
        });
        let stopped = |error| {
            let error = RuntimeError::from(error);
            PlatformError::new(PlatformFault::Unavailable, error.to_string())
        };
        done.await.map_err(stopped)?
    }
}

#[async_trait]
impl PlatformObjects for ProcessPlatform {
    async fn ensure_runtime(
        &self,
        name: &SchedulerName,
        _: OperationId,
    ) -> Result<Prepared, PlatformError> {
        let made = self.in_folder(name, |folder| {
            create_private(folder)?;
            let created = folder::is_empty(folder)?;
            put(&folder.join(RUNTIME), &json!({"createdByItself": true}))?;
            Ok(Prepared { created })
        });
        made.await
    }

    async fn runtime_status(
        &self,
        name: &SchedulerName,
    ) -> Result<Vec<RuntimeCondition>, PlatformError> {
        let there = self.in_folder(name, |folder| {
            Ok((folder.join(RUNTIME).is_file(), folder.display().to_string()))
        });
        let (holds, folder) = there.await?;
        let state = if holds { "is there" } else { "is not there" };
        Ok(vec![
            RuntimeCondition {
                name: "Folder",
                holds,
                text: format!("{folder} {state}"),
            },
            RuntimeCondition {
                name: "Rights",
                holds: true,
                text: "processes of this machine are given none".to_owned(),
            },
        ])
    }

    async fn show(&self, name: &SchedulerName, shown: Arc<Shown>) -> Result<(), PlatformError> {
        self.in_folder(name, move |folder| show(folder, &shown))
            .await
    }
}

/// Makes no folder: an order that is late, or of an earlier owner, would make that of a deleted scheduler again, and
/// leave its configuration there.
fn show(folder: &Path, shown: &Shown) -> io::Result<()> {
    if !folder.is_dir() {
        let text = "it is not there; the creation of the scheduler or of its runtime makes it, and so does its next room";
        return Err(io::Error::new(io::ErrorKind::NotFound, text));
    }
    if shown.is_runtime {
        put(&folder.join(RUNTIME), &json!({"createdByItself": true}))?;
    }
    let mut kept = Vec::new();
    for config in &shown.configs {
        let file = config_file(config)?;
        let pairs: serde_json::Map<String, Value> = config
            .pairs
            .iter()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        put(&folder.join(&file), &Value::Object(pairs))?;
        kept.push(file);
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().into_string().unwrap_or_default();
        // One that was not finished may have secrets too.
        let whole = name.strip_suffix(NEXT).unwrap_or(&name);
        if whole.ends_with(CONFIG) && !kept.contains(&name) && entry.file_type()?.is_file() {
            remove(&entry.path())?;
        }
    }
    match &shown.published {
        Some(published) => put(&folder.join(SERVICE), &service(published)),
        None => remove(&folder.join(SERVICE)),
    }
}

fn config_file(config: &VersionConfig) -> io::Result<String> {
    let version = config.version.as_str();
    match is_safe_name(version) {
        true => Ok(format!("{version}{CONFIG}")),
        false => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("the version {version:?} is no name of a file"),
        )),
    }
}

fn service(published: &Published) -> Value {
    let ports = published.ports.iter();
    let ports: Vec<_> = ports
        .map(|port| json!({"protocol": port.protocol, "port": port.port}))
        .collect();
    json!({"version": published.version.as_str(), "ports": ports})
}

/// Writes a file unless it has this content; readers find the former one or this.
fn put(path: &Path, content: &Value) -> io::Result<()> {
    let text = format!("{content}\n");
    if fs::read(path).is_ok_and(|found| found == text.as_bytes()) {
        return Ok(());
    }
    let mut next = path.as_os_str().to_owned();
    next.push(NEXT);
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(MODE);
    options.open(&next)?.write_all(text.as_bytes())?;
    fs::rename(&next, path)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use maestro_core::domain::ConfigPairs;
    use maestro_core::ports::ServicePort;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn the_files_are_those_of_the_last_order() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("arena");
        let config = |version: &str, value: &str| VersionConfig {
            version: version.into(),
            revision: 1,
            pairs: ConfigPairs::new([("A".to_owned(), value.to_owned())]).unwrap(),
        };
        let mut shown = Shown {
            is_runtime: false,
            published: Some(Published {
                version: "v1.0.0".into(),
                ports: vec![ServicePort {
                    protocol: "udp".into(),
                    port: 7777,
                }],
            }),
            configs: vec![config("v1.0.0", "1"), config("v2.0.0", "2")],
        };
        // Its scheduler is deleted, or not created yet.
        let refused = show(&folder, &shown).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::NotFound);
        assert!(!folder.exists());
        create_private(&folder).unwrap();
        show(&folder, &shown).unwrap();
        let all = [SERVICE, "v1.0.0.config.json", "v2.0.0.config.json"];
        assert_eq!(names(&folder), all);
        let text = fs::read_to_string(folder.join(SERVICE)).unwrap();
        assert!(
            text.contains(r#""port":7777"#) && text.contains("v1.0.0"),
            "{text}"
        );
        shown.published = None;
        shown.configs = vec![config("v2.0.0", "3")];
        // Its writer died.
        fs::write(folder.join("v1.0.0.config.json.next"), "{").unwrap();
        show(&folder, &shown).unwrap();
        assert_eq!(names(&folder), ["v2.0.0.config.json"]);
        let text = fs::read_to_string(folder.join("v2.0.0.config.json")).unwrap();
        assert_eq!(text, "{\"A\":\"3\"}\n");
        shown.configs = vec![config("../up", "4")];
        assert!(show(&folder, &shown).is_err());
    }
}
