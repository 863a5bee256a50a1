//! Forwarders of events (contract 2.3, 15.18, 15.22).

use maestro_core::domain::{Forwarder, ForwarderOptions};
use serde_json::{Map, Value};

use super::TooDeep;
use crate::codec::{Struct, messages};

/// Timeout in milliseconds of a forwarder without options; options without a timeout are rejected.
const TIMEOUT_DEFAULT: i64 = 1000;
/// Stored documents wrap metadata in further levels, and their parser stops at 128.
const LEVELS_MAX: usize = 100;

pub fn to_domain(forwarders: Vec<messages::Forwarder>) -> Result<Vec<Forwarder>, TooDeep> {
    forwarders.into_iter().map(forwarder_to_domain).collect()
}

fn forwarder_to_domain(forwarder: messages::Forwarder) -> Result<Forwarder, TooDeep> {
    let name = forwarder.name;
    let options = match forwarder.options {
        None => ForwarderOptions {
            timeout: TIMEOUT_DEFAULT,
            metadata: Map::new(),
        },
        Some(options) => ForwarderOptions {
            timeout: options.timeout,
            metadata: metadata(options.metadata).ok_or_else(|| TooDeep(name.clone()))?,
        },
    };
    Ok(Forwarder {
        name,
        enabled: forwarder.enable,
        forward_type: forwarder.r#type,
        address: forwarder.address,
        options: Some(options),
    })
}

fn metadata(metadata: Option<Struct>) -> Option<Map<String, Value>> {
    let map = metadata.unwrap_or_default().to_map()?;
    map.values()
        .all(|value| fits(value, LEVELS_MAX))
        .then_some(map)
}

fn fits(value: &Value, levels: usize) -> bool {
    let Some(below) = levels.checked_sub(1) else {
        return false;
    };
    match value {
        Value::Array(list) => list.iter().all(|value| fits(value, below)),
        Value::Object(map) => map.values().all(|value| fits(value, below)),
        _ => true,
    }
}

/// A forwarder that was stored without options is shown without them.
pub fn to_message(forwarder: &Forwarder) -> messages::Forwarder {
    messages::Forwarder {
        name: forwarder.name.clone(),
        enable: forwarder.enabled,
        r#type: forwarder.forward_type.clone(),
        address: forwarder.address.clone(),
        options: forwarder
            .options
            .as_ref()
            .map(|options| messages::ForwarderOptions {
                timeout: options.timeout,
                metadata: Some(Struct::from(&options.metadata)),
            }),
    }
}
