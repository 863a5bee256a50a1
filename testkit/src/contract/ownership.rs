//! What every ownership must do for several nodes, as checks over its port.
//!
//! An adapter's tests pass a function that opens a [`Cluster`] to [`ownership_contract!`](crate::ownership_contract);
//! each check becomes a test of its own, on an empty store.
#![allow(clippy::unwrap_used, reason = "a panic is how a check fails")]

use crate::fake::member;
use async_trait::async_trait;
use futures_util::StreamExt;
use maestro_core::domain::{Epoch, SchedulerName, Seq};
use maestro_core::ports::{Claim, Holder, Member, Outbox, Overview, Owner, Ownership, Renewal};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

/// Sessions that do not end within a check.
const LONG: Duration = Duration::from_secs(60);
/// Sessions that end within one, and last longer than a busy machine takes to connect.
const SHORT: Duration = Duration::from_secs(2);
/// For conditions that a slow machine reaches late.
const SOON: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Several nodes of one store.
#[async_trait]
pub trait Cluster: Send + Sync {
    /// A node with a session that lasts this long after each renewal. All nodes of a check say the same.
    async fn node(&self, member: Member, lease: Duration) -> Arc<dyn Ownership>;
}

/// One test for each check. `$open` is an async function that returns an `Option` of a [`Cluster`]; `None` skips.
#[macro_export]
macro_rules! ownership_contract {
    ($open:path) => {
        $crate::ownership_contract! { @each $open;
            of_two_claims_at_once_one_succeeds,
            a_name_without_a_scheduler_can_be_held,
            a_take_over_raises_the_epoch,
            a_node_claims_its_own_again,
            answers_come_in_the_order_of_the_names,
            a_renewal_answers_for_each_name,
            a_session_that_is_not_renewed_ends,
            a_release_of_an_old_epoch_changes_nothing,
            a_node_that_leaves_frees_all_at_once,
            nodes_see_each_other_and_who_drains,
            a_session_that_begins_anew_is_still_drained,
            an_overview_counts_what_each_node_owns,
            changes_of_owners_are_told,
        }
    };
    (@each $open:path; $($check:ident),* $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $check() {
            if let Some(cluster) = $open().await {
                $crate::contract::ownership::$check(&cluster).await;
            }
        }
    )*};
}

async fn two(cluster: &impl Cluster, lease: Duration) -> [Arc<dyn Ownership>; 2] {
    let one = cluster.node(member("one:1"), lease).await;
    [one, cluster.node(member("two:2"), lease).await]
}

async fn claim(node: &Arc<dyn Ownership>, name: &str) -> Claim {
    node.acquire(&[name.into()]).await.unwrap().remove(0)
}

/// The epoch of a claim that must succeed.
async fn own(node: &Arc<dyn Ownership>, name: &str) -> Epoch {
    match claim(node, name).await {
        Claim::Owned { epoch, .. } => epoch,
        held => panic!("{name} is not ours: {held:?}"),
    }
}

async fn renew(node: &Arc<dyn Ownership>, name: &str, epoch: Epoch) -> Renewal {
    let held = [(name.into(), epoch)];
    node.renew(&held).await.unwrap().remove(0)
}

fn held_by(node: &Arc<dyn Ownership>, epoch: Epoch) -> Holder {
    let Member {
        session, address, ..
    } = node.myself();
    Holder {
        session,
        address,
        epoch,
    }
}

pub async fn of_two_claims_at_once_one_succeeds(cluster: &impl Cluster) {
    let [one, two] = two(cluster, LONG).await;
    for round in 0..10 {
        let name = format!("s{round}");
        let (first, second) = tokio::join!(claim(&one, &name), claim(&two, &name));
        let (loser, epoch) = match (first, second) {
            (Claim::Owned { epoch, .. }, Claim::HeldBy(holder)) => {
                assert_eq!(holder, held_by(&one, epoch));
                (&two, epoch)
            }
            (Claim::HeldBy(holder), Claim::Owned { epoch, .. }) => {
                assert_eq!(holder, held_by(&two, epoch));
                (&one, epoch)
            }
            both => panic!("{both:?}"),
        };
        assert_eq!(renew(loser, &name, epoch).await, Renewal::Lost);
    }
}

pub async fn a_name_without_a_scheduler_can_be_held(cluster: &impl Cluster) {
    let [one, two] = two(cluster, LONG).await;
    let name = SchedulerName::from("new");
    assert_eq!(one.owner(&name).await.unwrap(), Owner::Unknown);
    let Claim::Owned { epoch, seq } = claim(&one, "new").await else {
        panic!("it is free");
    };
    assert_eq!(seq, Seq(0));
    let holder = held_by(&one, epoch);
    let owner = two.owner(&name).await.unwrap();
    assert_eq!(owner, Owner::Held(holder.clone()));
    assert_eq!(two.owners().await.unwrap(), [(name.clone(), holder)]);
    one.release(&[(name.clone(), epoch)]).await.unwrap();
    assert_eq!(two.owner(&name).await.unwrap(), Owner::Unknown);
    assert_eq!(two.owners().await.unwrap(), []);
}

