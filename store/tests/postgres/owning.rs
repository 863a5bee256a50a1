//! Ownership on a real server: the contract, and what only a database can get wrong.

use super::support::{SOON, open};
use async_trait::async_trait;
use futures_util::StreamExt;
use maestro_core::domain::{Epoch, SchedulerName};
use maestro_core::ports::{Claim, Member, Owner, Ownership, Renewal};
use maestro_store::postgres::{PostgresOwnership, migrate};
use maestro_testkit::contract::ownership::Cluster;
use maestro_testkit::eventually;
use maestro_testkit::fake::member;
use maestro_testkit::servers::postgres::{TestDatabase, database};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(60);
/// A session that ends within a test, and lasts longer than a busy machine takes to answer.
const SHORT: Duration = Duration::from_secs(2);
const END_ALL: &str =
    "UPDATE maestro_node SET expires_at = clock_timestamp() - interval '1 millisecond'";

struct Nodes(TestDatabase);

impl Nodes {
    fn named(&self, address: &str) -> Arc<PostgresOwnership> {
        let database = open(self.0.url());
        Arc::new(PostgresOwnership::new(database, member(address), LONG))
    }

    /// Locks that are waited for in its database.
    fn waits(&self) -> bool {
        let waiting = "SELECT count(*) FROM pg_stat_activity
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";
        self.0.ask(waiting) != ["0"]
    }
}

#[async_trait]
impl Cluster for Nodes {
    async fn node(&self, member: Member, lease: Duration) -> Arc<dyn Ownership> {
        let database = open(self.0.url());
        Arc::new(PostgresOwnership::new(database, member, lease))
    }
}

async fn nodes() -> Option<Nodes> {
    let server = database().await?;
    migrate(&open(server.url())).await.unwrap();
    Some(Nodes(server))
}

mod contract {
    use super::nodes;
    maestro_testkit::ownership_contract!(nodes);
}

async fn claim(node: &PostgresOwnership, name: &str) -> Claim {
    node.acquire(&[name.into()]).await.unwrap().remove(0)
}

async fn own(node: &PostgresOwnership, name: &str) -> Epoch {
    match claim(node, name).await {
        Claim::Owned { epoch, .. } => epoch,
        held => panic!("{held:?}"),
    }
}

#[tokio::test]
async fn a_session_that_was_ended_by_another_begins_anew_with_nothing() {
    let Some(nodes) = nodes().await else {
        return;
    };
    let (one, two) = (nodes.named("one:1"), nodes.named("two:2"));
    let [s, t] = [own(&one, "s").await, own(&one, "t").await];
    nodes.0.ask(END_ALL);
    // All that the session held is free from now on, not only what this node takes.
    assert!(own(&two, "s").await > s);
    let held = [("s".into(), s), ("t".into(), t)];
    let lost = Renewal::Lost;
    assert_eq!(one.renew(&held).await.unwrap(), [lost, lost]);
    assert_eq!(one.members().await.unwrap().len(), 2);
    assert_eq!(one.owner(&"t".into()).await.unwrap(), Owner::Unknown);
    assert!(own(&one, "t").await > t);
}

#[tokio::test]
async fn a_pause_of_the_database_moves_no_scheduler_between_living_nodes() {
    let Some(nodes) = nodes().await else {
        return;
    };
    let (one, two) = (nodes.named("one:1"), nodes.named("two:2"));
    let [mine, other] = [own(&one, "mine").await, own(&two, "other").await];
    let dead = nodes.named("dead:3");
    own(&dead, "left").await;
    nodes.0.ask(&format!(
        "{END_ALL}; UPDATE maestro_node SET expires_at = clock_timestamp() - interval '2 minutes'
         WHERE session = '{}'",
        dead.myself().session
    ));
    // The first node that reaches it again keeps its own, and leaves the other time to do the same.
    let held = [("mine".into(), mine)];
    assert_eq!(one.renew(&held).await.unwrap(), [Renewal::Held(LONG)]);
    let Claim::HeldBy(holder) = claim(&one, "other").await else {
        panic!("taken from a node that had no time to renew");
    };
    assert_eq!(holder.session, two.myself().session);
    let held = [("other".into(), other)];
    assert_eq!(two.renew(&held).await.unwrap(), [Renewal::Held(LONG)]);
    // A node that had ended long before gets no time.
    own(&one, "left").await;
}

