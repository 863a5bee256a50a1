//! The pages of the internal server: their routes and documentation.

use actix_web::http::Method;
use actix_web::web;
use maestro_api::Code;

use super::handlers::{
    actors, alive, back_up, drain, metrics, nodes, pause, reload, resume, test_operation, undrain,
};
use super::readiness::ready;
use crate::endpoint::{About, Content, Endpoint, Parameter, Tag};
use crate::openapi::object;

/// Health pages accept every method, because probes differ.
pub(crate) const HEALTH: &[Endpoint] = &[
    Endpoint {
        method: Method::GET,
        path: "/health",
        handler: || web::to(alive),
        name: "health",
        about: About {
            tag: Tag::Health,
            summary: "Whether the process runs",
            text: "The same as `/healthz`.",
            fails: &[],
            example: None,
        },
        query: &[],
        body: None,
        answer: Content::Text("text/plain"),
    },
    Endpoint {
        method: Method::GET,
        path: "/healthz",
        handler: || web::to(alive),
        name: "healthz",
        about: About {
            tag: Tag::Health,
            summary: "Whether the process runs",
            text: "",
            fails: &[],
            example: None,
        },
        query: &[],
        body: None,
        answer: Content::Text("text/plain"),
    },
    Endpoint {
        method: Method::GET,
        path: "/readyz",
        handler: || web::to(ready),
        name: "readyz",
        about: About {
            tag: Tag::Health,
            summary: "Whether it is ready",
            text: "It is once every scheduler has an owner and while the store takes changes; else 503, and `X-Reason` says why.",
            fails: &[Code::Unavailable],
            example: None,
        },
        query: &[],
        body: None,
        answer: Content::Text("text/plain"),
    },
];

pub(crate) const METRICS: &[Endpoint] = &[Endpoint {
    method: Method::GET,
    path: "/metrics",
    handler: || web::to(metrics),
    name: "metrics",
    about: About {
        tag: Tag::Health,
        summary: "Metrics for Prometheus",
        text: "",
        fails: &[],
        example: None,
    },
    query: &[],
    body: None,
    answer: Content::Text("text/plain"),
}];

/// Read-only; also available on the management API (`api.debug.enabled`).
pub(crate) const LOOKS: &[Endpoint] = &[
    Endpoint {
        method: Method::GET,
        path: "/debug/actors",
        handler: || web::to(actors),
        name: "debugActors",
        about: About {
            tag: Tag::Debug,
            summary: "See what every actor is doing",
            text: "No actor is asked for it: a stuck one is seen while it is stuck. On the management API when `api.debug.enabled` says so.",
            fails: &[],
            example: None,
        },
        query: &[Parameter {
            name: "scheduler",
            text: "Only the actor of this scheduler.",
            schema: || object! { "type" => "string" },
        }],
        body: None,
        answer: Content::Json("DebugActors"),
    },
    Endpoint {
        method: Method::GET,
        path: "/debug/nodes",
        handler: || web::to(nodes),
        name: "debugNodes",
        about: About {
            tag: Tag::Debug,
            summary: "See which nodes are alive and what they own",
            text: "Read from the store, so that every node answers the same. On the management API when `api.debug.enabled` says so.",
            fails: &[Code::NotFound, Code::Unavailable],
            example: None,
        },
        query: &[Parameter {
            name: "scheduler",
            text: "Also who owns this scheduler.",
            schema: || object! { "type" => "string" },
        }],
        body: None,
        answer: Content::Json("DebugNodes"),
    },
];

/// Orders to an actor.
pub(crate) const ORDERS: &[Endpoint] = &[
    Endpoint {
        method: Method::POST,
        path: "/debug/actors/{scheduler}/reload",
        handler: || web::to(reload),
        name: "reloadActor",
        about: About {
            tag: Tag::Debug,
            summary: "Build an actor anew from the store",
            text: "Its rooms do not notice.",
            fails: &[Code::NotFound],
            example: None,
        },
        query: &[],
        body: None,
        answer: Content::Json("Done"),
    },
    Endpoint {
        method: Method::POST,
        path: "/debug/actors/{scheduler}/pause",
        handler: || web::to(pause),
        name: "pauseActor",
        about: About {
            tag: Tag::Debug,
            summary: "Let the queues of a scheduler stand still",
            text: "Pings, allocation and reads go on; no room is started or ended. Stored: it stays through restarts until it \
                is resumed.",
            fails: &[Code::NotFound],
            example: None,
        },
        query: &[],
        body: None,
        answer: Content::Json("Done"),
    },
    Endpoint {
        method: Method::POST,
        path: "/debug/actors/{scheduler}/resume",
        handler: || web::to(resume),
        name: "resumeActor",
        about: About {
            tag: Tag::Debug,
            summary: "Let the queues of a scheduler go on",
            text: "Also where all others stand still (`workers.paused`); stored like a pause.",
            fails: &[Code::NotFound],
            example: None,
        },
        query: &[],
        body: None,
        answer: Content::Json("Done"),
    },
    Endpoint {
        method: Method::POST,
        path: "/debug/actors/{scheduler}/test-operation",
        handler: || web::to(test_operation),
        name: "orderTestOperation",
        about: About {
            tag: Tag::Debug,
            summary: "Order an operation that only takes time",
            text: "",
            fails: &[Code::NotFound],
            example: Some(r#"{"sleepSeconds": 1}"#),
        },
        query: &[],
        body: Some("TestOperation"),
        answer: Content::Json("Ordered"),
    },
];

/// Orders to a node.
pub(crate) const STEERING: &[Endpoint] = &[
    Endpoint {
        method: Method::POST,
        path: "/debug/nodes/{node}/drain",
        handler: || web::to(drain),
        name: "drainNode",
        about: About {
            tag: Tag::Debug,
            summary: "Let a node hand its schedulers over",
            text: "It takes none any more, and answers and routes as before, until it is undrained or ends. The node is a name, a \
                session, an address, or `me`. Schedulers stay whose rooms other nodes cannot see, unless `leaveRooms` is set.",
            fails: &[Code::FailedPrecondition, Code::NotFound, Code::Unavailable],
            example: Some(r#"{"leaveRooms": false}"#),
        },
        query: &[],
        body: Some("DrainWanted"),
        answer: Content::Json("Drained"),
    },
    Endpoint {
        method: Method::POST,
        path: "/debug/nodes/{node}/undrain",
        handler: || web::to(undrain),
        name: "undrainNode",
        about: About {
            tag: Tag::Debug,
            summary: "Let a node take its share of the schedulers again",
            text: "The node is a name, a session, an address, or `me`.",
            fails: &[Code::FailedPrecondition, Code::NotFound, Code::Unavailable],
            example: None,
        },
        query: &[],
        body: None,
        answer: Content::Json("Drained"),
    },
];

pub(crate) const BACKUP: &[Endpoint] = &[Endpoint {
    method: Method::POST,
    path: "/backup",
    handler: || web::to(back_up),
    name: "backUp",
    about: About {
        tag: Tag::Backup,
        summary: "Copy the store while it is in use",
        text: "To `backups/NAME.redb` in the data folder.",
        fails: &[Code::AlreadyExists, Code::Unavailable],
        example: Some(r#"{"name": "monday"}"#),
    },
    query: &[],
    body: Some("BackupWanted"),
    answer: Content::Json("BackupDone"),
}];
