//! Calls to the API server: one client, one rate limit, one deadline.

use super::failure;
use super::limiter::{CallCounts, Leave, Limiter, Permit, Refused, Urgency};
use super::settings::{Access, KubernetesSettings, OpenError};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use maestro_core::domain::SchedulerName;
use maestro_core::ports::RuntimeError;
use std::path::Path;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Tries of one call, the first included (contract 4.8).
const TRIES: u32 = 4;
/// The pause after the first try; each following one is five times as long.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A watch that is silent for longer than it may last by so much is dead.
const WATCH_SILENCE: Duration = Duration::from_secs(5);

/// Makes calls, on the runtime that it was opened on: connections end with the runtime that made them, and actors come
/// from others.
#[derive(Clone)]
pub struct Calls {
    client: Client,
    /// For watches, which are silent for long.
    watching: Client,
    limiter: Limiter,
    timeout: Duration,
    io: Handle,
}

impl Calls {
    /// Must be called on the runtime that is to make the calls. Does not call the API server yet: it may be away.
    ///
    /// # Errors
    /// If the credentials cannot be used.
    pub async fn open(
        settings: &KubernetesSettings,
        stopping: CancellationToken,
    ) -> Result<Self, OpenError> {
        let io = Handle::try_current().map_err(|_| OpenError::NoTokioRuntime)?;
        let config = configured(settings).await?;
        let calling = client(config.clone())?;
        Ok(Self {
            client: calling,
            watching: client(for_watches(config, settings))?,
            limiter: Limiter::start(settings.qps, settings.burst, stopping),
            timeout: settings.call_timeout,
            io,
        })
    }

    /// Makes one call for a scheduler, when it is its turn: `call` is one request. The deadline counts the time from
    /// when it is sent, not that in the queue. All our calls can be repeated: a transient failure is, within the
    /// deadline, and each try waits for its turn as a call of its own. A caller that goes away before it is sent takes
    /// it back; afterwards it is carried through.
    ///
    /// # Errors
    /// As the API server answers, or `Unavailable`.
    pub async fn run<T, F>(
        &self,
        scheduler: &SchedulerName,
        urgency: Urgency,
        call: impl Fn(Client) -> F + Send + Sync + 'static,
    ) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: Future<Output = kube::Result<T>> + Send,
    {
        let mut permit = self.limiter.admit(scheduler, urgency).await?;
        let (calls, scheduler) = (self.clone(), scheduler.clone());
        let task = self.io.spawn(async move {
            let (mut left, mut pause) = (calls.timeout, FIRST_PAUSE);
            for _ in 1..TRIES {
                let answer = calls.attempt(permit, &mut left, &call).await;
                let Err(Failure::Answer(error)) = &answer else {
                    return answer;
                };
                if !failure::is_transient(error) {
                    return answer;
                }
                let told = Duration::from_secs(failure::retry_after(error).into());
                let wait = pause.max(told);
                if wait >= left {
                    tokio::time::sleep(left).await;
                    return answer;
                }
                tokio::time::sleep(wait).await;
                left -= wait;
                pause *= 5;
                permit = calls.limiter.admit(&scheduler, urgency).await?;
            }
            calls.attempt(permit, &mut left, &call).await
        });
        task.await.unwrap_or(Err(Failure::Stopped))
    }

    async fn attempt<T, F>(
        &self,
        _permit: Permit,
        left: &mut Duration,
        call: &(impl Fn(Client) -> F + Sync),
    ) -> Result<T, Failure>
    where
        F: Future<Output = kube::Result<T>> + Send,
    {
        let sent = Instant::now();
        let answer = tokio::time::timeout(*left, call(self.client.clone())).await;
        *left = left.saturating_sub(sent.elapsed());
        match answer {
            Ok(answer) => answer.map_err(Failure::Answer),
            Err(_) => Err(Failure::Late(self.timeout)),
        }
    }

    /// Waits for the turn of a call that is made later: the next one about this scheduler with this urgency.
    ///
    /// # Errors
    /// As [`Limiter::leave`].
    pub async fn leave(
        &self,
        scheduler: &SchedulerName,
        urgency: Urgency,
    ) -> Result<Leave, Refused> {
        self.limiter.leave(scheduler, urgency).await
    }

    /// Pods of the whole cluster or of one scheduler, for a watch: it is not counted as a call.
    pub fn watched_pods(&self, scheduler: Option<&SchedulerName>) -> Api<Pod> {
        match scheduler {
            Some(scheduler) => Api::namespaced(self.watching.clone(), scheduler.as_str()),
            None => Api::all(self.watching.clone()),
        }
    }

    /// The runtime that makes the calls.
    pub fn io(&self) -> &Handle {
        &self.io
    }

    /// The calls until now.
    pub fn counts(&self) -> CallCounts {
        self.limiter.counts()
    }

    /// Whether calls wait because others have been made.
    pub fn are_behind(&self) -> bool {
        self.limiter.is_behind()
    }

