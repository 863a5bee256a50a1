//! Puts the recorded installation of the original into a Postgres and a Redis.

use maestro_testkit::servers::postgres::TestDatabase;
use maestro_testkit::servers::redis::RedisServer;
use serde_json::Value;

const ROWS: &str = include_str!("busy/postgres.sql");
const KEYS: &str = include_str!("busy/redis.json");
/// Sets whose scores are times.
const TIMES: [&str; 5] = [
    ":ping",
    ":lists:active",
    ":lists:history",
    ":lists:noaction",
    ":operationsLease",
];

/// The tables must be there and empty. The times are moved, as if it had been recorded a moment ago.
pub fn fill(postgres: &TestDatabase, redis: &RedisServer) {
    postgres.ask("DELETE FROM schema_migrations");
    postgres.ask(ROWS);
    let recording: Value = serde_json::from_str(KEYS).expect("JSON");
    let later = jiff::Timestamp::now().as_second() - recording["at"].as_i64().expect("a time");
    let mut connection = redis.connection();
    for row in recording["keys"].as_array().expect("keys") {
        let key = row[0].as_str().expect("a key");
        let items = row[3].as_array().cloned().unwrap_or_default();
        let mut items: Vec<String> = items
            .iter()
            .filter_map(Value::as_str)
            .map(Into::into)
            .collect();
        let command = match row[1].as_str() {
            Some("hash") => "HSET",
            Some("list") => "RPUSH",
            Some("zset") => "ZADD",
            // The copy of a document, which lives for two minutes.
            _ => continue,
        };
        let move_on = |text: &mut String| {
            *text = (text.parse::<i64>().expect("seconds") + later).to_string();
        };
        for pair in items.chunks_mut(2) {
            if command == "HSET" && matches!(pair[0].as_str(), "created_at" | "allocated_at") {
                move_on(&mut pair[1]);
            }
            if command == "ZADD" {
                if TIMES.iter().any(|end| key.ends_with(end)) {
                    move_on(&mut pair[1]);
                }
                pair.swap(0, 1);
            }
        }
        let items: Vec<&str> = items.iter().map(String::as_str).collect();
        connection
            .ask(&[&[command, key][..], &items].concat())
            .expect("it is taken");
    }
}
