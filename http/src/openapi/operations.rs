//! Paths and their operations.

use actix_web::http::Method;
use maestro_api::Code;
use maestro_api::codec::{Field, Type};

use super::schemas::{Schemas, Way, plain, reference, text_of};
use super::tree::{Tree, object};
use crate::endpoint::{About, Content, Described, Endpoint};

/// The server that serves a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    Management,
    Rooms,
    Internal,
}

impl Server {
    /// The server with its default port.
    pub fn described(self) -> Tree {
        let (name, port) = match self {
            Self::Management => ("management API", "8080"),
            Self::Rooms => ("rooms API", "8070"),
            Self::Internal => ("internal server", "8081"),
        };
        let variable = |default: &str| object! { "default" => default };
        object! {
            "url" => "http://{host}:{port}",
            "description" => name,
            "variables" => object! { "host" => variable("localhost"), "port" => variable(port) },
        }
    }
}

impl Described {
    pub fn take_in_answer(&self, schemas: &mut Schemas) {
        schemas.add(Way::Answer, self.answer);
    }

    pub fn take_in_request(&self, schemas: &mut Schemas) {
        if self.reads_body {
            schemas.add_without(Way::Request, self.request, &in_path(self.template));
        }
    }
}

/// The parameters of a path template.
fn in_path(template: &'static str) -> Vec<&'static str> {
    let parameter = |segment: &'static str| segment.strip_prefix('{')?.strip_suffix('}');
    template.split('/').filter_map(parameter).collect()
}

/// The name and description of a path parameter, whatever its route calls it.
fn parameter(name: &str) -> (&str, &'static str) {
    match name {
        "name" | "scheduler" | "scheduler_name" => ("schedulerName", "Name of the scheduler."),
        "room" | "room_name" => ("roomId", "Id of the room."),
        "version" => ("versionNumber", "The version, such as `v1.0.0`."),
        "operation_id" => ("operationId", "Id of the operation."),
        "node" => ("node", "Name, session or address of the node."),
        "order" => (
            "order",
            "What to do: `pause`, `resume`, or `abort` to go back to the version before.",
        ),
        other => (other, ""),
    }
}

fn public_path(template: &'static str) -> String {
    let segment = |segment: &str| match segment.strip_prefix('{') {
        Some(name) => format!("{{{}}}", parameter(name.trim_end_matches('}')).0),
        None => segment.to_owned(),
    };
    let segments: Vec<String> = template.split('/').map(segment).collect();
    segments.join("/")
}

/// Converts `add_rooms` to `addRooms`.
fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |all, word| {
        let (initial, rest) = word.split_at(usize::from(!word.is_empty()));
        all + &initial.to_uppercase() + rest
    })
}

/// The operations of all paths.
#[derive(Default)]
pub struct Operations {
    paths: Vec<Path>,
}

struct Path {
    path: String,
    servers: Vec<Server>,
    /// In order of insertion.
    methods: Vec<(String, Tree)>,
}

impl Operations {
    pub fn add_route(&mut self, server: Server, route: &Described, schemas: &Schemas) {
        let mut parameters = path_parameters(route.template);
        let beside = in_path(route.template);
        let sets = |field: &&Field| {
            !beside.contains(&field.proto) && !matches!(field.of, Type::Message(_) | Type::Object)
        };
        let mut operation = begin(&camel(route.name), route.about);
        if route.reads_body {
            let schema = reference(&schemas.name(Way::Request, route.request));
            let body = body(schema, route.about.example, true);
            operation = operation
                .with("parameters", parameters)
                .with("requestBody", body);
        } else {
            for field in route.request.fields.iter().filter(sets) {
                let query = object! { "name" => field.json, "in" => "query" };
                let query = query.with_text("description", &text_of(field.about));
                parameters.push(query.with("schema", plain(field.of)));
            }
            operation = operation.with("parameters", parameters);
        }
        let schema = reference(&schemas.name(Way::Answer, route.answer));
        let done = done("application/json", schema, &text_of(route.answer.about));
        let operation = operation.with("responses", responses(done, route.about.fails, true));
        self.add(&[server], route.template, &route.method, operation);
    }

    pub fn add_endpoint(&mut self, servers: &[Server], endpoint: &Endpoint) {
        let mut parameters = path_parameters(endpoint.path);
        for query in endpoint.query {
            parameters.push(object! {
                "name" => query.name, "in" => "query",
                "description" => query.text, "schema" => (query.schema)(),
            });
        }
        let mut operation = begin(endpoint.name, &endpoint.about).with("parameters", parameters);
        if let Some(schema) = endpoint.body {
            let body = body(reference(schema), endpoint.about.example, false);
            operation = operation.with("requestBody", body);
        }
        let content = match endpoint.answer {
            Content::Json(schema) | Content::Ordered(schema) => {
                done("application/json", reference(schema), "")
            }
            Content::Object => done("application/json", plain(Type::Object), ""),
            Content::Text(kind) => done(kind, plain(Type::Text), ""),
        };
        let bad_input = endpoint.body.is_some() || !endpoint.query.is_empty();
        let mut responses = responses(content, endpoint.about.fails, bad_input);
        if let Content::Ordered(schema) = endpoint.answer {
            let text = "It is ordered, and goes on.";
            responses = responses.with("202", done("application/json", reference(schema), text));
        }
        let operation = operation.with("responses", responses);
        self.add(servers, endpoint.path, &endpoint.method, operation);
    }

