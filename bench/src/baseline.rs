//! The baseline that Maestro is compared with, in a separate process: the least that an actix-web
//! server can do with a ping is to read the body into a map and answer.

use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::Context;
use std::collections::HashMap;

/// The number of threads that the server has on this machine.
fn workers() -> usize {
    std::thread::available_parallelism()
        .map_or(2, usize::from)
        .min(8)
}

async fn ping(body: web::Bytes) -> HttpResponse {
    match serde_json::from_slice::<HashMap<String, serde_json::Value>>(&body) {
        Ok(_) => HttpResponse::Ok()
            .content_type("application/json")
            .body("{\"success\":true}"),
        Err(error) => HttpResponse::BadRequest().body(error.to_string()),
    }
}

/// Prints its URL and serves until TERM.
///
/// # Errors
/// If no port is available.
pub fn serve() -> anyhow::Result<()> {
    let server = HttpServer::new(|| App::new().default_service(web::to(ping)))
        .workers(workers())
        .shutdown_timeout(1)
        .bind(("127.0.0.1", 0))
        .context("the baseline cannot listen")?;
    let address = server
        .addrs()
        .first()
        .copied()
        .context("a listener without an address")?;
    maestro_cli::print(&format!("http://{address}\n"))?;
    actix_rt::System::new()
        .block_on(server.run())
        .context("the baseline ended with an error")
}
