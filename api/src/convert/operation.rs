//! Operations as items of a listing and in full (contract 2.3, 5.9).

use std::sync::Arc;

use jiff::Timestamp;
use maestro_core::domain::{Definition, OperationRecord, RestartPolicy};
use serde_json::{Map, Value};

use crate::codec::{Struct, messages};

/// Go's zero time: what the contract's documents contain if the creation time was unknown when an edit was ordered.
const GO_ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// The full form never shows the lease.
pub fn operation(record: &OperationRecord) -> messages::Operation {
    let history = record.history.iter();
    messages::Operation {
        id: record.id.to_string(),
        status: record.status.as_str().to_owned(),
        definition_name: record.definition.name().to_owned(),
        lease: None,
        scheduler_name: record.scheduler.to_string(),
        created_at: Some(record.created_at),
        input: Some(Struct::from(&input(&record.definition))),
        execution_history: history
            .map(|line| messages::OperationEvent {
                created_at: Some(line.created_at),
                event: line.event.clone(),
            })
            .collect(),
    }
}

/// The input of an operation. A scheduler that was sent in full had no stored row yet, so its document has a zero
/// creation time and the default restart policy. A patched one is based on the active version, as it is stored.
fn input(definition: &Definition) -> Map<String, Value> {
    let Value::Object(mut input) = definition.to_json() else {
        return Map::new();
    };
    let came_whole = match definition {
        Definition::CreateScheduler { .. } => true,
        Definition::CreateNewSchedulerVersion { scheduler } => {
            scheduler.created_at == Timestamp::UNIX_EPOCH
        }
        _ => false,
    };
    if came_whole && let Some(document) = input.get_mut("scheduler") {
        document["CreatedAt"] = GO_ZERO_TIME.into();
        if document["Spec"]["RestartPolicy"] == "" {
            document["Spec"]["RestartPolicy"] = RestartPolicy::Never.as_str().into();
        }
    }
    input
}

/// The items of a listing. Leases are shown only for active operations, and only if every one of them has one.
pub fn operation_items(
    records: &[Arc<OperationRecord>],
    active: bool,
) -> Vec<messages::ListOperationItem> {
    let leased = active && records.iter().all(|record| record.lease_until.is_some());
    records.iter().map(|record| item(record, leased)).collect()
}

fn item(record: &OperationRecord, leased: bool) -> messages::ListOperationItem {
    let until = record.lease_until.filter(|_| leased);
    messages::ListOperationItem {
        id: record.id.to_string(),
        status: record.status.as_str().to_owned(),
        definition_name: record.definition.name().to_owned(),
        lease: until.map(|until| messages::Lease {
            ttl: until.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        }),
        scheduler_name: record.scheduler.to_string(),
        created_at: Some(record.created_at),
    }
}
