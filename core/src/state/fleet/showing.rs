//! Keeps what the platform shows of a scheduler up to date: the configurations of its versions, and which of them is
//! reached by its name (architecture 7, Objects of a runtime). What is to be shown follows from the state, so that a
//! change that was lost is made good by the next order. One order is under way at a time.

use crate::domain::*;
use crate::ports::{Published, ServicePort, Shown, VersionConfig};
use crate::rules::back_off::doubled;
use crate::state::fleet::Fleet;
use crate::state::fleet::work::Purpose;
use crate::state::report::Report;
use crate::state::turn::Turn;
use crate::state::work::{Work, WorkResult};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

const RETRY_FIRST: Duration = Duration::from_millis(500);

impl Fleet {
    /// Called at the end of each decision. `is_moving`: the place of the rooms is being made or removed.
    pub fn show(&mut self, turn: &mut Turn, is_moving: impl FnOnce() -> bool) {
        if !self.is_shown() {
            return;
        }
        let now = turn.now.mono;
        let showing = &self.showing;
        let is_due = showing.due.is_none_or(|at| at <= now);
        let is_news = showing.failures == 0 && showing.is_changed;
        if showing.under_way.is_some() || !(is_due || is_news) {
            return;
        }
        if is_due {
            self.showing.due = Some(now.plus(self.settings.platform_interval));
        }
        // The end of the movement is another decision, which orders it.
        self.showing.is_changed = !self.listing.complete || is_moving();
        if self.showing.is_changed {
            return;
        }
        let shown = Arc::new(self.shown());
        self.showing.is_there = None;
        self.showing.under_way = Some(shown.clone());
        let work = Work::Show(shown);
        self.run(turn, Purpose::Show, work);
    }

    /// Schedulers that are not managed show nothing beside their rooms.
    fn is_shown(&self) -> bool {
        (self.is_managed() && !self.is_terminating()) || self.runtime.is_some()
    }

    fn shown(&self) -> Shown {
        // A runtime may outlive its scheduler.
        let is_live = self.is_managed() && !self.is_terminating();
        let configs = self.live.values().filter(|_| is_live);
        let with_rooms = configs.filter(|live| live.phase != VersionPhase::Stopped);
        let configs = with_rooms.map(|live| VersionConfig {
            version: live.version.clone(),
            revision: live.revision,
            pairs: live.config.clone(),
        });
        Shown {
            is_runtime: self.runtime.as_ref().is_some_and(|r| r.failure.is_empty()),
            published: self
                .published()
                .filter(|_| is_live)
                .map(|version| Published {
                    ports: self.ports_of(&version),
                    version,
                }),
            configs: configs.collect(),
        }
    }

    fn ports_of(&self, version: &SchedulerVersion) -> Vec<ServicePort> {
        let document = self.versions.get(version);
        let containers = document.into_iter().flat_map(|of| &of.spec.containers);
        let ports = containers.flat_map(|container| &container.ports);
        let ports = ports.filter_map(|port| {
            Some(ServicePort {
                protocol: port.protocol.clone(),
                port: u16::try_from(port.port).ok()?,
            })
        });
        ports.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// After a failure nothing is known, so everything is ordered again.
    pub fn on_shown(&mut self, turn: &mut Turn, result: &WorkResult) {
        let showing = &mut self.showing;
        let ordered = showing.under_way.take();
        showing.refused = None;
        let mut is_lasting = false;
        let why = match result {
            WorkResult::Done => {
                showing.is_there = ordered;
                showing.failures = 0;
                showing.told.clear();
                return;
            }
            WorkResult::Refused(why) => {
                is_lasting = matches!(
                    why.fault,
                    PlatformFault::Foreign | PlatformFault::Forbidden | PlatformFault::Invalid
                );
                why.text.clone()
            }
            WorkResult::Unknown(why) => why.clone(),
            other => format!("the platform answered with {other:?}"),
        };
        // An order that is outdated already says nothing about the next one.
        if is_lasting && !showing.is_changed {
            showing.refused = Some(why.clone());
        }
        let wait = doubled(
            RETRY_FIRST,
            showing.failures,
            self.settings.platform_interval,
        );
        showing.failures = showing.failures.saturating_add(1);
        let wait = wait.mul_f64(0.5 + turn.fraction() / 2.0);
        showing.due = Some(turn.now.mono.plus(wait));
        if showing.told != why {
            showing.told.clone_from(&why);
            turn.reports.push(Report::NotShown { why });
        }
    }

    pub fn showing_wake(&self) -> Option<Mono> {
        let waits = self.is_shown() && self.showing.under_way.is_none();
        self.showing.due.filter(|_| waits)
    }
}