#[tokio::test]
async fn a_renewal_under_way_is_waited_for() {
    let Some(nodes) = nodes().await else {
        return;
    };
    let (one, two) = (nodes.named("one:1"), nodes.named("two:2"));
    two.renew(&[]).await.unwrap();
    let epoch = own(&one, "s").await;
    let session = one.myself().session;
    nodes
        .0
        .ask(&format!("{END_ALL} WHERE session = '{session}'"));
    // It began in time, and its commit is late.
    let database = open(nodes.0.url());
    let renewal = database.transaction().await.unwrap();
    let extend = format!(
        "UPDATE maestro_node SET expires_at = clock_timestamp() + interval '1 hour' WHERE session = '{session}'"
    );
    renewal.query(&extend, &[]).await.unwrap();
    let late = tokio::spawn(async move { claim(&two, "s").await });
    eventually(SOON, "the claim waits", || nodes.waits()).await;
    renewal.commit().await.unwrap();
    let Claim::HeldBy(holder) = late.await.unwrap() else {
        panic!("taken from a living session");
    };
    assert_eq!((holder.session, holder.epoch), (session, epoch));
}

#[tokio::test]
async fn a_claim_without_an_answer_is_given_back() {
    let Some(nodes) = nodes().await else {
        return;
    };
    let (one, two) = (nodes.named("one:1"), nodes.named("two:2"));
    one.renew(&[]).await.unwrap();
    let kept = own(&one, "kept").await;
    // The server waits for this lock; meanwhile the caller gives up.
    let database = open(nodes.0.url());
    let busy = database.transaction().await.unwrap();
    let row = "INSERT INTO maestro_owner VALUES ('s', NULL, 4, 0)";
    busy.query(row, &[]).await.unwrap();
    let names = [SchedulerName::from("s")];
    let asked = timeout(Duration::from_millis(50), one.acquire(&names)).await;
    assert!(asked.is_err());
    busy.commit().await.unwrap();
    eventually(SOON, "the claim is over", || !nodes.waits()).await;
    let held = [("kept".into(), kept)];
    assert_eq!(one.renew(&held).await.unwrap(), [Renewal::Held(LONG)]);
    assert!(own(&two, "s").await > Epoch(4));
}

#[tokio::test]
async fn changes_go_on_after_a_lost_connection() {
    let Some(nodes) = nodes().await else {
        return;
    };
    let (one, two) = (nodes.named("one:1"), nodes.named("two:2"));
    let epochs = [own(&one, "a").await, own(&one, "b").await];
    let mut changes = two.changes();
    let mut next = async || {
        let change = timeout(SOON, changes.next()).await.unwrap().unwrap();
        let held = matches!(change.owner, Owner::Held(_));
        (change.scheduler.as_str().to_owned(), held)
    };
    assert_eq!(next().await, ("a".to_owned(), true));
    assert_eq!(next().await, ("b".to_owned(), true));
    // Nobody looks at the stream while this happens.
    let lost = nodes.0.ask(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND query LIKE 'LISTEN%'",
    );
    assert_eq!(lost, ["t"]);
    one.release(&[("a".into(), epochs[0])]).await.unwrap();
    own(&one, "c").await;
    assert_eq!(next().await, ("a".to_owned(), false));
    assert_eq!(next().await, ("c".to_owned(), true));
    // Rubbish of others is passed over.
    nodes
        .0
        .ask("NOTIFY maestro_owner, 'hello'; NOTIFY maestro_owner");
    one.release(&[("b".into(), epochs[1])]).await.unwrap();
    assert_eq!(next().await, ("b".to_owned(), false));
}

