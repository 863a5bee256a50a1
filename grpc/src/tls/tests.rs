//! Nodes with right, wrong and no certificates, on real connections.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use maestro_api::codec::messages::{GetRoomRequest, UpdateRoomWithPingRequest};
use maestro_api::{Code, Peers, RequestContext, Status};
use maestro_testkit::certificates::{Authority, Signed};
use prometheus::Registry;
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::*;
use crate::script::{Does, Script};
use crate::{Audience, Bounds, GrpcControl, GrpcPeers, GrpcServer, NodeSecret};

const NAME: &str = "maestro-node";
const SOON: Duration = Duration::from_secs(10);

fn files(authority: &Authority, signed: &Signed) -> TlsFiles {
    TlsFiles {
        cert: signed.cert.clone(),
        key: signed.key.clone(),
        ca: authority.ca(),
        name: NAME.into(),
    }
}

fn node(authority: &Authority, file: &str) -> NodeTls {
    NodeTls::open(files(authority, &authority.sign(file, NAME))).unwrap()
}

/// As if the certificate had been a good one when it was loaded.
fn bad(authority: &Authority, like: &NodeTls, signed: &Signed) -> NodeTls {
    let files = files(authority, signed);
    let configs = files::read_unverified(&files, &like.0.name).unwrap();
    let stamps = Stamps::of(&files);
    NodeTls(Arc::new(Inner {
        files,
        name: like.0.name.clone(),
        loaded: Mutex::new(Loaded { stamps, configs }),
    }))
}

struct Served {
    script: Arc<Script>,
    address: String,
    control: GrpcControl,
    running: JoinHandle<std::io::Result<()>>,
}

impl Served {
    async fn start(tls: Option<NodeTls>, secret: Option<NodeSecret>) -> Self {
        let script = Script::new(Does::Answer);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (bounds, audience, registry) = (Bounds::new(8), Audience::Nodes, Registry::new());
        let server = GrpcServer::new(listener, bounds, &registry, script.apis(), audience);
        let mut server = server.await.unwrap();
        if let Some(tls) = tls {
            server = server.for_certified(tls);
        }
        if let Some(secret) = secret {
            server = server.for_those_who_know(secret);
        }
        Self {
            script,
            address,
            control: server.control(),
            running: tokio::spawn(server.run()),
        }
    }

    fn heard(&self) -> usize {
        self.script.heard.lock().unwrap().len()
    }

    async fn stop(self) {
        let running = async { self.running.await.unwrap().unwrap() };
        self.control.stop(Duration::ZERO, running).await;
    }
}

fn peers(tls: Option<NodeTls>, secret: Option<NodeSecret>) -> GrpcPeers {
    GrpcPeers::new(secret, Handle::current()).by_certificate(tls)
}

/// A call and a ping, which have connections in common.
async fn call(peers: &GrpcPeers, address: &str) -> Result<(), Status> {
    let (apis, context) = (peers.at(address)?, RequestContext::internal());
    let look = GetRoomRequest::default();
    let calls = async {
        apis.operator.get_room(&context, look).await?;
        let ping = UpdateRoomWithPingRequest::default();
        apis.rooms.update_room_with_ping(&context, ping).await
    };
    timeout(SOON, calls).await.expect("an answer").map(|_| ())
}

async fn refused(peers: &GrpcPeers, served: &Served) -> String {
    let why = call(peers, &served.address).await.unwrap_err();
    assert_eq!((why.code, served.heard()), (Code::Unavailable, 0), "{why}");
    why.message
}

#[tokio::test]
async fn nodes_of_one_authority_call_each_other() {
    let Some(authority) = Authority::new() else {
        return;
    };
    let (first, second) = (node(&authority, "first"), node(&authority, "second"));
    let served = Served::start(Some(first.clone()), None).await;
    for caller in [&first, &second] {
        call(&peers(Some(caller.clone()), None), &served.address)
            .await
            .unwrap();
    }
    assert_eq!(served.heard(), 4);
    served.stop().await;
    // The secret is asked for beside the certificate.
    let secret = || NodeSecret::new("correct-horse-battery");
    let served = Served::start(Some(first), secret()).await;
    let without = peers(Some(second.clone()), None);
    let why = call(&without, &served.address).await.unwrap_err();
    assert_eq!((why.code, served.heard()), (Code::Unavailable, 0), "{why}");
    call(&peers(Some(second), secret()), &served.address)
        .await
        .unwrap();
    served.stop().await;
}

