//! Whether a server of gRPC answers: for those who want to know why not before they ask for anything.

use std::error::Error;
use std::time::Duration;

use tonic::ConnectError;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::GrpcClient;

/// Why no server of gRPC answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreachable {
    /// There is no connection: the cause.
    NoConnection(String),
    /// There is one, and what came on it is not gRPC: what it was taken for.
    NotGrpc(String),
    /// There may be one, and nothing came.
    Silent,
}

impl GrpcClient {
    /// Asks for the server's health. Whatever it answers, it is there.
    ///
    /// # Errors
    /// When no answer came within this time, or none of gRPC.
    pub async fn reach(&self, within: Duration) -> Result<(), Unreachable> {
        let mut health = HealthClient::new(self.channel.clone());
        let asked = health.check(HealthCheckRequest::default());
        let Ok(answer) = tokio::time::timeout(within, asked).await else {
            return Err(Unreachable::Silent);
        };
        // What the other side said has no source: only failures on this side have.
        match answer.as_ref().err().and_then(Error::source) {
            None => Ok(()),
            Some(source) => Err(unreachable(source)),
        }
    }
}

fn unreachable(error: &(dyn Error + 'static)) -> Unreachable {
    let chain = || std::iter::successors(Some(error), |error| (**error).source());
    // The others repeat it, or say less.
    let cause = chain().last().unwrap_or(error).to_string();
    match chain().any(|error| error.is::<ConnectError>()) {
        true => Unreachable::NoConnection(cause),
        false => Unreachable::NotGrpc(cause),
    }
}
