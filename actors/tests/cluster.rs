//! Several nodes on one store: who owns what, and how it moves.

mod support;

use maestro_actors::{CallError, Location, Node, NodeParts};
use maestro_core::domain::*;
use maestro_core::ports::{Member, Ownership};
use maestro_core::rules::placement;
use maestro_core::state::{Command, Reply};
use maestro_testkit::build;
use maestro_testkit::eventually;
use maestro_testkit::fake::{
    FakeForwarders, FakeNode, FakeRuntime, FakeStore, StoreCall, StoreFault, TokioClock, member,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use support::{LONG, Setup, ping, room_id};
use tokio::time::Instant;

const FLEETS: usize = 30;

/// A node, and its side of the table of nodes.
#[derive(Clone)]
struct Peer {
    node: Node,
    ownership: Arc<FakeNode>,
}

impl Peer {
    fn owned(&self) -> BTreeSet<String> {
        let all = self.node.directory().all().into_iter();
        all.map(|handle| handle.name().to_string()).collect()
    }
    fn runs(&self, name: &str) -> bool {
        let actors = self.node.debug(Some(name)).actors;
        actors.first().is_some_and(|a| a.state == "running")
    }
    fn address(&self) -> String {
        self.node.myself().address
    }
}

/// Nodes that share a store and a runtime.
struct Cluster {
    store: Arc<FakeStore>,
    runtime: Arc<FakeRuntime>,
}

impl Cluster {
    fn new(fleets: usize) -> Self {
        let setup = Setup::empty();
        for fleet in 0..fleets {
            setup.add_fleet(&name(fleet), 0);
        }
        let (store, runtime) = (setup.store, setup.runtime);
        Self { store, runtime }
    }
    fn join(&self, address: &str) -> Peer {
        self.join_as(member(address))
    }
    fn join_as(&self, member: Member) -> Peer {
        let ownership = self.store.node_of(member);
        let setup = Setup::empty().settings(|s| s.threads = 0);
        let mut parts = NodeParts::new(
            self.store.clone(),
            self.runtime.clone(),
            FakeForwarders::new(),
            TokioClock::new(),
            setup.core,
            setup.settings,
            tokio::runtime::Handle::current(),
        );
        parts.ownership = ownership.clone();
        let node = Node::start(parts);
        Peer { node, ownership }
    }
}

fn name(fleet: usize) -> String {
    format!("fleet-{fleet}")
}

fn all() -> BTreeSet<String> {
    (0..FLEETS).map(name).collect()
}

fn run<F: Future<Output = ()>>(test: impl FnOnce(Cluster) -> F) {
    run_with(FLEETS, test);
}

/// Under paused time, on one thread. Nodes are not shut down unless the test does so.
fn run_with<F: Future<Output = ()>>(fleets: usize, test: impl FnOnce(Cluster) -> F) {
    let paused = || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().start_paused(true).build();
        runtime.expect("a runtime can be made")
    };
    let system = actix::System::with_tokio_rt(paused);
    system.block_on(async {
        let cluster = Cluster::new(fleets);
        let store = cluster.store.clone();
        test(cluster).await;
        store.assert_clean();
    });
}

/// Whether each scheduler runs on exactly one of these nodes.
fn are_shared(peers: &[&Peer]) -> bool {
    let owned: usize = peers.iter().map(|peer| peer.owned().len()).sum();
    let runs = |name: &String| peers.iter().filter(|peer| peer.runs(name)).count() == 1;
    owned == FLEETS && all().iter().all(runs)
}

