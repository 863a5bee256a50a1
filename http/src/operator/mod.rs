//! Endpoints for operators, in addition to the contract: a scheduler's rooms and its rollout.
//!
//! New data gets new endpoints, because strict clients reject unknown fields in existing answers (contract 2.1). They
//! are mounted on the management API, before the gateway.

mod endpoints;
mod handlers;

use std::sync::Arc;

use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpResponse, Resource};
use maestro_api::{Code, ManagementApi, OperatorApi, Status};

use crate::gateway::{Gateway, refusal};
use crate::request_scope::scoped;
pub(crate) use endpoints::ENDPOINTS;
pub(crate) use handlers::{answer, query_of};
#[cfg(test)]
pub(crate) use handlers::{known_fields, known_parameters};

/// Mounts the endpoints. Must be called before the gateway's `configure`; the gateway's observers see their requests
/// too.
pub fn configure_operator(
    operator: Arc<dyn OperatorApi>,
    gateway: &Gateway<dyn ManagementApi>,
) -> impl Fn(&mut ServiceConfig) + Clone + Send + 'static + use<> {
    let (operator, observers) = (Data::new(operator), gateway.observers());
    move |config: &mut ServiceConfig| {
        config.app_data(operator.clone());
        // The table lists all methods of a path consecutively.
        for methods in ENDPOINTS.chunk_by(|a, b| a.path == b.path) {
            let mut resource = Resource::new(methods[0].path);
            for endpoint in methods {
                resource = resource.route((endpoint.handler)().method(endpoint.method.clone()));
            }
            let resource = resource.default_service(web::to(method_not_allowed));
            config.service(scoped(resource, methods[0].path, &observers));
        }
    }
}

/// The answer to a method that a path does not have.
pub(crate) async fn method_not_allowed() -> HttpResponse {
    refusal(Status::new(Code::Unimplemented, "Method Not Allowed"))
}
