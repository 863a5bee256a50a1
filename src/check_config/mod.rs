//! `maestro check-config`: the settings of a start, where each came from, and all errors. Starts
//! nothing.

mod format;

use crate::logging;
use crate::settings::{self, KEYS, Key, Loaded, Settings, masked};
use crate::start;
use clap::Args;
use format::{Format, Row};
use maestro_cli::{print, print_document};
use maestro_core::text::escaped;
use std::path::PathBuf;

/// The options of `maestro check-config`.
#[derive(Debug, Clone, Args)]
pub struct CheckConfigArgs {
    /// Settings file [default: config/config.yaml if it is there]
    #[arg(short, long, value_name = "FILE")]
    pub config_path: Option<PathBuf>,
    /// How to print the settings
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

/// # Errors
/// Everything that would keep a server with these settings from starting.
pub fn run(args: &CheckConfigArgs) -> anyhow::Result<()> {
    let mut loaded = match settings::load_here(args.config_path.as_deref(), &[]) {
        Ok(loaded) => loaded,
        Err(errors) => {
            warn(&errors.warnings);
            return Err(errors.into());
        }
    };
    warn(&loaded.warnings);
    let text = format::text(&rows(&loaded), &loaded.warnings, args.format);
    match args.format {
        Format::Table | Format::Markdown => print(&text)?,
        Format::Yaml | Format::Json => print_document(&text)?,
    }
    // What it completes is not shown: the page says what was set.
    start::complete(&mut loaded)
}

/// On stderr, so that programs can parse stdout.
fn warn(warnings: &[String]) {
    for warning in warnings {
        logging::say(&format!("Warning: {}", escaped(warning)));
    }
}

fn rows(loaded: &Loaded) -> Vec<Row> {
    let defaults = Settings::default();
    let row = |key: &'static Key| {
        let (value, shipped) = (key.show(&loaded.settings), key.show(&defaults));
        let origin = loaded.origins.get(key.path);
        Row {
            key,
            // A default value is no secret.
            value: if value == shipped {
                value
            } else {
                masked(&value)
            },
            shipped,
            from: origin.map_or("default".to_owned(), ToString::to_string),
        }
    };
    KEYS.iter().map(row).collect()
}
