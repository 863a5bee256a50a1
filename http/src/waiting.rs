//! The servers of a process that waits for its stores, which is alive but not ready; and the one of a process that
//! serves nothing but its health.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::http::StatusCode;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpResponse, Resource};
use maestro_api::Status;

use crate::gateway::refusal;
use crate::internal::{alive, not_found, text};

/// Mounts the health pages (`internalApi.healthcheck.enabled`), and a 404 for all other paths.
pub fn configure_waiting(health: bool) -> impl Fn(&mut ServiceConfig) + Clone + Send + 'static {
    move |config: &mut ServiceConfig| {
        if health {
            for path in ["/health", "/healthz"] {
                config.service(Resource::new(path).to(alive));
            }
            config.service(Resource::new("/readyz").to(not_ready));
        }
        config.default_service(web::to(not_found));
    }
}

/// Mounts the health pages of a process that is ready while it says so, and a 404 for all other paths.
pub fn configure_watched(
    ready: Arc<AtomicBool>,
) -> impl Fn(&mut ServiceConfig) + Clone + Send + 'static {
    move |config: &mut ServiceConfig| {
        for path in ["/health", "/healthz"] {
            config.service(Resource::new(path).to(alive));
        }
        let ready = ready.clone();
        let is_ready = move || {
            let ready = ready.load(Ordering::Relaxed);
            async move {
                match ready {
                    true => alive().await,
                    false => not_ready().await,
                }
            }
        };
        config.service(Resource::new("/readyz").to(is_ready));
        config.default_service(web::to(not_found));
    }
}

/// Refuses everything: without an answer a caller would wait for its own timeout.
pub fn configure_refusing(config: &mut ServiceConfig) {
    config.default_service(web::to(refused));
}

async fn refused() -> HttpResponse {
    let why = "Maestro is starting and cannot reach its stores yet; try again in a moment";
    refusal(Status::unavailable(why))
}

async fn not_ready() -> HttpResponse {
    text::text(
        StatusCode::SERVICE_UNAVAILABLE,
        text::TEXT,
        "Service Unavailable",
    )
}
