//! The description of all our HTTP endpoints as OpenAPI 3.1, generated from what serves them: the route tables, our
//! tables of endpoints, and the declarations of the messages with their comments.
//!
//! It is checked in as `docs/openapi.json`; `cargo xtask openapi` writes that file, and a test compares it.

mod operations;
mod page;
mod schemas;
mod tree;

use std::sync::LazyLock;

use actix_web::web::ServiceConfig;

use crate::endpoint::Tag;

pub(crate) use tree::{Tree, object};

use crate::gateway::{management_routes, rooms_routes};
use operations::{Operations, Server};
use schemas::Schemas;

const TEXT: &str = "Maestro keeps fleets of dedicated game rooms alive. \
    There are three servers: the **management API** for operators and CI, the **rooms API** for game rooms and matchmakers, \
    and the **internal server** for those who run Maestro; each path names its server.\n\n\
    - Bodies are read as JSON whatever their content type says, and as YAML when it says so. Field names may be written \
    in camelCase or in snake_case, `null` counts as absent, and unknown fields are ignored. Integers may be \
    written as strings.\n\
    - A body is at most 1 MiB, one in YAML at most 256 KiB (413 beyond), and has 10 seconds to arrive (408 beyond).\n\
    - Failures have a JSON body with a gRPC status code and a message. 429 and 503 pass: try again after `Retry-After`. \
    A path that exists under other methods only answers 501.\n\
    - `X-Request-Id` names a request in logs and in the history of what it orders, and comes back in the answer; \
    `Grpc-Timeout: 5S` says how long the caller waits.\n\
    - There is no authentication: let only those reach a server who may use it.";

/// The description as JSON text, identical to `docs/openapi.json`.
pub fn document() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        // A tree of texts, numbers and lists can always be serialized.
        let text = serde_json::to_string_pretty(&build());
        text.unwrap_or_default() + "\n"
    });
    &TEXT
}

/// Serves the description and its page. Must be called before the gateway's `configure`.
pub(crate) fn configure_docs(config: &mut ServiceConfig) {
    page::configure(document, config);
}

fn build() -> Tree {
    let mut schemas = Schemas::default();
    let routes = [
        (Server::Management, management_routes()),
        (Server::Rooms, rooms_routes()),
    ];
    // Answers come first: they decide how the schemas of requests are named.
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
        (vec![Server::Management], crate::resources::ENDPOINTS),
        (vec![Server::Management], crate::runtimes::ENDPOINTS),
        (vec![Server::Management], crate::versions::ENDPOINTS),
        (vec![Server::Internal], crate::internal::HEALTH),
        (vec![Server::Internal], crate::internal::METRICS),
        (
            vec![Server::Internal, Server::Management],
            crate::internal::LOOKS,
        ),
        (vec![Server::Internal], crate::internal::ORDERS),
        (vec![Server::Internal], crate::internal::STEERING),
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

/// JSON schema files with `$defs`, for what is not a message.
const FILES: [&str; 2] = [
    include_str!("../operator.schema.json"),
    include_str!("../internal.schema.json"),
];
/// Pages under `/debug`, each with a schema file of its own. Their definitions have different names.
const PAGES: [(&str, &str); 2] = [
    (
        "DebugActors",
        include_str!("../../../docs/debug-actors.schema.json"),
    ),
    (
        "DebugNodes",
        include_str!("../../../docs/debug-nodes.schema.json"),
    ),
];

fn all_schemas(messages: &Schemas) -> Vec<(String, Tree)> {
    let mut all = messages.all();
    for file in FILES {
        all.extend(definitions(file, &str::to_owned));
    }
    let debug_name = |name: &str| {
        let (first, rest) = name.split_at(1);
        format!("Debug{}{rest}", first.to_uppercase())
    };
    for (page, file) in PAGES {
        if let Ok(Tree::Object(members)) = serde_json::from_str::<Tree>(file) {
            let own = |name: &str| !matches!(name, "$schema" | "$defs" | "title");
            let root = members.into_iter().filter(|(name, _)| own(name)).collect();
            let root = Tree::Object(root).map_texts(&|text| moved(text, &debug_name));
            all.push((page.to_owned(), root));
        }
        all.extend(definitions(file, &debug_name));
    }
    all.push(("Error".to_owned(), operations::error_schema()));
    all
}

/// The `$defs` of a file, renamed for the document.
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

/// Rewrites a reference within a file to one within the document.
fn moved(text: String, name: &impl Fn(&str) -> String) -> String {
    match text.strip_prefix("#/$defs/") {
        Some(definition) => format!("#/components/schemas/{}", name(definition)),
        None => text,
    }
}

#[cfg(test)]
mod tests;
