//! `maestro export`: all schedulers of a server, with all their versions, in one file.

use super::client::{Client, Server};
use super::document::{Document, Entry, FORMAT, Version};
use super::{MANAGEMENT_URL, block_on, output};
use anyhow::{Context, bail};
use clap::Args;
use reqwest::StatusCode;
use serde_json::Value;
use serde_saphyr::{Location, Spanned};
use std::io::Write;
use std::path::Path;

/// Written instead of the file's name: to stdout.
const STDOUT: &str = "-";

/// The options of `maestro export`.
#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// File to write, - for stdout; one that is there is replaced as a whole
    #[arg(value_name = "FILE")]
    pub file: String,
    /// The management API
    #[arg(long, default_value = MANAGEMENT_URL)]
    pub url: String,
}

/// # Errors
/// When the export is not complete; then nothing is written.
pub fn run(args: &ExportArgs) -> anyhow::Result<()> {
    let client = Client::new(&args.url, Server::Management)?;
    let document = block_on(fetch(&client))?;
    let text = document.to_yaml()?;
    // A backup that cannot be read back is none.
    let read = Document::parse(&text).context("the export does not read back")?;
    if !same(&read, &document) {
        bail!("the export does not read back as it was written");
    }
    if args.file == STDOUT {
        return output::print(&text);
    }
    write(Path::new(&args.file), &text).with_context(|| format!("cannot write {}", args.file))?;
    let versions = document.schedulers.iter().map(|s| s.versions.len());
    output::print(&format!(
        "{}: {} schedulers, {} versions\n",
        args.file,
        document.schedulers.len(),
        versions.sum::<usize>()
    ))
}

/// Positions in a text aside.
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
            // One version goes only with its scheduler.
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

/// A shown scheduler as the body that creates it (contract 2.3): without what the server
/// sets, and without members that say nothing. The API shows absent annotations and labels
/// as empty ones; absent is what nearly all bodies have.
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

/// There as a whole or not at all; environments may hold secrets, so it is the owner's alone.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
