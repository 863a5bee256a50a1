//! Names that a body repeats from its path.

use maestro_api::{ApiResult, Status};

/// What a body names is what its path names, or nothing.
///
/// # Errors
/// If it names something else: whoever sent it may mean either.
pub fn agrees(what: &str, body: &str, path: &str) -> ApiResult<()> {
    match body.is_empty() || body == path {
        true => Ok(()),
        false => Err(Status::invalid_argument(format!(
            "the body names the {what} {body:?}, and the path {path:?}"
        ))),
    }
}
