//! The headers that make a browser let a page of a trusted origin read a response (Fetch, 3.2).

use actix_http::Response;
use actix_http::header::{self, HeaderMap, HeaderValue};
use actix_web::body::BoxBody;
use actix_web::http::{Method, StatusCode};

/// Methods that pages may use: all that our routes support.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
/// Response headers that pages may read.
const EXPOSED: HeaderValue = HeaderValue::from_static("Retry-After, X-Request-Id");
/// How long the browser may cache the answer to a preflight request, in seconds.
const PREFLIGHT_AGE: HeaderValue = HeaderValue::from_static("600");
const VARY: HeaderValue = HeaderValue::from_static("Origin");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// Headers that are added to a response.
pub struct Marks {
    /// The origin that may read it.
    origin: Option<HeaderValue>,
    /// Whether the response depends on the `Origin` header.
    varies: bool,
}

impl Marks {
    pub fn new(origin: Option<HeaderValue>, varies: bool) -> Self {
        Self { origin, varies }
    }

    /// Also stops browsers from guessing another content type.
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

/// Grants a preflight request of a trusted origin with any headers: none that we evaluate could do harm.
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
