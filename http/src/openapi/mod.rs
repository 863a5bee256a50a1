//! The description of all our HTTP endpoints as OpenAPI 3.1, made of what serves them: the route tables, the tables of
//! endpoints of ours, and the declarations of the messages with their comments.
//!
//! It is checked in as `docs/openapi.json`; `cargo xtask openapi` writes that file, and a test compares it.

mod endpoint;
mod operations;
mod page;
mod schemas;
mod tree;

use std::sync::LazyLock;

use maestro_api::Code;

pub(crate) use endpoint::{Answer, Endpoint, Parameter};
pub(crate) use page::configure_docs;
pub(crate) use tree::{Tree, object};

use crate::gateway::{management_routes, rooms_routes};
pub(crate) use operations::Described;
use operations::{Operations, Server};
use schemas::Schemas;

/// What people read about a route.
pub struct About {
    pub tag: Tag,
    /// A few words, without a full stop.
    pub summary: &'static str,
    /// Some sentences; may be empty.
    pub text: &'static str,
    /// How it fails, beyond the ways in which every call can.
    pub fails: &'static [Code],
    /// A body that works, as JSON.
    pub example: Option<&'static str>,
}

/// Groups of endpoints, in the order in which they are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    Schedulers,
    Versions,
    Rooms,
    Operations,
    GameRooms,
    Matchmaking,
    Health,
    Debug,
    Backup,
    Description,
}

impl Tag {
    const ALL: [Self; 10] = [
        Self::Schedulers,
        Self::Versions,
        Self::Rooms,
        Self::Operations,
        Self::GameRooms,
        Self::Matchmaking,
        Self::Health,
        Self::Debug,
        Self::Backup,
        Self::Description,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Schedulers => "Schedulers",
            Self::Versions => "Versions and rollouts",
            Self::Rooms => "Rooms",
            Self::Operations => "Operations",
            Self::GameRooms => "Game rooms",
            Self::Matchmaking => "Matchmaking",
            Self::Health => "Health and metrics",
            Self::Debug => "Debugging",
            Self::Backup => "Backup",
            Self::Description => "Description",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Schedulers => "Fleets of rooms: create, read, count, delete.",
            Self::Versions => "Changes of a scheduler, and how they reach its rooms.",
            Self::Rooms => "The rooms of a scheduler, for operators.",
            Self::Operations => "What was ordered, and what became of it.",
            Self::GameRooms => "What game rooms say of themselves (rooms API).",
            Self::Matchmaking => "What matchmakers ask for (rooms API).",
            Self::Health => "Whether the process serves, for whoever watches it (internal server).",
            Self::Debug => "A look at the actors, and orders to them (mostly internal server).",
            Self::Backup => "Copies of the store (internal server).",
            Self::Description => "This description.",
        }
    }
}

const TEXT: &str = "Maestro keeps fleets of dedicated game rooms alive. \
    There are three servers: the **management API** for operators and CI, the **rooms API** for game rooms and matchmakers, \
    and the **internal server** for whoever runs Maestro; each path names its own.\n\n\
    - Bodies are read as JSON whatever their content type says, and as YAML when it says so. Field names may be written \
    in camelCase or in snake_case, `null` is a field left out, and unknown fields are passed over. Whole numbers may be \
    written as texts.\n\
    - A body is at most 1 MiB, one in YAML at most 256 KiB (413 beyond), and has 10 seconds to arrive (408 beyond).\n\
    - Failures have a JSON body with a gRPC status code and a message. 429 and 503 pass: try again after `Retry-After`. \
    A path that exists under other methods only answers 501.\n\
    - `X-Request-Id` names a request in logs and in the history of what it orders, and comes back in the answer; \
    `Grpc-Timeout: 5S` says how long the caller waits.\n\
    - There is no authentication: let only those reach a server who may use it.";

/// The description as JSON text, as `docs/openapi.json` has it.
pub fn document() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        // A tree of texts, numbers and lists always serialises.
        let text = serde_json::to_string_pretty(&build());
        text.unwrap_or_default() + "\n"
    });
    &TEXT
}

