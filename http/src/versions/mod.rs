//! Endpoints for the versions of a scheduler, each started and published by itself, in addition to the contract. They
//! are mounted on the management API, before the gateway.

mod endpoints;
mod handlers;

use std::sync::Arc;

use actix_web::Resource;
use actix_web::web::{self, Data, ServiceConfig};
use maestro_api::{ManagementApi, ManagerAccess, OperatorApi, VersionsApi};

use crate::gateway::Gateway;
use crate::operator::method_not_allowed;
use crate::request_scope::scoped;
pub(crate) use endpoints::ENDPOINTS;
#[cfg(test)]
pub(crate) use handlers::known_parameters;

/// What the endpoints call.
#[derive(Clone)]
pub struct VersionParts {
    /// Answers orders when their operation is stored.
    pub orders: Arc<dyn VersionsApi>,
    /// Answers them when it has ended.
    pub until_done: Arc<dyn VersionsApi>,
    /// Who may give them.
    pub access: ManagerAccess,
}

/// What the handlers call.
struct Called {
    parts: VersionParts,
    operator: Arc<dyn OperatorApi>,
}

/// Mounts the endpoints. Must be called before the gateway's `configure`; the gateway's observers see their requests
/// too.
pub fn configure_versions(
    parts: VersionParts,
    operator: Arc<dyn OperatorApi>,
    gateway: &Gateway<dyn ManagementApi>,
) -> impl Fn(&mut ServiceConfig) + Clone + Send + 'static + use<> {
    let called = Data::new(Called { parts, operator });
    let observers = gateway.observers();
    move |config: &mut ServiceConfig| {
        config.app_data(called.clone());
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
