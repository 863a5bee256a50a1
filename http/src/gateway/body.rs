//! Reads request bodies, with limits on size and time.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::body::MessageBody;
use actix_web::error::PayloadError;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap};
use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::StreamExt;
use maestro_api::{Code, Status};

use super::answer::{ClosesAfter, Failure, SizedResponse};
use crate::progress::Progress;

/// Limits of a body.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    pub bytes: usize,
    /// Time limit for the body: actix-web's own request timeout covers only the head.
    pub deadline: Duration,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self {
            bytes: 1 << 20,
            deadline: Duration::from_secs(10),
        }
    }
}

/// Reads the whole body.
///
/// A body that is too large is answered with 413 and code 8 (`ResourceExhausted`, as gRPC answers messages above its
/// limit), one that is too slow with 408 and code 4; a broken connection is an "unexpected end" in the contract's
/// terms.
pub async fn read(
    payload: &mut Payload,
    headers: &HeaderMap,
    limits: BodyLimits,
    progress: Option<&Progress>,
) -> Result<Bytes, Failure> {
    let declared = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > limits.bytes as u64) {
        return Err(too_large(limits));
    }
    let whole = tokio::time::timeout(limits.deadline, collect(payload, limits));
    let whole = match progress {
        Some(progress) => progress.reading(whole).await,
        None => whole.await,
    };
    match whole {
        Ok(result) => result,
        Err(_) => Err(Failure::Http(
            StatusCode::REQUEST_TIMEOUT,
            Status::new(
                Code::DeadlineExceeded,
                format!("request body took longer than {:?}", limits.deadline),
            ),
        )),
    }
}

/// Reads the body for an endpoint outside of the gateway, with the same limits. The error is the response.
pub async fn read_own(
    headers: &HeaderMap,
    mut payload: Payload,
    progress: Option<&Progress>,
) -> Result<Bytes, HttpResponse> {
    let read = read(&mut payload, headers, BodyLimits::default(), progress).await;
    read.map_err(|failure| {
        let answer = SizedResponse::failure(&failure).response;
        answer.map_body(|_, body| {
            ClosesAfter {
                body,
                _unread: payload.into_inner(),
            }
            .boxed()
        })
    })
}

async fn collect(payload: &mut Payload, limits: BodyLimits) -> Result<Bytes, Failure> {
    // Nearly every body is one chunk, which is returned without a copy.
    let Some(first) = payload.next().await else {
        return Ok(Bytes::new());
    };
    let first = first.map_err(|error| broken(&error, limits))?;
    let mut rest: Option<BytesMut> = None;
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| broken(&error, limits))?;
        let whole = rest.get_or_insert_with(|| BytesMut::from(&first[..]));
        if whole.len() + chunk.len() > limits.bytes {
            return Err(too_large(limits));
        }
        whole.extend_from_slice(&chunk);
    }
    let whole = rest.map_or(first, BytesMut::freeze);
    if whole.len() > limits.bytes {
        Err(too_large(limits))
    } else {
        Ok(whole)
    }
}

fn too_large(limits: BodyLimits) -> Failure {
    let message = format!("request body exceeds the limit of {} bytes", limits.bytes);
    Failure::Http(
        StatusCode::PAYLOAD_TOO_LARGE,
        Status::new(Code::ResourceExhausted, message),
    )
}

fn broken(error: &PayloadError, limits: BodyLimits) -> Failure {
    match error {
        PayloadError::Overflow => too_large(limits),
        PayloadError::Incomplete(_) => Failure::Status(Status::invalid_argument("unexpected EOF")),
        other => Failure::Status(Status::invalid_argument(format!(
            "cannot read the request body: {other}"
        ))),
    }
}
