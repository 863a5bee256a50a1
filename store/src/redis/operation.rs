//! An operation's record and its values in Redis (contract 5.1, 8.2). Pure.
//!
//! What the contract has no place for (priority, the exact time of the status, what a resumed attempt needs) is in the
//! scheduler's journal while the operation is open; an operation without an entry there was written by another program.

use super::keys::Keys;
use jiff::Timestamp;
use maestro_core::domain::{
    Definition, OperationEvent, OperationId, OperationRecord, OperationStatus, ResumeState,
    SchedulerName,
};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// The values of one operation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OperationValues {
    /// Its hash.
    pub hash: HashMap<String, String>,
    /// Its entry in the journal.
    pub journal: Option<String>,
    /// Its score among the running or ended operations: since when it has its status, unix seconds.
    pub since: Option<i64>,
    /// Its score among the leases, unix seconds.
    pub lease: Option<i64>,
}

/// Why values are no operation, in the words of the original.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("operation {0} not found")]
    NoHash(OperationId),
    #[error("failed to parse operation status: parsing {0:?}: invalid syntax")]
    Status(String),
    #[error(
        "failed to convert operation entity to response: status could not be mapped to string: {0}"
    )]
    UnknownStatus(i64),
    #[error("failed to parse operation createdAt field: {0}")]
    CreatedAt(String),
    #[error("failed to parse operation execution history: {0}")]
    History(String),
    #[error("the entry of operation {id} in {} cannot be read: {reason}", Keys(scheduler.as_str()).journal())]
    Journal {
        id: OperationId,
        scheduler: String,
        reason: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Event {
    #[serde(rename = "CreatedAt")]
    created_at: Timestamp,
    #[serde(rename = "Event")]
    event: String,
}

/// An entry of the journal.
#[derive(Serialize, Deserialize)]
struct Journal {
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    priority: bool,
    status_at: Timestamp,
    #[serde(default)]
    resume: ResumeState,
}

impl OperationValues {
    /// The values of a record. The times of its status and of its lease are stored in whole seconds, the lease rounded
    /// up; the journal has that of the status exactly.
    pub fn of(record: &OperationRecord) -> Self {
        let history = record.history.iter().map(|event| Event {
            created_at: event.created_at,
            event: event.event.clone(),
        });
        let history: Vec<Event> = history.collect();
        let contents = match &record.definition {
            Definition::Unknown { contents, .. } => contents.clone(),
            known => known.to_json().to_string(),
        };
        let text = |name: &str, value: String| (name.to_owned(), value);
        let hash = HashMap::from([
            text("id", record.id.to_string()),
            text("schedulerName", record.scheduler.to_string()),
            text("status", (record.status as u8).to_string()),
            text("definitionName", record.definition.name().to_owned()),
            text("createdAt", record.created_at.to_string()),
            text("definitionContents", contents),
            text("executionHistory", json(&history)),
        ]);
        let is_open = !record.status.is_final();
        let journal = Journal {
            priority: record.priority,
            status_at: record.status_at,
            resume: record.resume.clone(),
        };
        Self {
            hash,
            journal: is_open.then(|| json(&journal)),
            since: (record.status != OperationStatus::Pending)
                .then(|| record.status_at.as_second()),
            lease: record.lease_until.filter(|_| is_open).map(lease_second),
        }
    }

    /// The record of an operation.
    ///
    /// # Errors
    /// If a value cannot be read; it is left as it is.
    pub fn record(
        &self,
        scheduler: &SchedulerName,
        id: OperationId,
    ) -> Result<OperationRecord, Unreadable> {
        if self.hash.is_empty() {
            return Err(Unreadable::NoHash(id));
        }
        let field = |name: &str| self.hash.get(name).map_or("", String::as_str);
        let status = status(field("status"))?;
        let created_at = field("createdAt").parse::<Timestamp>();
        let created_at = created_at.map_err(|error| Unreadable::CreatedAt(error.to_string()))?;
        let history = history(field("executionHistory"))?;
        let journal = self.journal(scheduler, id)?;
        let known = journal.is_some();
        let journal = journal.unwrap_or_else(|| Journal {
            priority: false,
            status_at: history.last().map_or(created_at, |event| event.created_at),
            resume: ResumeState {
                pushed: status == OperationStatus::Pending,
                foreign: status == OperationStatus::InProgress,
                ..ResumeState::default()
            },
        });
        let exact = self
            .since
            .is_none_or(|since| journal.status_at.as_second() == since);
        let status_at = match self.since.map(Timestamp::from_second) {
            Some(Ok(since)) if !(known && exact) => since,
            _ => journal.status_at,
        };
        let is_final = status.is_final();
        let resume = if is_final {
            ResumeState::default()
        } else {
            journal.resume
        };
        let lease = self.lease.filter(|_| !is_final);
        Ok(OperationRecord {
            id,
            scheduler: scheduler.clone(),
            definition: Definition::from_contract(
                field("definitionName"),
                field("definitionContents"),
            ),
            status,
            created_at,
            status_at,
            history,
            priority: journal.priority && !is_final,
            lease_until: lease.and_then(|until| Timestamp::from_second(until).ok()),
            resume,
        })
    }

    fn journal(
        &self,
        scheduler: &SchedulerName,
        id: OperationId,
    ) -> Result<Option<Journal>, Unreadable> {
        let Some(text) = &self.journal else {
            return Ok(None);
        };
        let read = serde_json::from_str(text).map(Some);
        read.map_err(|error| Unreadable::Journal {
            id,
            scheduler: scheduler.to_string(),
            reason: error.to_string(),
        })
    }
}

/// The score of a lease: whole seconds, and never earlier than the lease itself.
pub fn lease_second(until: Timestamp) -> i64 {
    until.as_second() + i64::from(until.subsec_nanosecond() > 0)
}

/// The id of an operation, as members of lists and sets have it. Others are not ours to touch.
pub fn operation_id(text: &str) -> Option<OperationId> {
    let id: OperationId = text.parse().ok()?;
    // The key is made from the id again, so it must have the usual form.
    (id.to_string() == text).then_some(id)
}

fn status(text: &str) -> Result<OperationStatus, Unreadable> {
    let number = text
        .parse::<i64>()
        .map_err(|_| Unreadable::Status(text.to_owned()))?;
    Ok(match number {
        0 => OperationStatus::Pending,
        1 => OperationStatus::InProgress,
        2 => OperationStatus::Canceled,
        3 => OperationStatus::Finished,
        4 => OperationStatus::Evicted,
        5 => OperationStatus::Error,
        other => return Err(Unreadable::UnknownStatus(other)),
    })
}

/// The original writes null for none.
fn history(text: &str) -> Result<Vec<OperationEvent>, Unreadable> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let read: Option<Vec<Event>> =
        serde_json::from_str(text).map_err(|error| Unreadable::History(error.to_string()))?;
    let events = read.unwrap_or_default().into_iter();
    let events = events.map(|event| OperationEvent {
        created_at: event.created_at,
        event: event.event,
    });
    Ok(events.collect())
}

/// JSON of a type of ours, none of which has a value that JSON cannot write.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
