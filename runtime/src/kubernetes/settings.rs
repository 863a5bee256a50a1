//! Settings of rooms as pods, and the errors of opening them.

use k8s_openapi::api::core::v1::PodSecurityContext;
use maestro_core::domain::PortRange;
use std::path::PathBuf;
use std::time::Duration;

/// Where a pod finds its credentials.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// How the cluster is reached.
#[derive(Clone, Debug)]
pub enum Access {
    /// By the service account in a folder, as pods have it. Its files are read again when they are rotated.
    ServiceAccount {
        /// The URL of the API server.
        server: String,
        /// The folder with `token` and `ca.crt`.
        folder: PathBuf,
    },
    /// By a kubeconfig.
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// Replaces the server of the file (D20).
        master_url: Option<String>,
    },
}

impl Access {
    /// That of the pod in which this process runs.
    ///
    /// # Errors
    /// If it runs in none.
    pub fn in_cluster() -> Result<Self, OpenError> {
        let missing =
            |name: &str| OpenError::NotInCluster(format!("the variable {name} is not set"));
        let variable = |name: &str| std::env::var(name).map_err(|_| missing(name));
        let host = variable("KUBERNETES_SERVICE_HOST")?;
        let port = variable("KUBERNETES_SERVICE_PORT")?;
        let host = match host.contains(':') {
            true => format!("[{host}]"),
            false => host,
        };
        Ok(Self::ServiceAccount {
            server: format!("https://{host}:{port}"),
            folder: SERVICE_ACCOUNT.into(),
        })
    }
}

/// The topology spread of a scheduler's pods (contract 4.8).
#[derive(Clone, Debug)]
pub struct TopologySpread {
    /// By how many pods two domains may differ.
    pub max_skew: i32,
    /// Label of nodes that defines the domains.
    pub topology_key: String,
    /// Whether pods are scheduled although the spread cannot be kept.
    pub schedule_anyway: bool,
}

/// What the operator adds to every pod. By default nothing, so that a pod is exactly that of contract 4.8.
#[derive(Clone, Debug, Default)]
pub struct PodDefaults {
    /// Names of secrets in the scheduler's namespace.
    pub image_pull_secrets: Vec<String>,
    /// Whether rooms get a token for the API server.
    pub automount_service_account_token: Option<bool>,
    /// User, groups and further rights of the processes.
    pub security_context: Option<PodSecurityContext>,
    /// Which pods are preempted first.
    pub priority_class_name: Option<String>,
    /// The service account in the scheduler's namespace.
    pub service_account_name: Option<String>,
}

/// What the operator of a runtime is started from.
#[derive(Clone, Debug)]
pub struct OperatorImage {
    /// The image with its tag.
    pub image: String,
}

/// Settings of runtimes.
#[derive(Clone, Debug)]
pub struct PlatformSettings {
    /// The entry point of a runtime is `<namespace>.<this>`.
    pub base_domain: String,
    /// Told to the operator, whose image is then pulled only if it is missing.
    pub development: bool,
    /// `None`: runtimes have no operator.
    pub operator: Option<OperatorImage>,
}

impl Default for PlatformSettings {
    fn default() -> Self {
        Self {
            base_domain: "local".to_owned(),
            development: false,
            operator: None,
        }
    }
}

/// A security context from its JSON, for [`PodDefaults`].
///
/// # Errors
/// Where the text is not one.
pub fn security_context(text: &str) -> Result<PodSecurityContext, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

/// Settings of a Kubernetes runtime.
#[derive(Clone, Debug)]
pub struct KubernetesSettings {
    /// How the cluster is reached.
    pub access: Access,
    /// Calls per second; 0 stands for 5, as in other clients.
    pub qps: u32,
    /// Calls at once after a pause; 0 stands for 10.
    pub burst: u32,
    /// How long one call may take, its retries included.
    pub call_timeout: Duration,
    /// How long one watch lasts, in whole seconds: a connection that died silently is noticed after this time.
    pub watch_timeout: Duration,
    /// How long a room may be silent, and its node not be ready, before it counts as ended.
    pub silence: Duration,
    /// How long a node may be gone before pods on it that were deleted are deleted by force.
    pub deletion_timeout: Duration,
    /// For ports without a range of their own (`adapters.portAllocator.random.range`).
    pub default_ports: Option<PortRange>,
    /// `None`: pods are not spread.
    pub topology_spread: Option<TopologySpread>,
    /// What the operator adds to every pod.
    pub pod: PodDefaults,
    /// The level of Pod Security that new namespaces enforce; `None`: the cluster's default.
    pub pod_security: Option<String>,
    /// Runtimes, as the K8s manager creates them.
    pub platform: PlatformSettings,
}

impl KubernetesSettings {
    /// With the defaults of contract 1.4.
    pub fn new(access: Access) -> Self {
        Self {
            access,
            qps: 100,
            burst: 200,
            call_timeout: Duration::from_secs(15),
            watch_timeout: Duration::from_secs(45),
            silence: Duration::from_secs(240),
            deletion_timeout: Duration::from_secs(120),
            default_ports: None,
            topology_spread: None,
            pod: PodDefaults::default(),
            pod_security: None,
            platform: PlatformSettings::default(),
        }
    }
}

/// Why rooms cannot be run as pods.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The process does not run in a pod.
    #[error(
        "adapters.runtime.kubernetes.inCluster is on, but this process runs in no pod ({0}); set \
         adapters.runtime.kubernetes.kubeconfig instead"
    )]
    NotInCluster(String),
    /// The kubeconfig cannot be used.
    #[error(
        "cannot use the kubeconfig {path}: {source}; correct adapters.runtime.kubernetes.kubeconfig"
    )]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: kube::config::KubeconfigError,
    },
    /// Not a URL.
    #[error(
        "adapters.runtime.kubernetes.masterUrl is {url:?}, which is no URL such as https://10.0.0.1:6443"
    )]
    MasterUrl {
        /// The setting.
        url: String,
    },
    /// The credentials cannot be used.
    #[error("cannot make a client of Kubernetes: {0}")]
    Client(#[source] Box<kube::Error>),
    /// There is no runtime for the client's tasks.
    #[error("the Kubernetes runtime must be opened inside a tokio runtime")]
    NoTokioRuntime,
}
