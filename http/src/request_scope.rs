//! What endpoints outside of the contract share: the request id (accepted or generated, echoed, logged, and passed on
//! to operations), the span, metrics, and limits on the body, whether it is read or not.

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{HttpServiceFactory, Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::{Next, from_fn};
use actix_web::{Error, HttpMessage, HttpRequest, Resource, web};
use futures_util::stream;
use maestro_api::access_log::Entry;
use maestro_api::trace::{self, Subject};
use maestro_api::{Api, REQUEST_ID, RequestContext};
use tracing::{Instrument, Span};

use crate::gateway::{BodyLimits, Observers, deadline, read_body, refusal, request_id};

/// Wraps a resource in all of this. `template` is its path and the name under which its requests are reported.
pub(crate) fn scoped(
    resource: Resource,
    template: &'static str,
    observers: &Observers,
) -> impl HttpServiceFactory + use<> {
    let observers = observers.clone();
    // actix-web's own limit on what a handler extracts is 256 KiB, and is answered with plain text.
    let extracted = web::PayloadConfig::new(BodyLimits::default().bytes);
    resource.app_data(extracted).wrap(from_fn(
        move |request: ServiceRequest, next: Next<BoxBody>| {
            around(observers.clone(), template, request, next)
        },
    ))
}

/// Adds the request id to the response, and reads the body within its limits or answers that it exceeded them.
async fn around(
    observers: Observers,
    template: &'static str,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let id = request_id(request.headers());
    let echoed = HeaderValue::from_str(&id);
    let watch = observers.watch(Some(template), request.path(), request.method());
    // The actual path rather than the template: readers of the log want to know which scheduler was paused.
    let method = request.method().as_str();
    let entry = Entry::request(Api::Management, &id, method, request.path());
    entry.about(request.match_info().get("scheduler"));
    let span = span(template, &id, &request);
    let mut response = match deadline(request.headers()) {
        Ok(deadline) => {
            request.extensions_mut().insert(RequestContext {
                request_id: id,
                deadline,
            });
            answer(request, next).instrument(span).await?
        }
        Err(status) => request.into_response(refusal(status)),
    };
    let code = response.status().as_u16();
    watch.end(code, size(&response));
    entry.end(code);
    if let Ok(id) = echoed {
        let header = HeaderName::from_static(REQUEST_ID);
        response.headers_mut().insert(header, id);
    }
    Ok(response)
}

async fn answer(
    mut request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let payload = request.extract::<web::Payload>().await?;
    match read_body(request.headers(), payload, request.conn_data()).await {
        Ok(body) => {
            let whole = Box::pin(stream::once(async { Ok(body) }));
            request.set_payload(Payload::Stream { payload: whole });
            next.call(request).await
        }
        Err(refused) => Ok(request.into_response(refused)),
    }
}

fn span(template: &str, id: &str, request: &ServiceRequest) -> Span {
    let at = request.match_info();
    let subject = Subject {
        scheduler: at.get("scheduler"),
        room: at.get("room"),
        ..Subject::default()
    };
    let header = |name| request.headers().get(name)?.to_str().ok();
    trace::request(template, id, subject, header)
}

/// The size of the body; none of these responses is streamed.
fn size(response: &ServiceResponse<BoxBody>) -> usize {
    match response.response().body().size() {
        BodySize::Sized(bytes) => usize::try_from(bytes).unwrap_or(usize::MAX),
        _ => 0,
    }
}

/// The context for a call on behalf of this request.
pub(crate) fn context(request: &HttpRequest) -> RequestContext {
    let known = request.extensions().get::<RequestContext>().cloned();
    known.unwrap_or_else(RequestContext::internal)
}
