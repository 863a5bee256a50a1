//! Settings as text. The shipped `config/config.yaml` and the reference in `docs/configuration.md`
//! are this output for the default values; tests compare them.

use crate::settings::{Effect, Key};
use clap::ValueEnum;
use maestro_cli::Table;
use maestro_core::text::escaped;
use serde_json::json;

/// How settings are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Key, value and origin, aligned
    Table,
    /// A settings file with comments
    Yaml,
    /// Everything about every key
    Json,
    /// The reference of all keys
    Markdown,
}

/// One setting in force.
pub struct Row {
    pub key: &'static Key,
    /// With secrets masked.
    pub value: String,
    pub shipped: String,
    /// `default` or the source.
    pub from: String,
}

impl Row {
    /// Why the setting has no effect here, if so.
    fn idle(&self) -> Option<&'static str> {
        match self.key.effect {
            Effect::Here => None,
            Effect::None(why) => Some(why),
        }
    }
}

pub fn text(rows: &[Row], warnings: &[String], format: Format) -> String {
    match format {
        Format::Table => table(rows),
        Format::Yaml => yaml(rows),
        Format::Json => json(rows, warnings),
        Format::Markdown => markdown(rows),
    }
}

fn table(rows: &[Row]) -> String {
    let mut table = Table::new(&["KEY", "VALUE", "FROM", "NOTE"], &[]);
    for row in rows {
        let note = row.idle().map(|why| format!("no effect: {why}"));
        table.row(vec![
            row.key.path.to_owned(),
            row.value.clone(),
            row.from.clone(),
            note.unwrap_or_default(),
        ]);
    }
    table.to_string()
}

fn json(rows: &[Row], warnings: &[String]) -> String {
    let settings = rows.iter().map(|row| {
        json!({
            "key": row.key.path,
            "variable": row.key.variable(),
            "value": row.value,
            "default": row.shipped,
            "from": row.from,
            "unit": row.key.unit(),
            "does": row.key.does,
            "noEffect": row.idle(),
        })
    });
    let settings: Vec<_> = settings.collect();
    let document = json!({ "settings": settings, "warnings": warnings });
    format!("{document:#}\n")
}

fn markdown(rows: &[Row]) -> String {
    let mut text =
        String::from("| key, variable | default | unit | what it does |\n|---|---|---|---|\n");
    for row in rows {
        let idle = row.idle();
        let idle = idle.map_or(String::new(), |why| format!(" **No effect here:** {why}."));
        let shipped = match row.shipped.as_str() {
            "" => "(empty)".to_owned(),
            shipped => format!("`{}`", escaped(shipped)),
        };
        text.push_str(&format!(
            "| `{}`<br>`{}` | {shipped} | {} | {}{idle} |\n",
            row.key.path,
            row.key.variable(),
            row.key.unit(),
            row.key.does,
        ));
    }
    text
}

/// The keys of a group are adjacent, so that each map is opened once.
fn yaml(rows: &[Row]) -> String {
    let mut text = String::from(
        "# The settings of Maestro: every key, with its value. An absent key has its default.\n\
         # A variable MAESTRO_<KEY>, with _ for the dots, beats this file. See docs/configuration.md.\n",
    );
    let mut open: Vec<&str> = Vec::new();
    for row in rows {
        let words: Vec<&str> = row.key.path.split('.').collect();
        let Some((name, groups)) = words.split_last() else {
            continue;
        };
        let same = open.iter().zip(groups).take_while(|(a, b)| a == b).count();
        for (depth, group) in groups.iter().enumerate().skip(same) {
            if depth == 0 {
                text.push('\n');
            }
            text.push_str(&format!("{}{group}:\n", "  ".repeat(depth)));
        }
        open = groups.to_vec();
        let indent = "  ".repeat(groups.len());
        text.push_str(&format!("{indent}# {}\n", row.key.does));
        if let Some(why) = row.idle() {
            text.push_str(&format!("{indent}# No effect here: {why}.\n"));
        }
        if row.from != "default" && row.value != row.shipped {
            text.push_str(&format!("{indent}# From: {}\n", escaped(&row.from)));
        }
        text.push_str(&format!("{indent}{name}: {}\n", scalar(&row.value)));
    }
    text
}

/// Quoted where YAML would read it differently.
fn scalar(value: &str) -> String {
    let first = value.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '.' || c == '/');
    let rest = value
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "./:?&=@_-".contains(c));
    match first && rest && !value.ends_with(':') {
        true => value.to_owned(),
        false => serde_json::Value::from(value).to_string(),
    }
}
