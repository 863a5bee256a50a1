//! Answers that are no JSON.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;

pub const TEXT: &str = "text/plain; charset=utf-8";

pub fn text(status: StatusCode, kind: &'static str, body: impl Into<String>) -> HttpResponse {
    HttpResponse::build(status)
        .content_type(kind)
        .body(body.into())
}
