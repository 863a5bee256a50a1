//! The fakes keep to their ports' rules.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use async_trait::async_trait;
use maestro_testkit::contract::store::{Harness, Ports};
use maestro_testkit::fake::FakeStore;
use std::sync::Arc;

struct Fake(Arc<FakeStore>);

#[async_trait]
impl Harness for Fake {
    async fn open(&self) -> Ports {
        Ports {
            store: self.0.clone(),
            reads: self.0.clone(),
            ownership: self.0.clone(),
        }
    }
}

maestro_testkit::store_contract!(Fake(FakeStore::new()));
