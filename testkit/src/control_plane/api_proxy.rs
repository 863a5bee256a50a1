//! A proxy in front of an API server that refuses, delays and loses single calls, and falls silent in watches.
//!
//! It speaks plain HTTP with its clients, one call a connection, and asks the API server as one user. What hurts all
//! calls alike is done to the encrypted connection by [`crate::proxy::Proxy`].

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyDataStream;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

use super::connection::connect;
use super::credentials::write_kubeconfig;

/// How often the rule is asked about an answer that is held.
const HOLD_LOOK: Duration = Duration::from_millis(20);

/// One call of a client.
#[derive(Clone, Debug)]
pub struct ApiCall {
    pub at: Timestamp,
    /// Such as `POST`.
    pub method: String,
    /// Without the query.
    pub path: String,
    pub query: String,
    pub body: String,
}

/// What happens to a call instead of its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not passed on, and refused with a status of Kubernetes.
    Refuse {
        code: u16,
        /// Such as `TooManyRequests`.
        reason: &'static str,
        /// When the client may ask again, in seconds.
        retry_after: Option<u32>,
    },
    /// It is passed on after this time.
    Delay(Duration),
    /// It is passed on, and its answer comes this much later.
    LateAnswer(Duration),
    /// It is passed on, and instead of its answer the connection is reset.
    LoseAnswer,
    /// It is passed on, and its answer waits until the rule says something else.
    HoldAnswer,
    /// It is not passed on, and the connection is reset.
    Reset,
    /// It is not passed on, and never answered.
    Ignore,
}

/// What happens to watches.
#[derive(Clone, Copy, Debug, Default)]
struct Watches {
    /// What comes is lost, and the client does not hear of it.
    are_mute: bool,
    /// Those that were open at one of these times are reset.
    resets: u64,
}

type Rule = Arc<dyn Fn(&ApiCall) -> Option<Fault> + Send + Sync>;

/// A running proxy.
pub struct ApiProxy {
    state: Arc<State>,
    folder: TempDir,
    task: AbortHandle,
}

struct State {
    client: Client,
    rule: Mutex<Rule>,
    calls: Mutex<Vec<ApiCall>>,
    watches: watch::Sender<Watches>,
}

impl ApiProxy {
    /// In front of what this kubeconfig leads to, as the user that it names. At first every call passes.
    pub async fn start(kubeconfig: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let folder = TempDir::with_prefix("maestro-api-proxy-").unwrap();
        // A user without a name: the proxy says who asks.
        write_kubeconfig(&folder.path().join("kubeconfig"), &server, None, "");
        let state = Arc::new(State {
            client: connect(kubeconfig).await,
            rule: Mutex::new(Arc::new(|_| None)),
            calls: Mutex::new(Vec::new()),
            watches: watch::channel(Watches::default()).0,
        });
        let task = tokio::spawn(serve(listener, Arc::clone(&state)));
        Self {
            state,
            folder,
            task: task.abort_handle(),
        }
    }

    /// For its clients.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// A new client.
    pub async fn client(&self) -> Client {
        connect(&self.kubeconfig()).await
    }

    /// Decides from now on what happens to each new call: `None` lets it pass.
    pub fn set(&self, rule: impl Fn(&ApiCall) -> Option<Fault> + Send + Sync + 'static) {
        *self.state.rule.lock() = Arc::new(rule);
    }

    /// All calls so far, also those that did not pass.
    pub fn calls(&self) -> Vec<ApiCall> {
        self.state.calls.lock().clone()
    }

    /// Resets the watches that are open now.
    pub fn reset_watches(&self) {
        self.state
            .watches
            .send_modify(|watches| watches.resets += 1);
    }

    /// Loses what watches hear, also their ends. Those that have lost something hear nothing any more, also when this
    /// has ended.
    pub fn mute_watches(&self, on: bool) {
        self.state
            .watches
            .send_modify(|watches| watches.are_mute = on);
    }
}

