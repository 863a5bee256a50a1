//! Plays a case: its setup, its request, and the checks after it.

use super::case::{Case, Request, Step};
use super::variables::Variables;
use super::{compare, exposition, http, support::Maestro};
use maestro_grpc::testing::{Received, TestForwarder};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::thread;

/// A server, and the fixtures that cases name.
pub struct Stage {
    addresses: HashMap<&'static str, String>,
    fixtures: BTreeMap<String, Vec<Step>>,
}

impl Stage {
    pub fn new(maestro: &Maestro, fixtures: &Path) -> Self {
        let address = |url: &str| url.trim_start_matches("http://").to_owned();
        let text = std::fs::read_to_string(fixtures).expect("the fixtures");
        Self {
            addresses: HashMap::from([
                ("management", address(&maestro.management)),
                ("rooms", address(&maestro.rooms)),
                ("management_internal", address(&maestro.internal)),
                ("rooms_internal", address(&maestro.internal)),
            ]),
            fixtures: serde_json::from_str(&text).expect("the fixtures"),
        }
    }

    /// Plays a case; returns the differences from what it expects.
    pub fn play(&self, case: &Case) -> Vec<String> {
        let mut variables = Variables::of(&case.id);
        let receivers: Vec<_> = case
            .receivers
            .iter()
            .map(|_| TestForwarder::start())
            .collect();
        for (at, receiver) in receivers.iter().enumerate() {
            variables.set(&receiver_name(at), &receiver.address());
        }
        self.set_up(&case.setup, &mut variables);
        let (mut answer, text) = self.answer(case, &variables);
        if !receivers.is_empty() {
            // The answer comes after the events that it reports as forwarded.
            let heard = receivers
                .iter()
                .map(|receiver| receiver.received().iter().map(shown).collect());
            let heard = heard
                .enumerate()
                .map(|(at, heard): (_, Value)| (receiver_name(at), heard));
            answer["forwarded"] = Value::Object(heard.collect());
        }
        let operation = answer["body"]["operationId"]
            .as_str()
            .unwrap_or("none")
            .to_owned();
        variables.set("OPID", &operation);
        let mut found = best(&case.expect, &answer, &variables);
        if !compare::is_in_order(&case.order, &text) {
            found.push(format!(
                "keys in another order than {:?}: {text}",
                case.order
            ));
        }
        for after in &case.after {
            let (answer, _) = self.call(&after.request, &variables);
            let differences = best(&after.expect, &answer, &variables);
            found.extend(
                differences
                    .iter()
                    .map(|text| format!("{} {text}", after.request.path)),
            );
        }
        found
    }

    fn call(&self, request: &Request, variables: &Variables) -> (Value, String) {
        http::call(&self.addresses[request.api.as_str()], request, variables)
    }

    fn set_up(&self, steps: &[Step], variables: &mut Variables) {
        for step in steps {
            if let Some(fixture) = &step.fixture {
                self.set_up(&self.fixtures[fixture], variables);
            }
            if let Some(request) = &step.http {
                let (answer, _) = self.call(request, variables);
                if let Some(expected) = step.expect {
                    assert_eq!(answer["status"], expected, "{}: {answer}", request.path);
                }
                for (name, path) in &step.save {
                    let pointer = format!("/{}", path.replace('.', "/"));
                    let value = answer["body"].pointer(&pointer).and_then(Value::as_str);
                    variables.set(name, value.expect("the answer has it"));
                }
            }
        }
    }

    fn answer(&self, case: &Case, variables: &Variables) -> (Value, String) {
        let call = || self.call(&case.request, variables);
        if let Some(times) = case.parallel {
            let mut replies: Vec<Value> = thread::scope(|scope| {
                let calls: Vec<_> = (0..times).map(|_| scope.spawn(call)).collect();
                calls
                    .into_iter()
                    .map(|call| call.join().expect("it answers").0)
                    .collect()
            });
            replies.sort_by_key(|reply| (reply["status"].as_u64(), reply.to_string()));
            return (json!({"replies": replies}), String::new());
        }
        let (mut answer, text) = call();
        if let Some(metrics) = &case.metrics {
            answer = exposition::read(&answer["status"], &text, metrics, &case.expect[0]);
        }
        for path in &case.unordered {
            let pointer = format!("/{}", path.replace('.', "/"));
            let expected = variables.fill_all(&case.expect[0]);
            let expected = expected.pointer(&pointer).and_then(Value::as_array);
            let list = answer.pointer_mut(&pointer).and_then(Value::as_array_mut);
            if let (Some(list), Some(expected)) = (list, expected) {
                compare::arrange(list, expected);
            }
        }
        (answer, text)
    }
}

fn receiver_name(at: usize) -> String {
    format!("FWD{}", at + 1)
}

/// The differences from the most similar expected answer.
fn best(expected: &[Value], answer: &Value, variables: &Variables) -> Vec<String> {
    let each = expected
        .iter()
        .map(|expected| compare::differences(&variables.fill_all(expected), answer, ""));
    each.min_by_key(Vec::len).expect("something is expected")
}

/// A call as cases write it.
fn shown(received: &Received) -> Value {
    let room = received.room();
    let mut shown = json!({
        "game": room.game,
        "roomId": room.room_id,
        "host": room.host,
        "port": room.port,
        "roomType": room.room_type,
    });
    if !room.metadata.is_empty() {
        shown["metadata"] = json!(room.metadata);
    }
    match received {
        Received::Event(event) => json!({
            "path": "/eventforwarder.GRPCForwarder/SendRoomEvent",
            "message": {"eventType": event.event_type, "room": shown},
        }),
        Received::Player(event) => json!({
            "path": "/eventforwarder.GRPCForwarder/SendPlayerEvent",
            "message": {
                "playerId": event.player_id,
                "eventType": event.event_type().as_str_name(),
                "room": shown,
                "metadata": event.metadata,
            },
        }),
        other => panic!("no case here has {other:?}"),
    }
}
