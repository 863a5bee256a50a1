//! Checks whether a gRPC server answers, and why not, before any call is made.

use std::error::Error;
use std::time::Duration;

use tonic::ConnectError;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::GrpcClient;

/// Why no server of gRPC answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreachable {
    /// The connection failed, with this cause.
    NoConnection(String),
    /// A connection exists, but the answer is not gRPC; the text describes it.
    NotGrpc(String),
    /// A connection may exist, but no answer arrived.
    Silent,
}

impl GrpcClient {
    /// Calls the server's health service. Any gRPC answer counts as reached.
    ///
    /// # Errors
    /// When there was no answer within this time, or none that is gRPC.
    pub async fn reach(&self, within: Duration) -> Result<(), Unreachable> {
        let mut health = HealthClient::new(self.channel.clone());
        let asked = health.check(HealthCheckRequest::default());
        let Ok(answer) = tokio::time::timeout(within, asked).await else {
            return Err(Unreachable::Silent);
        };
        // A status sent by the server has no source; only local failures have one.
        match answer.as_ref().err().and_then(Error::source) {
            None => Ok(()),
            Some(source) => Err(unreachable(source)),
        }
    }
}

fn unreachable(error: &(dyn Error + 'static)) -> Unreachable {
    let chain = || std::iter::successors(Some(error), |error| (**error).source());
    // The other errors of the chain repeat it or are less specific.
    let cause = chain().last().unwrap_or(error).to_string();
    match chain().any(|error| error.is::<ConnectError>()) {
        true => Unreachable::NoConnection(cause),
        false => Unreachable::NotGrpc(cause),
    }
}
