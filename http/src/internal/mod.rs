//! The internal server: health, metrics and views of actors and nodes (contract 1.2, 15.26; architecture 4).
//!
//! For operators only. The view is assembled without asking any actor.

mod endpoints;
mod handlers;
mod readiness;
pub(crate) mod text;

use std::sync::Arc;

use actix_web::Resource;
use actix_web::web::{self, Data, ServiceConfig};
use maestro_api::{ManagementApi, OperatorApi};

use crate::endpoint::Endpoint;
use crate::gateway::{Gateway, Observers};
use crate::request_scope::scoped;
pub(crate) use endpoints::{BACKUP, HEALTH, LOOKS, METRICS, ORDERS, STEERING};
pub use handlers::MetricsPage;
pub(crate) use handlers::{alive, not_found};
use readiness::Readiness;

/// The parts of the internal server.
#[derive(Clone)]
pub struct InternalParts {
    pub operator: Arc<dyn OperatorApi>,
    /// `None` disables `/metrics` (`internalApi.metrics.enabled`).
    pub metrics: Option<MetricsPage>,
    /// Enables the health pages (`internalApi.healthcheck.enabled`).
    pub health: bool,
    /// Readiness skips the check of the store (`internalApi.healthcheck.skipPostgresCheck`).
    pub skip_store_check: bool,
}

/// Mounts the internal server's pages, and a 404 for all other paths.
pub fn configure_internal(
    parts: InternalParts,
) -> impl Fn(&mut ServiceConfig) + Clone + Send + 'static {
    let operator = Data::new(parts.operator);
    // The HTTP metrics cover only the two APIs (contract 9).
    let nobody = Observers::default();
    move |config: &mut ServiceConfig| {
        config.app_data(operator.clone());
        if parts.health {
            config.app_data(Data::new(Readiness {
                skip_store_check: parts.skip_store_check,
            }));
            for endpoint in HEALTH {
                config.service(Resource::new(endpoint.path).route((endpoint.handler)()));
            }
        }
        mount_metrics(parts.metrics.clone(), config);
        mount(config, BACKUP, &nobody);
        mount(config, LOOKS, &nobody);
        mount(config, ORDERS, &nobody);
        mount(config, STEERING, &nobody);
        config.default_service(web::to(not_found));
    }
}

fn mount_metrics(page: Option<MetricsPage>, config: &mut ServiceConfig) {
    let Some(page) = page else {
        return;
    };
    config.app_data(Data::new(page));
    for endpoint in METRICS {
        config.service(Resource::new(endpoint.path).route((endpoint.handler)()));
    }
}

/// Mounts only the read-only pages, for the management API (`api.debug.enabled`). Must be called before the gateway's
/// `configure`; the gateway's observers see its requests too.
pub fn configure_debug(
    operator: Arc<dyn OperatorApi>,
    gateway: &Gateway<dyn ManagementApi>,
) -> impl Fn(&mut ServiceConfig) + Clone + Send + 'static + use<> {
    let (operator, observers) = (Data::new(operator), gateway.observers());
    move |config: &mut ServiceConfig| {
        config.app_data(operator.clone());
        mount(config, LOOKS, &observers);
    }
}

/// Mounts each endpoint with its own method only.
fn mount(config: &mut ServiceConfig, endpoints: &[Endpoint], observers: &Observers) {
    for endpoint in endpoints {
        let route = (endpoint.handler)().method(endpoint.method.clone());
        let resource = Resource::new(endpoint.path).route(route);
        config.service(scoped(resource, endpoint.path, observers));
    }
}
