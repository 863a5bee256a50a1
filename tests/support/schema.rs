//! The part of JSON Schema 2020-12 that the schemas in `docs/` use. An unknown keyword is a failure, so that nothing is
//! silently unchecked.
#![allow(dead_code, reason = "each test file uses its own part of this")]

use serde_json::{Map, Value};

/// The violations of `schema` in `value`, each with its path.
pub fn violations(schema: &Value, value: &Value) -> Vec<String> {
    violations_in(schema, schema, value)
}

/// The same for a schema that is a part of a document.
pub fn violations_in(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut checker = Checker {
        root: document,
        found: Vec::new(),
    };
    checker.check(schema, value, "$");
    checker.found
}

/// Members of objects without a description in the schema.
pub fn undescribed(schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let objects = schema["$defs"].as_object().into_iter().flatten();
    for (name, object) in objects.chain([(&"root".to_owned(), schema)]) {
        for (field, property) in object["properties"].as_object().into_iter().flatten() {
            let referred = property["$ref"].as_str().map(|at| resolve(schema, at));
            let described = |s: &Value| s["description"].is_string();
            if !described(property) && !referred.is_some_and(described) {
                found.push(format!("{name}.{field}"));
            }
        }
    }
    found
}

fn resolve<'a>(root: &'a Value, at: &str) -> &'a Value {
    let pointer = at.strip_prefix('#').expect("a place in the same document");
    root.pointer(pointer)
        .unwrap_or_else(|| panic!("nothing at {at}"))
}

struct Checker<'a> {
    root: &'a Value,
    found: Vec<String>,
}

impl Checker<'_> {
    fn check(&mut self, schema: &Value, value: &Value, at: &str) {
        let Value::Object(keywords) = schema else {
            if schema == false {
                self.found.push(format!("{at} must not be there"));
            }
            return;
        };
        for (keyword, wanted) in keywords {
            if let Some(problem) = self.keyword(keywords, keyword, wanted, value, at) {
                self.found.push(format!("{at} {problem}: {value}"));
            }
        }
    }

    fn keyword(
        &mut self,
        schema: &Map<String, Value>,
        keyword: &str,
        wanted: &Value,
        value: &Value,
        at: &str,
    ) -> Option<String> {
        let holds = match keyword {
            "$schema" | "$defs" | "title" | "description" | "example" | "default"
            | "properties" => {
                self.members(schema, value, keyword, at);
                true
            }
            "$ref" => {
                let target = resolve(self.root, wanted.as_str()?).clone();
                self.check(&target, value, at);
                true
            }
            "type" => is_a(value, wanted),
            "enum" => wanted.as_array()?.contains(value),
            "minimum" => value
                .as_i64()
                .is_none_or(|n| n >= wanted.as_i64().unwrap_or(0)),
            "maximum" => value
                .as_i64()
                .is_none_or(|n| wanted.as_i64().is_none_or(|most| n <= most)),
            "pattern" => {
                let pattern = regex::Regex::new(wanted.as_str()?).expect("a pattern");
                value.as_str().is_none_or(|text| pattern.is_match(text))
            }
            "maxItems" => value.as_array()?.len() as u64 <= wanted.as_u64()?,
            "format" => value.is_null() || has_form(value, wanted.as_str()?),
            "required" => {
                let names = wanted.as_array()?.iter().filter_map(Value::as_str);
                let missing: Vec<&str> = names.filter(|name| value.get(name).is_none()).collect();
                return (!missing.is_empty()).then(|| format!("lacks {missing:?}"));
            }
            "items" => {
                for (index, item) in value.as_array()?.iter().enumerate() {
                    self.check(wanted, item, &format!("{at}[{index}]"));
                }
                true
            }
            "additionalProperties" => {
                let known = schema.get("properties").and_then(Value::as_object);
                for (name, member) in value.as_object()? {
                    if known.is_none_or(|known| !known.contains_key(name)) {
                        self.check(wanted, member, &format!("{at}.{name}"));
                    }
                }
                true
            }
            "propertyNames" => {
                for name in value.as_object()?.keys() {
                    self.check(
                        wanted,
                        &Value::String(name.clone()),
                        &format!("{at}.{name}"),
                    );
                }
                true
            }
            "oneOf" => {
                let fits = |s: &&Value| {
                    let mut own = Checker {
                        root: self.root,
                        found: Vec::new(),
                    };
                    own.check(s, value, at);
                    own.found.is_empty()
                };
                wanted.as_array()?.iter().filter(fits).count() == 1
            }
            other => panic!("the schema uses {other:?}, which is not checked here"),
        };
        (!holds).then(|| format!("breaks {keyword} {wanted}"))
    }

    fn members(&mut self, schema: &Map<String, Value>, value: &Value, keyword: &str, at: &str) {
        if keyword != "properties" {
            return;
        }
        for (name, member) in schema["properties"].as_object().into_iter().flatten() {
            if let Some(value) = value.get(name) {
                self.check(member, value, &format!("{at}.{name}"));
            }
        }
    }
}

fn is_a(value: &Value, wanted: &Value) -> bool {
    match wanted {
        Value::Array(any) => any.iter().any(|one| is_a(value, one)),
        word => match word.as_str().expect("a type") {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "integer" => value.is_i64() || value.is_u64(),
            "boolean" => value.is_boolean(),
            "number" => value.is_number(),
            "null" => value.is_null(),
            other => panic!("no such type: {other}"),
        },
    }
}

fn has_form(value: &Value, form: &str) -> bool {
    let text = value.as_str().unwrap_or_default();
    match form {
        "date-time" => text.parse::<jiff::Timestamp>().is_ok(),
        "uuid" => text.parse::<uuid::Uuid>().is_ok(),
        "int32" => value.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
        "int64" => value.is_i64() || text.parse::<i64>().is_ok(),
        "float" => value.is_number(),
        other => panic!("no such format: {other}"),
    }
}
