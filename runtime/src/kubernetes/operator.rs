//! The operator of one runtime: keeps the Service of its `Runtime` as that says, and writes what it sees into the
//! status. It knows no store and no scheduler, and its rights end with its namespace.
//!
//! A change of the `Runtime` or of the Service is followed at once; everything is looked at again from time to time.
//! The Service is read before the `Runtime` and written only as it was read, so that a publication which comes in
//! between is never undone.

use super::client::{plain, plain_for_watches};
use super::failure::chain;
use super::platform::{
    Report, SERVICE, as_read, is_another, rights, runtime_resource, service, written,
};
use super::settings::{KubernetesSettings, OpenError};
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use maestro_core::domain::SchedulerName;
use maestro_core::ports::{Published, ServicePort};
use serde::Deserialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Everything is looked at again this often.
const LOOK: Duration = Duration::from_secs(30);
/// The pause after a failure.
const RETRY: Duration = Duration::from_secs(2);
/// The ConfigMaps of versions.
const OUR_CONFIGS: &str = "type=version";
/// Changes come in groups.
const SETTLE: Duration = Duration::from_millis(100);

/// The operator of one namespace.
pub struct Operator {
    client: Client,
    watching: Client,
    watch_timeout: Duration,
    namespace: String,
    ready: Arc<AtomicBool>,
}

/// What the operator needs of a `Runtime`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    published_version: String,
    entrypoint: Entrypoint,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Entrypoint {
    ports: Vec<Port>,
}

#[derive(Debug, Deserialize)]
struct Port {
    protocol: String,
    port: u16,
}

impl Spec {
    fn published(&self) -> Option<Published> {
        let ports = self.entrypoint.ports.iter();
        let ports = ports.map(|port| ServicePort {
            protocol: port.protocol.clone(),
            port: port.port,
        });
        (!self.published_version.is_empty()).then(|| Published {
            version: self.published_version.as_str().into(),
            ports: ports.collect(),
        })
    }
}

impl Operator {
    /// Does not call the API server yet: it may be away.
    ///
    /// # Errors
    /// If the credentials cannot be used.
    pub async fn open(settings: &KubernetesSettings, namespace: &str) -> Result<Self, OpenError> {
        Ok(Self {
            client: plain(settings).await?,
            watching: plain_for_watches(settings).await?,
            watch_timeout: settings.watch_timeout,
            namespace: namespace.to_owned(),
            ready: Arc::default(),
        })
    }

    /// Whether the last look succeeded.
    pub fn is_ready(&self) -> Arc<AtomicBool> {
        self.ready.clone()
    }

    /// Follows the runtime until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut changes = self.changes();
        let mut told = String::new();
        loop {
            let looked = tokio::select! {
                () = stop.cancelled() => return,
                looked = self.look() => looked,
            };
            self.ready.store(looked.is_ok(), Ordering::Relaxed);
            let (pause, why) = match looked {
                Ok(()) => (LOOK, String::new()),
                Err(error) => (RETRY, chain(&error)),
            };
            if !why.is_empty() && why != told {
                tracing::warn!(why, "the runtime cannot be looked after; trying again");
            }
            told = why;
            let failed = pause == RETRY;
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
                _ = changes.next(), if !failed => {
                    tokio::time::sleep(SETTLE).await;
                    while changes.next().now_or_never().flatten().is_some() {}
                }
            }
        }
    }

    fn runtimes(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &runtime_resource())
    }

    fn services(&self) -> Api<Service> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// That something changed. Failures are logged by [`Self::look`], which fails for the same reasons.
    fn changes(&self) -> BoxStream<'static, ()> {
        let seconds = u32::try_from(self.watch_timeout.as_secs()).unwrap_or(u32::MAX);
        let all = watcher::Config::default().timeout(seconds);
        let one = |name: &str| all.clone().fields(&format!("metadata.name={name}"));
        let client = || self.watching.clone();
        let runtimes = Api::namespaced_with(client(), &self.namespace, &runtime_resource());
        let runtimes = watcher::<DynamicObject>(runtimes, one(&self.namespace));
        let services: Api<Service> = Api::namespaced(client(), &self.namespace);
        let services = watcher(services, one(SERVICE));
        let configs: Api<ConfigMap> = Api::namespaced(client(), &self.namespace);
        let configs = watcher(configs, all.labels(OUR_CONFIGS));
        stream::select_all([
            runtimes.default_backoff().map(|_| ()).boxed(),
            services.default_backoff().map(|_| ()).boxed(),
            configs.default_backoff().map(|_| ()).boxed(),
        ])
        .boxed()
    }

    async fn look(&self) -> kube::Result<()> {
        let found = self.services().get_opt(SERVICE).await?;
        let Some(runtime) = self.runtimes().get_opt(&self.namespace).await? else {
            // It is written after this operator was started, or the runtime is being removed.
            return Ok(());
        };
        let spec = runtime.data.get("spec").cloned().unwrap_or_default();
        let spec: Spec = serde_json::from_value(spec).map_err(kube::Error::SerdeError)?;
        let published = spec.published();
        let state = self.keep_service(found, published.as_ref()).await?;
        let mut report = Report::default();
        for object in rights() {
            let api: Api<DynamicObject> =
                Api::namespaced_with(self.client.clone(), &self.namespace, &object.resource);
            report.object(&object, api.get_opt(&object.name).await?.as_ref());
        }
        report.service(state.0, state.1);
        let configs: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let configs = configs.list_metadata(&ListParams::default()).await?;
        report.configs(
            published.as_ref(),
            configs.items.iter().map(ResourceExt::name_any),
        );
        match report.status(&runtime, jiff::Timestamp::now()) {
            Some(status) => {
                let patch = Patch::Merge(serde_json::json!({ "status": status }));
                let parameters = PatchParams::default();
                let api = self.runtimes();
                api.patch_status(&self.namespace, &parameters, &patch)
                    .await
                    .map(drop)
            }
            None => Ok(()),
        }
    }

    /// Whether the Service is as it has to be afterwards, and what is seen.
    async fn keep_service(
        &self,
        found: Option<Service>,
        published: Option<&Published>,
    ) -> kube::Result<(bool, String)> {
        let api: Api<DynamicObject> = Api::namespaced_with(
            self.client.clone(),
            &self.namespace,
            &ApiResource::erase::<Service>(&()),
        );
        let name = SchedulerName::from(self.namespace.as_str());
        let found = found.map(|found| written(&found)).transpose()?;
        let is_ours = found.as_ref().is_none_or(super::platform::is_ours);
        if !is_ours {
            return Ok((false, format!("Service {SERVICE} is not Maestro's")));
        }
        let Some(published) = published else {
            if let Some(found) = found {
                api.delete(SERVICE, &as_read(&found)).await?;
            }
            return Ok((true, "no version is published".to_owned()));
        };
        let wanted = service(name.as_str(), published);
        let found = match found {
            Some(found) if is_another(&wanted, &found) => {
                api.delete(SERVICE, &as_read(&found)).await?;
                None
            }
            found => found,
        };
        match found {
            None => {
                let new = serde_json::from_value(wanted.body).map_err(kube::Error::SerdeError)?;
                api.create(&PostParams::default(), &new).await?;
            }
            Some(found) => {
                if let Some(mut change) = super::platform::change(&wanted, &found) {
                    change["metadata"]["resourceVersion"] = found.resource_version().into();
                    let merged = Patch::Merge(&change);
                    api.patch(SERVICE, &PatchParams::default(), &merged).await?;
                }
            }
        }
        Ok((
            true,
            format!("Service {SERVICE} selects {}", published.version),
        ))
    }
}
