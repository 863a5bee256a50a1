//! Endpoints for runtimes, in addition to the contract: one is ordered, and how far it is. They are mounted on the
//! management API, before the gateway.

mod endpoints;
mod handlers;

use std::sync::Arc;

use actix_web::Resource;
use actix_web::web::{self, Data, ServiceConfig};
use maestro_api::{ManagementApi, RuntimeApi};

use crate::gateway::Gateway;
use crate::operator::method_not_allowed;
use crate::request_scope::scoped;
pub(crate) use endpoints::ENDPOINTS;
#[cfg(test)]
pub(crate) use handlers::known_parameters;

/// Mounts the endpoints. Must be called before the gateway's `configure`; the gateway's observers see their requests
/// too.
pub fn configure_runtimes(
    runtimes: Arc<dyn RuntimeApi>,
    gateway: &Gateway<dyn ManagementApi>,
) -> impl Fn(&mut ServiceConfig) + Clone + Send + 'static + use<> {
    let (runtimes, observers) = (Data::new(runtimes), gateway.observers());
    move |config: &mut ServiceConfig| {
        config.app_data(runtimes.clone());
        for endpoint in ENDPOINTS {
            let route = (endpoint.handler)().method(endpoint.method.clone());
            let resource = Resource::new(endpoint.path).route(route);
            let resource = resource.default_service(web::to(method_not_allowed));
            config.service(scoped(resource, endpoint.path, &observers));
        }
    }
}
