//! `maestro export`: all schedulers of a server, with all their versions, in one file.

use crate::client::{Client, MANAGEMENT_URL, Server, block_on};
use crate::document::{Document, Entry, FORMAT, Version};
use crate::output;
use anyhow::{Context, bail};
use clap::Args;
use maestro_core::text::escaped_json;
use reqwest::StatusCode;
use serde_json::Value;
use serde_saphyr::{Location, Spanned};
use std::fs::{self, File, Metadata};
use std::io::{ErrorKind, IsTerminal, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// In place of the file name: to stdout.
const STDOUT: &str = "-";
/// An export has whatever stands in the environment of containers.
const PRIVATE: u32 = 0o600;

/// The options of `maestro export`.
#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// File to write, - for stdout; an existing file is replaced atomically, a pipe or device is written to
    #[arg(value_name = "FILE")]
    pub file: String,
    /// The management API
    #[arg(long, default_value = MANAGEMENT_URL)]
    pub url: String,
}

/// # Errors
/// If the export is not complete; then nothing is written.
pub fn run(args: &ExportArgs) -> anyhow::Result<()> {
    let client = Client::new(&args.url, Server::Management)?;
    let document = block_on(fetch(&client))?;
    let text = document.to_yaml()?;
    // A backup must be readable.
    let read = Document::parse(&text).context("the export does not read back")?;
    if !same(&read, &document) {
        bail!("the export does not read back as it was written");
    }
    let path = Path::new(&args.file);
    if args.file == STDOUT || is_stdout(path) {
        return match std::io::stdout().is_terminal() {
            true => output::print_document(&text),
            false => output::write(&text),
        };
    }
    write(path, &text).with_context(|| format!("cannot write {}", args.file))?;
    let versions = document.schedulers.iter().map(|s| s.versions.len());
    output::print(&format!(
        "{}: {}, {}\n",
        args.file,
        counted(document.schedulers.len(), "scheduler"),
        counted(versions.sum(), "version")
    ))
}

/// `1 scheduler`, `2 schedulers`.
fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// Apart from positions in a text.
fn same(a: &Document, b: &Document) -> bool {
    let value = |document| serde_json::to_value(document).ok();
    value(a) == value(b)
}

async fn fetch(client: &Client) -> anyhow::Result<Document> {
    let list = client.get(&["schedulers"], &[]).await?.json()?;
    let mut names: Vec<&str> = texts(&list["schedulers"], "name");
    names.sort_unstable();
    let mut schedulers = Vec::new();
    for name in names {
        schedulers.extend(fetch_scheduler(client, name).await?);
    }
    Ok(Document {
        format: FORMAT,
        schedulers,
    })
}

/// `None`: it was deleted meanwhile.
async fn fetch_scheduler(client: &Client, name: &str) -> anyhow::Result<Option<Entry>> {
    let answer = client.get(&["schedulers", name, "versions"], &[]).await?;
    if answer.status == StatusCode::NOT_FOUND {
        return Ok(None);
    }
    let rows = answer.json()?;
    let mut versions = Vec::new();
    for row in rows["versions"].as_array().into_iter().flatten() {
        let version = row["version"].as_str().unwrap_or_default();
        let query = [("version", version)];
        let answer = client.get(&["schedulers", name], &query).await?;
        if answer.status == StatusCode::NOT_FOUND {
            // A single version is deleted only with its scheduler.
            return Ok(None);
        }
        let body = request_form(answer.json()?["scheduler"].take());
        versions.push(Version {
            version: version.to_owned(),
            active: row["isActive"] == true,
            scheduler: Spanned::new(body, Location::UNKNOWN, Location::UNKNOWN),
        });
    }
    Ok(Some(Entry {
        name: name.to_owned(),
        versions,
    }))
}

fn texts<'a>(list: &'a Value, field: &str) -> Vec<&'a str> {
    let items = list.as_array().into_iter().flatten();
    items.filter_map(|item| item[field].as_str()).collect()
}

/// A shown scheduler as the body that creates it (contract 2.3): without what the server sets, and without empty
/// members. The API shows absent annotations and labels as empty ones; absent is what nearly all bodies have.
pub fn request_form(mut shown: Value) -> Value {
    let Some(members) = shown.as_object_mut() else {
        return shown;
    };
    for set_by_the_server in ["state", "createdAt"] {
        members.remove(set_by_the_server);
    }
    if let Some(spec) = members.get_mut("spec").and_then(Value::as_object_mut) {
        spec.remove("version");
    }
    let empty = |value: &Value| value.as_object().is_some_and(serde_json::Map::is_empty);
    members.retain(|name, value| {
        let map = matches!(name.as_str(), "annotations" | "labels");
        !(value.is_null() || map && empty(value))
    });
    shown
}

/// Whether the path is another name of stdout, such as `/dev/stdout`: nothing else may be printed there.
fn is_stdout(path: &Path) -> bool {
    let same = |a: &Metadata, b: &Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    match (fs::metadata(path), fs::metadata("/proc/self/fd/1")) {
        (Ok(named), Ok(stdout)) => same(&named, &stdout),
        _ => false,
    }
}

/// A regular file, even behind a link, is replaced atomically; environments may hold secrets, so it is for the owner
/// only. Anything else (a pipe, a device, a dangling link) is written in place.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let present = fs::symlink_metadata(path).ok();
    let target = match &present {
        None => Some(path.to_owned()),
        // The last link of the chain may lead to something that has no name any more.
        Some(_) => fs::canonicalize(path)
            .ok()
            .filter(|target| target.is_file()),
    };
    match target {
        Some(target) => replace(&target, text),
        None => fill(path, text),
    }
}

fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    make_private(file.as_file())?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// The umask may have taken from the mode of a new file. A volume without modes is no error.
fn make_private(file: &File) -> anyhow::Result<()> {
    match file.set_permissions(fs::Permissions::from_mode(PRIVATE)) {
        Err(error)
            if !matches!(
                error.kind(),
                ErrorKind::PermissionDenied | ErrorKind::Unsupported
            ) =>
        {
            Err(error.into())
        }
        _ => Ok(()),
    }
}

fn fill(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut options = File::options();
    let options = options.write(true).mode(PRIVATE);
    let mut file = match options.clone().create_new(true).open(path) {
        Ok(file) => {
            make_private(&file)?;
            file
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            // What is there keeps its mode. It may be a link to nothing yet, or a device.
            options.create(true).truncate(true).open(path)?
        }
        Err(error) => return Err(error.into()),
    };
    let text = match file.is_terminal() {
        true => escaped_json(text),
        false => text.into(),
    };
    match file.write_all(text.as_bytes()) {
        // The reader has closed the pipe.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}
