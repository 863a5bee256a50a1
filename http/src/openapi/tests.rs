//! Checks that the description is correct, complete, and identical to the file in `docs/`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;

fn parsed() -> Value {
    serde_json::from_str(document()).expect("the description is JSON")
}

/// With `MAESTRO_UPDATE_OPENAPI=1` the file is rewritten instead of compared.
#[test]
fn the_file_in_docs_is_what_the_code_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
    if std::env::var_os("MAESTRO_UPDATE_OPENAPI").is_some() {
        std::fs::write(path, document()).expect("docs/openapi.json can be written");
    }
    let file = std::fs::read_to_string(path).unwrap_or_default();
    let (told, checked_in) = (document().lines(), file.lines());
    let first = told
        .zip(checked_in)
        .find(|(told, checked_in)| told != checked_in);
    assert!(
        file == document(),
        "docs/openapi.json is not what the code says (first difference: {first:?}). Run: cargo xtask openapi"
    );
}

/// Every `$ref` can be resolved, and every schema is referenced.
#[test]
fn references_and_schemas_meet() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    match member {
                        Value::String(at) if name == "$ref" => drop(found.insert(at.clone())),
                        other => references(other, found),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let document = parsed();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for at in &found {
        assert!(document.pointer(&at[1..]).is_some(), "nothing at {at}");
    }
    for kind in ["schemas", "responses"] {
        for name in document["components"][kind]
            .as_object()
            .expect("an object")
            .keys()
        {
            let at = format!("#/components/{kind}/{name}");
            assert!(found.contains(&at), "nobody refers to {at}");
        }
    }
}

#[test]
fn everything_has_a_few_words() {
    let document = parsed();
    let mut silent = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("methods") {
            if method == "servers" {
                continue;
            }
            if operation["summary"].as_str().is_none_or(str::is_empty) {
                silent.push(format!("{method} {path}"));
            }
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                if !parameter["description"].is_string() {
                    silent.push(format!("{method} {path}: {}", parameter["name"]));
                }
            }
        }
    }
    for (name, schema) in document["components"]["schemas"]
        .as_object()
        .expect("schemas")
    {
        for (field, property) in schema["properties"].as_object().into_iter().flatten() {
            // A referenced schema is described at its definition.
            if !property["description"].is_string() && property.get("$ref").is_none() {
                silent.push(format!("{name}.{field}"));
            }
        }
    }
    assert!(silent.is_empty(), "nothing is said of {silent:#?}");
}

#[test]
fn operations_have_names_of_their_own_and_known_groups() {
    let document = parsed();
    let tags: BTreeSet<&str> = Tag::ALL.iter().map(|tag| tag.name()).collect();
    let (mut names, mut count) = (BTreeSet::new(), 0);
    for item in document["paths"].as_object().expect("paths").values() {
        for operation in item.as_object().expect("methods").values() {
            if let Some(name) = operation["operationId"].as_str() {
                names.insert(name.to_owned());
                count += 1;
                assert!(
                    tags.contains(operation["tags"][0].as_str().expect("a tag")),
                    "{name}"
                );
            }
        }
    }
    assert_eq!(names.len(), count, "{names:?}");
    let routes = management_routes().len() + rooms_routes().len();
    assert!(
        count > routes,
        "{count} operations, {routes} routes of the gateway"
    );
}

/// The documented parameters are those that serde accepts: its error for an unknown field lists them.
#[test]
fn every_query_parameter_of_ours_is_described() {
    let known = crate::operator::known_parameters().into_iter();
    let known = known.chain(crate::resources::known_parameters());
    let known = known.chain(crate::runtimes::known_parameters());
    for (endpoint, known) in known.chain(crate::versions::known_parameters()) {
        let described = crate::operator::ENDPOINTS
            .iter()
            .chain(crate::resources::ENDPOINTS)
            .chain(crate::runtimes::ENDPOINTS)
            .chain(crate::versions::ENDPOINTS)
            .find(|e| e.name == endpoint)
            .expect("an endpoint");
        let described: Vec<&str> = described.query.iter().map(|p| p.name).collect();
        assert_eq!(described, known, "{endpoint}");
    }
}

#[test]
fn the_statuses_of_rooms_are_all_of_them() {
    let all = maestro_core::domain::RoomStatus::ALL;
    let known: BTreeSet<String> = all
        .iter()
        .map(|s| serde_json::to_value(s).expect("a word").to_string())
        .collect();
    let described = parsed()["components"]["schemas"]["RoomStatus"]["enum"].clone();
    let described: BTreeSet<String> = described
        .as_array()
        .expect("a list")
        .iter()
        .map(Value::to_string)
        .collect();
    assert_eq!(described, known);
}

/// The codec accepts the examples, and they contain no field that it would ignore.
#[test]
fn examples_have_only_known_fields() {
    fn unknown(message: &maestro_api::codec::Declaration, value: &Value, found: &mut Vec<String>) {
        for (name, member) in value.as_object().into_iter().flatten() {
            let Some(field) = message.fields.iter().find(|f| f.json == name) else {
                found.push(format!("{}.{name}", message.name));
                continue;
            };
            if let maestro_api::codec::Type::Message(part) = field.of {
                match member {
                    Value::Array(items) => items.iter().for_each(|i| unknown(part, i, found)),
                    one => unknown(part, one, found),
                }
            }
        }
    }
    let mut seen = 0;
    for route in management_routes().into_iter().chain(rooms_routes()) {
        let Some(example) = route.about.example else {
            continue;
        };
        let value: Value = serde_json::from_str(example).expect("JSON");
        let mut found = Vec::new();
        unknown(route.request, &value, &mut found);
        assert!(found.is_empty(), "{}: {found:?}", route.name);
        seen += 1;
    }
    assert!(seen >= 8, "{seen} examples");
}
