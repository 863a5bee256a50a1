//! The document of a scheduler in the column `yaml` (contract 8.1): flat, with what is a column left out. JSON is
//! written, which is YAML too; what other programs wrote as YAML is read.

use jiff::Timestamp;
use maestro_core::domain::{Scheduler, SchedulerName, SchedulerPhase, SchedulerVersion};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;

/// Maximum number of decoded documents that are kept.
const CACHED_MAX: usize = 65_536;

/// A row of `schedulers` or `scheduler_versions`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Row {
    /// The scheduler.
    pub name: String,
    /// Its game.
    pub game: String,
    /// Its state, which belongs to the active version.
    pub state: String,
    /// The version of the document.
    pub version: String,
    /// The version before; empty if there is none.
    pub rollback_version: String,
    /// When the row of the scheduler was made.
    pub listed_at: Timestamp,
    /// When the version was made.
    pub created_at: Timestamp,
    /// The document.
    pub yaml: String,
}

/// A row of a scheduler that says nothing which a scheduler could have.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The document.
    #[error(
        "the document of scheduler {name}, version {version}, cannot be read ({why}); correct the column yaml of its row"
    )]
    Yaml {
        /// The scheduler.
        name: String,
        /// Its version.
        version: String,
        /// What is wrong with it.
        why: String,
    },
    /// Another column, such as a time that no calendar has.
    #[error(
        "a row of scheduler {name} cannot be read ({why}); correct the column {column} of {table}"
    )]
    Column {
        /// The scheduler.
        name: String,
        /// The column.
        column: &'static str,
        /// Its table.
        table: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

/// Fields of the documents' structs. Their names are read without regard to case, as the original does; keys of maps,
/// such as labels, are data.
enum Shape {
    Data,
    Struct(&'static [(&'static str, Shape)]),
    List(&'static Shape),
}

use Shape::{Data, List, Struct};

const RANGE: Shape = Struct(&[("Start", Data), ("End", Data)]);
const RESOURCES: Shape = Struct(&[("Memory", Data), ("CPU", Data)]);
const SECRET: Shape = Struct(&[("name", Data), ("key", Data)]);
const VARIABLE: Shape = Struct(&[
    ("Name", Data),
    ("Value", Data),
    (
        "ValueFrom",
        Struct(&[
            ("FieldRef", Struct(&[("fieldPath", Data)])),
            ("SecretKeyRef", SECRET),
        ]),
    ),
]);
const PORT: Shape = Struct(&[
    ("Name", Data),
    ("Protocol", Data),
    ("Port", Data),
    ("HostPort", Data),
    ("HostPortRange", RANGE),
]);
const CONTAINER: Shape = Struct(&[
    ("Name", Data),
    ("Image", Data),
    ("ImagePullPolicy", Data),
    ("Command", Data),
    ("Environment", List(&VARIABLE)),
    ("Requests", RESOURCES),
    ("Limits", RESOURCES),
    ("Ports", List(&PORT)),
]);
const OCCUPANCY: Shape = Struct(&[("ReadyTarget", Data), ("DownThreshold", Data)]);
const PARAMETERS: Shape = Struct(&[
    ("RoomOccupancy", OCCUPANCY),
    ("FixedBuffer", Struct(&[("Amount", Data)])),
]);
const AUTOSCALING: Shape = Struct(&[
    ("Enabled", Data),
    ("Min", Data),
    ("Max", Data),
    ("Cooldown", Data),
    (
        "Policy",
        Struct(&[("Type", Data), ("Parameters", PARAMETERS)]),
    ),
]);
const FORWARDER: Shape = Struct(&[
    ("Name", Data),
    ("Enabled", Data),
    ("ForwardType", Data),
    ("Address", Data),
    ("Options", Struct(&[("Timeout", Data), ("Metadata", Data)])),
]);
const DOCUMENT: Shape = Struct(&[
    ("Affinity", Data),
    ("Annotations", Data),
    ("Autoscaling", AUTOSCALING),
    ("Containers", List(&CONTAINER)),
    ("Forwarders", List(&FORWARDER)),
    ("Labels", Data),
    ("LastDownscaleAt", Data),
    ("MatchAllocation", Struct(&[("MaxMatches", Data)])),
    ("MaxSurge", Data),
    ("PortRange", RANGE),
    ("RestartPolicy", Data),
    ("RoomsReplicas", Data),
    ("TerminationGracePeriod", Data),
    ("Toleration", Data),
]);