#[tokio::test]
async fn certificates_of_others_are_refused_with_the_reason() {
    let (Some(authority), Some(foreign)) = (Authority::new(), Authority::new()) else {
        return;
    };
    let good = node(&authority, "good");
    let of = |signed: &Signed| bad(&authority, &good, signed);
    let itself = Signed {
        cert: foreign.ca(),
        key: foreign.ca().with_extension("key"),
    };
    let wrong = [
        (of(&authority.expired("old", NAME)), "xpired"),
        (
            of(&foreign.sign("foreign", NAME)),
            "UnknownCA|UnknownIssuer",
        ),
        (
            of(&itself),
            "CertificateUnknown|UnknownIssuer|CaUsedAsEndEntity",
        ),
        (
            of(&authority.sign("other", "no-node")),
            "BadCertificate|maestro-node",
        ),
    ];
    for (wrong, reasons) in wrong {
        let says = |why: &str, whose: &str| {
            let reason = reasons.split('|').any(|reason| why.contains(reason));
            let what = why.contains(whose) && why.contains("cluster.tls.ca");
            assert!(reason && what, "{why}");
        };
        let served = Served::start(Some(good.clone()), None).await;
        let why = refused(&peers(Some(wrong.clone()), None), &served).await;
        says(&why, "refuses the certificate of this one");
        served.stop().await;
        let served = Served::start(Some(wrong), None).await;
        let why = refused(&peers(Some(good.clone()), None), &served).await;
        says(&why, "the certificate of that node is refused");
        served.stop().await;
    }
}

#[tokio::test]
async fn a_node_without_tls_and_one_with_it_say_what_to_set() {
    let Some(authority) = Authority::new() else {
        return;
    };
    let tls = node(&authority, "node");
    let secret = || NodeSecret::new("correct-horse-battery");
    let served = Served::start(Some(tls.clone()), secret()).await;
    let why = refused(&peers(None, secret()), &served).await;
    assert!(why.contains("by TLS: set cluster.tls.cert"), "{why}");
    served.stop().await;
    let served = Served::start(None, secret()).await;
    let why = refused(&peers(Some(tls), secret()), &served).await;
    assert!(why.contains("does not speak TLS"), "{why}");
    assert!(why.contains("set cluster.tls.cert"), "{why}");
    served.stop().await;
}

