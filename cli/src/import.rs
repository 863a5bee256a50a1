//! `maestro import`: creates the schedulers of an exported file through the API.
//!
//! Only the active document is restored. Older versions stay in the file: if they were created
//! again, the server would renumber them and start a validation room for each major one.

use crate::block_on::block_on;
use crate::document::{self, Document, Entry};
use crate::export::{names, read_scheduler, request_form};
use crate::output;
use crate::remote::{GRPC_URL, Remote};
use anyhow::{Context, anyhow, bail};
use clap::Args;
use maestro_api::Code;
use maestro_api::codec::{
    Message,
    messages::{CreateSchedulerRequest, NewSchedulerVersionRequest},
};
use maestro_core::text::escaped;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::Read;

const STDIN: &str = "-";
/// Maximum number of problems of a file that are reported.
const PROBLEMS_SHOWN: usize = 50;

/// The options of `maestro import`.
#[derive(Debug, Clone, Args)]
pub struct ImportArgs {
    /// File that `maestro export` has written, - for stdin
    #[arg(value_name = "FILE")]
    pub file: String,
    /// The gRPC server
    #[arg(long, default_value = GRPC_URL)]
    pub url: String,
    /// Give schedulers that are there a new version with the file's document
    #[arg(long, conflicts_with = "skip_existing")]
    pub replace: bool,
    /// Leave schedulers that are there as they are
    #[arg(long)]
    pub skip_existing: bool,
}

/// # Errors
/// Before anything is created: problems of the file, and schedulers that exist already. Afterwards:
/// the scheduler that the server refused; those before it are created.
pub fn run(args: &ImportArgs) -> anyhow::Result<()> {
    let text = read(&args.file).with_context(|| format!("cannot read {}", args.file))?;
    let document = Document::parse(&text).with_context(|| args.file.clone())?;
    let problems = document.problems(&text);
    if !problems.is_empty() {
        bail!("{}", listed(&args.file, &problems));
    }
    block_on(async { import(&Remote::connect(&args.url).await?, args, &document).await })
}

fn read(file: &str) -> anyhow::Result<String> {
    let mut text = String::new();
    match file {
        STDIN => std::io::stdin().read_to_string(&mut text)?,
        path => std::fs::File::open(path)?.read_to_string(&mut text)?,
    };
    Ok(text)
}

fn listed(file: &str, problems: &[String]) -> String {
    let mut shown: Vec<_> = problems.iter().map(|problem| escaped(problem)).collect();
    shown.truncate(PROBLEMS_SHOWN);
    let more = problems.len() - shown.len();
    let mut text = format!("{file}: nothing was imported:\n  {}", shown.join("\n  "));
    if more > 0 {
        text.push_str(&format!("\n  and {more} more"));
    }
    text
}

async fn import(server: &Remote, args: &ImportArgs, document: &Document) -> anyhow::Result<()> {
    let there: BTreeSet<String> = names(server).await?.collect();
    let taken: Vec<&str> = document
        .schedulers
        .iter()
        .map(|entry| entry.name.as_str())
        .filter(|name| there.contains(*name))
        .collect();
    if !taken.is_empty() && !args.replace && !args.skip_existing {
        bail!(
            "nothing was imported: these schedulers exist already: {}; use --skip-existing to leave them as they are, or --replace to \
             give them a new version",
            taken.join(", ")
        );
    }
    for (done, entry) in document.schedulers.iter().enumerate() {
        let outcome = import_one(server, args, entry, there.contains(&entry.name)).await;
        let outcome = outcome.with_context(|| {
            format!(
                "scheduler {}, after {done} of {} schedulers; those are there: run it again with --skip-existing or \
                 --replace",
                entry.name,
                document.schedulers.len()
            )
        })?;
        output::print(&format!(
            "{}\n",
            escaped(&format!("{}: {outcome}", entry.name))
        ))?;
    }
    Ok(())
}

/// Imports one scheduler. Returns what was done, in words.
async fn import_one(
    server: &Remote,
    args: &ImportArgs,
    entry: &Entry,
    is_there: bool,
) -> anyhow::Result<String> {
    let active = entry
        .active()
        .ok_or_else(|| anyhow!("it has no active version"))?;
    let body = &active.scheduler.value;
    if is_there && args.skip_existing {
        return Ok("skipped, it exists already".into());
    }
    if is_there {
        return replace(server, &entry.name, body).await;
    }
    let (api, request) = (&server.management, message::<CreateSchedulerRequest>(body)?);
    let created = server.ask("CreateScheduler", async |context| {
        api.create_scheduler(context, request).await
    });
    match created.await {
        Err(refused) if args.skip_existing && refused.code == Code::AlreadyExists => {
            return Ok("skipped, another client created it meanwhile".into());
        }
        created => created?,
    };
    let older = entry.versions.len() - 1;
    Ok(match older {
        0 => "created".into(),
        _ => format!(
            "created from {}; {older} older versions stay in the file",
            active.version
        ),
    })
}

async fn replace(server: &Remote, name: &str, body: &Value) -> anyhow::Result<String> {
    let present = request_form(read_scheduler(server, name, "").await?);
    if document::shown(body).map(request_form) == Some(present) {
        return Ok("unchanged".into());
    }
    let (api, request) = (
        &server.management,
        message::<NewSchedulerVersionRequest>(body)?,
    );
    let ordered = server.ask("NewSchedulerVersion", async |context| {
        api.new_scheduler_version(context, request).await
    });
    let operation = ordered.await?.operation_id;
    Ok(format!(
        "gets a new version; see GET /schedulers/{name}/operations/{operation}"
    ))
}

/// The message of a body that has been checked.
fn message<M: Message>(body: &Value) -> anyhow::Result<M> {
    document::decode(body).map_err(|problem| anyhow!(problem))
}