/// The fields that are part of a scheduler's spec, besides its version.
const SPEC: [&str; 5] = [
    "Affinity",
    "Containers",
    "RestartPolicy",
    "TerminationGracePeriod",
    "Toleration",
];
/// What the rows have columns for, or nothing at all.
const COLUMNS: [&str; 5] = ["Name", "Game", "State", "RollbackVersion", "CreatedAt"];

impl Shape {
    /// The value with the names of all known fields spelled as they should be. Unknown fields are dropped.
    fn spelled(&self, value: Value) -> Value {
        match (self, value) {
            (Self::Struct(fields), Value::Object(found)) => {
                let mut spelled = Map::new();
                for (key, value) in found {
                    let alike = |(name, _): &&(&str, Self)| name.eq_ignore_ascii_case(&key);
                    let Some((name, shape)) = fields.iter().find(alike) else {
                        continue;
                    };
                    // Of two spellings the exact one counts.
                    if *name == key || !spelled.contains_key(*name) {
                        spelled.insert((*name).to_owned(), shape.spelled(value));
                    }
                }
                Value::Object(spelled)
            }
            (Self::List(shape), Value::Array(items)) => {
                items.into_iter().map(|item| shape.spelled(item)).collect()
            }
            (_, value) => value,
        }
    }
}

/// Reads a row's document.
///
/// # Errors
/// If it is neither JSON nor YAML, or a field has another type.
pub fn read(row: &Row) -> Result<Scheduler, DocumentError> {
    let failed = |why: String| DocumentError::Yaml {
        name: row.name.clone(),
        version: row.version.clone(),
        why,
    };
    let mut flat = match DOCUMENT.spelled(parsed(&row.yaml).map_err(failed)?) {
        Value::Object(flat) => flat,
        // An empty text, in which the original sees a scheduler without settings.
        Value::Null => Map::new(),
        _ => return Err(failed("it is no mapping".into())),
    };
    let spec: Map<_, _> = SPEC
        .iter()
        .filter_map(|field| flat.remove_entry(*field))
        .collect();
    flat.insert("Spec".into(), Value::Object(spec));
    // Only one match per room, unless it says otherwise.
    flat.retain(|field, value| field != "MatchAllocation" || !value.is_null());
    let read = Scheduler::deserialize(Value::Object(flat));
    let mut scheduler = read.map_err(|error| failed(error.to_string()))?;
    scheduler.match_allocation = Some(scheduler.match_allocation.unwrap_or_default());
    each_ratio(&mut scheduler, shortest);
    scheduler.name = SchedulerName::from(row.name.as_str());
    scheduler.game = row.game.clone();
    scheduler.state = SchedulerPhase::from(row.state.clone());
    scheduler.spec.version = SchedulerVersion::from(row.version.as_str());
    scheduler.rollback_version = row.rollback_version.clone();
    scheduler.created_at = row.created_at;
    Ok(scheduler)
}

