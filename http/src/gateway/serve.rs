//! Handles one request from its head to its response.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use actix_web::body::MessageBody;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{ConnectionType, Method, StatusCode};
use actix_web::web::{Bytes, Payload};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::FutureExt;
use maestro_api::access_log::Entry;
use maestro_api::trace;
use maestro_api::{Api, Code, REQUEST_ID, RequestContext, Status};
use tracing::Instrument;

use super::answer::{ClosesAfter, Failure, SizedResponse};
use super::body::{self, BodyLimits};
use super::context;
use super::input::{Input, Source};
use super::observer::Observers;
use super::params::Params;
use super::path;
use super::query::Values;
use super::route::{self, Reads, Route, Target};

/// A POST is a form only with exactly this type (contract 15.6).
const FORM: &[u8] = b"application/x-www-form-urlencoded";
/// Maximum size of a YAML body: its parser is thirty times slower than that for JSON, and blocks a thread meanwhile.
const YAML_MAX: usize = 256 << 10;
const YAML: [&str; 3] = ["application/yaml", "text/yaml", "application/x-yaml"];

/// One API as it is served.
pub struct Served<A: ?Sized + 'static> {
    pub api: Arc<A>,
    pub kind: Api,
    pub routes: &'static [Route<A>],
    pub limits: BodyLimits,
    pub observers: Observers,
}

pub async fn serve<A: ?Sized>(
    served: &Served<A>,
    request: &HttpRequest,
    mut payload: Payload,
) -> HttpResponse {
    let request_id = context::request_id(request.headers());
    let echoed = HeaderValue::from_str(&request_id);
    let path = request.uri().path();
    let decoded = path::decode(path).filter(|_| path.starts_with('/'));
    let form = request.method() == Method::POST && content_type(request.headers()) == FORM;
    let overriding = effective_method(request, form);
    let method = overriding.as_ref().unwrap_or(request.method());
    let falls_back = form && *method == Method::POST;
    let target = decoded
        .as_ref()
        .map(|decoded| route::find(served.routes, method, &decoded.text, falls_back));
    let watch = served.observers.watch(
        target.as_ref().and_then(Target::label),
        path,
        request.method(),
    );
    let entry = Entry::request(served.kind, &request_id, method.as_str(), path);
    entry.about(target.as_ref().and_then(Target::scheduler));
    // Every body is read, even if its content is not needed (contract 2.1), because the next request follows it. After
    // an offer to upgrade the protocol, or a CONNECT, no request follows, and without a length there is no body either.
    let upgrading = request.head().upgrade() || *request.method() == Method::CONNECT;
    let body = match upgrading && !has_body(request.headers()) {
        true => Ok(Bytes::new()),
        false => {
            let progress = request.conn_data();
            body::read(&mut payload, request.headers(), served.limits, progress).await
        }
    };
    let unread = body.is_err().then_some(payload);
    let answer = match (&decoded, target) {
        (Some(decoded), Some(target)) => {
            let overridden = overriding.is_some();
            let parts = Parts {
                request,
                request_id,
                overridden,
                body,
                damaged: decoded.damaged,
            };
            entry.hear(respond(served, parts, target)).await
        }
        _ => SizedResponse::bad_request_line(),
    };
    let SizedResponse { mut response, size } = answer;
    if let Ok(id) = echoed {
        response
            .headers_mut()
            .insert(HeaderName::from_static(REQUEST_ID), id);
    }
    if let Some(unread) = unread {
        response = response.map_body(|_, body| {
            ClosesAfter {
                body,
                _unread: unread.into_inner(),
            }
            .boxed()
        });
    }
    if upgrading {
        // The offer to upgrade is ignored, as in the original, and actix-web then closes the connection. The response
        // says so; otherwise clients that offer HTTP/2 on every new connection would send their next request on a
        // closed one.
        response
            .head_mut()
            .set_connection_type(ConnectionType::Close);
    }
    let code = response.status().as_u16();
    watch.end(code, size);
    entry.end(code);
    response
}

/// The parts of a request once its target is known.
struct Parts<'a> {
    request: &'a HttpRequest,
    request_id: String,
    overridden: bool,
    body: Result<Bytes, Failure>,
    /// Whether the path contains invalid UTF-8.
    damaged: bool,
}

