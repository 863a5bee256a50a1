//! The parts of a page of metrics that cases check.

use super::case::Metrics;
use regex::Regex;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Names, types and labels of the families, and the values of selected labels. Families and values that are not
/// expected are left out.
pub fn read(status: &Value, page: &str, metrics: &Metrics, expected: &Value) -> Value {
    let (mut types, mut labels) = (
        BTreeMap::new(),
        BTreeMap::<_, BTreeMap<_, BTreeSet<_>>>::new(),
    );
    let sample =
        Regex::new(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? ").expect("a regular expression");
    let label = Regex::new(r#"([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)""#)
        .expect("a regular expression");
    for line in page.lines() {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            types.extend(declared.split_once(' '));
        }
        let Some(found) = sample.captures(line) else {
            continue;
        };
        let name = found.get(1).map_or("", |name| name.as_str());
        let parts = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|part| name.strip_suffix(part));
        let family = parts
            .filter(|family| types.contains_key(family))
            .unwrap_or(name);
        let of = labels.entry(family).or_default();
        for found in label.captures_iter(found.get(2).map_or("", |labels| labels.as_str())) {
            if &found[1] != "le" {
                of.entry(found[1].to_owned())
                    .or_default()
                    .insert(found[2].to_owned());
            }
        }
    }
    let families = expected["metrics"].as_object().into_iter().flatten();
    let families = families.filter_map(|(name, _)| {
        let labels: Vec<_> = labels.get(name.as_str())?.keys().collect();
        Some((
            name.clone(),
            json!({"type": types.get(name.as_str())?, "labels": labels}),
        ))
    });
    let values = metrics.label_values.iter().map(|[family, label]| {
        let key = format!("{family}.{label}");
        let given = labels.get(family.as_str()).and_then(|of| of.get(label));
        let wanted = expected["label_values"][&key]
            .as_array()
            .into_iter()
            .flatten();
        let wanted = wanted.filter(|value| {
            given.is_some_and(|given| given.contains(value.as_str().unwrap_or("")))
        });
        (key.clone(), wanted.cloned().collect::<Value>())
    });
    json!({
        "status": status,
        "metrics": families.collect::<serde_json::Map<_, _>>(),
        "label_values": values.collect::<serde_json::Map<_, _>>(),
    })
}
