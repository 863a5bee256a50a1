//! Forwarders of events (contract 2.3, 15.18, 15.22).

use maestro_core::domain::{Forwarder, ForwarderOptions};
use serde_json::{Map, Value};

use super::{TooDeep, clean};
use crate::codec::{Struct, messages};

/// Milliseconds, when a forwarder comes without options; options without a timeout have none and are refused.
const TIMEOUT_DEFAULT: i64 = 1000;
/// Stored documents wrap metadata in some levels of their own, and their reader stops at 128.
const LEVELS_MAX: usize = 100;

pub fn wanted(forwarders: Vec<messages::Forwarder>) -> Result<Vec<Forwarder>, TooDeep> {
    forwarders.into_iter().map(one_wanted).collect()
}

fn one_wanted(forwarder: messages::Forwarder) -> Result<Forwarder, TooDeep> {
    let name = clean(forwarder.name);
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
        forward_type: clean(forwarder.r#type),
        address: clean(forwarder.address),
        options: Some(options),
    })
}

fn metadata(metadata: Option<Struct>) -> Option<Map<String, Value>> {
    match metadata {
        None => Some(Map::new()),
        Some(metadata) => metadata
            .to_map()
            .and_then(|map| clean_object(map, LEVELS_MAX)),
    }
}

fn clean_object(map: Map<String, Value>, levels: usize) -> Option<Map<String, Value>> {
    map.into_iter()
        .map(|(key, value)| Some((clean(key), clean_value(value, levels)?)))
        .collect()
}

fn clean_value(value: Value, levels: usize) -> Option<Value> {
    let below = levels.checked_sub(1)?;
    Some(match value {
        Value::String(text) => Value::String(clean(text)),
        Value::Array(list) => Value::Array(
            list.into_iter()
                .map(|value| clean_value(value, below))
                .collect::<Option<_>>()?,
        ),
        Value::Object(map) => Value::Object(clean_object(map, below)?),
        plain => plain,
    })
}

/// A stored forwarder without options is shown without them.
pub fn shown(forwarder: &Forwarder) -> messages::Forwarder {
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