pub async fn a_take_over_raises_the_epoch(cluster: &impl Cluster) {
    let [one, two] = two(cluster, LONG).await;
    let mut last = Epoch(0);
    for _ in 0..3 {
        for node in [&one, &two] {
            let epoch = own(node, "s").await;
            assert!(epoch > last, "{epoch:?} after {last:?}");
            node.release(&[("s".into(), epoch)]).await.unwrap();
            last = epoch;
        }
    }
}

pub async fn a_node_claims_its_own_again(cluster: &impl Cluster) {
    let [one, two] = two(cluster, LONG).await;
    let before = own(&one, "s").await;
    let after = own(&one, "s").await;
    assert!(after > before);
    assert_eq!(renew(&one, "s", before).await, Renewal::Lost);
    assert!(matches!(renew(&one, "s", after).await, Renewal::Held(_)));
    let held = Claim::HeldBy(held_by(&one, after));
    assert_eq!(claim(&two, "s").await, held);
}

pub async fn answers_come_in_the_order_of_the_names(cluster: &impl Cluster) {
    let [one, two] = two(cluster, LONG).await;
    let taken = own(&one, "s7").await;
    let numbers = (0..250).rev();
    let names: Vec<SchedulerName> = numbers.map(|n| format!("s{n}").into()).collect();
    let claims = two.acquire(&names).await.unwrap();
    assert_eq!(claims.len(), names.len());
    let mut held = Vec::new();
    for (name, claim) in names.into_iter().zip(claims) {
        match claim {
            Claim::Owned { epoch, .. } => held.push((name, epoch)),
            Claim::HeldBy(holder) => {
                assert_eq!(name.as_str(), "s7");
                assert_eq!(holder, held_by(&one, taken));
            }
        }
    }
    assert_eq!(held.len(), 249);
    let kept = two.renew(&held).await.unwrap();
    assert!(kept.iter().all(|r| matches!(r, Renewal::Held(_))));
    let all = one.owners().await.unwrap();
    let names: BTreeSet<_> = all.iter().map(|(name, _)| name).collect();
    assert_eq!((all.len(), names.len()), (250, 250));
}

pub async fn a_renewal_answers_for_each_name(cluster: &impl Cluster) {
    let [one, two] = two(cluster, LONG).await;
    let (mine, other) = (own(&one, "mine").await, own(&two, "other").await);
    let asked = [
        ("other".into(), other),
        ("mine".into(), mine),
        ("mine".into(), Epoch(mine.0 + 1)),
        ("nobody".into(), Epoch(1)),
    ];
    let lost = Renewal::Lost;
    let answers = one.renew(&asked).await.unwrap();
    assert_eq!(answers, [lost, Renewal::Held(LONG), lost, lost]);
    assert_eq!(one.renew(&[]).await.unwrap(), []);
}

pub async fn a_session_that_is_not_renewed_ends(cluster: &impl Cluster) {
    let [one, two] = two(cluster, SHORT).await;
    let before = own(&one, "s").await;
    let until = Instant::now() + SOON;
    let after = loop {
        match claim(&two, "s").await {
            Claim::Owned { epoch, .. } => break epoch,
            Claim::HeldBy(holder) => assert_eq!(holder, held_by(&one, before)),
        }
        assert!(Instant::now() < until, "the session does not end");
        sleep(LOOK_EVERY).await;
    };
    assert!(after > before);
    assert_eq!(renew(&one, "s", before).await, Renewal::Lost);
    // It had no time to be noticed, but what it frees now is not its own any more.
    one.release(&[("s".into(), before)]).await.unwrap();
    assert_eq!(renew(&one, "s", after).await, Renewal::Lost);
}

pub async fn a_release_of_an_old_epoch_changes_nothing(cluster: &impl Cluster) {
    let [one, two] = two(cluster, LONG).await;
    let old = own(&one, "s").await;
    let now = own(&one, "s").await;
    one.release(&[("s".into(), old)]).await.unwrap();
    two.release(&[("s".into(), now)]).await.unwrap();
    let held = Claim::HeldBy(held_by(&one, now));
    assert_eq!(claim(&two, "s").await, held);
    one.release(&[("s".into(), now)]).await.unwrap();
    assert!(own(&two, "s").await > now);
}

