//! The versions of a scheduler, as its owner knows them.

use maestro_actors::Node;
use maestro_core::state::{Command, LiveVersionView, Reply};

use crate::codec::messages::{
    ConfigPair, GetLiveVersionsRequest, GetLiveVersionsResponse, GetVersionConfigRequest,
    GetVersionConfigResponse, LiveVersion,
};
use crate::error::unexpected;
use crate::{ApiResult, RequestContext, Status};

pub async fn states(
    node: &Node,
    context: &RequestContext,
    request: GetLiveVersionsRequest,
) -> ApiResult<GetLiveVersionsResponse> {
    let versions = match &request.version {
        None => all(node, context, &request.scheduler_name).await?,
        Some(version) => vec![one(node, context, &request.scheduler_name, version).await?],
    };
    Ok(GetLiveVersionsResponse {
        versions: versions.into_iter().map(state).collect(),
    })
}

pub async fn config(
    node: &Node,
    context: &RequestContext,
    request: GetVersionConfigRequest,
) -> ApiResult<GetVersionConfigResponse> {
    let found = one(node, context, &request.scheduler_name, &request.version).await?;
    let pair = |(key, value): (&str, &str)| ConfigPair {
        key: key.to_owned(),
        value: value.to_owned(),
    };
    Ok(GetVersionConfigResponse {
        config: found.config.iter().map(pair).collect(),
    })
}

async fn all(
    node: &Node,
    context: &RequestContext,
    scheduler: &str,
) -> ApiResult<Vec<LiveVersionView>> {
    match super::ask(node, context, scheduler, Command::LiveVersions).await? {
        Reply::LiveVersions(versions) => Ok(versions),
        other => Err(unexpected(&other)),
    }
}

async fn one(
    node: &Node,
    context: &RequestContext,
    scheduler: &str,
    version: &str,
) -> ApiResult<LiveVersionView> {
    let mut known = all(node, context, scheduler).await?.into_iter();
    let found = known.find(|known| known.version.as_str() == version);
    found.ok_or_else(|| {
        Status::not_found(format!(
            "version {version} of scheduler {scheduler} not found"
        ))
    })
}

fn state(view: LiveVersionView) -> LiveVersion {
    LiveVersion {
        version: view.version.to_string(),
        state: view.phase.as_str().to_owned(),
        rooms_wanted: view.rooms_wanted,
        rooms: view.rooms,
        rooms_up: view.rooms_up,
        rooms_outdated: view.rooms_outdated,
        failure: view.failure,
    }
}
