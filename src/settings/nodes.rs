//! How this node calls others, and is called by them.

use super::Listen;
use super::form::Form;
use maestro_grpc::{NodeSecret, TlsFiles};
use std::net::TcpListener;
use std::path::PathBuf;

/// What the keys `cluster.…` set.
#[derive(Clone, Debug, Default)]
pub struct NodeSettings {
    /// Where calls of other nodes are taken; `None`: nowhere.
    pub listen: Option<Listen>,
    /// The address that other nodes call; `None`: the one that is listened on.
    pub advertise: Option<Listen>,
    /// Proves that a caller is a node of this cluster.
    pub secret: Option<NodeSecret>,
    /// Certificates, which prove it too.
    pub tls: TlsSettings,
}

/// What the keys `cluster.tls.…` set: PEM files, and a name.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    /// The certificate of this node.
    pub cert: Option<PathBuf>,
    /// Its private key.
    pub key: Option<PathBuf>,
    /// The authority of all nodes' certificates.
    pub ca: Option<PathBuf>,
    /// The DNS name that is in each of them.
    pub name: String,
}

impl Default for TlsSettings {
    fn default() -> Self {
        Self {
            cert: None,
            key: None,
            ca: None,
            name: "maestro-node".to_owned(),
        }
    }
}

impl TlsSettings {
    /// `None`: calls between nodes travel in plain text.
    ///
    /// # Errors
    /// Names the keys that are missing.
    pub fn files(&self) -> Result<Option<TlsFiles>, String> {
        match (&self.cert, &self.key, &self.ca) {
            (None, None, None) => Ok(None),
            (Some(cert), Some(key), Some(ca)) => Ok(Some(TlsFiles {
                cert: cert.clone(),
                key: key.clone(),
                ca: ca.clone(),
                name: self.name.clone(),
            })),
            (cert, key, ca) => {
                let all = [("cert", cert), ("key", key), ("ca", ca)];
                let missing = all.iter().filter(|(_, file)| file.is_none());
                let missing: Vec<_> = missing
                    .map(|(key, _)| format!("cluster.tls.{key}"))
                    .collect();
                Err(format!(
                    "TLS between nodes needs cluster.tls.cert, cluster.tls.key and cluster.tls.ca: set {} too, or none of \
                     the three",
                    missing.join(" and ")
                ))
            }
        }
    }
}

impl NodeSettings {
    /// Checks that nobody but nodes can call as a node.
    ///
    /// # Errors
    /// Says what to set.
    pub fn check(&self) -> Result<(), String> {
        let tls = self.tls.files()?;
        match (&self.listen, &self.secret, tls) {
            (Some(_), None, None) => Err(
                "cluster.listen takes calls of other nodes, which may change everything: set cluster.secret to the same \
                 text on all nodes (`openssl rand -hex 32` makes one), or cluster.tls.cert, cluster.tls.key and \
                 cluster.tls.ca, or leave cluster.listen empty"
                    .to_owned(),
            ),
            _ => Ok(()),
        }
    }

    /// The address that other nodes call.
    ///
    /// # Errors
    /// If the listener's address cannot be read.
    pub fn address(&self, listener: &TcpListener) -> std::io::Result<String> {
        match &self.advertise {
            Some(Listen { host, port }) => Ok(format!("{host}:{port}")),
            None => Ok(listener.local_addr()?.to_string()),
        }
    }
}

/// A host and a port. Empty: not set.
pub const OPTIONAL_ADDRESS: Form<Option<Listen>> = Form {
    unit: "address",
    expected: "a host and a port, such as 10.0.0.5:8091 or [2001:db8::1]:8091",
    read: |text| match text.trim() {
        "" => Ok(Some(None)),
        text => {
            let (host, port) = text.rsplit_once(':').ok_or_else(String::new)?;
            let bare = !host.contains(':') || (host.starts_with('[') && host.ends_with(']'));
            let port = port.parse().map_err(|_| String::new())?;
            match bare && !host.is_empty() && !host.contains(['/', '@', ' ']) {
                true => Ok(Some(Some(Listen {
                    host: host.to_owned(),
                    port,
                }))),
                false => Err(String::new()),
            }
        }
    },
    show: |address| {
        let address = address.as_ref();
        address.map_or(String::new(), |Listen { host, port }| {
            format!("{host}:{port}")
        })
    },
};

/// A secret is not shown, also not by `check-config`. Empty: not set.
pub const OPTIONAL_SECRET: Form<Option<NodeSecret>> = Form {
    unit: super::key::SECRET,
    expected: "16 to 512 printable ASCII characters without spaces",
    read: |text| match text {
        "" => Ok(Some(None)),
        text => NodeSecret::new(text)
            .map(|secret| Some(Some(secret)))
            .ok_or_else(String::new),
    },
    show: |secret| {
        secret
            .as_ref()
            .map_or("", |_| super::origin::MASK)
            .to_owned()
    },
};