impl Drop for ApiProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for ApiProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiProxy")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// The connections end with this task.
async fn serve(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((client, _)) = accepted {
                connections.spawn(connection(client, Arc::clone(&state)));
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(client: TcpStream, state: Arc<State>) {
    let mut client = BufReader::new(client);
    if answer(&mut client, &state).await.is_err() {
        // The client sees a reset, and no end.
        let _ = client.get_ref().set_zero_linger();
    }
}

/// An error means a reset.
async fn answer(client: &mut BufReader<TcpStream>, state: &State) -> io::Result<()> {
    let Some(request) = read(client).await? else {
        return Ok(());
    };
    let (parts, body) = request.into_parts();
    let call = ApiCall {
        at: Timestamp::now(),
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let is_watch = call.query.contains("watch=true") || call.query.contains("watch=1");
    let watches = is_watch.then(|| state.watches.subscribe());
    let decide = |call| {
        let rule = Arc::clone(&state.rule.lock());
        rule(call)
    };
    let fault = decide(&call);
    state.calls.lock().push(call.clone());
    match &fault {
        Some(Fault::Reset) => return Err(io::ErrorKind::ConnectionReset.into()),
        Some(Fault::Ignore) => std::future::pending().await,
        Some(Fault::Delay(time)) => sleep(*time).await,
        Some(Fault::Refuse {
            code,
            reason,
            retry_after,
        }) => {
            return refuse(client, *code, reason, *retry_after).await;
        }
        Some(Fault::LoseAnswer | Fault::LateAnswer(_) | Fault::HoldAnswer) | None => {}
    }
    let request = Request::from_parts(parts, Body::from(body));
    let answer = state.client.send(request).await.map_err(io::Error::other)?;
    if fault == Some(Fault::LoseAnswer) {
        let all = answer.into_body().collect_bytes().await;
        all.map_err(io::Error::other)?;
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    while fault == Some(Fault::HoldAnswer) && decide(&call) == Some(Fault::HoldAnswer) {
        sleep(HOLD_LOOK).await;
    }
    if let Some(Fault::LateAnswer(after)) = fault {
        sleep(after).await;
    }
    pass(client, answer, watches).await
}

/// One request; `None` if the client ends the connection instead.
async fn read(client: &mut BufReader<TcpStream>) -> io::Result<Option<Request<Vec<u8>>>> {
    let wrong = || io::Error::from(io::ErrorKind::InvalidData);
    let mut first = String::new();
    if client.read_line(&mut first).await? == 0 {
        return Ok(None);
    }
    let mut words = first.split_whitespace();
    let (method, uri) = words.next().zip(words.next()).ok_or_else(wrong)?;
    let mut request = Request::builder().method(method).uri(uri);
    let mut length = 0;
    loop {
        let mut line = String::new();
        client.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().map_err(io::Error::other)?,
            // Those of the connection are not the server's.
            "host" | "connection" | "authorization" => {}
            name => request = request.header(name, value),
        }
    }
    let mut body = vec![0; length];
    client.read_exact(&mut body).await?;
    request.body(body).map(Some).map_err(io::Error::other)
}

async fn refuse(
    client: &mut BufReader<TcpStream>,
    code: u16,
    reason: &str,
    retry_after: Option<u32>,
) -> io::Result<()> {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
        "message": format!("{reason}: the test says so"),
        "details": {"retryAfterSeconds": retry_after.unwrap_or(0)},
    });
    let retry = retry_after.map_or_else(String::new, |time| format!("retry-after: {time}\r\n"));
    let head = format!("HTTP/1.1 {code} Refused\r\ncontent-type: application/json\r\n{retry}");
    let text = format!("{head}connection: close\r\n\r\n{status}");
    client.write_all(text.as_bytes()).await?;
    client.shutdown().await
}

/// Passes the answer on as it comes; it ends with the connection.
async fn pass(
    client: &mut BufReader<TcpStream>,
    answer: Response<Body>,
    watches: Option<watch::Receiver<Watches>>,
) -> io::Result<()> {
    let (parts, body) = answer.into_parts();
    let head = head(parts.status.as_u16(), &parts.headers);
    client.write_all(head.as_bytes()).await?;
    let mut pieces = BodyDataStream::new(body).map_err(io::Error::other);
    let Some(watches) = watches else {
        while let Some(piece) = pieces.try_next().await? {
            client.write_all(&piece).await?;
        }
        return client.shutdown().await;
    };
    let (before, mut hears) = (watches.borrow().resets, true);
    let mut changes = watches.clone();
    let mut is_reset = std::pin::pin!(async move {
        // An error says that the proxy is gone.
        let _ = changes.wait_for(|now| now.resets != before).await;
    });
    loop {
        tokio::select! {
            () = &mut is_reset => return Err(io::ErrorKind::ConnectionReset.into()),
            piece = pieces.try_next(), if hears => match piece {
                _ if watches.borrow().are_mute => hears = false,
                Err(error) => return Err(error),
                Ok(None) => return client.shutdown().await,
                Ok(Some(piece)) => client.write_all(&piece).await?,
            }
        }
    }
}

fn head(code: u16, headers: &HeaderMap) -> String {
    let kept = |name: &str| !matches!(name, "content-length" | "transfer-encoding" | "connection");
    let kept = headers.iter().filter(|(name, _)| kept(name.as_str()));
    let lines = kept.map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes());
        format!("{name}: {value}\r\n")
    });
    let lines = lines.collect::<String>();
    format!("HTTP/1.1 {code} Passed\r\n{lines}connection: close\r\n\r\n")
}
