//! The endpoints for operators: their routes and documentation.

use actix_web::http::Method;
use actix_web::web;
use maestro_api::{Code, LOG_LINES, LOG_LINES_MAX, ROOMS_PER_PAGE, ROOMS_PER_PAGE_MAX};
use maestro_core::domain::RoomStatus;

use super::handlers::{log, remove_room, rollout, room, rooms, steer, summary};
use crate::endpoint::{About, Content, Endpoint, Parameter, Tag};
use crate::openapi::{Tree, object};

/// The endpoints with their documentation.
pub(crate) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        method: Method::GET,
        path: "/schedulers/{scheduler}/rooms",
        handler: || web::to(rooms),
        name: "listRooms",
        about: about("List the rooms of a scheduler", "", &[Code::NotFound]),
        query: &[
            Parameter {
                name: "status",
                text: "Only rooms in this status; `ended`: the last ones that are gone, the newest first.",
                schema: || {
                    let statuses = RoomStatus::ALL.map(|status| Tree::from(status.as_str()));
                    let words: Vec<Tree> = statuses.into_iter().chain(["ended".into()]).collect();
                    object! { "enum" => words }
                },
            },
            Parameter {
                name: "version",
                text: "Only rooms of this version, as `v1.2.0`.",
                schema: || object! { "type" => "string" },
            },
            Parameter {
                name: "page",
                text: "Page, from 1.",
                schema: || object! { "type" => "integer", "minimum" => 1, "default" => 1 },
            },
            Parameter {
                name: "perPage",
                text: "Rooms on a page.",
                schema: || bounded(1, ROOMS_PER_PAGE, ROOMS_PER_PAGE_MAX),
            },
        ],
        body: None,
        answer: Content::Json("RoomPage"),
    },
    // Must precede `rooms/{room}`. It hides no room: room ids begin with the scheduler's name and a hyphen.
    Endpoint {
        method: Method::GET,
        path: "/schedulers/{scheduler}/rooms/summary",
        handler: || web::to(summary),
        name: "summarizeRooms",
        about: about(
            "Count the rooms of a scheduler by status",
            "All statuses, also those that the information about schedulers has no place for.",
            &[Code::NotFound],
        ),
        query: &[],
        body: None,
        answer: Content::Json("RoomsSummary"),
    },
    Endpoint {
        method: Method::GET,
        path: "/schedulers/{scheduler}/rooms/{room}",
        handler: || web::to(room),
        name: "getRoom",
        about: about(
            "Read a room with its past",
            "Also one that has ended, for a while.",
            &[Code::NotFound],
        ),
        query: &[],
        body: None,
        answer: Content::Json("RoomAnswer"),
    },
    Endpoint {
        method: Method::DELETE,
        path: "/schedulers/{scheduler}/rooms/{room}",
        handler: || web::to(remove_room),
        name: "removeRoom",
        about: about(
            "Remove a room",
            "A room with a match goes when the match has ended. Another one is made where the scheduler wants it.",
            &[Code::NotFound],
        ),
        query: &[Parameter {
            name: "force",
            text: "Do not wait for the end of its match.",
            schema: || object! { "type" => "boolean", "default" => false },
        }],
        body: None,
        answer: Content::Json("OrderedOrDone"),
    },
    Endpoint {
        method: Method::GET,
        path: "/schedulers/{scheduler}/rooms/{room}/log",
        handler: || web::to(log),
        name: "readRoomLog",
        about: about(
            "Read the last lines that a room printed",
            "",
            &[Code::NotFound],
        ),
        query: &[Parameter {
            name: "tail",
            text: "How many lines.",
            schema: || bounded(0, LOG_LINES, LOG_LINES_MAX),
        }],
        body: None,
        answer: Content::Text("text/plain"),
    },
    Endpoint {
        method: Method::GET,
        path: "/schedulers/{scheduler}/rollout",
        handler: || web::to(rollout),
        name: "getRollout",
        about: of_rollouts(
            "See how far a rolling update is and what it waits for",
            "",
            &[Code::NotFound],
        ),
        query: &[],
        body: None,
        answer: Content::Json("RolloutAnswer"),
    },
    Endpoint {
        method: Method::POST,
        path: "/schedulers/{scheduler}/rollout/{order}",
        handler: || web::to(steer),
        name: "steerRollout",
        about: of_rollouts(
            "Pause, resume or abort a rolling update",
            "An abort without a rollout under way is 400 with code 9.",
            &[Code::FailedPrecondition, Code::NotFound],
        ),
        query: &[],
        body: None,
        answer: Content::Json("RolloutOrdered"),
    },
];

const fn about(summary: &'static str, text: &'static str, fails: &'static [Code]) -> About {
    About {
        tag: Tag::Rooms,
        summary,
        text,
        fails,
        example: None,
    }
}

const fn of_rollouts(summary: &'static str, text: &'static str, fails: &'static [Code]) -> About {
    About {
        tag: Tag::Versions,
        ..about(summary, text, fails)
    }
}

fn bounded(least: u64, usual: u64, most: u64) -> Tree {
    object! { "type" => "integer", "minimum" => least, "maximum" => most, "default" => usual }
}
