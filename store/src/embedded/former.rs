//! Migrations from earlier formats. They work on stored rows and use no domain types, so that they still produce the
//! same rows when those types change.

use super::tables::{HISTORY, LIVE, ROOMS, RUNTIMES, second};
use redb::{ReadableTable, WriteTransaction};
use serde_json::{Map, Value};

/// Format 1 stored microseconds in the history.
pub fn history_by_seconds(txn: &WriteTransaction) -> Result<(), redb::Error> {
    let mut history = txn.open_table(HISTORY)?;
    let mut rows = Vec::new();
    for row in history.iter()? {
        let (key, ()) = (row?.0, ());
        let (name, at, id) = key.value();
        rows.push((name.to_owned(), second(at), id));
    }
    history.retain(|_, ()| false)?;
    for (name, at, id) in &rows {
        history.insert((name.as_str(), *at, *id), ())?;
    }
    Ok(())
}

/// Format 3 knew no states of versions, and none of the operations about them.
pub fn versions_without_states(txn: &WriteTransaction) -> Result<(), redb::Error> {
    txn.open_table(LIVE)?;
    Ok(())
}

/// Format 4 knew no runtimes, and not their operation. Some files of it have the table already.
pub fn without_runtimes(txn: &WriteTransaction) -> Result<(), redb::Error> {
    txn.open_table(RUNTIMES)?;
    Ok(())
}

/// The fields of format 2, and their names in format 3.
const INTENT: &[(&str, &str)] = &[
    ("version", "version"),
    ("validation", "validation"),
    ("made_by", "made_by"),
    ("created_at", "created_at"),
    ("allocated_at", "allocated_at"),
    ("host_ports", "host_ports"),
    ("removal", "removal"),
];
const REPORTED: &[(&str, &str)] = &[
    ("status", "status"),
    ("ping_status", "ping"),
    ("running_matches", "matches"),
    ("metadata", "metadata"),
    ("last_ping_at", "last_ping_at"),
    ("first_ready_at", "first_ready_at"),
    ("played", "played"),
];

/// Format 2 stored all fields of a room in one flat object.
pub fn rooms_in_parts(txn: &WriteTransaction) -> Result<(), redb::Error> {
    let mut rooms = txn.open_table(ROOMS)?;
    let mut rows = Vec::new();
    for row in rooms.iter()? {
        let (key, row) = row?;
        let (scheduler, room) = key.value();
        let (status, document) = row.value();
        match in_parts(document) {
            Ok(document) => rows.push((scheduler.to_owned(), room.to_owned(), status, document)),
            // It is reported when its scheduler is loaded.
            Err(error) => {
                tracing::error!(scheduler, room, %error, "kept a row that cannot be read")
            }
        }
    }
    for (scheduler, room, status, document) in &rows {
        let key = (scheduler.as_str(), room.as_str());
        rooms.insert(key, (*status, document.as_slice()))?;
    }
    Ok(())
}

fn in_parts(flat: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
    let mut flat: Map<String, Value> = serde_json::from_slice(flat)?;
    let mut part = |fields: &[(&str, &str)]| -> Map<String, Value> {
        let taken = fields.iter().filter_map(|(old, new)| {
            let value = flat.remove(*old)?;
            // Absent values are not written any more.
            let says_something = !matches!(value, Value::Null | Value::Bool(false));
            says_something.then(|| ((*new).to_owned(), value))
        });
        taken.collect()
    };
    let parts = [("intent", part(INTENT)), ("reported", part(REPORTED))];
    // The id and the instance are left.
    flat.retain(|_, value| !value.is_null());
    flat.extend(parts.map(|(name, part)| (name.to_owned(), Value::Object(part))));
    serde_json::to_vec(&flat)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parts(flat: &Value) -> Value {
        let written = in_parts(flat.to_string().as_bytes()).unwrap();
        serde_json::from_slice(&written).unwrap()
    }

    #[test]
    fn every_field_of_a_flat_room_goes_to_its_part() {
        let instance = json!({"room": "arena-1", "uid": "7", "resource_version": u64::MAX});
        let removal = json!({"reason": "scale_down", "at": "2026-01-02T03:04:08Z", "drain": true});
        let flat = json!({
            "id": "arena-1", "version": "v1.0.0", "status": "occupied", "ping_status": "occupied",
            "running_matches": 2, "metadata": "{\"a\":1.50}", "validation": true, "made_by": "an id",
            "created_at": "2026-01-02T03:04:05Z", "last_ping_at": "2026-01-02T03:04:06Z",
            "allocated_at": "2026-01-02T03:04:07Z", "first_ready_at": "2026-01-02T03:04:05.5Z",
            "played": true, "host_ports": [20000, 20001], "removal": removal, "instance": instance,
        });
        let expected = json!({
            "id": "arena-1",
            "intent": {
                "version": "v1.0.0", "validation": true, "made_by": "an id",
                "created_at": "2026-01-02T03:04:05Z", "allocated_at": "2026-01-02T03:04:07Z",
                "host_ports": [20000, 20001], "removal": removal,
            },
            "reported": {
                "status": "occupied", "ping": "occupied", "matches": 2, "metadata": "{\"a\":1.50}",
                "last_ping_at": "2026-01-02T03:04:06Z", "first_ready_at": "2026-01-02T03:04:05.5Z", "played": true,
            },
            "instance": instance,
        });
        assert_eq!(parts(&flat), expected);
    }

    #[test]
    fn a_room_of_the_first_days_lacks_what_came_later() {
        let flat = json!({
            "id": "arena-1", "version": "v1.0.0", "status": "pending", "ping_status": "unknown",
            "running_matches": 0, "metadata": null, "validation": false,
            "created_at": "2026-01-02T03:04:05Z", "last_ping_at": "2026-01-02T03:04:05Z",
            "allocated_at": null, "host_ports": [], "removal": null, "instance": null,
        });
        let expected = json!({
            "id": "arena-1",
            "intent": {"version": "v1.0.0", "created_at": "2026-01-02T03:04:05Z", "host_ports": []},
            "reported": {"status": "pending", "ping": "unknown", "matches": 0, "last_ping_at": "2026-01-02T03:04:05Z"},
        });
        assert_eq!(parts(&flat), expected);
    }

    #[test]
    fn what_is_no_object_is_an_error() {
        assert!(in_parts(b"[]").is_err());
        assert!(in_parts(b"{\"id\":").is_err());
    }
}
