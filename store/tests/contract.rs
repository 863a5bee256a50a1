//! The embedded store passes the contract suite of stores.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use async_trait::async_trait;
use maestro_store::embedded::EmbeddedStore;
use maestro_testkit::contract::store::{Harness, Ports};

struct Embedded {
    dir: tempfile::TempDir,
}

impl Embedded {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir }
    }
}

#[async_trait]
impl Harness for Embedded {
    async fn open(&self) -> Ports {
        let store = EmbeddedStore::open(self.dir.path()).unwrap();
        Ports {
            store: store.clone(),
            reads: store.clone(),
            ownership: store,
        }
    }
}

maestro_testkit::store_contract!(Embedded::new());
