//! Endpoints for runtimes, in addition to the contract: one is ordered, and how far it is. They are mounted on the
//! management API, before the gateway.

mod endpoints;
mod handlers;

use std::sync::Arc;

use actix_web::Resource;
use actix_web::web::{self, Data, ServiceConfig};
use maestro_api::{ManagementApi, ManagerAccess, RuntimeApi};

use crate::gateway::Gateway;
use crate::operator::method_not_allowed;
use crate::request_scope::scoped;
pub(crate) use endpoints::ENDPOINTS;
#[cfg(test)]
pub(crate) use handlers::known_parameters;

/// What the endpoints call.
#[derive(Clone)]
pub struct RuntimeParts {
    /// Creates runtimes, and knows how far they are.
    pub runtimes: Arc<dyn RuntimeApi>,
    /// Who may create them.
    pub access: ManagerAccess,
}

/// Mounts the endpoints. Must be called before the gateway's `configure`; the gateway's observers see their requests
/// too.
pub fn configure_runtimes(
    parts: RuntimeParts,
    gateway: &Gateway<dyn ManagementApi>,
) -> impl Fn(&mut ServiceConfig) + Clone + Send + 'static + use<> {
    let (parts, observers) = (Data::new(parts), gateway.observers());
    move |config: &mut ServiceConfig| {
        config.app_data(parts.clone());
        for endpoint in ENDPOINTS {
            let route = (endpoint.handler)().method(endpoint.method.clone());
            let resource = Resource::new(endpoint.path).route(route);
            let resource = resource.default_service(web::to(method_not_allowed));
            config.service(scoped(resource, endpoint.path, &observers));
        }
    }
}
