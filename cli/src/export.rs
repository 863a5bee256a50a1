//! `maestro export`: all schedulers of a server, with all their versions, in one file.

use crate::block_on::block_on;
use crate::document::{Document, Entry, FORMAT, Version};
use crate::output;
use crate::remote::{GRPC_URL, Refused, Remote};
use anyhow::{Context, bail};
use clap::Args;
use maestro_api::Code;
use maestro_api::codec::{self, messages::*};
use maestro_core::text::escaped_json;
use serde_json::Value;
use serde_saphyr::{Location, Spanned};
use std::fs::{self, File, Metadata};
use std::io::{ErrorKind, IsTerminal, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// In place of the file name: to stdout.
const STDOUT: &str = "-";
/// For the owner only: an export contains the environments of containers, which may hold secrets.
const PRIVATE: u32 = 0o600;

/// The options of `maestro export`.
#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// File to write, - for stdout; an existing file is replaced atomically, a pipe or device is written to
    #[arg(value_name = "FILE")]
    pub file: String,
    /// The gRPC server
    #[arg(long, default_value = GRPC_URL)]
    pub url: String,
}

/// # Errors
/// If the export is not complete; then nothing is written.
pub fn run(args: &ExportArgs) -> anyhow::Result<()> {
    let document = block_on(async { fetch(&Remote::connect(&args.url).await?).await })?;
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

/// Compares documents, ignoring positions in the text.
fn same(a: &Document, b: &Document) -> bool {
    let value = |document| serde_json::to_value(document).ok();
    value(a) == value(b)
}

async fn fetch(server: &Remote) -> anyhow::Result<Document> {
    let mut names: Vec<String> = names(server).await?.collect();
    names.sort_unstable();
    let mut schedulers = Vec::new();
    for name in names {
        schedulers.extend(fetch_scheduler(server, name).await?);
    }
    Ok(Document {
        format: FORMAT,
        schedulers,
    })
}

/// The names of all schedulers.
pub async fn names(server: &Remote) -> Result<impl Iterator<Item = String> + use<>, Refused> {
    let api = &server.management;
    let all = ListSchedulersRequest::default();
    let list = server.ask("ListSchedulers", async |context| {
        api.list_schedulers(context, all).await
    });
    Ok(list
        .await?
        .schedulers
        .into_iter()
        .map(|scheduler| scheduler.name))
}

/// `None`: it was deleted meanwhile.
async fn fetch_scheduler(server: &Remote, name: String) -> anyhow::Result<Option<Entry>> {
    let api = &server.management;
    let request = GetSchedulerVersionsRequest {
        scheduler_name: name.clone(),
    };
    let asked = server.ask("GetSchedulerVersions", async |context| {
        api.get_scheduler_versions(context, request).await
    });
    let rows = match asked.await {
        Err(refused) if refused.code == Code::NotFound => return Ok(None),
        rows => rows?.versions,
    };
    let mut versions = Vec::new();
    for row in rows {
        match read_scheduler(server, &name, &row.version).await {
            // A single version is deleted only with its scheduler.
            Err(refused) if refused.code == Code::NotFound => return Ok(None),
            body => versions.push(Version {
                scheduler: Spanned::new(request_form(body?), Location::UNKNOWN, Location::UNKNOWN),
                version: row.version,
                active: row.is_active,
            }),
        }
    }
    Ok(Some(Entry { name, versions }))
}

/// A scheduler as the API shows it; the active version if `version` is empty.
pub async fn read_scheduler(server: &Remote, name: &str, version: &str) -> Result<Value, Refused> {
    let api = &server.management;
    let request = GetSchedulerRequest {
        scheduler_name: name.to_owned(),
        version: version.to_owned(),
    };
    let asked = server.ask("GetScheduler", async |context| {
        api.get_scheduler(context, request).await
    });
    let shown = asked.await?.scheduler.unwrap_or_default();
    // The codec writes JSON.
    Ok(serde_json::from_str(&codec::encode(&shown)).unwrap_or_default())
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
        // The link may be dangling, or lead to an open file that has no name any more.
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

/// Sets the mode explicitly, because the umask may have reduced that of a new file. A volume without modes is no error.
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
            // An existing target keeps its mode. It may be a dangling link or a device.
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