    /// Calls that wait for their turn.
    pub fn waiting(&self) -> usize {
        self.limiter.waiting()
    }
}

/// Pods of a scheduler.
pub fn pods(client: Client, scheduler: &SchedulerName) -> Api<Pod> {
    Api::namespaced(client, scheduler.as_str())
}

/// All namespaces.
pub fn namespaces(client: Client) -> Api<Namespace> {
    Api::all(client)
}

/// All nodes.
pub fn nodes(client: Client) -> Api<Node> {
    Api::all(client)
}

/// Why a call has no good answer.
#[derive(Debug)]
pub enum Failure {
    /// The API server's answer, or the lack of one.
    Answer(kube::Error),
    /// It was sent, and may have been applied.
    Late(Duration),
    /// It was not sent: too many wait.
    Crowded,
    /// The runtime is shutting down.
    Stopped,
    /// It was not sent: the scheduler is no longer this process's.
    Left,
}

impl Failure {
    /// The HTTP code of the API server's answer; 0 without one.
    pub fn code(&self) -> u16 {
        match self {
            Self::Answer(kube::Error::Api(status)) => status.code,
            _ => 0,
        }
    }

    /// Whether the account of this process may not make the call.
    pub fn is_right_missing(&self) -> bool {
        match self {
            Self::Answer(kube::Error::Api(status)) => failure::is_right_missing(status),
            _ => false,
        }
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Crowded => Self::Crowded,
            Refused::Stopped => Self::Stopped,
        }
    }
}

impl From<Failure> for RuntimeError {
    fn from(failure: Failure) -> Self {
        let text = match failure {
            Failure::Answer(error) => return failure::of(error),
            Failure::Late(after) => format!("Kubernetes did not answer within {after:?}"),
            Failure::Crowded => "too many calls to Kubernetes are waiting; raise \
                 adapters.runtime.kubernetes.qps"
                .to_owned(),
            Failure::Stopped => "the Kubernetes runtime is shutting down".to_owned(),
            Failure::Left => "the scheduler is no longer that of this process".to_owned(),
        };
        RuntimeError::Unavailable(text.into())
    }
}

/// A client whose calls are neither limited nor repeated, for the preflight and for operators.
///
/// # Errors
/// If the credentials cannot be used.
pub async fn plain(settings: &KubernetesSettings) -> Result<Client, OpenError> {
    client(configured(settings).await?)
}

/// As [`plain`], for watches, which are silent for long.
///
/// # Errors
/// As [`plain`].
pub async fn plain_for_watches(settings: &KubernetesSettings) -> Result<Client, OpenError> {
    client(for_watches(configured(settings).await?, settings))
}

fn for_watches(mut config: Config, settings: &KubernetesSettings) -> Config {
    config.read_timeout = Some(settings.watch_timeout + WATCH_SILENCE);
    config
}

fn client(config: Config) -> Result<Client, OpenError> {
    Client::try_from(config).map_err(|e| OpenError::Client(Box::new(e)))
}

async fn configured(settings: &KubernetesSettings) -> Result<Config, OpenError> {
    let mut config = configuration(&settings.access).await?;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.reset_reader_on_write = true;
    // Its own retries take minutes and include creations and evictions.
    config.default_retry = false;
    config.read_timeout = Some(settings.call_timeout);
    Ok(config)
}

async fn configuration(access: &Access) -> Result<Config, OpenError> {
    match access {
        Access::ServiceAccount { server, folder } => in_cluster(server, folder),
        Access::Kubeconfig { path, master_url } => by_file(path, master_url.as_deref()).await,
    }
}

/// As kube's own, but for the folder. The token is read again each minute, the certificates too.
fn in_cluster(server: &str, folder: &Path) -> Result<Config, OpenError> {
    let missing = OpenError::NotInCluster;
    let token = folder.join("token");
    let authority = folder.join("ca.crt");
    for file in [&token, &authority] {
        if !file.is_file() {
            return Err(missing(format!("there is no file {}", file.display())));
        }
    }
    let url = server.parse();
    let mut config = Config::new(url.map_err(|_| missing(format!("{server} is no URL")))?);
    config.root_cert_file = Some(authority);
    config.auth_info.token_file = Some(token.display().to_string());
    Ok(config)
}

async fn by_file(path: &Path, master_url: Option<&str>) -> Result<Config, OpenError> {
    let unusable = |source| OpenError::Kubeconfig {
        path: path.to_owned(),
        source,
    };
    let file = Kubeconfig::read_from(path).map_err(unusable)?;
    let options = KubeConfigOptions::default();
    let mut config = Config::from_custom_kubeconfig(file, &options)
        .await
        .map_err(unusable)?;
    if let Some(url) = master_url {
        let wrong = |_| OpenError::MasterUrl {
            url: url.to_owned(),
        };
        config.cluster_url = url.parse().map_err(wrong)?;
    }
    Ok(config)
}
