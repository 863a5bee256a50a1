//! HTTP responses: the one place that converts outcomes into responses.

use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::HttpResponse;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::Payload;
use actix_web::http::{Method, StatusCode, header};
use actix_web::web::Bytes;

use maestro_api::codec::write_string;
use maestro_api::{Code, Status};

/// Why a request was not answered with a message.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    Status(Status),
    /// A status sent with another HTTP status than its code's: for bodies that are too large or too slow.
    Http(StatusCode, Status),
    /// The answer would repeat invalid UTF-8, which the original cannot print either (contract 15.9).
    Unprintable,
}

impl Failure {
    /// The failure of a request with invalid UTF-8: a text that would repeat it is withheld.
    pub fn printable(self) -> Self {
        match self {
            Self::Status(status) if status.message.contains(char::REPLACEMENT_CHARACTER) => {
                Self::Unprintable
            }
            other => other,
        }
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

/// A response and the size of its body, which is reported to the observer.
pub struct SizedResponse {
    pub response: HttpResponse,
    pub size: usize,
}

impl SizedResponse {
    pub fn json(status: StatusCode, body: String) -> Self {
        let size = body.len();
        let response = HttpResponse::build(status)
            .insert_header((
                header::CONTENT_TYPE,
                header::HeaderValue::from_static("application/json"),
            ))
            .body(body);
        Self { response, size }
    }

    fn text(status: StatusCode, content_type: &'static str, body: String) -> Self {
        let size = body.len();
        let response = HttpResponse::build(status)
            .insert_header((
                header::CONTENT_TYPE,
                header::HeaderValue::from_static(content_type),
            ))
            .body(body);
        Self { response, size }
    }

    pub fn failure(failure: &Failure) -> Self {
        match failure {
            Failure::Unprintable => Self::json(
                StatusCode::INTERNAL_SERVER_ERROR,
                r#"{"code":13,"message":"failed to marshal error message"}"#.to_owned(),
            ),
            Failure::Http(http, status) => Self::json(*http, error_body(status)),
            Failure::Status(status) => {
                let mut answer = Self::json(http_status(status.code), error_body(status));
                // Both are transient, so the caller may retry (architecture 4).
                let passes = matches!(status.code, Code::ResourceExhausted | Code::Unavailable);
                if passes && !status.lasts {
                    let one_second = header::HeaderValue::from_static("1");
                    answer
                        .response
                        .headers_mut()
                        .insert(header::RETRY_AFTER, one_second);
                }
                answer
            }
        }
    }

    /// The response to a malformed request line (contract 15.10).
    pub fn bad_request_line() -> Self {
        Self::text(
            StatusCode::BAD_REQUEST,
            "text/plain; charset=utf-8",
            "400 Bad Request".to_owned(),
        )
    }

    /// Redirects the client to the canonical form of its path: 307, with a small page for people (contract 15.5).
    pub fn redirect(method: &Method, location: &str) -> Self {
        let Ok(value) = header::HeaderValue::from_str(location) else {
            return Self::bad_request_line();
        };
        let status = StatusCode::TEMPORARY_REDIRECT;
        let mut answer = if matches!(*method, Method::GET | Method::HEAD) {
            let page = format!(
                "<a href=\"{}\">Temporary Redirect</a>.\n\n",
                escape_html(location)
            );
            Self::text(status, "text/html; charset=utf-8", page)
        } else {
            Self {
                response: HttpResponse::new(status),
                size: 0,
            }
        };
        answer
            .response
            .headers_mut()
            .insert(header::LOCATION, value);
        answer
    }
}

/// A failure of an endpoint outside the two APIs, in their format.
pub fn refusal(status: Status) -> HttpResponse {
    SizedResponse::failure(&Failure::Status(status)).response
}

/// The same for a request whose body is not read; also returns the size of the response.
pub fn refused_unread(status: Status, unread: Payload) -> (HttpResponse, usize) {
    let SizedResponse { response, size } = SizedResponse::failure(&Failure::Status(status));
    let response = response.map_body(|_, body| {
        ClosesAfter {
            body,
            _unread: unread,
        }
        .boxed()
    });
    (response, size)
}

/// A response body that holds the unread request body until the response is sent.
///
/// actix-web then sees an unread body and closes the connection. If the body were dropped, actix-web would go on
/// reading it without limit, at the client's pace.
pub struct ClosesAfter {
    pub body: BoxBody,
    pub _unread: Payload,
}

impl MessageBody for ClosesAfter {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_next(cx)
    }
}

/// Every code maps to a valid HTTP status.
fn http_status(code: Code) -> StatusCode {
    StatusCode::from_u16(code.http()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn error_body(status: &Status) -> String {
    let mut body = format!("{{\"code\":{},\"message\":", status.code.number());
    write_string(&mut body, &status.message);
    body.push_str(",\"details\":[]}");
    body
}

fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&#34;")
        .replace('\'', "&#39;")
}
