//! Endpoints for what the rooms of versions use, in addition to the contract: answers, and streams of server-sent
//! events. They are mounted on the management API, before the gateway.

mod endpoints;
mod events;
mod handlers;

use std::sync::Arc;

use actix_web::Resource;
use actix_web::web::{self, Data, ServiceConfig};
use maestro_api::{ManagementApi, ResourceMetricsApi};

use crate::gateway::Gateway;
use crate::operator::method_not_allowed;
use crate::request_scope::scoped;
pub(crate) use endpoints::ENDPOINTS;
#[cfg(test)]
pub(crate) use handlers::known_parameters;

/// Mounts the endpoints. Must be called before the gateway's `configure`; the gateway's observers see their requests
/// too.
pub fn configure_resources(
    metrics: Arc<dyn ResourceMetricsApi>,
    gateway: &Gateway<dyn ManagementApi>,
) -> impl Fn(&mut ServiceConfig) + Clone + Send + 'static + use<> {
    let (metrics, observers) = (Data::new(metrics), gateway.observers());
    move |config: &mut ServiceConfig| {
        config.app_data(metrics.clone());
        for endpoint in ENDPOINTS {
            let route = (endpoint.handler)().method(endpoint.method.clone());
            let resource = Resource::new(endpoint.path).route(route);
            let resource = resource.default_service(web::to(method_not_allowed));
            config.service(scoped(resource, endpoint.path, &observers));
        }
    }
}
