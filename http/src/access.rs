//! Who may give the orders of the K8s manager over HTTP.

use actix_web::HttpRequest;
use actix_web::http::header::{AUTHORIZATION, HeaderValue};
use maestro_api::{ApiResult, ManagerAccess};

/// Checks that this caller may give orders.
pub fn may(access: &ManagerAccess, request: &HttpRequest) -> ApiResult<()> {
    let given = request.headers().get_all(AUTHORIZATION);
    let peer = request.peer_addr().map(|peer| peer.ip());
    access.check(given.map(HeaderValue::as_bytes), peer)
}