pub async fn a_node_that_leaves_frees_all_at_once(cluster: &impl Cluster) {
    let [one, two] = two(cluster, LONG).await;
    let before = [own(&one, "a").await, own(&one, "b").await];
    let other = own(&two, "c").await;
    one.leave().await.unwrap();
    let members = two.members().await.unwrap();
    assert_eq!(members, [two.myself()]);
    assert!(own(&two, "a").await > before[0]);
    assert!(own(&two, "b").await > before[1]);
    assert_eq!(renew(&two, "c", other).await, Renewal::Held(LONG));
}

pub async fn nodes_see_each_other_and_who_drains(cluster: &impl Cluster) {
    let [one, two] = two(cluster, LONG).await;
    one.renew(&[]).await.unwrap();
    assert_eq!(two.members().await.unwrap(), [one.myself()]);
    two.renew(&[]).await.unwrap();
    let mut all = vec![one.myself(), two.myself()];
    all.sort_by_key(|member| member.session);
    assert_eq!(one.members().await.unwrap(), all);

    let session = one.myself().session;
    for draining in [true, false] {
        assert!(two.drain(session, draining).await.unwrap());
        // A renewal leaves it as it is.
        one.renew(&[]).await.unwrap();
        let members = one.members().await.unwrap();
        let seen = members.iter().find(|member| member.session == session);
        assert_eq!(seen.unwrap().draining, draining);
    }
    assert!(!two.drain(Uuid::nil(), true).await.unwrap());
}

pub async fn an_overview_counts_what_each_node_owns(cluster: &impl Cluster) {
    let [one, two] = two(cluster, LONG).await;
    two.renew(&[]).await.unwrap();
    own(&one, "a").await;
    let b = own(&one, "b").await;
    let seen = one.overview().await.unwrap();
    let again = two.overview().await.unwrap();
    let mut expected = vec![(one.myself(), 2), (two.myself(), 0)];
    expected.sort_by_key(|(member, _)| member.session);
    for overview in [&seen, &again] {
        let nodes = overview.nodes.iter();
        let nodes: Vec<_> = nodes.map(|n| (n.member.clone(), n.owned)).collect();
        assert_eq!((nodes, overview.unowned), (expected.clone(), 0));
        let lasts = |left: Option<Duration>| left.is_some_and(|left| left <= LONG);
        assert!(overview.nodes.iter().all(|node| lasts(node.left)));
    }
    one.release(&[("b".into(), b)]).await.unwrap();
    let owned = |overview: &Overview| overview.nodes.iter().map(|node| node.owned).sum::<u64>();
    assert_eq!(owned(&two.overview().await.unwrap()), 1);
    assert_eq!(two.outbox().await.unwrap(), Outbox::default());
}

pub async fn a_session_that_begins_anew_is_still_drained(cluster: &impl Cluster) {
    let [one, two] = two(cluster, SHORT).await;
    let session = one.myself().session;
    own(&one, "a").await;
    for draining in [true, false] {
        one.renew(&[]).await.unwrap();
        assert!(two.drain(session, draining).await.unwrap());
        // As every node looks, each second.
        one.members().await.unwrap();
        ended(&one, &two).await;
        // Whoever takes something clears up what has ended.
        own(&two, "a").await;
        one.renew(&[]).await.unwrap();
        let members = two.members().await.unwrap();
        let seen = members.iter().find(|member| member.session == session);
        assert_eq!(seen.unwrap().draining, draining);
    }
}

/// Waits until the session of `one` has ended, and that of `two` has not.
async fn ended(one: &Arc<dyn Ownership>, two: &Arc<dyn Ownership>) {
    let until = Instant::now() + SOON;
    loop {
        two.renew(&[]).await.unwrap();
        let members = two.members().await.unwrap();
        if members.iter().all(|m| m.session != one.myself().session) {
            return;
        }
        assert!(Instant::now() < until, "it does not end");
        sleep(LOOK_EVERY).await;
    }
}

pub async fn changes_of_owners_are_told(cluster: &impl Cluster) {
    let [one, two] = two(cluster, LONG).await;
    let mut changes = two.changes();
    let mut next = async |name: &str| {
        let until = timeout(SOON, async {
            loop {
                let change = changes.next().await.unwrap();
                if change.scheduler.as_str() == name {
                    return change.owner;
                }
            }
        });
        until.await.expect("a change is told")
    };
    let epoch = own(&one, "s").await;
    assert_eq!(next("s").await, Owner::Held(held_by(&one, epoch)));
    one.release(&[("s".into(), epoch)]).await.unwrap();
    assert!(!matches!(next("s").await, Owner::Held(_)));
    let epoch = own(&two, "s").await;
    assert_eq!(next("s").await, Owner::Held(held_by(&two, epoch)));
    let epoch = own(&one, "t").await;
    assert_eq!(next("t").await, Owner::Held(held_by(&one, epoch)));
    one.leave().await.unwrap();
    assert!(!matches!(next("t").await, Owner::Held(_)));
}
