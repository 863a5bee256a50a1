//! What a browser has to be told before it lets a page of a trusted origin see an answer (Fetch, 3.2).

use actix_http::Response;
use actix_http::header::{self, HeaderMap, HeaderValue};
use actix_web::body::BoxBody;
use actix_web::http::{Method, StatusCode};

/// What pages may send: all that our routes know.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
/// What they may see beside the body.
const EXPOSED: HeaderValue = HeaderValue::from_static("Retry-After, X-Request-Id");
/// How long the browser need not ask again, in seconds.
const PREFLIGHT_AGE: HeaderValue = HeaderValue::from_static("600");
const VARY: HeaderValue = HeaderValue::from_static("Origin");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// Headers that an answer gets on its way out.
pub struct Marks {
    /// Of the page that may see it.
    origin: Option<HeaderValue>,
    /// Whether another origin would have got another answer.
    varies: bool,
}

impl Marks {
    pub fn new(origin: Option<HeaderValue>, varies: bool) -> Self {
        Self { origin, varies }
    }

    /// No answer is anything else than its type says, whatever a browser finds in it.
    pub fn put(self, headers: &mut HeaderMap) {
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
        if self.varies {
            headers.append(header::VARY, VARY);
        }
        if let Some(origin) = self.origin {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }
}

pub fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Yes, to a trusted origin: whatever headers it wants to send, since we act upon none that could harm.
pub fn preflight(origin: &HeaderValue, asked: &HeaderMap) -> Response<BoxBody> {
    let mut response = Response::new(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    Marks::new(Some(origin.clone()), true).put(headers);
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_AGE);
    if let Some(wanted) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    response
}
