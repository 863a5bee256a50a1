//! Finds unknown fields. The API ignores them (contract 2.1), but in a file that restores a fleet
//! they are mistakes.

use serde_json::Value;

/// Paths of the members of `given` that are not in `understood`, its round trip through a codec.
/// The codec writes every field that it knows, so a missing member is an unknown one.
pub fn fields(given: &Value, understood: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare(given, understood, "", &mut found);
    found
}

fn compare(given: &Value, understood: &Value, path: &str, found: &mut Vec<String>) {
    match (given, understood) {
        (Value::Object(given), Value::Object(understood)) => {
            for (name, value) in given {
                let path = match path {
                    "" => name.clone(),
                    path => format!("{path}.{name}"),
                };
                let known = understood.get(name);
                match known.or_else(|| understood.get(&json_name(name))) {
                    Some(known) => compare(value, known, &path, found),
                    // A null sets nothing, whatever its name.
                    None if value.is_null() => {}
                    None => found.push(path),
                }
            }
        }
        (Value::Array(given), Value::Array(understood)) => {
            for (index, (value, known)) in given.iter().zip(understood).enumerate() {
                compare(value, known, &format!("{path}[{index}]"), found);
            }
        }
        _ => {}
    }
}

/// `rooms_replicas` may be written for `roomsReplicas` (contract 2.1).
fn json_name(name: &str) -> String {
    let mut words = name.split('_');
    let mut json = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        json.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        json.push_str(letters.as_str());
    }
    json
}

/// The line of `text`, at `from` or after it, that begins with the last name of `path`.
pub fn line_of(text: &str, from: u64, path: &str) -> Option<u64> {
    let name = path.rsplit('.').next()?;
    let skipped = usize::try_from(from.checked_sub(1)?).ok()?;
    let mut lines = text.lines().zip(1_u64..).skip(skipped);
    let begins = |line: &str| {
        let key = line.trim_start().trim_start_matches("- ").trim_start();
        key.strip_prefix(name)
            .is_some_and(|rest| rest.trim_start().starts_with(':'))
    };
    lines.find_map(|(line, number)| begins(line).then_some(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn members_that_were_not_understood_are_named_with_their_path() {
        let given = json!({"name": "a", "rooms_replicas": 2, "gmae": null,
            "spec": {"containers": [{"name": "x"}, {"comand": ["y"]}]}, "labels": {"any_key": "v"}});
        let understood = json!({"name": "a", "roomsReplicas": 2, "game": "",
            "spec": {"containers": [{"name": "x"}, {"command": []}]}, "labels": {"any_key": "v"}});
        assert_eq!(fields(&given, &understood), ["spec.containers[1].comand"]);
        let text = "name: a\nspec:\n  containers:\n    - name: x\n    - comand: [y]\n";
        assert_eq!(line_of(text, 2, "spec.containers[1].comand"), Some(5));
        assert_eq!(line_of(text, 2, "spec.other"), None);
    }
}
