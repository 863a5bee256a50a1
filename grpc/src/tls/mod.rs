//! TLS between nodes: each proves by a certificate of one private authority that it belongs to the cluster, when it
//! calls and when it is called (`cluster.tls.*`).

mod connector;
mod files;
mod verify;
mod wire;

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use tracing::{info, warn};

pub use connector::connector;
use files::{Configs, Stamps};
pub use files::{TlsError, TlsFiles};
pub use wire::{HANDSHAKE, Wire};

/// The certificates of a node. They are read again when the files have changed, so that new connections use new ones;
/// open connections stay as they are. Cheap to clone.
#[derive(Clone)]
pub struct NodeTls(Arc<Inner>);

struct Inner {
    files: TlsFiles,
    name: ServerName<'static>,
    loaded: Mutex<Loaded>,
}

struct Loaded {
    /// Of the files that were read last, also if they could not be used: each change is tried once.
    stamps: Stamps,
    configs: Configs,
}

impl NodeTls {
    /// Reads the files.
    ///
    /// # Errors
    /// Says which file cannot be used, or why other nodes would refuse the certificate.
    pub fn open(files: TlsFiles) -> Result<Self, TlsError> {
        let name = ServerName::try_from(files.name.clone());
        let name = match name {
            Ok(name @ ServerName::DnsName(_)) => name,
            _ => return Err(TlsError::Name(files.name)),
        };
        // Before they are read: a change in between is seen at the next connection.
        let stamps = Stamps::of(&files);
        let configs = files::read(&files, &name)?;
        Ok(Self(Arc::new(Inner {
            files,
            name,
            loaded: Mutex::new(Loaded { stamps, configs }),
        })))
    }

    /// For a new connection. Files that cannot be used are logged once, and the former ones stay in use: whoever
    /// replaces three files leaves them in disagreement for a moment.
    fn configs(&self) -> Configs {
        let Inner {
            files,
            name,
            loaded,
        } = &*self.0;
        let mut loaded = loaded.lock();
        let stamps = Stamps::of(files);
        if stamps != loaded.stamps {
            loaded.stamps = stamps;
            match files::read(files, name) {
                Ok(configs) => {
                    loaded.configs = configs;
                    info!("the certificates of cluster.tls have been read again");
                }
                Err(error) => {
                    warn!(%error, "the certificates of cluster.tls have changed but cannot be used; the former ones stay in use");
                }
            }
        }
        loaded.configs.clone()
    }
}

impl fmt::Debug for NodeTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NodeTls").field(&self.0.files).finish()
    }
}

#[cfg(test)]
mod tests;
