//! The endpoints for resource metrics: their routes and documentation.

use actix_web::http::Method;
use actix_web::web;
use maestro_api::Code;

use super::handlers::{alerts, metrics, watch};
use crate::endpoint::{About, Content, Endpoint, Parameter, Tag};
use crate::openapi::{Tree, object};

/// The endpoints with their documentation.
pub(crate) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        method: Method::GET,
        path: "/schedulers/{scheduler}/versions/{version}/metrics",
        handler: || web::to(metrics),
        name: "getVersionMetrics",
        about: about(
            "CPU and memory of a version over time",
            "The sum of all its rooms, the oldest first. Empty if nothing is known of that time.",
        ),
        query: &[
            FROM,
            Parameter {
                name: "toDate",
                text: "End, in RFC 3339. Now, if it is not given.",
                schema: date,
            },
            STEP,
        ],
        body: None,
        answer: Content::Json("VersionMetrics"),
    },
    Endpoint {
        method: Method::GET,
        path: "/schedulers/{scheduler}/versions/{version}/metrics/watch",
        handler: || web::to(watch),
        name: "watchVersionMetrics",
        about: about(
            "CPU and memory of a version from now on",
            "Server-sent events: `metrics` with the body of the answer without `watch`, and the date of its last sample as \
            `id`; `error` with a code and a message, after which the next tick tries again. Three failures in a row end \
            the stream. `Last-Event-ID` continues behind that date. A comment every 15 seconds keeps proxies from closing it.",
        ),
        query: &[
            Parameter {
                name: "fromDate",
                text: "Begin, in RFC 3339. One step before now, if it is not given.",
                schema: date,
            },
            STEP,
        ],
        body: None,
        answer: Content::Text("text/event-stream"),
    },
    Endpoint {
        method: Method::GET,
        path: "/schedulers/{scheduler}/versions/{version}/alerts",
        handler: || web::to(alerts),
        name: "getVersionAlerts",
        about: about(
            "Alerts about a version",
            "Those of Prometheus that are pending or firing, about the version or about all of its scheduler.",
        ),
        query: &[],
        body: None,
        answer: Content::Json("VersionAlerts"),
    },
];

const FROM: Parameter = Parameter {
    name: "fromDate",
    text: "Begin, in RFC 3339. An hour before the end, if it is not given.",
    schema: date,
};

const STEP: Parameter = Parameter {
    name: "step",
    text: "Seconds between two samples. 0: as it fits the time.",
    schema: || object! { "type" => "integer", "format" => "int32", "minimum" => 0, "default" => 0 },
};

fn date() -> Tree {
    object! { "type" => "string", "format" => "date-time" }
}

const fn about(summary: &'static str, text: &'static str) -> About {
    About {
        tag: Tag::Resources,
        summary,
        text,
        // What is not set up is in conflict here, where the contract has 400.
        fails: &[
            Code::InvalidArgument,
            Code::NotFound,
            Code::AlreadyExists,
            Code::Unavailable,
        ],
        example: None,
    }
}
