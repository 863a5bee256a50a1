//! The internal server of a process that hosts nothing: it is alive, ready, and has metrics of its own.

use actix_web::Resource;
use actix_web::web::{self, ServiceConfig};

use crate::internal::{MetricsPage, alive, mount_metrics, not_found};

/// Mounts the pages of a stand-by. There is no store of its own that could keep it from being ready.
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
