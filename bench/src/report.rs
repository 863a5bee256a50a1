//! The results, as tables on stdout and as a section of a Markdown file.

use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

pub struct Report {
    title: String,
    /// The command that repeats it.
    command: String,
    tables: Vec<Table>,
    notes: Vec<String>,
    /// Violations that were seen.
    wrong: Vec<String>,
}

pub struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new<const N: usize>(head: [&str; N]) -> Self {
        Self {
            head: head.map(str::to_owned).to_vec(),
            rows: Vec::new(),
        }
    }
    pub fn row<const N: usize>(&mut self, row: [String; N]) {
        self.rows.push(row.to_vec());
    }

    /// Renders the table, padded so that it is readable as plain text.
    fn markdown(&self) -> String {
        let lines = || std::iter::once(&self.head).chain(&self.rows);
        let width = |column: usize| {
            let cells = lines().filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let mut text = String::new();
        for (at, line) in lines().enumerate() {
            for (cell, width) in line.iter().zip(&widths) {
                // Writing to a String cannot fail.
                let _ = write!(text, "| {cell:width$} ");
            }
            text.push_str("|\n");
            if at == 0 {
                for width in &widths {
                    let _ = write!(text, "|{}", "-".repeat(width + 2));
                }
                text.push_str("|\n");
            }
        }
        text
    }
}

impl Report {
    pub fn new(title: impl Into<String>) -> Self {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        Self {
            title: title.into(),
            command: format!("maestro {}", arguments.join(" ")),
            tables: Vec::new(),
            notes: Vec::new(),
            wrong: Vec::new(),
        }
    }
    pub fn table(&mut self, table: Table) {
        self.tables.push(table);
    }
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }
    pub fn wrong(&mut self, what: impl Into<String>) {
        self.wrong.push(what.into());
    }

    fn markdown(&self) -> String {
        let mut text = format!("## {}\n\n`{}`\n", self.title, self.command);
        for table in &self.tables {
            text.push('\n');
            text.push_str(&table.markdown());
        }
        if !self.notes.is_empty() || !self.wrong.is_empty() {
            text.push('\n');
        }
        for note in &self.notes {
            let _ = writeln!(text, "- {note}");
        }
        for wrong in &self.wrong {
            let _ = writeln!(text, "- WRONG: {wrong}");
        }
        text
    }

    /// # Errors
    /// If stdout cannot be written.
    pub fn print(&self) -> anyhow::Result<()> {
        maestro_cli::print(&self.markdown())
    }

    /// # Errors
    /// If the file cannot be written.
    pub fn append_to(&self, file: &Path) -> anyhow::Result<()> {
        use std::io::Write as _;
        let opened = std::fs::File::options()
            .append(true)
            .create(true)
            .open(file);
        let written = opened.and_then(|mut f| write!(f, "\n{}", self.markdown()));
        written.with_context(|| format!("cannot write {}", file.display()))
    }

    /// # Errors
    /// If there are violations.
    pub fn verdict(&self) -> anyhow::Result<()> {
        match self.wrong.as_slice() {
            [] => Ok(()),
            wrong => bail!("{}", wrong.join("; ")),
        }
    }
}

/// The median; of two middle ones the lower.
pub fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len().saturating_sub(1) / 2;
    numbers.get(middle).copied().unwrap_or(f64::NAN)
}

/// Milliseconds, from a histogram of microseconds.
pub fn quantile(latency: &Histogram<u64>, q: f64) -> String {
    format!("{:.2}", latency.value_at_quantile(q) as f64 / 1000.0)
}

pub fn millis(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1000.0)
}

/// A figure that may not be known.
pub fn maybe(number: Option<f64>, digits: usize) -> String {
    number.map_or_else(|| "–".into(), |n| format!("{n:.digits$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_padded() {
        let mut table = Table::new(["a", "long"]);
        table.row(["wide".into(), "b".into()]);
        let text = "| a    | long |\n|------|------|\n| wide | b    |\n";
        assert_eq!(table.markdown(), text);
    }

    #[test]
    fn the_median_is_a_number_that_was_seen() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0]), 1.0);
    }
}
