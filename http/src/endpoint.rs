//! Routes of the contract's two APIs and our own endpoints. Each is declared together with its documentation.

use actix_web::Route;
use actix_web::http::Method;
use maestro_api::Code;
use maestro_api::codec::Declaration;

use crate::openapi::Tree;

/// Documentation of a route.
pub struct About {
    pub tag: Tag,
    /// A few words without a full stop.
    pub summary: &'static str,
    /// Further sentences; may be empty.
    pub text: &'static str,
    /// The ways in which it can fail, besides those that every call shares.
    pub fails: &'static [Code],
    /// A valid body as JSON.
    pub example: Option<&'static str>,
}

/// Groups of endpoints, in display order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    Schedulers,
    Versions,
    Rooms,
    Operations,
    Runtimes,
    Resources,
    GameRooms,
    Matchmaking,
    Health,
    Debug,
    Backup,
    Description,
}

impl Tag {
    pub(crate) const ALL: [Self; 12] = [
        Self::Schedulers,
        Self::Versions,
        Self::Rooms,
        Self::Operations,
        Self::Runtimes,
        Self::Resources,
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
            Self::Runtimes => "Runtimes",
            Self::Resources => "Resources",
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
            Self::Runtimes => "The places of schedulers, which can be made by themselves.",
            Self::Resources => "What the rooms of a version use.",
            Self::GameRooms => "What game rooms say of themselves (rooms API).",
            Self::Matchmaking => "What matchmakers ask for (rooms API).",
            Self::Health => "Whether the process serves, for whoever watches it (internal server).",
            Self::Debug => "A look at the actors, and orders to them (mostly internal server).",
            Self::Backup => "Copies of the store (internal server).",
            Self::Description => "This description.",
        }
    }
}

/// A route of the gateway without its API's type parameter.
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
    /// In actix-web's syntax: `/schedulers/{scheduler}/rooms`.
    pub path: &'static str,
    /// The handler; the caller that mounts it sets the method.
    pub handler: fn() -> Route,
    /// Its `operationId` in the OpenAPI description.
    pub name: &'static str,
    pub about: About,
    pub query: &'static [Parameter],
    /// Name of the schema of its request body.
    pub body: Option<&'static str>,
    pub answer: Content,
}

/// A query parameter.
pub(crate) struct Parameter {
    pub name: &'static str,
    pub text: &'static str,
    pub schema: fn() -> Tree,
}

/// The content of a response that is no failure, with status 200.
pub(crate) enum Content {
    /// JSON with the schema of this name.
    Json(&'static str),
    /// JSON with the schema of this name, also with status 202: the order is not carried out yet.
    Ordered(&'static str),
    /// Any JSON object.
    Object,
    /// Text of this media type.
    Text(&'static str),
}
