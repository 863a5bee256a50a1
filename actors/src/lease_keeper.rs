//! Renews the leases of all owners of this node that make progress: the lease of a stuck actor expires, and only that
//! one (architecture 5, One owner per scheduler).

use crate::Directory;
use crate::messages::Control;
use crate::owner_status::Live;
use crate::parts::NodeParts;
use crate::supervisor_messages::SupervisorLink;
use futures_util::FutureExt;
use maestro_core::domain::SchedulerName;
use maestro_core::ports::Renewal;
use maestro_core::rules::lease::{Judgement, Pulse, patience};
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Runs on the I/O runtime until `stop`.
pub(crate) async fn keep(
    parts: NodeParts,
    directory: Directory,
    supervisor: SupervisorLink,
    stop: CancellationToken,
) {
    let mut keeper = LeaseKeeper {
        parts,
        directory,
        supervisor,
        seen: HashMap::new(),
        failing: false,
    };
    loop {
        let every = keeper.parts.settings.lease_renewal;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(every) => {
                // If this task ended, every lease would expire: a panic ends only the round.
                let _ = AssertUnwindSafe(keeper.round()).catch_unwind().await;
            }
        }
    }
}

type Owners = Vec<(SchedulerName, Live)>;

struct LeaseKeeper {
    parts: NodeParts,
    directory: Directory,
    supervisor: SupervisorLink,
    /// The last renewal failed. Used to log it once, not each second.
    failing: bool,
    /// For each owner, what was seen of its progress.
    seen: HashMap<SchedulerName, Pulse>,
}

impl LeaseKeeper {
    async fn round(&mut self) {
        self.directory.counters().synced();
        self.supervisor.probe();
        let (held, stuck) = self.judge();
        self.release(stuck).await;
        // Without owners too: it keeps the session of this node alive.
        let before = self.parts.clock.now().mono;
        let asked: Vec<_> = held
            .iter()
            .map(|(name, live)| (name.clone(), live.lease.epoch))
            .collect();
        let limit = self.parts.settings.lease_ttl;
        match tokio::time::timeout(limit, self.parts.ownership.renew(&asked)).await {
            Ok(Ok(answers)) => {
                if std::mem::take(&mut self.failing) {
                    info!("the leases are renewed again");
                }
                for ((name, live), answer) in held.into_iter().zip(answers) {
                    match answer {
                        Renewal::Held(time) => live.lease.extend(before.plus(time)),
                        Renewal::Lost => {
                            live.lease.lose();
                            live.tell(Control::LeaseLost);
                            warn!(scheduler_name = %name, "its lease is lost");
                        }
                    }
                }
            }
            Ok(Err(error)) => self.not_renewed(&error.to_string()),
            Err(_) => self.not_renewed("it takes longer than they last"),
        }
    }

    fn not_renewed(&mut self, why: &str) {
        // If the store has an outage, it has logged the cause already.
        let told = self.parts.store.outage().is_some();
        if !std::mem::replace(&mut self.failing, true) && !told {
            warn!(
                why,
                "the leases cannot be renewed now; it is tried each second"
            );
        }
    }

