//! A running server as the commands see it: the traits of `maestro_api`, implemented by the gRPC
//! client.

use crate::address;
use anyhow::{anyhow, bail};
use maestro_api::{ApiResult, Code, ManagementApi, OperatorApi, RequestContext};
use maestro_core::text::escaped;
use maestro_grpc::{GrpcClient, Unreachable};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The address of a server with default settings.
pub const GRPC_URL: &str = "http://127.0.0.1:50051";
/// How its port is set; for errors.
const PORT: &str = "MAESTRO_GRPC_PORT, 50051 by default";

/// The connection timeout. A server that is up accepts at once, unless it hangs.
const REACHED_WITHIN: Duration = Duration::from_secs(10);
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// A server: its calls and its address.
pub struct Remote {
    pub management: Arc<dyn ManagementApi>,
    pub operator: Arc<dyn OperatorApi>,
    pub url: String,
}

/// A call that failed, in the server's words.
#[derive(Debug, thiserror::Error)]
#[error("{rpc} at {url}: {message}")]
pub struct Refused {
    pub code: Code,
    rpc: &'static str,
    url: String,
    message: String,
}

impl Remote {
    /// Checks first that a server is reachable; if none is, the error says what to do.
    ///
    /// # Errors
    /// If `url` cannot be called, or no gRPC server answers there.
    pub async fn connect(url: &str) -> anyhow::Result<Self> {
        let address = address::parse(url, GRPC_URL)?;
        if address.path() != "/" {
            bail!("--url {url:?} has a path: write it as {GRPC_URL}");
        }
        let client = Arc::new(GrpcClient::new(address.as_str())?);
        let reached = client.reach(REACHED_WITHIN).await;
        reached.map_err(|why| unreachable(address.as_str(), &why))?;
        Ok(Self {
            management: client.clone(),
            operator: client,
            url: address.into(),
        })
    }

    /// Makes one call, which `rpc` names in an error.
    ///
    /// # Errors
    /// The server's own, or that it did not answer.
    pub async fn ask<T>(
        &self,
        rpc: &'static str,
        call: impl AsyncFnOnce(&RequestContext) -> ApiResult<T>,
    ) -> Result<T, Refused> {
        let context = RequestContext {
            deadline: Some(Instant::now() + CALL_TIMEOUT),
            ..RequestContext::internal()
        };
        call(&context).await.map_err(|status| Refused {
            code: status.code,
            rpc,
            url: self.url.clone(),
            message: match context.expired() {
                true => format!("it did not answer within {CALL_TIMEOUT:?}"),
                false => escaped(&status.message).into_owned(),
            },
        })
    }
}

/// The error for a server that did not answer, with what to do about it.
fn unreachable(url: &str, why: &Unreachable) -> anyhow::Error {
    match why {
        Unreachable::NoConnection(cause) => address::unreachable("gRPC server", url, cause, PORT),
        Unreachable::NotGrpc(cause) => anyhow!(
            "what listens at {url} does not answer over gRPC ({cause}); if that is one of the HTTP ports, name the gRPC \
             server's with --url (its port: {PORT})"
        ),
        Unreachable::Silent => anyhow!(
            "the gRPC server at {url} did not answer within {REACHED_WITHIN:?}; see its log, and /debug/actors on its internal \
             server"
        ),
    }
}
