//! The endpoints for versions: their routes and documentation.

use actix_web::http::Method;
use actix_web::web;
use maestro_api::Code;

use super::handlers::{config, configure, publish, start, state, states, stop, unpublish, watch};
use crate::endpoint::{About, Content, Endpoint, Parameter, Tag};
use crate::openapi::object;

/// The endpoints with their documentation.
pub(crate) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        method: Method::GET,
        path: "/schedulers/{scheduler}/versions/status",
        handler: || web::to(states),
        name: "getVersionStates",
        about: reads(
            "See how far all versions of a scheduler are",
            "Of a scheduler whose versions were never started one by one, the active one is published.",
        ),
        query: &[],
        body: None,
        answer: Content::Json("VersionStates"),
    },
    Endpoint {
        method: Method::GET,
        path: "/schedulers/{scheduler}/versions/{version}/status",
        handler: || web::to(state),
        name: "getVersionState",
        about: reads("See how far a version is", ""),
        query: &[],
        body: None,
        answer: Content::Json("VersionState"),
    },
    Endpoint {
        method: Method::POST,
        path: "/schedulers/{scheduler}/versions/{version}/start",
        handler: || web::to(start),
        name: "startVersion",
        about: orders(
            "Give a version its rooms",
            "Nobody is given them before it is published. From the first start on, versions of the scheduler are started and \
            published one by one. Images in the body have to be those of the stored version; pairs replace its \
            configuration.",
            Some(r#"{"config": [{"key": "MAP", "value": "desert"}]}"#),
        ),
        query: &[WAIT],
        body: Some("VersionBody"),
        answer: Content::Ordered("VersionOrdered"),
    },
    Endpoint {
        method: Method::POST,
        path: "/schedulers/{scheduler}/versions/{version}/stop",
        handler: || web::to(stop),
        name: "stopVersion",
        about: orders(
            "End the rooms of a version",
            "A room with a match ends when that is over. It succeeds if there is nothing to stop.",
            None,
        ),
        query: &[
            Parameter {
                name: "force",
                text: "Do not wait for the end of matches.",
                schema: || object! { "type" => "boolean", "default" => false },
            },
            WAIT,
        ],
        body: None,
        answer: Content::Ordered("VersionOrdered"),
    },
    Endpoint {
        method: Method::POST,
        path: "/schedulers/{scheduler}/versions/{version}/publish",
        handler: || web::to(publish),
        name: "publishVersion",
        about: orders(
            "Give rooms of a version to matchmakers",
            "Those of the version that was published before are given to nobody any more, and stay.",
            None,
        ),
        query: &[WAIT],
        body: None,
        answer: Content::Ordered("VersionOrdered"),
    },
    Endpoint {
        method: Method::POST,
        path: "/schedulers/{scheduler}/versions/{version}/unpublish",
        handler: || web::to(unpublish),
        name: "unpublishVersion",
        about: orders(
            "Give rooms of the published version to nobody any more",
            "Its rooms stay. Allocations are answered 503 until a version is published.",
            None,
        ),
        query: &[WAIT],
        body: None,
        answer: Content::Ordered("VersionOrdered"),
    },
    Endpoint {
        method: Method::GET,
        path: "/schedulers/{scheduler}/versions/{version}/config",
        handler: || web::to(config),
        name: "getVersionConfig",
        about: About {
            fails: &[
                Code::InvalidArgument,
                Code::NotFound,
                Code::PermissionDenied,
                Code::Unauthenticated,
                Code::Unavailable,
            ],
            ..reads(
                "Read the configuration of a version",
                "Values may be secrets: the call needs the token of `k8sManager.token`.",
            )
        },
        query: &[],
        body: None,
        answer: Content::Json("VersionConfig"),
    },
    Endpoint {
        method: Method::PUT,
        path: "/schedulers/{scheduler}/versions/{version}/config",
        handler: || web::to(configure),
        name: "configureVersion",
        about: orders(
            "Replace the configuration of a version",
            "The pairs become variables of all containers of its rooms; those that are not sent are gone, and an \
            empty list removes all. Rooms with a match keep the old ones until it is over.",
            Some(r#"{"config": [{"key": "MAP", "value": "desert"}]}"#),
        ),
        query: &[
            Parameter {
                name: "restart",
                text: "`rolling`: rooms are replaced a few at a time; `all`: those without a match at once; `none`: only rooms \
                    that are created later get it.",
                schema: || {
                    let words = ["rolling", "all", "none"].map(crate::openapi::Tree::from);
                    object! { "enum" => words.to_vec(), "default" => "rolling" }
                },
            },
            WAIT,
        ],
        body: Some("VersionBody"),
        answer: Content::Ordered("VersionOrdered"),
    },
    Endpoint {
        method: Method::GET,
        path: "/schedulers/{scheduler}/versions/{version}/rooms/status/watch",
        handler: || web::to(watch),
        name: "watchRoomStatuses",
        about: About {
            fails: &[
                Code::InvalidArgument,
                Code::NotFound,
                Code::ResourceExhausted,
                Code::Unavailable,
            ],
            ..reads(
                "How far the rooms of a version are, as it changes",
                "Server-sent events: `status`, first of each room and then of those that changed; `error` with a code and a \
                message is the last one. A comment every 15 seconds keeps proxies from closing it.",
            )
        },
        query: &[],
        body: None,
        answer: Content::Text("text/event-stream"),
    },
];

const WAIT: Parameter = Parameter {
    name: "wait",
    text: "How long to wait for the operation, such as `30s`: 200 when it has ended, 504 if it goes on. Without it: 202 at once.",
    schema: || object! { "type" => "string", "pattern" => "^[0-9]+(ms|s|m|h)$" },
};

const fn reads(summary: &'static str, text: &'static str) -> About {
    About {
        tag: Tag::Versions,
        summary,
        text,
        fails: &[Code::InvalidArgument, Code::NotFound, Code::Unavailable],
        example: None,
    }
}

const fn orders(summary: &'static str, text: &'static str, example: Option<&'static str>) -> About {
    About {
        tag: Tag::Versions,
        summary,
        text,
        // A state that does not allow it is a conflict here, where the contract has 400.
        fails: &[
            Code::InvalidArgument,
            Code::NotFound,
            Code::AlreadyExists,
            Code::PermissionDenied,
            Code::Unauthenticated,
            Code::Unavailable,
            Code::DeadlineExceeded,
        ],
        example,
    }
}
