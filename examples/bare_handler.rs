//! The least that an actix-web server can do with a ping: read the body into a map and answer.
//! What `docs/benchmarks.md` measures Maestro against.

use actix_web::{App, HttpServer, web};
use std::collections::HashMap;

async fn ping(body: web::Bytes) -> actix_web::HttpResponse {
    match serde_json::from_slice::<HashMap<String, serde_json::Value>>(&body) {
        Ok(_) => actix_web::HttpResponse::Ok()
            .content_type("application/json")
            .body("{\"success\":true}"),
        Err(error) => actix_web::HttpResponse::BadRequest().body(error.to_string()),
    }
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let port = std::env::args()
        .nth(1)
        .and_then(|port| port.parse().ok())
        .unwrap_or(8090);
    HttpServer::new(|| App::new().default_service(web::to(ping)))
        .workers(2)
        .bind(("127.0.0.1", port))?
        .run()
        .await
}
