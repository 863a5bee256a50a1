//! What is served and described: routes of the contract's two APIs, and endpoints of ours beside them. Each says both
//! in one place.

use actix_web::Route;
use actix_web::http::Method;
use maestro_api::Code;
use maestro_api::codec::Declaration;

use crate::openapi::Tree;

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
    pub(crate) const ALL: [Self; 10] = [
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

    pub(crate) fn name(self) -> &'static str {
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

    pub(crate) fn text(self) -> &'static str {
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

/// A route of the gateway, without the type of its API.
pub struct Described {
    pub method: Method,
    pub template: &'static str,
    pub reads_body: bool,
    pub name: &'static str,
    pub request: &'static Declaration,
    pub answer: &'static Declaration,
    pub about: &'static About,
}

/// One method of one path.
pub(crate) struct Endpoint {
    pub method: Method,
    /// As actix-web writes it: `/schedulers/{scheduler}/rooms`.
    pub path: &'static str,
    /// The handler; its method is set by whoever mounts it.
    pub handler: fn() -> Route,
    /// Its name in the description.
    pub name: &'static str,
    pub about: About,
    pub query: &'static [Parameter],
    /// Name of the schema of its body.
    pub body: Option<&'static str>,
    pub answer: Answer,
}

/// A query parameter.
pub(crate) struct Parameter {
    pub name: &'static str,
    pub text: &'static str,
    pub schema: fn() -> Tree,
}

/// What comes back with status 200.
pub(crate) enum Answer {
    /// JSON of the schema of this name.
    Json(&'static str),
    /// Any JSON object.
    Object,
    /// Text of this media type.
    Text(&'static str),
}
