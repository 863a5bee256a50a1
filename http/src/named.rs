//! What all endpoints beside the contract share: a name of the request (taken or made, echoed, logged, and told to what it
//! orders), and bounds of its body, read or not.

use std::sync::Arc;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web;
use actix_web::{Error, HttpMessage, HttpRequest};
use futures_util::stream;
use maestro_core::state::Command;

use crate::gateway::{Api, Entry, REQUEST_ID, read_body, request_id};

/// The request's name is in its answer. Its body has come within its bounds, or the answer says that it did not.
pub(crate) async fn named(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let name = request_id(request.headers());
    let echoed = HeaderValue::from_str(&name);
    // As it was sent: whoever reads the log wants to know which scheduler was paused.
    let path = request.path().to_owned();
    let entry = Entry::begin(Api::Management, &name, request.method(), path);
    request.extensions_mut().insert(RequestName(name.into()));
    let payload = request.extract::<web::Payload>().await?;
    let mut response = match read_body(request.headers(), payload).await {
        Ok(body) => {
            let whole = Box::pin(stream::once(async { Ok(body) }));
            request.set_payload(Payload::Stream { payload: whole });
            next.call(request).await?.map_into_boxed_body()
        }
        Err(refused) => request.into_response(refused),
    };
    entry.end(response.status().as_u16());
    if let Ok(name) = echoed {
        let header = HeaderName::from_static(REQUEST_ID);
        response.headers_mut().insert(header, name);
    }
    Ok(response)
}

struct RequestName(Arc<str>);

/// The command, on behalf of this request: what it orders tells of it.
pub(crate) fn ordered_by(request: &HttpRequest, command: Command) -> Command {
    match request.extensions().get::<RequestName>() {
        None => command,
        Some(RequestName(name)) => Command::ForRequest {
            request: name.clone(),
            command: Box::new(command),
        },
    }
}