#[tokio::test]
async fn a_caller_without_a_certificate_is_refused() {
    let Some(authority) = Authority::new() else {
        return;
    };
    let tls = node(&authority, "node");
    let served = Served::start(Some(tls.clone()), None).await;
    let mut roots = rustls::RootCertStore::empty();
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    roots
        .add(CertificateDer::from_pem_file(authority.ca()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(&served.address).await.unwrap();
    let mut stream = connector.connect(tls.0.name.clone(), stream).await.unwrap();
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();
    let told = timeout(SOON, stream.read(&mut [0]))
        .await
        .unwrap()
        .unwrap_err();
    assert!(told.to_string().contains("CertificateRequired"), "{told}");
    drop(stream);
    assert_eq!(served.heard(), 0);
    served.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_never_ends_is_cut() {
    let Some(authority) = Authority::new() else {
        return;
    };
    let served = Served::start(Some(node(&authority, "node")), None).await;
    for begun in [&b""[..], &[HANDSHAKE], &[HANDSHAKE, 3, 1, 1, 0]] {
        let mut stream = TcpStream::connect(&served.address).await.unwrap();
        stream.write_all(begun).await.unwrap();
        let mut rest = Vec::new();
        // Closed or reset, but not held.
        let _ = timeout(SOON * 60, stream.read_to_end(&mut rest))
            .await
            .unwrap();
    }
    served.stop().await;
}

/// Replaces what `to` reads by what `from` has.
fn replace(from: &Path, to: &Path) {
    let beside = to.with_extension("new");
    fs::copy(from, &beside).unwrap();
    fs::rename(beside, to).unwrap();
}

#[tokio::test]
async fn new_connections_use_replaced_files() {
    let (Some(old), Some(new)) = (Authority::new(), Authority::new()) else {
        return;
    };
    let (kept, fresh) = (old.sign("kept", NAME), new.sign("fresh", NAME));
    let rotated = NodeTls::open(files(&old, &kept)).unwrap();
    let (of_old, of_new) = (node(&old, "other"), node(&new, "other"));
    let served = Served::start(Some(rotated.clone()), None).await;
    let open = peers(Some(of_old.clone()), None);
    call(&open, &served.address).await.unwrap();

    // In disagreement, or rubbish: the former ones stay in use.
    replace(&fresh.key, &kept.key);
    call(&peers(Some(of_old.clone()), None), &served.address)
        .await
        .unwrap();
    fs::write(&kept.cert, "rubbish").unwrap();
    call(&peers(Some(of_old.clone()), None), &served.address)
        .await
        .unwrap();
    fs::remove_file(&kept.cert).unwrap();
    call(&peers(Some(of_old.clone()), None), &served.address)
        .await
        .unwrap();

    replace(&fresh.cert, &kept.cert);
    replace(&new.ca(), &old.ca());
    call(&peers(Some(of_new), None), &served.address)
        .await
        .unwrap();
    // `of_old` has the same file of the authority, but its certificate is not of that one.
    assert!(
        call(&peers(Some(of_old), None), &served.address)
            .await
            .is_err()
    );
    // Open connections stay.
    call(&open, &served.address).await.unwrap();
    served.stop().await;
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let (Some(authority), Some(foreign)) = (Authority::new(), Authority::new()) else {
        return;
    };
    let good = files(&authority, &authority.sign("node", NAME));
    assert!(NodeTls::open(good.clone()).is_ok());
    let other = authority.sign("other", NAME);
    let empty = authority.ca().with_file_name("empty.pem");
    fs::write(&empty, "").unwrap();
    let missing = authority.ca().with_file_name("missing.pem");
    let with = |change: &dyn Fn(&mut TlsFiles)| {
        let mut files = good.clone();
        change(&mut files);
        NodeTls::open(files).unwrap_err().to_string()
    };
    for (said, names) in [
        (
            with(&|f| f.cert = missing.clone()),
            ["cluster.tls.cert", "No such file"],
        ),
        (
            with(&|f| f.key = missing.clone()),
            ["cluster.tls.key", "No such file"],
        ),
        (
            with(&|f| f.ca = missing.clone()),
            ["cluster.tls.ca", "No such file"],
        ),
        (
            with(&|f| f.ca = empty.clone()),
            ["cluster.tls.ca", "no certificate"],
        ),
        (
            with(&|f| f.key = f.cert.clone()),
            ["cluster.tls.key", "node.pem"],
        ),
        (
            with(&|f| f.key = other.key.clone()),
            ["cluster.tls.key", "is not the key"],
        ),
        (
            with(&|f| f.ca = foreign.ca()),
            ["cluster.tls.ca", "UnknownIssuer"],
        ),
        (
            with(&|f| f.cert = PathBuf::from("/dev/zero")),
            ["cluster.tls.cert", "1 MiB"],
        ),
        (
            with(&|f| f.name = "another".into()),
            ["cluster.tls.name", "another"],
        ),
        (
            with(&|f| f.name = "127.0.0.1".into()),
            ["cluster.tls.name", "no DNS name"],
        ),
    ] {
        assert!(names.iter().all(|name| said.contains(name)), "{said}");
    }
    let old = authority.expired("old", NAME);
    let said = NodeTls::open(files(&authority, &old))
        .unwrap_err()
        .to_string();
    assert!(said.contains("expired"), "{said}");
}
