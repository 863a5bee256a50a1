//! Which variables are settings. Other variables begin with `MAESTRO_` too: those that Kubernetes
//! injects for a Service called `maestro…`, and those in a room's own environment (D24).

use super::key::{Key, variable};
use super::keys::{self, Alias};

const PREFIX: &str = "MAESTRO_";

/// Variables of rooms, and those that only tests read.
const OTHERS: &[&str] = &[
    "SCHEDULER_NAME",
    "ROOM_ID",
    "ROOMS_API_URL",
    "INSTALLATION",
    "CONTAINER",
    "PORT",
    "GOLDEN",
];
const PROTOCOLS: &[&str] = &["TCP", "UDP", "SCTP"];

/// What a variable means.
pub enum Variable {
    Setting(&'static Key, Option<&'static Alias>),
    /// Foreign, or not set: an empty one leaves the file's value (contract 1.3).
    NotOurs,
    /// Ours by its name, but unknown.
    Unknown {
        nearest: String,
    },
}

pub fn classify(name: &str, value: &str) -> Variable {
    let upper = name.to_ascii_uppercase();
    if let Some(alias) = of_the_seed(&upper) {
        return match keys::find(alias.of) {
            // A Service called `kre` injects KRE_PORT=tcp://…
            Some((key, _)) if !value.is_empty() && !is_service_address(&upper, value) => {
                Variable::Setting(key, Some(alias))
            }
            _ => Variable::NotOurs,
        };
    }
    let Some(rest) = upper.strip_prefix(PREFIX) else {
        return Variable::NotOurs;
    };
    // A Service called `maestro-api` injects MAESTRO_API_PORT=tcp://…: not a port.
    if value.is_empty() || is_service_address(rest, value) {
        return Variable::NotOurs;
    }
    let found = keys::names().find(|path| variable(path) == upper);
    if let Some((key, alias)) = found.and_then(keys::find) {
        return Variable::Setting(key, alias);
    }
    if is_of_a_room(rest) || is_of_a_service(rest) {
        return Variable::NotOurs;
    }
    let names = keys::names().map(variable);
    let nearest = names.min_by_key(|known| strsim::levenshtein(&upper, known));
    Variable::Unknown {
        nearest: nearest.unwrap_or_default(),
    }
}

fn of_the_seed(upper: &str) -> Option<&'static Alias> {
    keys::SEED_VARIABLES
        .iter()
        .find(|alias| alias.name == upper)
}

/// Whether a name is one of ours, whatever its value.
pub fn is_ours(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    upper.starts_with(PREFIX) || of_the_seed(&upper).is_some()
}

fn is_of_a_room(rest: &str) -> bool {
    OTHERS.contains(&rest) || rest.starts_with("PORT_")
}

fn is_service_address(rest: &str, value: &str) -> bool {
    let scheme = value.split_once("://").map(|(scheme, _)| scheme);
    let scheme = scheme.map(str::to_ascii_uppercase).unwrap_or_default();
    let names_a_port = rest.split('_').any(|word| word == "PORT");
    names_a_port && PROTOCOLS.contains(&scheme.as_str())
}

/// `…SERVICE_HOST`, `…SERVICE_PORT`, `…SERVICE_PORT_<name>`, `…PORT_80_TCP`, `…PORT_80_TCP_ADDR`.
fn is_of_a_service(rest: &str) -> bool {
    let words: Vec<&str> = rest.split('_').collect();
    let service = words.windows(2).enumerate().any(|(at, pair)| match pair {
        ["SERVICE", "HOST"] => at + 2 == words.len(),
        ["SERVICE", "PORT"] => true,
        _ => false,
    });
    let is_number = |text: &str| text.parse::<u16>().is_ok();
    let port = words
        .windows(3)
        .any(|three| three[0] == "PORT" && is_number(three[1]) && PROTOCOLS.contains(&three[2]));
    service || port
}