async fn respond<A: ?Sized>(
    served: &Served<A>,
    parts: Parts<'_>,
    target: Target<'_, '_, A>,
) -> SizedResponse {
    let request = parts.request;
    if let Some(clean) = path::cleaned(request.uri().path()) {
        return SizedResponse::redirect(
            request.method(),
            &with_query(clean, request.uri().query()),
        );
    }
    let mut damaged = parts.damaged;
    match run(served, parts, target, &mut damaged).await {
        Ok(body) => SizedResponse::json(StatusCode::OK, body),
        // Answers to rooms never contain it: their calls answer 200 whatever the name (contract 3).
        Err(failure) if damaged && served.kind == Api::Management => {
            SizedResponse::failure(&failure.printable())
        }
        Err(failure) => SizedResponse::failure(&failure),
    }
}

async fn run<A: ?Sized>(
    served: &Served<A>,
    parts: Parts<'_>,
    target: Target<'_, '_, A>,
    damaged: &mut bool,
) -> Result<String, Failure> {
    let Parts {
        request,
        request_id,
        overridden,
        mut body,
        ..
    } = parts;
    let mut values = Values::default();
    let mut read = |form: &[u8]| {
        let read = values.parse(form, request.uri().query().unwrap_or_default());
        *damaged |= values.damaged();
        read
    };
    let post = *request.method() == Method::POST;
    let falls_back =
        matches!(&target, Target::Found(route, _) if post && route.method == Method::GET);
    // A POST that stands for another method is read as a form, whatever its target (contract 2.1). That consumes the
    // body: an overridden call sees an empty one, as in the original.
    let becomes = overridden || falls_back;
    if becomes {
        read(&std::mem::replace(&mut body, Ok(Bytes::new()))?)?;
    }
    let (route, params): (&Route<A>, Params<'_>) = match target {
        Target::Found(route, params) => (route, params),
        Target::WrongMethod(_) => {
            return Err(Status::new(Code::Unimplemented, "Method Not Allowed").into());
        }
        Target::Nowhere => return Err(Status::not_found("Not Found").into()),
    };
    if !becomes && route.has_query() {
        read(&[])?;
    }
    let headers = request.headers();
    let deadline = context::deadline(headers)?;
    context::check_binary_metadata(headers)?;
    let context = RequestContext {
        request_id,
        deadline,
    };
    let source = match route.reads {
        Reads::Body => source(headers, body?)?,
        Reads::Query => Source::Query(values),
    };
    let span = span(route.label, &context, &params, headers);
    let input = Input { params, source };
    let call = AssertUnwindSafe((route.rpc.call)(&served.api, &context, input));
    call.catch_unwind()
        .instrument(span)
        .await
        .unwrap_or_else(|_| {
            tracing::error!(
                request_id = context.request_id,
                handler_name = route.label,
                "the call panicked"
            );
            Err(Status::internal("internal error").into())
        })
}

fn span(
    handler: &'static str,
    context: &RequestContext,
    params: &Params<'_>,
    headers: &HeaderMap,
) -> tracing::Span {
    let text = |name| params.get(name);
    let subject = trace::Subject {
        scheduler: params.scheduler(),
        operation: text("operation_id"),
        room: text("room_name"),
    };
    let header = |name| headers.get(name)?.to_str().ok();
    trace::request(handler, &context.request_id, subject, header)
}

fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(header::CONTENT_LENGTH) || headers.contains_key(header::TRANSFER_ENCODING)
}

fn content_type(headers: &HeaderMap) -> &[u8] {
    headers
        .get(header::CONTENT_TYPE)
        .map_or(b"", HeaderValue::as_bytes)
}

/// The method that a form POST asks for with an override (contract 2.1). A malformed one matches no route.
fn effective_method(request: &HttpRequest, form: bool) -> Option<Method> {
    if !form {
        return None;
    }
    let wanted = request
        .headers()
        .get("x-http-method-override")
        .filter(|value| !value.is_empty())?;
    Some(Method::from_bytes(&wanted.as_bytes().to_ascii_uppercase()).unwrap_or(Method::TRACE))
}

fn with_query(path: String, query: Option<&str>) -> String {
    match query {
        Some(query) => format!("{path}?{query}"),
        None => path,
    }
}

/// The format of the body: YAML if the content type says so (decision D25), otherwise JSON (contract 2.1).
fn source(headers: &HeaderMap, body: Bytes) -> Result<Source, Failure> {
    let kind = content_type(headers);
    let kind = kind
        .split(|b| *b == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii();
    if !YAML
        .iter()
        .any(|yaml| kind.eq_ignore_ascii_case(yaml.as_bytes()))
    {
        return Ok(Source::Body(body));
    }
    if body.len() > YAML_MAX {
        let message = format!("a body in YAML may have {YAML_MAX} bytes; send this one as JSON");
        let status = Status::new(Code::ResourceExhausted, message);
        return Err(Failure::Http(StatusCode::PAYLOAD_TOO_LARGE, status));
    }
    Ok(Source::Yaml(body))
}