/// Passes connections on, the first of them until it is told to fall silent: from then on its bytes go nowhere, as on
/// the way to a machine that is gone, until it is told to go on: then what was sent meanwhile arrives.
async fn silenced(url: &str, silence: Arc<Notify>, again: Arc<Notify>) -> String {
    let (_, place) = url.split_once('@').unwrap();
    let server = place.split('/').next().unwrap().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = url.replace(&server, &listener.local_addr().unwrap().to_string());
    tokio::spawn(async move {
        for is_first in std::iter::once(true).chain(std::iter::repeat(false)) {
            let (mut client, _) = listener.accept().await.unwrap();
            let (server, silence, again) = (server.clone(), silence.clone(), again.clone());
            tokio::spawn(async move {
                let mut server = TcpStream::connect(server).await.unwrap();
                tokio::select! {
                    biased;
                    () = silence.notified(), if is_first => {}
                    _ = tokio::io::copy_bidirectional(&mut client, &mut server) => return,
                }
                again.notified().await;
                // The client may be gone.
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    url
}

#[tokio::test]
async fn a_peer_that_is_gone_without_a_word_is_noticed() {
    let Some(nodes) = nodes().await else {
        return;
    };
    let silence = Arc::new(Notify::new());
    let far = open(&silenced(nodes.0.url(), silence.clone(), Arc::default()).await);
    let (one, two) = (nodes.named("one:1"), member("two:2"));
    let two = PostgresOwnership::new(far, two, LONG);
    own(&one, "a").await;
    let mut changes = two.changes();
    // Its session is the first connection.
    let first = timeout(SOON, changes.next()).await.unwrap().unwrap();
    assert_eq!(first.scheduler.as_str(), "a");
    silence.notify_one();
    own(&one, "b").await;
    let second = timeout(SOON, changes.next()).await.unwrap().unwrap();
    assert_eq!(second.scheduler.as_str(), "b");
}

#[tokio::test]
async fn schedulers_of_the_table_are_discovered() {
    let Some(nodes) = nodes().await else {
        return;
    };
    nodes.0.ask(
        "INSERT INTO schedulers (name, game, yaml, state)
         VALUES ('b', 'g', 'rubbish', 'in-sync'), ('a', 'g', '', 'in-sync')",
    );
    let one = nodes.named("one:1");
    let names = [SchedulerName::from("a"), "b".into()];
    assert_eq!(one.discover().await.unwrap(), names);
    assert_eq!(one.owner(&names[0]).await.unwrap(), Owner::Nobody);
}

#[tokio::test]
async fn what_nobody_owns_and_what_redis_lacks_is_counted() {
    let Some(nodes) = nodes().await else {
        return;
    };
    let one = nodes.named("one:1");
    nodes.0.ask(
        "INSERT INTO schedulers (name, game, version, state, yaml)
         SELECT 's' || n, 'g', 'v1', 'in-sync', '{}' FROM generate_series(1, 3) AS n",
    );
    own(&one, "s2").await;
    assert_eq!(one.overview().await.unwrap().unowned, 2);
    // Runtimes need an owner too, with a scheduler or without one.
    nodes
        .0
        .ask("INSERT INTO maestro_runtime VALUES ('s1', '{}'), ('r1', '{}'), ('r2', '{}')");
    own(&one, "r2").await;
    assert_eq!(one.overview().await.unwrap().unowned, 3);
    nodes.0.ask(
        "INSERT INTO maestro_outbox (scheduler, seq, payload) VALUES ('s1', 1, ''), ('s2', 1, '');
         UPDATE maestro_outbox SET written_at = clock_timestamp() - interval '1 minute' WHERE scheduler = 's1'",
    );
    let outbox = one.outbox().await.unwrap();
    let minute = Duration::from_secs(60)..Duration::from_secs(90);
    assert_eq!(outbox.rows, 2);
    assert!(
        outbox.oldest.is_some_and(|age| minute.contains(&age)),
        "{outbox:?}"
    );
    nodes.0.ask(END_ALL);
    let overview = one.overview().await.unwrap();
    assert_eq!((overview.nodes.len(), overview.unowned), (0, 5));
}

#[tokio::test]
async fn a_claim_extends_the_session() {
    let Some(nodes) = nodes().await else {
        return;
    };
    let one = nodes.named("one:1");
    one.renew(&[]).await.unwrap();
    nodes
        .0
        .ask("UPDATE maestro_node SET expires_at = clock_timestamp() + interval '2 seconds'");
    own(&one, "s").await;
    // The owner counts its lease from the claim.
    let left = "SELECT expires_at > clock_timestamp() + interval '30 seconds' FROM maestro_node";
    assert_eq!(nodes.0.ask(left), ["t"]);
}

#[tokio::test]
async fn an_owner_that_stopped_in_a_commit_holds_up_its_scheduler_alone() {
    let Some(nodes) = nodes().await else {
        return;
    };
    let (one, two) = (nodes.named("one:1"), nodes.named("two:2"));
    let epoch = own(&one, "stuck").await;
    nodes.0.ask(END_ALL);
    let database = open(nodes.0.url());
    let commit = database.transaction().await.unwrap();
    let row = "UPDATE maestro_owner SET seq = 1 WHERE scheduler = 'stuck'";
    commit.query(row, &[]).await.unwrap();
    let names = [SchedulerName::from("stuck"), "other".into()];
    let claims = two.acquire(&names).await.unwrap();
    let Claim::HeldBy(holder) = &claims[0] else {
        panic!("{claims:?}");
    };
    assert_eq!(
        (holder.session, holder.epoch),
        (one.myself().session, epoch)
    );
    assert!(matches!(claims[1], Claim::Owned { .. }));
    commit.rollback().await;
    assert!(own(&two, "stuck").await > epoch);
}

#[tokio::test]
async fn names_that_nobody_needs_are_forgotten_and_their_epochs_do_not_return() {
    let Some(nodes) = nodes().await else {
        return;
    };
    let (one, two) = (nodes.named("one:1"), nodes.named("two:2"));
    for name in ["gone", "left", "kept", "place", "held"] {
        own(&one, name).await;
    }
    let epoch = own(&one, "gone").await;
    // Of the others one is a scheduler, one a runtime without one, one waits for Redis, and one is being created.
    nodes.0.ask(
        "INSERT INTO schedulers (name, game, yaml, state, state_last_changed_at, version)
         VALUES ('kept', 'g', '', 'in-sync', 0, 'v1.0.0');
         INSERT INTO maestro_runtime (scheduler, record) VALUES ('place', '{}');
         INSERT INTO maestro_outbox (scheduler, seq, payload) VALUES ('left', 1, '');
         UPDATE maestro_owner SET session = NULL WHERE scheduler <> 'held'",
    );
    two.forget_unneeded().await.unwrap();
    let left = "SELECT scheduler FROM maestro_owner ORDER BY 1";
    assert_eq!(nodes.0.ask(left), ["held", "kept", "left", "place"]);
    assert!(own(&two, "gone").await > epoch);
    // A session that has just ended may go on, as after a pause of the database.
    nodes.0.ask(END_ALL);
    two.forget_unneeded().await.unwrap();
    assert_eq!(nodes.0.ask(left), ["gone", "held", "kept", "left", "place"]);
    nodes
        .0
        .ask("UPDATE maestro_node SET expires_at = expires_at - interval '2 minutes'");
    two.forget_unneeded().await.unwrap();
    assert_eq!(nodes.0.ask(left), ["kept", "left", "place"]);
    // The highest epoch counts, not that of the last one.
    assert!(own(&two, "held").await > Epoch(epoch.0 + 1));
}

#[tokio::test]
async fn a_name_that_is_taken_at_this_moment_keeps_its_owner() {
    let Some(nodes) = nodes().await else {
        return;
    };
    let one = nodes.named("one:1");
    let first = own(&one, "s").await;
    one.release(&[("s".into(), first)]).await.unwrap();
    // The claim is made, and its commit is late.
    let database = open(nodes.0.url());
    let claim = database.transaction().await.unwrap();
    let session = one.myself().session;
    let take = format!("UPDATE maestro_owner SET session = '{session}', epoch = epoch + 1");
    claim.query(&take, &[]).await.unwrap();
    let two = nodes.named("two:2");
    timeout(SOON, two.forget_unneeded()).await.unwrap().unwrap();
    claim.commit().await.unwrap();
    let held = [("s".into(), Epoch(first.0 + 1))];
    assert_eq!(one.renew(&held).await.unwrap(), [Renewal::Held(LONG)]);
    // Many names are taken and forgotten at once, and none loses its owner.
    let names: Vec<SchedulerName> = (0..50).map(|n| format!("n{n}").into()).collect();
    for _ in 0..20 {
        let (claims, forgotten) = tokio::join!(one.acquire(&names), two.forget_unneeded());
        forgotten.unwrap();
        let claims = claims.unwrap().into_iter();
        let held = names.iter().zip(claims).map(|(name, claim)| match claim {
            Claim::Owned { epoch, .. } => (name.clone(), epoch),
            held => panic!("{held:?}"),
        });
        let held: Vec<_> = held.collect();
        let renewed = one.renew(&held).await.unwrap();
        assert!(renewed.iter().all(|r| *r == Renewal::Held(LONG)));
        let (released, forgotten) = tokio::join!(one.release(&held), two.forget_unneeded());
        released.unwrap();
        forgotten.unwrap();
    }
}

#[tokio::test]
async fn a_session_that_left_does_not_begin_again() {
    let Some(nodes) = nodes().await else {
        return;
    };
    let one = nodes.named("one:1");
    own(&one, "s").await;
    // It leaves, and the keeper of its leases is in the middle of a round. However late that reaches the database, it
    // is after the end, which is there already.
    let database = open(nodes.0.url());
    let busy = database.transaction().await.unwrap();
    let row = "SELECT FROM maestro_node FOR UPDATE";
    busy.query(row, &[]).await.unwrap();
    let leaving = tokio::spawn({
        let one = one.clone();
        async move { one.leave().await }
    });
    eventually(SOON, "the end waits", || nodes.waits()).await;
    let renewal = tokio::spawn({
        let one = one.clone();
        async move { one.renew(&[]).await }
    });
    busy.commit().await.unwrap();
    leaving.await.unwrap().unwrap();
    assert!(renewal.await.unwrap().is_err());
    assert!(one.acquire(&["s".into()]).await.is_err());
    assert_eq!(nodes.0.ask("SELECT count(*) FROM maestro_node"), ["0"]);
    own(&nodes.named("two:2"), "s").await;
}

#[tokio::test]
async fn a_count_of_owners_that_nobody_counted_keeps_no_name_from_its_owner() {
    let Some(nodes) = nodes().await else {
        return;
    };
    let one = nodes.named("one:1");
    let mut highest = own(&one, "well").await;
    let rubbish = [
        "",
        "many",
        "-3",
        "9223372036854775807",
        "99999999999999999999",
    ];
    for (n, value) in rubbish.iter().enumerate() {
        nodes.0.ask(&format!(
            "INSERT INTO maestro_setting (key, value) VALUES ('epochs', '{value}')
             ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        ));
        // Beside one that is stored, as a node asks.
        let name = SchedulerName::from(format!("new-{n}").as_str());
        let claims = one.acquire(&["well".into(), name.clone()]).await.unwrap();
        let [Claim::Owned { .. }, Claim::Owned { epoch, .. }] = claims[..] else {
            panic!("{value:?}: {claims:?}");
        };
        // Redis can compare it, and whoever had the name before had a lower one.
        assert!(epoch > highest && epoch.0 < 1 << 50, "{value:?}: {epoch:?}");
        highest = epoch;
        one.release(&[(name.clone(), epoch)]).await.unwrap();
        one.forget_unneeded().await.unwrap();
        let epoch = own(&one, name.as_str()).await;
        assert!(epoch > highest, "{value:?}: {epoch:?}");
        highest = epoch;
    }
}

#[tokio::test]
async fn an_epoch_that_nobody_counted_stops_no_other_scheduler() {
    let Some(nodes) = nodes().await else {
        return;
    };
    let one = nodes.named("one:1");
    let names = ["huge", "negative", "well"].map(SchedulerName::from);
    one.acquire(&names).await.unwrap();
    nodes.0.ask(
        "UPDATE maestro_owner SET session = NULL;
         UPDATE maestro_owner SET epoch = 9223372036854775807 WHERE scheduler = 'huge';
         UPDATE maestro_owner SET epoch = -5 WHERE scheduler = 'negative'",
    );
    let claims = one.acquire(&names).await.unwrap();
    for claim in &claims {
        assert!(
            matches!(claim, Claim::Owned { epoch, .. } if (2..1 << 50).contains(&epoch.0)),
            "{claims:?}"
        );
    }
}

#[tokio::test]
async fn a_session_without_an_end_is_the_trouble_of_its_node_alone() {
    let Some(nodes) = nodes().await else {
        return;
    };
    let one = nodes.node(member("one:1"), SHORT).await;
    let (alive, dead) = (nodes.named("alive:2"), nodes.named("dead:3"));
    let kept = own(&alive, "kept").await;
    let left = own(&dead, "left").await;
    one.renew(&[]).await.unwrap();
    for end in ["infinity", "200000-01-01"] {
        nodes.0.ask(&format!(
            "UPDATE maestro_node SET expires_at = '{end}' WHERE address <> 'one:1'"
        ));
        let overview = one.overview().await.unwrap();
        assert_eq!(overview.nodes.len(), 3);
        assert!(
            overview
                .nodes
                .iter()
                .all(|n| n.left <= Some(Duration::from_secs(3600)))
        );
        one.renew(&[]).await.unwrap();
        // Who lives renews in time, and keeps what it has.
        let held = [("kept".into(), kept)];
        assert_eq!(alive.renew(&held).await.unwrap(), [Renewal::Held(LONG)]);
    }
    let taken = async {
        loop {
            let claims = one.acquire(&["left".into()]).await.unwrap();
            if matches!(claims[0], Claim::Owned { epoch, .. } if epoch > left) {
                return;
            }
        }
    };
    let ends = timeout(SOON, taken).await;
    assert!(ends.is_ok(), "a dead node keeps its schedulers for ever");
}

#[tokio::test]
async fn a_renewal_that_the_network_held_up_brings_no_node_back_that_has_left() {
    let Some(nodes) = nodes().await else {
        return;
    };
    let (silence, again) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let far = open(&silenced(nodes.0.url(), silence.clone(), again.clone()).await);
    let me = member("one:1");
    let one = PostgresOwnership::new(far, me.clone(), SHORT);
    one.renew(&[]).await.unwrap();
    let backends = "SELECT count(*) FROM pg_stat_activity
                    WHERE datname = current_database() AND pid <> pg_backend_pid()";
    silence.notify_one();
    assert!(one.renew(&[]).await.is_err(), "it is on its way");
    // As this node, over another connection.
    let same = PostgresOwnership::new(open(nodes.0.url()), me, LONG);
    same.leave().await.unwrap();
    drop(same);
    again.notify_one();
    eventually(SOON, "it arrives, and its connection ends", || {
        nodes.0.ask(backends) == ["0"]
    })
    .await;
    assert_eq!(nodes.0.ask("SELECT count(*) FROM maestro_node"), ["0"]);
}