    fn add(
        &mut self,
        servers: &[Server],
        template: &'static str,
        method: &Method,
        operation: Tree,
    ) {
        let path = public_path(template);
        let method = method.as_str().to_lowercase();
        match self.paths.iter_mut().find(|known| known.path == path) {
            Some(known) => known.methods.push((method, operation)),
            None => self.paths.push(Path {
                path,
                servers: servers.to_vec(),
                methods: vec![(method, operation)],
            }),
        }
    }

    pub fn paths(self) -> Vec<(String, Tree)> {
        let each = self.paths.into_iter();
        each.map(|item| {
            let servers: Vec<Tree> = item.servers.into_iter().map(Server::described).collect();
            let members = std::iter::once(("servers".to_owned(), servers.into()));
            (
                item.path,
                Tree::Object(members.chain(item.methods).collect()),
            )
        })
        .collect()
    }
}

fn begin(id: &str, about: &About) -> Tree {
    object! {
        "operationId" => id,
        "tags" => vec![Tree::from(about.tag.name())],
        "summary" => about.summary,
    }
    .with_text("description", about.text)
}

fn path_parameters(template: &'static str) -> Vec<Tree> {
    let each = in_path(template).into_iter().map(parameter);
    each.map(|(name, text)| {
        let schema = match name {
            "order" => object! { "enum" => ["pause", "resume", "abort"].map(Tree::from).to_vec() },
            // Most clients treat an empty segment as another path.
            _ => plain(Type::Text).with("minLength", 1),
        };
        object! { "name" => name, "in" => "path", "required" => true }
            .with_text("description", text)
            .with("schema", schema)
    })
    .collect()
}

fn body(schema: Tree, example: Option<&str>, yaml: bool) -> Tree {
    let media = object! { "schema" => schema };
    let example = example.and_then(|text| serde_json::from_str::<Tree>(text).ok());
    let json = match example {
        Some(example) => media.clone().with("example", example),
        None => media.clone(),
    };
    let mut kinds = vec![("application/json".to_owned(), json)];
    if yaml {
        kinds.push(("application/yaml".to_owned(), media));
    }
    object! { "content" => kinds }
}

fn done(kind: &str, schema: Tree, text: &str) -> Tree {
    let text = if text.is_empty() { "Done." } else { text };
    let media = object! { kind => object! { "schema" => schema } };
    object! { "description" => text, "content" => media }
}

/// The possible responses of a call: success, the failures of its route, and those of every call.
fn responses(done: Tree, fails: &[Code], bad_input: bool) -> Tree {
    let mut statuses: Vec<u16> = fails.iter().map(|code| code.http()).collect();
    if bad_input {
        statuses.push(400);
    }
    statuses.sort_unstable();
    statuses.dedup();
    let mut all = vec![("200".to_owned(), done)];
    for status in statuses {
        let name = failure_of(status).map_or("Failure", |(_, name, _)| name);
        all.push((status.to_string(), response(name)));
    }
    all.push(("default".to_owned(), response("Failure")));
    Tree::Object(all)
}

fn response(name: &str) -> Tree {
    object! { "$ref" => format!("#/components/responses/{name}") }
}

/// Status, name and meaning of each failure that routes list, and of all others.
const FAILURES: &[(u16, &str, &str)] = &[
    (
        400,
        "BadInput",
        "The request makes no sense (code 3), or cannot be done in this state (code 9); the message says why.",
    ),
    (
        403,
        "Forbidden",
        "The caller may not do it, or this process lacks a right for it (code 7); the message says which.",
    ),
    (404, "NotFound", "There is no such thing (code 5)."),
    (
        409,
        "Conflict",
        "It exists already, or changes nothing (code 6), or it is over (code 10), or what it needs is not set up, or the \
        version is not in a state for it (code 9, resource metrics and versions).",
    ),
    (
        503,
        "Unavailable",
        "Not now (code 14): try again after `Retry-After` seconds.",
    ),
    (
        0,
        "Failure",
        "As every call can fail: 400 for a request that makes no sense, 408 and 413 for a body that is too slow or too \
        large, 429 and 503 when it should be tried again, 504 when the time that the caller gave ran out, 500 for what \
        should not happen, 501 for a method that the path does not have.",
    ),
];

fn failure_of(status: u16) -> Option<&'static (u16, &'static str, &'static str)> {
    FAILURES.iter().find(|(known, ..)| *known == status)
}

/// The failures as reusable components.
pub fn failures() -> Vec<(String, Tree)> {
    let each = FAILURES.iter();
    each.map(|(_, name, text)| {
        let media = object! { "application/json" => object! { "schema" => reference("Error") } };
        let response = object! { "description" => *text, "content" => media };
        ((*name).to_owned(), response)
    })
    .collect()
}

pub fn error_schema() -> Tree {
    object! {
        "type" => "object",
        "description" => "Why a call failed.",
        "required" => ["code", "message"].map(Tree::from).to_vec(),
        "properties" => object! {
            "code" => object! {
                "type" => "integer", "format" => "int32", "minimum" => 1, "maximum" => 16,
                "description" => "The gRPC status code, which says more than the HTTP status: 3 invalid argument, 5 not \
                    found, 6 exists already, 8 exhausted, 9 not in this state, 10 aborted, 12 no such method, 14 unavailable.",
            },
            "message" => object! { "type" => "string", "description" => "What went wrong, and what to do about it." },
            "details" => object! {
                "type" => "array", "items" => object! { "type" => "object" },
                "description" => "Always empty.",
            },
        },
        "example" => object! {
            "code" => 5, "message" => "scheduler arena not found", "details" => Vec::<Tree>::new(),
        },
    }
}
