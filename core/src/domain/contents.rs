//! The input of an operation as other programs store it (contract 5.5), read leniently as the original reads it: fields
//! that are absent or null have their zero value, unknown fields are passed over, and the case of names is ignored.

use super::ids::RoomId;
use super::operation::Definition;
use super::reason::ReasonWord;
use super::scheduler::Scheduler;
use super::version::SchedulerVersion;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use std::sync::Arc;

impl Definition {
    /// The definition for a stored name and its contents. What cannot be read is kept as it was found, as
    /// [`Definition::Unknown`], and the operation is evicted (D19).
    pub fn from_contract(name: &str, contents: &str) -> Self {
        // The original shows no input for null (contract 15.14); kept, it is shown so here too.
        let read = match contents.trim() {
            "null" => None,
            _ => Self::read_contents(name, contents).ok().flatten(),
        };
        read.unwrap_or_else(|| Self::Unknown {
            name: name.to_owned(),
            contents: contents.to_owned(),
        })
    }

    /// As [`Self::from_contract`], for callers that must tell an unknown name (`None`) from bad contents.
    ///
    /// # Errors
    /// Why the contents are not those of an operation of this name.
    pub fn read_contents(name: &str, contents: &str) -> Result<Option<Self>, String> {
        let input = || -> Result<Input, String> {
            let read: Option<Map<String, Value>> =
                serde_json::from_str(contents).map_err(|error| error.to_string())?;
            Ok(Input(read.unwrap_or_default()))
        };
        Ok(Some(match name {
            "create_scheduler" => Self::CreateScheduler {
                scheduler: input()?.scheduler()?,
            },
            "create_new_scheduler_version" => Self::CreateNewSchedulerVersion {
                scheduler: input()?.scheduler()?,
            },
            "switch_active_version" => Self::SwitchActiveVersion {
                new_active_version: input()?.get::<String>("newActiveVersion")?.into(),
            },
            "add_rooms" => {
                let input = input()?;
                Self::AddRooms {
                    amount: input.amount()?,
                    version: input.any_version()?,
                }
            }
            "remove_rooms" => {
                let input = input()?;
                let ids: Option<Vec<Option<RoomId>>> = input.get("rooms_ids")?;
                Self::RemoveRooms {
                    amount: input.amount()?,
                    rooms_ids: ids.map(|ids| ids.into_iter().flatten().collect()),
                    reason: ReasonWord::from(input.get::<String>("reason")?),
                    force: input.get("force")?,
                    version: input.any_version()?,
                }
            }
            "create_runtime" => Self::CreateRuntime {
                fault: input()?.get("fault")?,
            },
            "start_version" => Self::StartVersion {
                version: input()?.version()?,
            },
            "stop_version" => {
                let input = input()?;
                Self::StopVersion {
                    version: input.version()?,
                    force: input.get("force")?,
                }
            }
            "publish_version" => Self::PublishVersion {
                version: input()?.version()?,
            },
            "unpublish_version" => Self::UnpublishVersion {
                version: input()?.version()?,
            },
            "update_version_config" => {
                let input = input()?;
                Self::UpdateVersionConfig {
                    version: input.version()?,
                    restart: input.get("restart")?,
                }
            }
            "health_controller" => Self::HealthController {
                took_action: input()?.get("took_action")?,
            },
            "storage_clean_up" => input().map(|_| Self::StorageCleanUp)?,
            "delete_scheduler" => input().map(|_| Self::DeleteScheduler)?,
            "test_operation" => Self::TestOperation {
                sleep_seconds: input()?.get("sleepSeconds")?,
            },
            _ => return Ok(None),
        }))
    }
}

/// The fields of an input.
struct Input(Map<String, Value>);

impl Input {
    fn field(&self, name: &str) -> Option<&Value> {
        let alike = || {
            self.0
                .iter()
                .find(|(key, _)| key.eq_ignore_ascii_case(name))
        };
        let found = self.0.get(name).or_else(|| alike().map(|(_, value)| value));
        found.filter(|value| !value.is_null())
    }

    fn get<T: DeserializeOwned + Default>(&self, name: &str) -> Result<T, String> {
        let Some(value) = self.field(name) else {
            return Ok(T::default());
        };
        serde_json::from_value(value.clone()).map_err(|error| format!("{name}: {error}"))
    }

    /// The original counts with 64 bits; every number beyond 32 is far above the limits of ours.
    fn amount(&self) -> Result<i32, String> {
        let amount = self.get::<i64>("amount")?;
        Ok(amount.clamp(i32::MIN.into(), i32::MAX.into()) as i32)
    }

