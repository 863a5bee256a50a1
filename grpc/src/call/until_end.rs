//! What a call with a stream keeps until its last message has been sent or its client has left.

use http_body_util::BodyExt;
use tonic::body::Body;

use super::headers::code;
use super::metrics::Timed;
use crate::crowd::Call;

/// Its place among the calls of its connection, and its measurement.
pub struct UntilEnd {
    pub timed: Timed,
    pub under_way: Option<Call>,
}

impl UntilEnd {
    /// The body, which keeps this until its trailers. If it is dropped before, the client has left.
    pub fn of(self, body: Body) -> Body {
        let mut kept = Some(self);
        Body::new(body.map_frame(move |frame| {
            // Data frames leave it where it is.
            if let Some(trailers) = frame.trailers_ref()
                && let Some(Self { timed, under_way }) = kept.take()
            {
                timed.end(code(trailers));
                drop(under_way);
            }
            frame
        }))
    }
}