fn build() -> Tree {
    let mut schemas = Schemas::default();
    let routes = [
        (Server::Management, management_routes()),
        (Server::Rooms, rooms_routes()),
    ];
    // All answers first: they decide what the schemas of requests are called.
    for (_, routes) in &routes {
        routes
            .iter()
            .for_each(|route| route.take_in_answer(&mut schemas));
    }
    for (_, routes) in &routes {
        routes
            .iter()
            .for_each(|route| route.take_in_request(&mut schemas));
    }
    let mut operations = Operations::default();
    for (server, routes) in &routes {
        for route in routes {
            operations.add_route(*server, route, &schemas);
        }
    }
    let ours = [
        (vec![Server::Management], crate::operator::ENDPOINTS),
        (vec![Server::Internal], crate::internal::HEALTH),
        (vec![Server::Internal], crate::internal::METRICS),
        (
            vec![Server::Internal, Server::Management],
            crate::internal::ACTORS,
        ),
        (vec![Server::Internal], crate::internal::ORDERS),
        (vec![Server::Internal], crate::internal::BACKUP),
        (vec![Server::Management, Server::Rooms], page::ENDPOINTS),
    ];
    for (servers, endpoints) in &ours {
        for endpoint in *endpoints {
            operations.add_endpoint(servers, endpoint);
        }
    }
    object! {
        "openapi" => "3.1.0",
        "info" => object! {
            "title" => "Maestro",
            "version" => env!("CARGO_PKG_VERSION"),
            "summary" => "Fleets of dedicated game rooms",
            "description" => TEXT,
            "license" => object! { "name" => "MIT OR Apache-2.0", "identifier" => "MIT OR Apache-2.0" },
        },
        "servers" => vec![Server::Management.described()],
        "tags" => Tag::ALL.map(|tag| object! { "name" => tag.name(), "description" => tag.text() }).to_vec(),
        "paths" => operations.paths(),
        "components" => object! {
            "schemas" => all_schemas(&schemas),
            "responses" => operations::failures(),
        },
    }
}

/// Files of schemas, as `$defs`, of what is not a message.
const FILES: [&str; 2] = [
    include_str!("../operator.schema.json"),
    include_str!("../internal.schema.json"),
];
const ACTORS: &str = include_str!("../../../docs/debug-actors.schema.json");

fn all_schemas(messages: &Schemas) -> Vec<(String, Tree)> {
    let mut all = messages.all();
    for file in FILES {
        all.extend(definitions(file, &str::to_owned));
    }
    let debug_name = |name: &str| {
        let (first, rest) = name.split_at(1);
        format!("Debug{}{rest}", first.to_uppercase())
    };
    if let Ok(Tree::Object(members)) = serde_json::from_str::<Tree>(ACTORS) {
        let own = |name: &str| !matches!(name, "$schema" | "$defs" | "title");
        let root = members.into_iter().filter(|(name, _)| own(name)).collect();
        let root = Tree::Object(root).map_texts(&|text| moved(text, &debug_name));
        all.push(("DebugActors".to_owned(), root));
    }
    all.extend(definitions(ACTORS, &debug_name));
    all.push(("Error".to_owned(), operations::error_schema()));
    all
}

/// The `$defs` of a file under the names that they have in the document.
fn definitions(file: &str, name: &impl Fn(&str) -> String) -> Vec<(String, Tree)> {
    match serde_json::from_str::<Tree>(file) {
        Ok(Tree::Object(mut members)) => match members.iter().position(|(n, _)| n == "$defs") {
            Some(at) => match members.swap_remove(at).1 {
                Tree::Object(definitions) => definitions
                    .into_iter()
                    .map(|(n, schema)| (name(&n), schema.map_texts(&|text| moved(text, name))))
                    .collect(),
                Tree::Scalar(_) | Tree::List(_) => Vec::new(),
            },
            None => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// A reference within a file as one within the document.
fn moved(text: String, name: &impl Fn(&str) -> String) -> String {
    match text.strip_prefix("#/$defs/") {
        Some(definition) => format!("#/components/schemas/{}", name(definition)),
        None => text,
    }
}

#[cfg(test)]
mod tests;