    fn version(&self) -> Result<SchedulerVersion, String> {
        let version = self.any_version()?;
        version.ok_or_else(|| "version is missing".into())
    }

    fn any_version(&self) -> Result<Option<SchedulerVersion>, String> {
        let version = self.get::<Option<String>>("version")?;
        Ok(version.map(SchedulerVersion::from))
    }

    fn scheduler(&self) -> Result<Arc<Scheduler>, String> {
        let document = self.field("scheduler").ok_or("scheduler is missing")?;
        let read = Scheduler::deserialize(document).map(Arc::new);
        read.map_err(|error| format!("scheduler: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ConfigRestart;

    fn read(name: &str, contents: &str) -> Definition {
        Definition::from_contract(name, contents)
    }

    #[test]
    fn every_definition_is_read_as_it_is_written() {
        let scheduler = Arc::new(Scheduler {
            name: "arena".into(),
            ..Scheduler::default()
        });
        for definition in [
            Definition::CreateScheduler {
                scheduler: scheduler.clone(),
            },
            Definition::CreateNewSchedulerVersion { scheduler },
            Definition::SwitchActiveVersion {
                new_active_version: "v1.1.0".into(),
            },
            Definition::AddRooms {
                amount: 3,
                version: None,
            },
            Definition::RemoveRooms {
                amount: 2,
                rooms_ids: None,
                reason: "scale_down".into(),
                force: false,
                version: None,
            },
            Definition::RemoveRooms {
                amount: 0,
                rooms_ids: Some(vec!["x".into()]),
                reason: "spring_cleaning".into(),
                force: true,
                version: None,
            },
            Definition::CreateRuntime { fault: None },
            Definition::CreateRuntime {
                fault: Some(crate::domain::PlatformFault::Forbidden),
            },
            Definition::StartVersion {
                version: "v2.0.0".into(),
            },
            Definition::StopVersion {
                version: "v2.0.0".into(),
                force: true,
            },
            Definition::PublishVersion {
                version: "v2.0.0".into(),
            },
            Definition::UnpublishVersion {
                version: "v2.0.0".into(),
            },
            Definition::UpdateVersionConfig {
                version: "v2.0.0".into(),
                restart: ConfigRestart::All,
            },
            Definition::AddRooms {
                amount: 3,
                version: Some("v2.0.0".into()),
            },
            Definition::RemoveRooms {
                amount: 2,
                rooms_ids: None,
                reason: "version_stopped".into(),
                force: false,
                version: Some("v2.0.0".into()),
            },
            Definition::HealthController { took_action: None },
            Definition::HealthController {
                took_action: Some(true),
            },
            Definition::StorageCleanUp,
            Definition::DeleteScheduler,
            Definition::TestOperation { sleep_seconds: 5 },
        ] {
            let contents = definition.to_json().to_string();
            assert_eq!(read(definition.name(), &contents), definition);
        }
    }

    #[test]
    fn contents_are_read_as_leniently_as_the_original_reads_them() {
        let contents = r#"{"Amount": 2, "other": [1], "rooms_ids": null}"#;
        let expected = Definition::RemoveRooms {
            amount: 2,
            rooms_ids: None,
            reason: "".into(),
            force: false,
            version: None,
        };
        assert_eq!(read("remove_rooms", contents), expected);
        let much = read("add_rooms", r#"{"amount": 9000000000}"#);
        assert_eq!(
            much,
            Definition::AddRooms {
                amount: i32::MAX,
                version: None
            }
        );
    }

    #[test]
    fn what_cannot_be_read_is_kept_as_it_was_found() {
        for (name, contents, known) in [
            ("add_rooms", "", true),
            ("add_rooms", "[1,2]", true),
            ("add_rooms", "{", true),
            ("add_rooms", r#"{"amount":"two"}"#, true),
            ("create_scheduler", "{}", true),
            ("no_such_operation", r#"{"amount":2}"#, false),
        ] {
            let kept = Definition::Unknown {
                name: name.into(),
                contents: contents.into(),
            };
            assert_eq!(read(name, contents), kept);
            let judged = Definition::read_contents(name, contents);
            assert_eq!(judged.is_err(), known, "{judged:?}");
        }
        let null = read("add_rooms", "null");
        assert!(matches!(null, Definition::Unknown { .. }));
        assert!(matches!(
            Definition::read_contents("add_rooms", "null"),
            Ok(Some(Definition::AddRooms {
                amount: 0,
                version: None
            }))
        ));
    }
}
