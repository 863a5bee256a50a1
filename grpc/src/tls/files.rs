//! The PEM files of `cluster.tls.*`, and what rustls makes of them.

use std::fmt::Display;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, ParsedCertificate};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::verify::OfNode;

/// What to compare when certificates are refused.
pub const COMPARE: &str = "on all nodes, cluster.tls.ca must be the authority that signed the certificates of cluster.tls.cert, which must \
     be valid now and for the DNS name in cluster.tls.name";

/// Where the certificates are, as PEM files, and what they must be valid for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate of this node, and those between it and the authority.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authorities whose certificates are accepted.
    pub ca: PathBuf,
    /// The DNS name that is in the certificate of every node. Nodes have addresses that change, so none is verified.
    pub name: String,
}

/// Why certificates cannot be used. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{key}={} cannot be used: {reason}", .file.display())]
    File {
        key: &'static str,
        file: PathBuf,
        reason: String,
    },
    #[error("cluster.tls.name={0:?} is no DNS name")]
    Name(String),
    #[error("cluster.tls.key={} is not the key of cluster.tls.cert={}: {reason}", .key.display(), .cert.display())]
    Key {
        cert: PathBuf,
        key: PathBuf,
        reason: rustls::Error,
    },
    #[error("other nodes would refuse cluster.tls.cert={}: {reason}; {COMPARE}", .cert.display())]
    Refused {
        cert: PathBuf,
        reason: rustls::Error,
    },
    #[error("TLS cannot be used: {0}")]
    Other(String),
}

/// What the files say, for either side of a connection.
#[derive(Clone)]
pub struct Configs {
    pub server: Arc<ServerConfig>,
    pub client: Arc<ClientConfig>,
}

/// The protocol within TLS (RFC 7301; RFC 9113, 3.2).
const HTTP2: &[u8] = b"h2";
/// Maximum size of a file: more is no certificate.
const FILE_MAX: u64 = 1 << 20;

/// Tells whether files have changed: time of the last change, size and inode of each. Kubernetes replaces a whole
/// folder by a link.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Stamps([Option<(SystemTime, u64, u64)>; 3]);

impl Stamps {
    pub fn of(files: &TlsFiles) -> Self {
        Self([&files.cert, &files.key, &files.ca].map(|file| {
            let about = fs::metadata(file).ok()?;
            Some((about.modified().ok()?, about.len(), about.ino()))
        }))
    }
}

/// Reads the files, and verifies the certificate of this node as another one will.
pub fn read(files: &TlsFiles, name: &ServerName<'static>) -> Result<Configs, TlsError> {
    let content = Content::read(files)?;
    content.verify(name).map_err(|reason| TlsError::Refused {
        cert: files.cert.clone(),
        reason,
    })?;
    content.configs(name, files)
}

#[cfg(test)]
pub fn read_unverified(files: &TlsFiles, name: &ServerName<'static>) -> Result<Configs, TlsError> {
    Content::read(files)?.configs(name, files)
}

struct Content {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl Content {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let chain = certificates("cluster.tls.cert", &files.cert)?;
        let key = content("cluster.tls.key", &files.key)?;
        let key = PrivateKeyDer::from_pem_slice(&key)
            .map_err(|error| unusable("cluster.tls.key", &files.key, error))?;
        let mut roots = RootCertStore::empty();
        for authority in certificates("cluster.tls.ca", &files.ca)? {
            roots
                .add(authority)
                .map_err(|error| unusable("cluster.tls.ca", &files.ca, error))?;
        }
        Ok(Self {
            chain,
            key,
            roots: Arc::new(roots),
            provider: Arc::new(ring::default_provider()),
        })
    }

    fn verify(&self, name: &ServerName<'static>) -> Result<(), rustls::Error> {
        let (own, between) = self
            .chain
            .split_first()
            .ok_or(rustls::Error::NoCertificatesPresented)?;
        let own = ParsedCertificate::try_from(own)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        let now = UnixTime::now();
        verify_server_cert_signed_by_trust_anchor(&own, &self.roots, between, now, algorithms)?;
        verify_server_name(&own, name)
    }

    /// TLS 1.3 alone: both sides are nodes. No session is resumed: that would skip the verification of a certificate
    /// that has expired, or whose authority is not accepted any more.
    fn configs(self, name: &ServerName<'static>, files: &TlsFiles) -> Result<Configs, TlsError> {
        let Self {
            chain,
            key,
            roots,
            provider,
        } = self;
        let other = |error: rustls::Error| TlsError::Other(error.to_string());
        let unfit = |reason| TlsError::Key {
            cert: files.cert.clone(),
            key: files.key.clone(),
            reason,
        };
        let callers = OfNode::new(roots.clone(), provider.clone(), name.clone())
            .map_err(|error| TlsError::Other(error.to_string()))?;
        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(other)?
            .with_client_cert_verifier(Arc::new(callers))
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(unfit)?;
        server.alpn_protocols = vec![HTTP2.to_vec()];
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(other)?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(unfit)?;
        client.alpn_protocols = vec![HTTP2.to_vec()];
        client.resumption = Resumption::disabled();
        Ok(Configs {
            server: Arc::new(server),
            client: Arc::new(client),
        })
    }
}

fn unusable(key: &'static str, file: &Path, reason: impl Display) -> TlsError {
    TlsError::File {
        key,
        file: file.to_owned(),
        reason: reason.to_string(),
    }
}

fn certificates(key: &'static str, file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let content = content(key, file)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&content).collect();
    let all = all.map_err(|error| unusable(key, file, error))?;
    match all.is_empty() {
        true => Err(unusable(key, file, "there is no certificate in it (PEM)")),
        false => Ok(all),
    }
}

fn content(key: &'static str, file: &Path) -> Result<Vec<u8>, TlsError> {
    // A pipe would be read for ever.
    let about = fs::metadata(file).map_err(|error| unusable(key, file, error))?;
    if !about.is_file() || about.len() > FILE_MAX {
        return Err(unusable(key, file, "it is no file of at most 1 MiB"));
    }
    fs::read(file).map_err(|error| unusable(key, file, error))
}
