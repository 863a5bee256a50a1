//! Watches as streams of gRPC.

use std::time::Instant;

use futures_util::stream::{self, BoxStream, StreamExt};
use maestro_api::codec::messages::resourcemetrics::Response;
use maestro_api::{ApiResult, Code, Status, Tick, Watch};

use crate::status::status;

/// The messages of a watch of samples. What failed once is not told, because a stream of gRPC has no place for it
/// beside its end.
pub fn samples(watch: Watch) -> BoxStream<'static, ApiResult<Response>> {
    let messages = watch.filter_map(async |tick| match tick {
        Ok(Tick::Samples(samples)) => Some(Ok(samples)),
        Ok(Tick::Failed(_)) => None,
        Err(ended) => Some(Err(ended)),
    });
    messages.boxed()
}

/// The stream of a watch, which ends when its caller stops waiting.
pub fn until_deadline<T: Send + 'static>(
    watch: BoxStream<'static, ApiResult<T>>,
    deadline: Option<Instant>,
) -> BoxStream<'static, Result<T, tonic::Status>> {
    let messages = watch.map(|told| told.map_err(status));
    let Some(deadline) = deadline else {
        return messages.boxed();
    };
    let late = Status::new(Code::DeadlineExceeded, "context deadline exceeded");
    let alarm = tokio::time::sleep_until(deadline.into());
    let end = stream::once(async move { Err(status(late)) });
    // A watch that ended by itself has its own last word.
    let mut over = false;
    messages
        .map(Some)
        .chain(stream::once(async { None }))
        .take_until(alarm)
        .chain(end.map(Some))
        .scan((), move |(), item| {
            let item = match over {
                true => None,
                false => item,
            };
            over |= !matches!(item, Some(Ok(_)));
            std::future::ready(item)
        })
        .boxed()
}