/// Writes the document of a row.
///
/// # Errors
/// Never for a valid scheduler: all keys are texts.
pub fn write(scheduler: &Scheduler) -> Result<String, serde_json::Error> {
    let mut scheduler = scheduler.clone();
    each_ratio(&mut scheduler, |ratio| f64::from(ratio as f32));
    let Value::Object(mut flat) = serde_json::to_value(&scheduler)? else {
        return Ok(String::new());
    };
    for column in COLUMNS {
        flat.remove(column);
    }
    if let Some(Value::Object(mut spec)) = flat.remove("Spec") {
        spec.remove("Version");
        // The original has no such field, and no other policy either.
        let is_default = |value: &Value| matches!(value.as_str(), Some("" | "Never"));
        spec.retain(|field, value| field != "RestartPolicy" || !is_default(value));
        flat.extend(spec);
    }
    flat.sort_keys();
    serde_json::to_string(&flat)
}

fn parsed(text: &str) -> Result<Value, String> {
    if let Ok(value) = serde_json::from_str(text) {
        return Ok(value);
    }
    serde_saphyr::from_str(text).map_err(|error| error.to_string())
}

fn each_ratio(scheduler: &mut Scheduler, change: impl Fn(f64) -> f64) {
    let parameters = scheduler
        .autoscaling
        .as_mut()
        .map(|a| &mut a.policy.parameters);
    if let Some(occupancy) = parameters.and_then(|p| p.room_occupancy.as_mut()) {
        occupancy.ready_target = change(occupancy.ready_target);
        occupancy.down_threshold = change(occupancy.down_threshold);
    }
}

/// The shortest decimal of what the original keeps as a 32-bit float (D12).
fn shortest(ratio: f64) -> f64 {
    (ratio as f32).to_string().parse().unwrap_or(ratio)
}

/// Decoded documents, so that a listing of thousands of schedulers parses only those that have changed.
#[derive(Default)]
pub struct Documents {
    known: Mutex<HashMap<Key, Known>>,
    hasher: RandomState,
}

#[derive(PartialEq, Eq, Hash)]
struct Key {
    name: String,
    version: String,
    active: bool,
}

struct Known {
    digest: u64,
    scheduler: Arc<Scheduler>,
}

impl Documents {
    /// Reads a row's document, or takes it from those that are known. `active` tells rows of `schedulers` from rows of
    /// `scheduler_versions`.
    ///
    /// # Errors
    /// As [`read`].
    pub fn read(&self, row: &Row, active: bool) -> Result<Arc<Scheduler>, DocumentError> {
        let digest = self.hasher.hash_one(row);
        let key = Key {
            name: row.name.clone(),
            version: row.version.clone(),
            active,
        };
        if let Some(known) = self.known.lock().get(&key)
            && known.digest == digest
        {
            return Ok(known.scheduler.clone());
        }
        let scheduler = Arc::new(read(row)?);
        let mut all = self.known.lock();
        if all.len() >= CACHED_MAX {
            all.clear();
        }
        let known = Known {
            digest,
            scheduler: scheduler.clone(),
        };
        all.insert(key, known);
        Ok(scheduler)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use maestro_core::domain::RestartPolicy;
    use serde_json::json;

    const RECORDED: &str = include_str!("../../../tests/takeover/busy/postgres.sql");

    fn row(yaml: &str) -> Row {
        Row {
            name: "arena".into(),
            game: "space".into(),
            state: "in-sync".into(),
            version: "v1.2.0".into(),
            rollback_version: "v1.1.0".into(),
            listed_at: "2026-01-02T03:04:05Z".parse().unwrap(),
            created_at: "2026-01-02T03:04:05Z".parse().unwrap(),
            yaml: yaml.into(),
        }
    }

    /// Every document of a recorded installation of the original.
    fn recorded() -> Vec<&'static str> {
        let parts = RECORDED.split("'Affinity: ").skip(1);
        let ends = parts.map(|rest| rest.find("\n', ").expect("its end"));
        let starts = RECORDED.match_indices("'Affinity: ");
        starts
            .zip(ends)
            .map(|((at, quote), end)| {
                let begin = at + 1;
                &RECORDED[begin..begin + quote.len() - 1 + end]
            })
            .collect()
    }

