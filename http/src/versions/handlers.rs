//! Converts requests to calls of [`VersionsApi`] and [`maestro_api::OperatorApi`], and results to responses.

use std::collections::HashMap;

use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream::StreamExt;
use maestro_api::codec::messages::version::{NodeStatusRequest, Request, Response, Version};
use maestro_api::codec::messages::{GetLiveVersionsRequest, GetVersionConfigRequest};
use maestro_api::codec::{decode, encode};
use maestro_api::{ApiResult, RequestContext, Status, VersionsApi};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Called;
use crate::access::may;
use crate::conflict::{refused, written};
use crate::events::{error, respond};
use crate::named::agrees;
use crate::operator::query_of;
use crate::request_scope::context;
use crate::wait::Wait;

type At = Path<(String, String)>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Waiting {
    #[serde(default)]
    wait: Wait,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stopping {
    #[serde(default)]
    force: bool,
    #[serde(default)]
    wait: Wait,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Configuring {
    #[serde(default)]
    restart: String,
    #[serde(default)]
    wait: Wait,
}

/// The query parameters of an order.
trait Parameters: DeserializeOwned {
    /// Writes them into the order, and says how long the call waits for it.
    fn write(self, order: &mut Request) -> Wait;

    /// # Errors
    /// If the body lacks what the order cannot do without.
    fn check(&self, _body: &[u8]) -> ApiResult<()> {
        Ok(())
    }
}

impl Parameters for Waiting {
    fn write(self, _order: &mut Request) -> Wait {
        self.wait
    }
}

impl Parameters for Stopping {
    fn write(self, order: &mut Request) -> Wait {
        order.force = self.force;
        self.wait
    }
}

impl Parameters for Configuring {
    fn write(self, order: &mut Request) -> Wait {
        order.restart = self.restart;
        self.wait
    }

    /// No pairs are an order to remove all of them, which neither a misspelt field must be nor `null`, which is an
    /// absent one (contract 2.1).
    fn check(&self, body: &[u8]) -> ApiResult<()> {
        let mut first = serde_json::Deserializer::from_slice(body)
            .into_iter::<HashMap<String, Option<serde::de::IgnoredAny>>>();
        match first.next() {
            Some(Ok(fields)) if matches!(fields.get("config"), Some(Some(_))) => Ok(()),
            _ => Err(Status::invalid_argument(
                "the body has no `config`, which replaces all pairs: send an empty list to remove them",
            )),
        }
    }
}

impl Called {
    /// Gives an order: 202 once it is stored, or 200 once it is done.
    async fn give<P: Parameters>(
        &self,
        at: At,
        request: &HttpRequest,
        body: &Bytes,
        order: impl AsyncFnOnce(&dyn VersionsApi, &RequestContext, Request) -> ApiResult<Response>,
    ) -> HttpResponse {
        let (wanted, wait) = match self.read::<P>(at, request, body) {
            Ok(read) => read,
            Err(status) => return refused(status),
        };
        let context = context(request);
        let (status, outcome) = match wait.is_none() {
            true => (
                StatusCode::ACCEPTED,
                order(&*self.parts.orders, &context, wanted).await,
            ),
            false => {
                let context = wait.within(context);
                (
                    StatusCode::OK,
                    order(&*self.parts.until_done, &context, wanted).await,
                )
            }
        };
        match outcome {
            Ok(response) => written(status, &response),
            Err(status) => refused(status),
        }
    }

    /// What an order needs: the right to give it, its parameters, and what its path and body say of the version.
    fn read<P: Parameters>(
        &self,
        at: At,
        request: &HttpRequest,
        body: &Bytes,
    ) -> ApiResult<(Request, Wait)> {
        may(&self.parts.access, request)?;
        let parameters: P = query_of(request)?;
        let version: Version =
            decode(body).map_err(|error| Status::invalid_argument(error.to_string()))?;
        parameters.check(body)?;
        let (namespace, name) = at.into_inner();
        agrees("namespace", &version.namespace, &namespace)?;
        agrees("version", &version.name, &name)?;
        let mut wanted = Request {
            version: Some(Version {
                name,
                namespace,
                ..version
            }),
            ..Request::default()
        };
        let wait = parameters.write(&mut wanted);
        Ok((wanted, wait))
    }
}

pub async fn start(
    called: Data<Called>,
    at: At,
    request: HttpRequest,
    body: Bytes,
) -> HttpResponse {
    let order = async |api: &dyn VersionsApi, context: &_, wanted| api.start(context, wanted).await;
    called.give::<Waiting>(at, &request, &body, order).await
}

pub async fn stop(called: Data<Called>, at: At, request: HttpRequest, body: Bytes) -> HttpResponse {
    let order = async |api: &dyn VersionsApi, context: &_, wanted| api.stop(context, wanted).await;
    called.give::<Stopping>(at, &request, &body, order).await
}

pub async fn publish(
    called: Data<Called>,
    at: At,
    request: HttpRequest,
    body: Bytes,
) -> HttpResponse {
    let order =
        async |api: &dyn VersionsApi, context: &_, wanted| api.publish(context, wanted).await;
    called.give::<Waiting>(at, &request, &body, order).await
}

pub async fn unpublish(
    called: Data<Called>,
    at: At,
    request: HttpRequest,
    body: Bytes,
) -> HttpResponse {
    let order =
        async |api: &dyn VersionsApi, context: &_, wanted| api.unpublish(context, wanted).await;
    called.give::<Waiting>(at, &request, &body, order).await
}

pub async fn configure(
    called: Data<Called>,
    at: At,
    request: HttpRequest,
    body: Bytes,
) -> HttpResponse {
    let order =
        async |api: &dyn VersionsApi, context: &_, wanted| api.update_config(context, wanted).await;
    called.give::<Configuring>(at, &request, &body, order).await
}

/// A message of our own as JSON.
fn shown(outcome: ApiResult<impl Serialize>) -> HttpResponse {
    match outcome {
        Ok(body) => HttpResponse::Ok().json(body),
        Err(status) => refused(status),
    }
}

pub async fn config(called: Data<Called>, at: At, request: HttpRequest) -> HttpResponse {
    if let Err(status) = may(&called.parts.access, &request) {
        return refused(status);
    }
    let (scheduler_name, version) = at.into_inner();
    let wanted = GetVersionConfigRequest {
        scheduler_name,
        version,
    };
    let context = context(&request);
    shown(called.operator.get_version_config(&context, wanted).await)
}

pub async fn states(called: Data<Called>, at: Path<String>, request: HttpRequest) -> HttpResponse {
    let wanted = GetLiveVersionsRequest {
        scheduler_name: at.into_inner(),
        version: None,
    };
    let context = context(&request);
    shown(called.operator.get_live_versions(&context, wanted).await)
}

pub async fn state(called: Data<Called>, at: At, request: HttpRequest) -> HttpResponse {
    let (scheduler_name, version) = at.into_inner();
    let wanted = GetLiveVersionsRequest {
        scheduler_name,
        version: Some(version),
    };
    let context = context(&request);
    let read = called.operator.get_live_versions(&context, wanted);
    // There is one, or the call failed.
    shown(read.await.map(|found| found.versions.into_iter().next()))
}

pub async fn watch(called: Data<Called>, at: At, request: HttpRequest) -> HttpResponse {
    let (namespace, version) = at.into_inner();
    let wanted = NodeStatusRequest {
        namespace,
        versionName: version,
    };
    let context = context(&request);
    match called
        .parts
        .orders
        .watch_node_status(&context, wanted)
        .await
    {
        Ok(nodes) => {
            let texts = nodes.map(|told| match told {
                Ok(node) => (format!("event: status\ndata: {}\n\n", encode(&node)), true),
                Err(ended) => (error(&ended), false),
            });
            respond(texts.boxed(), context.deadline, &request)
        }
        Err(status) => refused(status),
    }
}

/// The query parameters of each endpoint, taken from serde's error for an unknown parameter.
#[cfg(test)]
pub(crate) fn known_parameters() -> [(&'static str, Vec<String>); 5] {
    use crate::operator::known_fields;
    [
        ("startVersion", known_fields::<Waiting>()),
        ("stopVersion", known_fields::<Stopping>()),
        ("publishVersion", known_fields::<Waiting>()),
        ("unpublishVersion", known_fields::<Waiting>()),
        ("configureVersion", known_fields::<Configuring>()),
    ]
}
