//! The name of a request on the endpoints beside the contract: taken or made, echoed, logged, and told to what it orders.

use std::sync::Arc;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest};
use maestro_core::state::Command;

use crate::gateway::{Api, Entry, REQUEST_ID, request_id};

/// The request's name is in its answer.
pub(crate) async fn named(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let name = request_id(request.headers());
    let echoed = HeaderValue::from_str(&name);
    // As it was sent: whoever reads the log wants to know which scheduler was paused.
    let path = request.path().to_owned();
    let entry = Entry::begin(Api::Management, &name, request.method(), path);
    request.extensions_mut().insert(RequestName(name.into()));
    let mut response = next.call(request).await?;
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
