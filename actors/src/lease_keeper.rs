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
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::time::Duration;
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

struct LeaseKeeper {
    parts: NodeParts,
    directory: Directory,
    supervisor: SupervisorLink,
    /// The last renewal failed. Used to log it once, not each second.
    failing: bool,
    /// For each owner, its progress at the last probe, and the number of rounds without progress.
    seen: HashMap<SchedulerName, (u64, u32)>,
}

impl LeaseKeeper {
    async fn round(&mut self) {
        self.directory.counters().synced();
        self.supervisor.probe();
        let held = self.alive();
        if held.is_empty() {
            return;
        }
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

    /// Owners that made progress since the last round; probes all of them again.
    fn alive(&mut self) -> Vec<(SchedulerName, Live)> {
        let mut alive = Vec::new();
        let all = self.directory.all();
        self.seen
            .retain(|name, _| all.iter().any(|h| h.name() == name));
        let patience = self.parts.settings.lease_ttl.as_millis()
            / self
                .parts
                .settings
                .lease_renewal
                .max(Duration::from_millis(1))
                .as_millis();
        for handle in all {
            let Ok(live) = handle.live() else { continue };
            let progress = live.gauge.progress();
            let (last, idle) = self
                .seen
                .entry(handle.name().clone())
                .or_insert((u64::MAX, 0));
            *idle = if *last == progress { *idle + 1 } else { 0 };
            *last = progress;
            let stuck = u128::from(*idle) >= patience.max(1);
            if stuck {
                if u128::from(*idle) == patience.max(1) {
                    warn!(scheduler_name = %handle.name(), "its actor makes no progress: its lease is not renewed");
                }
            } else {
                // One probe at a time, so that the mailbox of a stuck actor does not grow.
                if *idle == 0 {
                    live.tell(Control::Probe);
                }
                alive.push((handle.name().clone(), live));
            }
        }
        alive
    }
}