    /// Gives back the schedulers of stuck owners: the session of this node goes on, so their leases would not expire.
    async fn release(&self, stuck: Owners) {
        if stuck.is_empty() {
            return;
        }
        let held = stuck.iter().map(|(name, live)| {
            // First, so that nothing begins under a lease that another node has.
            live.lease.lose();
            (name.clone(), live.lease.epoch)
        });
        let held: Vec<_> = held.collect();
        let released = self.parts.ownership.release(&held);
        match tokio::time::timeout(self.parts.settings.lease_renewal, released).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(%error, "stuck schedulers cannot be released now"),
            Err(_) => warn!("stuck schedulers cannot be released: the store does not answer"),
        }
    }

    /// Owners whose leases are renewed, and owners that have become stuck. Probes those that made progress again.
    fn judge(&mut self) -> (Owners, Owners) {
        let (mut alive, mut stuck) = (Vec::new(), Vec::new());
        let all = self.directory.unordered();
        if self.seen.len() > all.len() {
            self.seen.retain(|name, _| self.directory.has(name));
        }
        let settings = &self.parts.settings;
        let patience = patience(settings.lease_ttl, settings.lease_renewal);
        for handle in all {
            let Ok(live) = handle.live() else { continue };
            let pulse = self.seen.entry(handle.name().clone()).or_default();
            match pulse.judge(live.gauge.progress(), patience) {
                // One probe at a time, so that the mailbox of a stuck actor does not grow.
                Judgement::Progressed => live.tell(Control::Probe),
                Judgement::Stuck => {
                    warn!(scheduler_name = %handle.name(), "its actor makes no progress: the scheduler is released");
                    live.tell(Control::LeaseLost);
                    stuck.push((handle.name().clone(), live));
                    continue;
                }
                // The release may have failed.
                Judgement::StillStuck => {
                    stuck.push((handle.name().clone(), live));
                    continue;
                }
                Judgement::Resting | Judgement::Waiting => {}
            }
            alive.push((handle.name().clone(), live));
        }
        (alive, stuck)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gauge::Gauge;
    use crate::handle::AskTimeouts;
    use crate::lease::Lease;
    use crate::messages::Counted;
    use crate::owner_status::OwnerStatus;
    use crate::parts::ActorSettings;
    use crate::ping_cache::PingCache;
    use crate::supervisor_messages::Notice;
    use crate::turns::Turn;
    use crate::writer_inbox::WriterGauge;
    use actix::prelude::*;
    use maestro_core::domain::Epoch;
    use maestro_core::ports::{Clock, Ownership};
    use maestro_core::settings::CoreSettings;
    use maestro_testkit::fake::{
        FakeForwarders, FakeRuntime, FakeStore, Gate, ManualClock, StoreCall, StoreFault,
    };
    use parking_lot::Mutex;
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::sync::mpsc;

    const RENEWAL: Duration = Duration::from_secs(1);

    /// Stands for an owner and for the supervisor: notes what it is told, and does nothing about it.
    struct Deaf(Arc<Mutex<Vec<&'static str>>>);

    impl Actor for Deaf {
        type Context = Context<Self>;
    }
    impl Handler<Counted<Control>> for Deaf {
        type Result = ();
        fn handle(&mut self, Counted(control, _): Counted<Control>, _: &mut Self::Context) {
            self.0.lock().push(match control {
                Control::Probe => "probe",
                Control::LeaseLost => "lost",
                _ => "?",
            });
        }
    }
    impl Handler<Counted<Notice>> for Deaf {
        type Result = ();
        fn handle(&mut self, _: Counted<Notice>, _: &mut Self::Context) {
            self.0.lock().push("supervisor");
        }
    }

    struct World {
        keeper: LeaseKeeper,
        store: Arc<FakeStore>,
        clock: Arc<ManualClock>,
        told: Arc<Mutex<Vec<&'static str>>>,
    }

    impl World {
        fn new() -> Self {
            let (store, clock) = (FakeStore::new(), ManualClock::new());
            let parts = NodeParts::new(
                store.clone(),
                FakeRuntime::new(),
                FakeForwarders::new(),
                clock.clone(),
                CoreSettings::default(),
                ActorSettings::default(),
                tokio::runtime::Handle::current(),
            );
            let told = Arc::default();
            let to = Deaf(Arc::clone(&told)).start().recipient();
            let gauge = Arc::new(Gauge::new());
            let keeper = LeaseKeeper {
                parts,
                directory: Directory::default(),
                supervisor: SupervisorLink { to, gauge },
                seen: HashMap::new(),
                failing: false,
            };
            Self {
                keeper,
                store,
                clock,
                told,
            }
        }

        async fn owner(&self, name: &str) -> Live {
            let name = SchedulerName::from(name);
            self.store
                .acquire(std::slice::from_ref(&name))
                .await
                .unwrap();
            let now = self.clock.now().mono;
            let live = Live {
                control: Deaf(self.told.clone()).start().recipient(),
                asks: mpsc::channel(1).0,
                pings: mpsc::channel(1).0,
                lease: Arc::new(Lease::new(Epoch(1), now.plus(3 * RENEWAL))),
                gauge: Arc::new(Gauge::new()),
                writer: Arc::new(WriterGauge::default()),
                ping_cache: Arc::new(PingCache::new()),
                clock: self.clock.clone(),
            };
            let handle = self.keeper.directory.entry(&name, AskTimeouts::default());
            handle.set_status(OwnerStatus::Live(live.clone()));
            live
        }

        /// A round, a second later; what the actors were told in it.
        async fn round(&mut self) -> Vec<&'static str> {
            self.clock.advance(RENEWAL);
            self.keeper.round().await;
            tokio::time::sleep(Duration::from_millis(1)).await;
            let mut told = std::mem::take(&mut *self.told.lock());
            told.retain(|what| *what != "supervisor");
            told
        }

        fn left(&self, live: &Live) -> Duration {
            live.lease.left(self.clock.now().mono)
        }
    }

    /// It answers, and does something else.
    fn busy(live: &Live) {
        live.gauge.count(Turn::Probe);
        live.gauge.count(Turn::Command);
    }

    fn test<F: Future<Output = ()>>(test: impl FnOnce(World) -> F) {
        actix::System::new().block_on(async { test(World::new()).await });
    }

    #[test]
    fn a_stuck_owner_alone_loses_its_scheduler() {
        test(|mut w| async move {
            let (well, stuck) = (w.owner("well").await, w.owner("stuck").await);
            // The first release fails, and the next round repeats it.
            w.store.fail(StoreCall::Release, StoreFault::NotApplied);
            for round in 0..7 {
                busy(&well);
                let mut told = w.round().await;
                told.sort_unstable();
                // Whoever did something is asked again, who did not owes a sign of life.
                let expected: &[_] = match round {
                    0 => &["probe", "probe"],
                    3 => &["lost", "probe"],
                    _ => &["probe"],
                };
                assert_eq!(told, expected, "{round}");
                assert_eq!(w.left(&well), 3 * RENEWAL);
                let left = if round < 3 {
                    3 * RENEWAL
                } else {
                    Duration::ZERO
                };
                assert_eq!(w.left(&stuck), left, "{round}");
                let owned = w.store.owner_of("stuck").is_some();
                assert_eq!(owned, round < 4, "{round}");
            }
            assert!(w.store.owner_of("well").is_some());
            // It comes too late.
            busy(&well);
            busy(&stuck);
            let mut told = w.round().await;
            told.sort_unstable();
            assert_eq!(told, ["lost", "probe", "probe"]);
            assert_eq!(w.left(&stuck), Duration::ZERO);
        });
    }

    #[test]
    fn a_lost_lease_is_over_at_once() {
        test(|mut w| async move {
            let live = w.owner("fleet").await;
            w.store.steal("fleet", "elsewhere:1");
            let mut told = w.round().await;
            told.sort_unstable();
            assert_eq!(told, ["lost", "probe"]);
            assert_eq!(w.left(&live), Duration::ZERO);
        });
    }

    #[test]
    fn a_store_that_does_not_renew_takes_nothing_away_at_once() {
        test(|mut w| async move {
            let live = w.owner("fleet").await;
            w.store.fail(StoreCall::Renew, StoreFault::NotApplied);
            assert_eq!(w.round().await, ["probe"]);
            assert_eq!(w.left(&live), 2 * RENEWAL);
            live.gauge.count(Turn::Probe);
            assert!(w.round().await.is_empty(), "an idle one rests");
            assert_eq!(w.left(&live), 3 * RENEWAL);
        });
    }

    #[test]
    fn a_lease_counts_from_before_the_store_was_asked() {
        test(|mut w| async move {
            let live = w.owner("fleet").await;
            let gate = Gate::closed();
            w.store
                .fail(StoreCall::Renew, StoreFault::Held(gate.clone()));
            let clock = w.clock.clone();
            let late = async {
                gate.reached_by(1).await;
                clock.advance(RENEWAL);
                gate.open();
            };
            tokio::join!(w.keeper.round(), late);
            assert_eq!(w.left(&live), 2 * RENEWAL);
        });
    }

    #[test]
    fn who_is_gone_is_forgotten_and_the_session_goes_on_without_owners() {
        test(|mut w| async move {
            w.owner("fleet").await;
            w.round().await;
            assert_eq!(w.keeper.seen.len(), 1);
            w.keeper.directory.remove("fleet");
            assert_eq!(w.round().await, Vec::<&str>::new());
            assert_eq!(
                (w.keeper.seen.len(), w.store.calls(StoreCall::Renew)),
                (0, 2)
            );
        });
    }
}
