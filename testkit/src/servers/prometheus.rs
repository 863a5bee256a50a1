//! A real Prometheus server (Debian's package `prometheus`) on a free loopback port, which scrapes pods of known size.
//!
//! It ends with the handle, and with the process of the test however that ends.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fmt::Write;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs};

use tempfile::TempDir;
use tokio::net::TcpStream;

use super::http::{Answer, HttpServer};

const PROGRAM: &str = "prometheus";
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Starts the server behind it, and ends it when its own input ends.
const KEEPER: &str = r#"
exec 3<&0
"$@" </dev/null >/dev/null 2>&1 3<&- &
read -r _ <&3
kill -9 $!
wait $!
"#;

/// A pod as the exporter shows it.
#[derive(Clone, Debug)]
pub struct KnownPod {
    pub namespace: &'static str,
    pub name: &'static str,
    /// The label `version-name`; `None`: kube-state-metrics does not export it.
    pub version: Option<&'static str>,
    pub cores: f64,
    pub bytes: f64,
}

/// A running server with its exporter.
pub struct PrometheusServer {
    pub url: String,
    keeper: Child,
    _exporter: HttpServer,
    _folder: TempDir,
}

impl PrometheusServer {
    /// Scrapes these pods four times a second. `rules` is the text of a file of rules. `None` if the program is
    /// missing; then the test is skipped, and says so.
    ///
    /// # Panics
    /// If the program is missing although the environment variable `CI` is set, or if the server does not start.
    pub async fn start(pods: Vec<KnownPod>, rules: &str) -> Option<Self> {
        if Command::new(PROGRAM).arg("--version").output().is_err() {
            let missing = "SKIPPED: prometheus is missing; cargo xtask setup installs it";
            assert!(env::var_os("CI").is_none(), "{missing}");
            eprintln!("{missing}");
            return None;
        }
        let begun = Instant::now();
        let exporter = HttpServer::start(move |_| Answer::Text(200, page(&pods, begun))).await;
        let folder = tempfile::tempdir().unwrap();
        let target = exporter.address;
        let config = format!(
            "global: {{scrape_interval: 250ms, scrape_timeout: 250ms, evaluation_interval: 250ms}}\n\
             rule_files: [rules.yml]\n\
             scrape_configs:\n- job_name: pods\n  honor_labels: true\n  static_configs: [{{targets: ['{target}']}}]\n"
        );
        fs::write(folder.path().join("prometheus.yml"), config).unwrap();
        fs::write(folder.path().join("rules.yml"), rules).unwrap();
        // The port may be taken by another process between its choice and its use: then the server does not start.
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = port.local_addr().unwrap();
        drop(port);
        let at = |name: &str| folder.path().join(name).display().to_string();
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "sh", PROGRAM])
            .arg(format!("--config.file={}", at("prometheus.yml")))
            .arg(format!("--storage.tsdb.path={}", at("data")))
            .arg(format!("--web.listen-address={address}"))
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self {
            url: format!("http://{address}"),
            keeper,
            _exporter: exporter,
            _folder: folder,
        };
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(address).await.is_err() {
            assert!(Instant::now() < until, "prometheus does not start");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Some(server)
    }
}

impl Drop for PrometheusServer {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// The page that cAdvisor and kube-state-metrics would have of these pods: each container is also counted in the cgroup
/// of its pod, beside a pause container.
fn page(pods: &[KnownPod], begun: Instant) -> String {
    let seconds = begun.elapsed().as_secs_f64();
    let mut page = String::from(
        "# TYPE container_cpu_usage_seconds_total counter\n# TYPE container_memory_working_set_bytes gauge\n",
    );
    for pod in pods {
        let KnownPod {
            namespace,
            name,
            version,
            cores,
            bytes,
        } = pod;
        for (container, share) in [("game", 1.0), ("", 1.0), ("POD", 0.001)] {
            let labels =
                format!("namespace=\"{namespace}\",pod=\"{name}\",container=\"{container}\"");
            let (cpu, bytes) = (cores * share * seconds, bytes * share);
            let _ = writeln!(page, "container_cpu_usage_seconds_total{{{labels}}} {cpu}");
            let _ = writeln!(
                page,
                "container_memory_working_set_bytes{{{labels}}} {bytes}"
            );
        }
        let version = version.map(|version| format!(",label_version_name=\"{version}\""));
        let version = version.unwrap_or_default();
        let _ = writeln!(
            page,
            "kube_pod_labels{{namespace=\"{namespace}\",pod=\"{name}\"{version}}} 1"
        );
    }
    page
}
