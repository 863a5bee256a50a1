//! Serves the description as JSON and as a page for people. The page is a single file that loads nothing from other
//! servers, so it works offline.

use actix_web::http::{Method, header};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpResponse, Resource};
use maestro_api::{Code, Status};

use crate::endpoint::{About, Content, Endpoint, Tag};
use crate::gateway::refusal;

const PAGE: &str = include_str!("page.html");

/// The page may run its own scripts and styles, and send requests to the server that it came from.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(crate) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        method: Method::GET,
        path: "/openapi.json",
        handler: || web::to(description),
        name: "getDescription",
        about: About {
            tag: Tag::Description,
            summary: "This description",
            text: "OpenAPI 3.1, for generators of clients.",
            fails: &[],
            example: None,
        },
        query: &[],
        body: None,
        answer: Content::Object,
    },
    Endpoint {
        method: Method::GET,
        path: "/docs",
        handler: || web::to(page),
        name: "getPage",
        about: About {
            tag: Tag::Description,
            summary: "This description as a page",
            text: "Needs no other server.",
            fails: &[],
            example: None,
        },
        query: &[],
        body: None,
        answer: Content::Text("text/html"),
    },
];

/// The description as JSON text, made when it is asked for first.
type Description = fn() -> &'static str;

/// Mounts both. Must be called before the gateway's `configure`, which handles every other path.
pub(crate) fn configure(description: Description, config: &mut ServiceConfig) {
    config.app_data(Data::new(description));
    for endpoint in ENDPOINTS {
        let route = (endpoint.handler)().method(endpoint.method.clone());
        let resource = Resource::new(endpoint.path).route(route);
        config.service(resource.default_service(web::to(method_not_allowed)));
    }
}

async fn description(text: Data<Description>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .body(text())
}

async fn page() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .body(PAGE)
}

async fn method_not_allowed() -> HttpResponse {
    refusal(Status::new(Code::Unimplemented, "Method Not Allowed"))
}