    #[test]
    fn every_recorded_document_is_written_as_it_was() {
        let all = recorded();
        assert!(all.len() > 10, "{}", all.len());
        for yaml in all {
            let before: Value = serde_saphyr::from_str(yaml).unwrap();
            let scheduler = read(&row(yaml)).unwrap();
            let written = write(&scheduler).unwrap();
            let after: Value = serde_json::from_str(&written).unwrap();
            assert_eq!(after, before, "{yaml}");
            // Ours is read as theirs.
            assert_eq!(read(&row(&written)).unwrap(), scheduler);
        }
    }

    #[test]
    fn a_ratio_is_the_decimal_that_was_sent() {
        let yaml = recorded();
        let yaml = yaml
            .iter()
            .find(|yaml| yaml.contains("0.30000001192092896"));
        let scheduler = read(&row(yaml.unwrap())).unwrap();
        let policy = scheduler.autoscaling.unwrap().policy;
        let occupancy = policy.parameters.room_occupancy.unwrap();
        assert_eq!(
            (occupancy.ready_target, occupancy.down_threshold),
            (0.3, 0.8)
        );
    }

    #[test]
    fn columns_count_and_the_case_of_fields_does_not() {
        let scheduler = read(&row(
            r#"{"maxsurge": "5%", "LABELS": {"Team": "x"}, "containers": [{"NAME": "a", "ports": [{"hostPort": 7}]}],
                "Name": "other", "Unknown": 1, "roomsReplicas": 4, "RoomsReplicas": 3}"#,
        ))
        .unwrap();
        assert_eq!(scheduler.name.as_str(), "arena");
        assert_eq!(scheduler.version().as_str(), "v1.2.0");
        assert_eq!(scheduler.rollback_version, "v1.1.0");
        assert_eq!(scheduler.max_surge.to_string(), "5%");
        assert_eq!(scheduler.labels.as_ref().unwrap()["Team"], "x");
        let container = &scheduler.spec.containers[0];
        assert_eq!(
            (container.name.as_str(), container.ports[0].host_port),
            ("a", 7)
        );
        assert_eq!(scheduler.rooms_replicas, 3, "the exact spelling counts");
        assert_eq!(scheduler.max_matches(), 1, "one match, if it does not say");
    }

    #[test]
    fn a_policy_of_restarts_is_written_only_if_there_is_one() {
        for (policy, written) in [("", None), ("Never", None), ("Always", Some("Always"))] {
            let mut scheduler = Scheduler::default();
            scheduler.spec.restart_policy = RestartPolicy::from(policy.to_owned());
            let document: Value = serde_json::from_str(&write(&scheduler).unwrap()).unwrap();
            assert_eq!(
                document.get("RestartPolicy").and_then(Value::as_str),
                written
            );
            assert_eq!(document["MaxSurge"], json!(""));
        }
    }

    #[test]
    fn rubbish_names_its_row() {
        for yaml in ["1", "[1]", "{", "Containers: 7", "RoomsReplicas: many"] {
            let error = read(&row(yaml)).unwrap_err().to_string();
            assert!(error.contains("scheduler arena, version v1.2.0"), "{error}");
        }
        let empty = read(&row("")).unwrap();
        assert_eq!((empty.name.as_str(), empty.rooms_replicas), ("arena", 0));
    }

    #[test]
    fn only_what_has_changed_is_parsed_again() {
        let documents = Documents::default();
        let (first, mut changed) = (row("{}"), row("{}"));
        let known = documents.read(&first, true).unwrap();
        assert!(Arc::ptr_eq(&known, &documents.read(&first, true).unwrap()));
        assert!(!Arc::ptr_eq(
            &known,
            &documents.read(&first, false).unwrap()
        ));
        changed.state = "creating".into();
        let read = documents.read(&changed, true).unwrap();
        assert_eq!(read.state, SchedulerPhase::from("creating".to_owned()));
    }
}
