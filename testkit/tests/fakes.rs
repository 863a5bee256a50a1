//! The fakes follow their ports' rules.
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

mod ownership {
    use super::FakeStore;
    use async_trait::async_trait;
    use maestro_core::ports::{Member, Ownership};
    use maestro_testkit::contract::ownership::Cluster;
    use std::sync::Arc;
    use std::time::Duration;

    struct Nodes(Arc<FakeStore>);

    #[async_trait]
    impl Cluster for Nodes {
        async fn node(&self, member: Member, lease: Duration) -> Arc<dyn Ownership> {
            self.0.set_lease(lease);
            self.0.node_of(member)
        }
    }

    async fn open() -> Option<Nodes> {
        Some(Nodes(FakeStore::new()))
    }

    maestro_testkit::ownership_contract!(open);
}

mod runtime {
    use futures_util::{FutureExt, StreamExt};
    use maestro_core::domain::*;
    use maestro_core::ports::*;
    use maestro_testkit::build;
    use maestro_testkit::fake::{FakeRuntime, Gate, RuntimeCall, RuntimeFault};
    use std::sync::Arc;

    async fn made(runtime: &FakeRuntime, id: &str) -> Result<Instance, RuntimeError> {
        let scheduler = build::scheduler("arena").arc();
        let room = RoomId::from(id);
        let host_ports = runtime.reserve_ports(&room, &scheduler).await?;
        let order = RoomOrder {
            room,
            scheduler,
            validation: false,
            host_ports,
            config: ConfigPairs::default(),
        };
        runtime.create(&order).await
    }

    #[tokio::test]
    async fn its_watch_begins_with_a_list_and_tells_every_change() {
        let runtime = FakeRuntime::new();
        let first = made(&runtime, "arena-1").await.unwrap();
        let mut events = runtime.watch(&"arena".into());
        let listed = events.next().await;
        assert_eq!(listed, Some(RuntimeEvent::Listed(vec![first.clone()])));
        let second = made(&runtime, "arena-2").await.unwrap();
        assert_eq!(
            events.next().await,
            Some(RuntimeEvent::Changed(second.clone()))
        );
        runtime.crash("arena", &first.room, Exit::default());
        let gone = RuntimeEvent::Gone {
            room: first.room,
            uid: first.uid,
            exit: Some(Exit::default()),
        };
        assert_eq!(events.next().await, Some(gone));
        runtime.relist("arena");
        let listed = events.next().await;
        assert_eq!(listed, Some(RuntimeEvent::Listed(vec![second])));
        runtime.assert_clean();
    }

    #[tokio::test]
    async fn its_faults_come_in_the_order_in_which_they_were_asked_for() {
        let runtime = FakeRuntime::new();
        let why = || RuntimeError::Exhausted("full".into());
        runtime.fail(RuntimeCall::Create, RuntimeFault::Fails(why()));
        runtime.fail(RuntimeCall::Create, RuntimeFault::FailsAfter(why()));
        assert!(made(&runtime, "arena-1").await.is_err());
        assert!(runtime.rooms("arena").is_empty());
        assert!(made(&runtime, "arena-1").await.is_err());
        assert_eq!(runtime.rooms("arena").len(), 1);
        assert!(made(&runtime, "arena-2").await.is_ok());
        assert_eq!(runtime.calls(RuntimeCall::Create), 3);
    }

    #[tokio::test]
    async fn a_held_call_waits_at_its_gate() {
        let runtime: Arc<FakeRuntime> = FakeRuntime::new();
        let gate = Gate::closed();
        runtime.fail(RuntimeCall::Create, RuntimeFault::Held(gate.clone()));
        let mut creation = Box::pin(made(&runtime, "arena-1"));
        assert!(creation.as_mut().now_or_never().is_none());
        assert_eq!(gate.waiting(), 1);
        assert!(runtime.rooms("arena").is_empty());
        gate.let_one_pass();
        assert!(creation.await.is_ok());
        assert_eq!(gate.waiting(), 0);
    }
}

mod faults {
    use maestro_core::domain::*;
    use maestro_core::ports::*;
    use maestro_testkit::build;
    use maestro_testkit::contract::store::{Harness, Owner};
    use maestro_testkit::fake::{FakeStore, StoreCall, StoreFault};

    fn put(id: &str) -> Vec<Change> {
        vec![Change::PutRoom(Box::new(build::room(id).build()))]
    }

    #[tokio::test]
    async fn each_fault_of_a_commit_is_what_its_name_says() {
        let store = FakeStore::new();
        let ports = super::Fake(store.clone()).open().await;
        let mut owner = Owner::of(&ports, "arena").await;
        let rooms = || store.stored_rooms("arena").len();

        store.fail(StoreCall::Commit, StoreFault::NotApplied);
        let refused = owner.commit(put("a")).await;
        assert!(matches!(refused, Err(CommitError::NotApplied(_))));
        store.fail(StoreCall::Commit, StoreFault::NotAppliedUnknown);
        let unknown = owner.commit(put("a")).await;
        assert!(matches!(unknown, Err(CommitError::Unknown(_))));
        assert_eq!(rooms(), 0);

        store.fail(StoreCall::Commit, StoreFault::AppliedUnknown);
        let unknown = owner.commit(put("a")).await;
        assert!(matches!(unknown, Err(CommitError::Unknown(_))));
        assert_eq!((rooms(), owner.stored_seq().await), (1, Seq(1)));
        owner.seq = Seq(1);

        store.fail(StoreCall::Commit, StoreFault::Behind);
        let behind = owner.commit(put("b")).await;
        assert!(matches!(
            behind,
            Err(CommitError::Behind { stored: Seq(0) })
        ));
        assert_eq!(rooms(), 0, "the last batch is lost");

        store.set_down(true);
        assert!(owner.commit(put("c")).await.is_err());
        assert!(ports.reads.check().await.is_err());
        store.heal();
        store.steal("arena", "10.0.0.2:8081");
        let fenced = owner.commit(put("c")).await;
        assert!(matches!(fenced, Err(CommitError::Fenced { .. })));
        store.assert_clean();
    }
}
