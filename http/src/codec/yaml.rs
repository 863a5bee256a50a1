//! Scheduler bodies in YAML (decision D25), turned into JSON so that one codec reads both.

use serde_json::Value;
use serde_saphyr::UserMessageFormatter;

/// Fields whose bare number means seconds (decision D14): `terminationGracePeriod: 100`.
const SECONDS_FIELDS: [&str; 2] = ["terminationGracePeriod", "termination_grace_period"];

/// Converts a YAML document to JSON text. The parser bounds depth, aliases and size by itself.
///
/// # Errors
/// Says where the document is not YAML, or not representable in JSON.
pub fn yaml_to_json(body: &[u8]) -> Result<Vec<u8>, String> {
    if body.trim_ascii().is_empty() {
        return Ok(Vec::new());
    }
    let mut value: Value = serde_saphyr::from_slice_with_options(body, options()).map_err(
        |error: serde_saphyr::Error| {
            // Its usual words are for programmers.
            complaint(&error.render_with_formatter(&UserMessageFormatter))
        },
    )?;
    if value.is_null() {
        return Ok(Vec::new());
    }
    quote_seconds(&mut value);
    serde_json::to_vec(&value).map_err(|error| complaint(&error.to_string()))
}

/// Far beyond any scheduler, and few enough to be read in some tens of milliseconds: aliases make a small body large.
fn options() -> serde_saphyr::Options {
    const EVENTS_MAX: usize = 100_000;
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: EVENTS_MAX,
            max_recorded_anchor_events: EVENTS_MAX,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: EVENTS_MAX,
        },
    }
}

/// The parser shows the lines around a fault, however long they are.
fn complaint(why: &str) -> String {
    const SHOWN: usize = 1_000;
    format!("invalid YAML: {}", &why[..why.floor_char_boundary(SHOWN)])
}

fn quote_seconds(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::Number(seconds)
                        if SECONDS_FIELDS.contains(&name.as_str()) && seconds.is_u64() =>
                    {
                        *member = Value::String(seconds.to_string());
                    }
                    other => quote_seconds(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(quote_seconds),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
