//! The internal server of a process that hosts no schedulers: health pages, readiness, and its own metrics.

use actix_web::Resource;
use actix_web::web::{self, ServiceConfig};

use crate::internal::{MetricsPage, alive, mount_metrics, not_found};

/// Mounts the pages of a standby process. It has no store that could make it unready.
pub fn configure_standby(
    metrics: Option<MetricsPage>,
    health: bool,
) -> impl Fn(&mut ServiceConfig) + Clone + Send + 'static {
    move |config: &mut ServiceConfig| {
        if health {
            for path in ["/health", "/healthz", "/readyz"] {
                config.service(Resource::new(path).to(alive));
            }
        }
        mount_metrics(metrics.clone(), config);
        config.default_service(web::to(not_found));
    }
}
