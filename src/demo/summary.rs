//! What the demonstration came to, and whether all was well.

use super::api::Api;
use anyhow::bail;
use jiff::Timestamp;
use serde_json::Value;
use std::time::Duration;

/// What became of the rolling update.
#[derive(Debug, Default, PartialEq)]
pub enum Update {
    /// There was no time for it.
    #[default]
    None,
    Finished(Duration),
    /// Somebody ended the demonstration before.
    Interrupted,
    Failed(String),
}

#[derive(Debug, Default)]
pub struct Summary {
    pub rooms_started: u64,
    pub rooms_peak: u64,
    pub scale_ups: u64,
    pub scale_downs: u64,
    pub update: Update,
    pub matches: u64,
    pub twice: u64,
    pub replaced_after: Option<Duration>,
    pub crashed: bool,
    pub unended: Vec<String>,
}

/// When rooms were added for another reason than the load.
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
    /// Counts what was done by the operations that have ended.
    pub async fn count(&mut self, api: &Api, others: &OtherReasons) -> anyhow::Result<()> {
        let mut additions = 0;
        // Oldest first: the first addition is the fleet itself.
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

    pub fn print(&self, left: usize) {
        println!("rooms started:        {}", self.rooms_started);
        println!("rooms at the peak:    {}", self.rooms_peak);
        println!(
            "scale-ups, -downs:    {}, {}",
            self.scale_ups, self.scale_downs
        );
        println!("matches played:       {}", self.matches);
        match &self.update {
            Update::None => println!("rolling update:       none, the time was too short"),
            Update::Finished(time) => {
                println!(
                    "rolling update:       finished in {:.1} s",
                    time.as_secs_f64()
                );
            }
            Update::Interrupted => println!("rolling update:       interrupted"),
            Update::Failed(why) => println!("rolling update:       {why}"),
        }
        match self.replaced_after {
            Some(time) => println!("crash to replacement: {} ms", time.as_millis()),
            None if self.crashed => println!("crash to replacement: not seen"),
            None => println!("crash to replacement: no room crashed"),
        }
        println!("allocated twice:      {}", self.twice);
        println!("operations not ended: {}", self.unended.len());
        println!("processes left:       {left}");
    }

    pub fn verdict(&self) -> anyhow::Result<()> {
        if self.twice > 0 {
            bail!("{} rooms were allocated twice", self.twice);
        }
        if !self.unended.is_empty() {
            bail!("operations did not end: {}", self.unended.join(", "));
        }
        if self.crashed && self.replaced_after.is_none() {
            bail!("the crashed room was not replaced");
        }
        if let Update::Failed(why) = &self.update {
            bail!("the rolling update: {why}");
        }
        Ok(())
    }
}