/// Waits until each scheduler runs where it belongs.
async fn shared(peers: &[&Peer]) {
    let members: Vec<_> = peers.iter().map(|peer| peer.node.myself()).collect();
    let at_home = |peer: &&Peer| {
        peer.owned().iter().all(|name| {
            let target = placement::target(&name.as_str().into(), &members);
            target.map(|member| member.session) == Some(peer.node.myself().session)
        })
    };
    let until = Instant::now() + LONG;
    while !(are_shared(peers) && peers.iter().all(at_home)) {
        assert!(
            Instant::now() < until,
            "each scheduler runs where it belongs"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[test]
fn each_scheduler_is_owned_once_and_the_others_know_by_whom() {
    run(|cluster| async move {
        let (a, b) = (cluster.join("a:1"), cluster.join("b:1"));
        shared(&[&a, &b]).await;
        assert!(a.owned().len() > FLEETS / 4 && b.owned().len() > FLEETS / 4);
        let known = || {
            a.owned().iter().all(|name| {
                let there = b.node.directory().locate(name);
                matches!(there, Ok(Some(Location::Remote(holder))) if holder.address == a.address())
            })
        };
        eventually(LONG, "b knows what a owns", known).await;
        let name = a.owned().pop_first().expect("it owns some");
        let asked = b.node.ask(&name, Command::Rollout, None).await;
        assert!(
            matches!(&asked, Err(CallError::Elsewhere { address, .. }) if *address == a.address()),
            "{asked:?}"
        );
        let pinged = b
            .node
            .ping(&name, ping(&room_id(0), PingStatus::Ready))
            .await;
        assert!(
            matches!(pinged, Err(CallError::Elsewhere { .. })),
            "{pinged:?}"
        );
        a.node.ask(&name, Command::Rollout, None).await.unwrap();
    });
}

#[test]
fn a_node_that_joins_gets_its_share_and_nothing_else_moves() {
    run(|cluster| async move {
        let (a, b) = (cluster.join("a:1"), cluster.join("b:1"));
        shared(&[&a, &b]).await;
        let before = (a.owned(), b.owned());
        let c = cluster.join("c:1");
        shared(&[&a, &b, &c]).await;
        assert!(a.owned().is_subset(&before.0) && b.owned().is_subset(&before.1));
        let restarts = [&a, &b, &c].map(|peer| {
            let actors = peer.node.debug(None).actors;
            actors.iter().map(|actor| actor.restarts.total).sum::<u64>()
        });
        assert_eq!(restarts, [0; 3], "moving is no failure");
    });
}

#[test]
fn what_a_lost_node_owned_goes_on_elsewhere_and_its_writes_are_refused() {
    run(|cluster| async move {
        let (a, b) = (cluster.join("a:1"), cluster.join("b:1"));
        shared(&[&a, &b]).await;
        let lost = a.owned();
        a.ownership.cut_off(true);
        let began = Instant::now();
        eventually(LONG, "b owns all", || b.owned() == all()).await;
        let took = began.elapsed();
        assert!(took < Duration::from_secs(5), "{took:?}");
        let name = lost.first().expect("it owned some");
        // It does not know yet, but its lease has expired: nobody is told anything that does not hold.
        let asked = a.node.ask(name, Command::PauseRollout, None).await;
        assert!(asked.is_err(), "{asked:?}");
        a.ownership.cut_off(false);
        shared(&[&a, &b]).await;
    });
}

#[test]
fn a_planned_stop_hands_over_first() {
    run(|cluster| async move {
        let (a, b) = (cluster.join("a:1"), cluster.join("b:1"));
        shared(&[&a, &b]).await;
        let (ours, leaving) = (a.owned(), a.node.clone());
        let watched: Vec<_> = ours.iter().take(5).cloned().collect();
        let (peer, other) = (a.clone(), b.clone());
        let longest = tokio::spawn(async move {
            let mut free = vec![None::<Instant>; watched.len()];
            let mut longest = Duration::ZERO;
            while !watched.iter().all(|name| other.runs(name)) {
                for (name, since) in watched.iter().zip(&mut free) {
                    match peer.runs(name) || other.runs(name) {
                        true => *since = None,
                        false => {
                            let since = since.get_or_insert_with(Instant::now);
                            longest = longest.max(since.elapsed());
                        }
                    }
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            longest
        });
        leaving.hand_over().await;
        assert_eq!(a.owned().len(), 0);
        let longest = longest.await.unwrap();
        assert!(longest < Duration::from_millis(200), "{longest:?}");
        assert_eq!(b.owned(), all());
        // It still knows where they are.
        let name = ours.first().expect("it owned some");
        let there = a.node.directory().locate(name);
        assert!(matches!(there, Ok(Some(Location::Remote(_)))));
        a.node.shutdown().await;
        let members = || b.node.members().len() == 1;
        eventually(LONG, "it has left", members).await;
    });
}

#[test]
fn a_stop_without_others_hands_nothing_over() {
    run(|cluster| async move {
        let a = cluster.join("a:1");
        shared(&[&a]).await;
        let began = Instant::now();
        a.node.hand_over().await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert_eq!(a.owned(), all());
        a.node.shutdown().await;
        assert_eq!(cluster.store.owner_of(&name(0)), None, "it is free at once");
    });
}

#[test]
fn a_scheduler_of_another_program_appears_with_the_first_question() {
    run_with(0, |cluster| async move {
        let a = cluster.join("a:1");
        a.node.loaded(LONG).await;
        cluster
            .store
            .insert(build::scheduler("new").build(), [], []);
        let began = Instant::now();
        let asked = a.node.ask("new", Command::Rollout, None).await;
        assert!(asked.is_ok(), "{asked:?}");
        assert!(a.runs("new"));
        assert!(began.elapsed() < Duration::from_millis(100));
        let asked = a.node.ask("nobody", Command::Rollout, None).await;
        assert!(matches!(asked, Err(CallError::Refused(_))), "{asked:?}");
    });
}

#[test]
fn many_that_are_created_at_once_wait_for_their_turn_to_be_looked_up() {
    run_with(0, |cluster| async move {
        let a = cluster.join("a:1");
        a.node.loaded(LONG).await;
        let created = (0..64).map(|n| {
            let document = build::scheduler(&format!("new-{n}")).replicas(0).build();
            let create = Command::CreateScheduler(Box::new(document));
            let node = &a.node;
            async move { node.ask(&format!("new-{n}"), create, None).await }
        });
        for created in futures_util::future::join_all(created).await {
            assert!(created.is_ok(), "{created:?}");
        }
    });
}

#[test]
fn a_node_without_actors_says_who_has_them() {
    run_with(0, |cluster| async move {
        let front = cluster.join_as(Member {
            hosts: false,
            ..member("front:1")
        });
        let create = || {
            let document = build::scheduler("new").replicas(0).build();
            Command::CreateScheduler(Box::new(document))
        };
        front.node.loaded(LONG).await;
        eventually(LONG, "it is a member", || front.node.members().len() == 1).await;
        let nobody = front.node.ask("new", create(), None).await;
        assert!(matches!(nobody, Err(CallError::NoHost)), "{nobody:?}");
        let host = cluster.join("host:1");
        eventually(LONG, "the host is known", || {
            front.node.members().len() == 2
        })
        .await;
        let there = front.node.ask("new", create(), None).await;
        assert!(
            matches!(&there, Err(CallError::Elsewhere { address, .. }) if address == "host:1"),
            "{there:?}"
        );
        let made = host.node.ask("new", create(), None).await.unwrap();
        assert!(matches!(made, Reply::Scheduler(_)));
        let known = front.node.locate("new").await.unwrap();
        assert!(matches!(known, Some(Location::Remote(_))));
    });
}

#[test]
fn what_nobody_waits_for_delays_no_take_over() {
    run(|cluster| async move {
        let slow = StoreFault::Slow(LONG);
        cluster.store.fail_always(StoreCall::Forget, slow);
        let began = Instant::now();
        let node = cluster.join("a:1");
        let owns_all = || node.owned().len() == FLEETS;
        eventually(LONG, "it owns all", owns_all).await;
        let took = began.elapsed();
        assert!(took < Duration::from_secs(1), "{took:?}");
        let asked = || cluster.store.calls(StoreCall::Forget) == 1;
        eventually(LONG, "what is unneeded is forgotten", asked).await;
    });
}

/// A store that takes no renewals shows the sessions of all nodes as ended.
#[test]
fn a_node_whose_session_has_ended_believes_no_end_of_others() {
    run_with(1, |cluster| async move {
        let one = cluster.join("one:1");
        let is_owned = || one.owned().len() == 1;
        eventually(LONG, "it is owned", is_owned).await;
        let theirs = "theirs";
        cluster
            .store
            .insert(build::scheduler(theirs).build(), [], []);
        cluster.store.steal(theirs, "two:2");
        let is_known = || {
            let owner = one.node.directory().locate(theirs);
            matches!(owner, Ok(Some(Location::Remote(holder))) if holder.address == "two:2")
        };
        eventually(LONG, "the other is known", is_known).await;
        // Its session ends no earlier than that of this node.
        cluster.store.node("two:2").renew(&[]).await.unwrap();
        for call in [StoreCall::Renew, StoreCall::Acquire] {
            cluster.store.fail_always(call, StoreFault::NotApplied);
        }
        for _ in 0..300 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert!(is_known(), "what is known of owners stays");
        }
        cluster.store.heal();
    });
}
