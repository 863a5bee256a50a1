//! `maestro import`: creates the schedulers of an exported file through the API.
//!
//! The active document is what is restored. Older versions stay in the file: to make them again the
//! server would renumber them and start a validation room for each major one.

use crate::client::{Answer, Client, MANAGEMENT_URL, Server, block_on};
use crate::document::{self, Document, Entry};
use crate::export::request_form;
use crate::output;
use anyhow::{Context, anyhow, bail};
use clap::Args;
use maestro_core::text::escaped;
use reqwest::StatusCode;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::Read;

const STDIN: &str = "-";
/// Problems of a file that are told at once.
const PROBLEMS_SHOWN: usize = 50;

/// The options of `maestro import`.
#[derive(Debug, Clone, Args)]
pub struct ImportArgs {
    /// File that `maestro export` has written, - for stdin
    #[arg(value_name = "FILE")]
    pub file: String,
    /// The management API
    #[arg(long, default_value = MANAGEMENT_URL)]
    pub url: String,
    /// Give schedulers that are there a new version with the file's document
    #[arg(long, conflicts_with = "skip_existing")]
    pub replace: bool,
    /// Leave schedulers that are there as they are
    #[arg(long)]
    pub skip_existing: bool,
}

/// # Errors
/// Before anything is created: what is wrong with the file, or is there already.
/// Afterwards: which scheduler the server refused; those before it are created.
pub fn run(args: &ImportArgs) -> anyhow::Result<()> {
    let text = read(&args.file).with_context(|| format!("cannot read {}", args.file))?;
    let document = Document::parse(&text).with_context(|| args.file.clone())?;
    let problems = document.problems(&text);
    if !problems.is_empty() {
        bail!("{}", listed(&args.file, &problems));
    }
    let client = Client::new(&args.url, Server::Management)?;
    block_on(import(&client, args, &document))
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

async fn import(client: &Client, args: &ImportArgs, document: &Document) -> anyhow::Result<()> {
    let there = existing(client).await?;
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
        let outcome = import_one(client, args, entry, there.contains(&entry.name)).await;
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

async fn existing(client: &Client) -> anyhow::Result<BTreeSet<String>> {
    let list = client.get(&["schedulers"], &[]).await?.json()?;
    let items = list["schedulers"].as_array().cloned().unwrap_or_default();
    let names = items.iter().filter_map(|item| item["name"].as_str());
    Ok(names.map(str::to_owned).collect())
}

/// What was done, in words.
async fn import_one(
    client: &Client,
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
        return replace(client, &entry.name, body).await;
    }
    let answer = client.post(&["schedulers"], body).await?;
    if args.skip_existing && answer.status == StatusCode::CONFLICT {
        return Ok("skipped, another client created it meanwhile".into());
    }
    answer.json()?;
    let older = entry.versions.len() - 1;
    Ok(match older {
        0 => "created".into(),
        _ => format!(
            "created from {}; {older} older versions stay in the file",
            active.version
        ),
    })
}

async fn replace(client: &Client, name: &str, body: &Value) -> anyhow::Result<String> {
    let shown = client.get(&["schedulers", name], &[]).await?;
    let present = request_form(shown.json()?["scheduler"].take());
    if document::shown(body).map(request_form) == Some(present) {
        return Ok("unchanged".into());
    }
    let answer: Answer = client.post(&["schedulers", name], body).await?;
    let operation = answer.json()?["operationId"].take();
    let operation = operation.as_str().unwrap_or_default();
    Ok(format!(
        "gets a new version; see GET /schedulers/{name}/operations/{operation}"
    ))
}
