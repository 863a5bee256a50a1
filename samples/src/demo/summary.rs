//! The outcome of the demonstration.

use super::api::Api;
use anyhow::bail;
use jiff::Timestamp;
use maestro_cli::print;
use maestro_core::text::escaped;
use serde_json::Value;
use std::time::Duration;

/// The outcome of the rolling update.
#[derive(Debug, Default, PartialEq)]
pub enum Update {
    /// There was no time for it.
    #[default]
    None,
    Finished(Duration),
    /// The demonstration was stopped before.
    Interrupted,
    Failed(String),
}

/// The outcome of the crash.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Crash {
    /// No room was made to crash.
    #[default]
    None,
    /// The new room is not ready yet.
    Open,
    ReplacedAfter(Duration),
    /// The demonstration was stopped before.
    Interrupted,
}

#[derive(Debug, Default)]
pub struct Summary {
    pub rooms_started: u64,
    pub rooms_peak: u64,
    pub scale_ups: u64,
    pub scale_downs: u64,
    pub update: Update,
    pub matches: u64,
    /// Matches whose room ended first, and those that were running when the demonstration was
    /// interrupted.
    pub cut_short: u64,
    pub twice: u64,
    pub crash: Crash,
    pub unended: Vec<String>,
}

/// Additions of rooms for other reasons than the load.
#[derive(Debug, Default)]
pub struct OtherReasons {
    /// The operation that replaced the crashed room.
    pub replacement: Option<String>,
    pub update: Option<(Timestamp, Timestamp)>,
}

impl OtherReasons {
    fn cover(&self, operation: &Value) -> bool {
        let created = created_at(operation);
        let in_update = |(from, to): (Timestamp, Timestamp)| {
            created.is_some_and(|created| (from..=to).contains(&created))
        };
        operation["id"].as_str() == self.replacement.as_deref()
            || self.update.is_some_and(in_update)
    }
}

pub fn created_at(record: &Value) -> Option<Timestamp> {
    record["createdAt"].as_str()?.parse().ok()
}

impl Summary {
    /// Counts the results of the ended operations.
    ///
    /// # Errors
    /// If the server does not answer.
    pub async fn count(&mut self, api: &Api, others: &OtherReasons) -> anyhow::Result<()> {
        let mut additions = 0;
        // Oldest first: the first addition creates the fleet itself.
        for operation in api.ended_operations().await?.iter().rev() {
            if operation["status"] != "finished" {
                continue;
            }
            let id = operation["id"].as_str().unwrap_or_default();
            match operation["definitionName"].as_str() {
                Some("add_rooms") => {
                    let whole = api.operation(id).await?;
                    self.rooms_started += whole["input"]["amount"].as_u64().unwrap_or_default();
                    additions += 1;
                    self.scale_ups += u64::from(additions > 1 && !others.cover(operation));
                }
                Some("remove_rooms") => {
                    let whole = api.operation(id).await?;
                    self.scale_downs += u64::from(whole["input"]["reason"] == "scale_down");
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// # Errors
    /// If stdout cannot be written.
    pub fn print(&self, left: usize) -> anyhow::Result<()> {
        let update = match &self.update {
            Update::None => "none, the time was too short".into(),
            Update::Finished(time) => format!("finished in {:.1} s", time.as_secs_f64()),
            Update::Interrupted => "interrupted".into(),
            Update::Failed(why) => escaped(why).into_owned(),
        };
        let replaced = match self.crash {
            Crash::None => "no room crashed".into(),
            Crash::Open => "not seen".into(),
            Crash::ReplacedAfter(time) => format!("{} ms", time.as_millis()),
            Crash::Interrupted => "interrupted".into(),
        };
        let lines = [
            ("rooms started:", self.rooms_started.to_string()),
            ("rooms at the peak:", self.rooms_peak.to_string()),
            (
                "scale-ups, -downs:",
                format!("{}, {}", self.scale_ups, self.scale_downs),
            ),
            ("matches played:", self.matches.to_string()),
            ("matches cut short:", self.cut_short.to_string()),
            ("rolling update:", update),
            ("crash to replacement:", replaced),
            ("allocated twice:", self.twice.to_string()),
            ("operations not ended:", self.unended.len().to_string()),
            ("processes left:", left.to_string()),
        ];
        let text = lines.map(|(label, value)| format!("{label:<21} {value}\n"));
        print(&text.concat())
    }

    /// Checks that nothing went wrong.
    ///
    /// # Errors
    /// Everything that went wrong.
    pub fn verdict(&self) -> anyhow::Result<()> {
        if self.twice > 0 {
            bail!("{} rooms were allocated twice", self.twice);
        }
        if !self.unended.is_empty() {
            bail!("operations did not end: {}", self.unended.join(", "));
        }
        if self.crash == Crash::Open {
            bail!("the crashed room was not replaced");
        }
        if let Update::Failed(why) = &self.update {
            bail!("the rolling update: {why}");
        }
        Ok(())
    }
}
