//! Restarts in place: a container that ended is restarted after a delay. The record stores the pending restart, so that
//! a server that is killed meanwhile forgets neither how the container ended nor the back-off.

use super::super::{
    exit_watch::Ending,
    record::{ContainerRestarts, WaitsForRestart},
};
use super::{RoomSupervisor, SlotState};
use jiff::Timestamp;
use maestro_core::domain::{InstanceStatus, Restart};
use std::time::Duration;
use tokio::time::Instant;

/// Length of the last log line in the description of a room that is about to restart.
const LAST_LINE_CHARS: usize = 200;

impl RoomSupervisor {
    /// Schedules the restart of a container that ended.
    pub(super) async fn wait_for_restart(&mut self, index: usize, ending: Ending, words: String) {
        let slot = &mut self.slots[index];
        let delay = slot.delays.next(slot.since.elapsed());
        slot.state = SlotState::RestartAt(Instant::now() + delay);
        let name = slot.name.clone();
        let seconds = delay.as_secs();
        let mut text = format!("CrashLoopBackOff: {words}, next start in {seconds} s");
        if let Some(line) = self.last_line(&name).await {
            let line: String = line.chars().take(LAST_LINE_CHARS).collect();
            text.push_str(&format!("; last line: {line}"));
        }
        self.tell_restart(index, ending, text, delay);
        self.write_record().await;
    }

    /// Continues a restart that an earlier process scheduled for this container; false if there is none.
    pub(super) fn waits_on(&mut self, index: usize) -> bool {
        let slot = &mut self.slots[index];
        let restarts = self.record.restarts_of(&slot.name);
        let Some(waits) = restarts.and_then(|r| r.waits.as_ref()) else {
            return false;
        };
        let left = Duration::try_from(waits.until.duration_since(Timestamp::now()));
        // A wall clock that was set back must not delay the restart.
        let at_most = slot.delays.clone().next(Duration::ZERO);
        slot.state = SlotState::RestartAt(Instant::now() + left.unwrap_or_default().min(at_most));
        true
    }

    pub(super) async fn restart_due(&mut self) {
        let now = Instant::now();
        for index in 0..self.slots.len() {
            if !matches!(self.slots[index].state, SlotState::RestartAt(at) if at <= now) {
                continue;
            }
            let name = self.slots[index].name.clone();
            let started = self.host.start_again(&self.record, &self.folder, &name);
            match started.await {
                Ok(id) => {
                    self.record.set_process(&name, id);
                    self.set_restarts(index, None);
                    self.write_record().await;
                    self.hold(index, id);
                    if matches!(self.slots[index].state, SlotState::Missing) {
                        self.on_missing(index).await;
                    }
                }
                Err(error) => {
                    let delay = self.slots[index].delays.next(Duration::ZERO);
                    self.slots[index].state = SlotState::RestartAt(now + delay);
                    let text = format!("RunContainerError: {error}");
                    self.tell_restart(index, Ending::default(), text, delay);
                    self.write_record().await;
                }
            }
        }
        let waits = |slot: &super::Slot| matches!(slot.state, SlotState::RestartAt(_));
        if self.ending.is_none() && !self.slots.iter().any(waits) {
            self.tell(InstanceStatus::Ready, String::new());
        }
    }

    fn tell_restart(&mut self, index: usize, ending: Ending, description: String, delay: Duration) {
        let before = self.record.restart.map_or(0, |restart| restart.count);
        let restart = Restart {
            count: before.saturating_add(1),
            code: ending.code,
            signal: ending.signal,
        };
        self.record.restart = Some(restart);
        let until = Timestamp::now().saturating_add(delay);
        let waits = WaitsForRestart {
            until: until.unwrap_or(Timestamp::MAX),
            description: description.clone(),
        };
        self.set_restarts(index, Some(waits));
        self.observe(InstanceStatus::Error, description, Some(restart));
    }

    fn set_restarts(&mut self, index: usize, waits: Option<WaitsForRestart>) {
        let slot = &self.slots[index];
        self.record.set_restarts(ContainerRestarts {
            container: slot.name.clone(),
            in_a_row: slot.delays.in_a_row(),
            waits,
        });
    }
}
