//! The end of a room: requested, awaited, and reported with its last log lines.

use super::super::{
    host::Host,
    live_room::EndOrder,
    log_writer,
    logs::{self, Bounds},
    record::Phase,
    sweep,
};
use super::{RoomSupervisor, SlotState, at, unless};
use maestro_core::domain::InstanceStatus;
use std::{path::PathBuf, time::Duration};
use tokio::time::Instant;

/// How long the last lines of an ended room may take to reach its log.
const LOG_WRITTEN_MAX: Duration = Duration::from_secs(1);
const LOG_WRITTEN_LOOK: Duration = Duration::from_millis(5);

impl RoomSupervisor {
    pub(super) async fn on_order(&mut self) {
        let Some(order) = self.orders.borrow_and_update().clone() else {
            return;
        };
        if let Some(ending) = &mut self.ending {
            return ending.bring_nearer(order.kill_at);
        }
        self.tell(InstanceStatus::Terminating, order.reason.to_owned());
        self.begin_end(order).await;
    }

    pub(super) async fn begin_end(&mut self, order: EndOrder) {
        self.ending = Some(order);
        for slot in &mut self.slots {
            if matches!(slot.state, SlotState::RestartAt(_)) {
                slot.state = SlotState::Ended;
            }
        }
        // No longer than that: the room must be killed in time, and another supervisor may be waiting.
        let (kill_at, stop) = (self.kill_at(), self.stop.clone());
        let scope = self.scope();
        tokio::select! {
            () = sweep::ask_to_end(&self.host, &scope) => {}
            () = at(kill_at) => {}
            () = stop.cancelled() => {}
        }
    }

    pub(super) fn kill_at(&self) -> Option<Instant> {
        self.ending.as_ref().map(|order| order.kill_at)
    }

    /// Processes that the leaders left behind have the rest of the grace period.
    async fn outlast(&mut self) {
        while let Some(kill_at) = self.kill_at() {
            let stop = self.stop.clone();
            let scope = self.scope();
            let left = tokio::select! {
                left = sweep::members(&self.host, &scope) => left,
                () = tokio::time::sleep_until(kill_at) => return,
                () = stop.cancelled() => return,
            };
            if left.is_empty() {
                return;
            }
            let order = tokio::select! {
                () = sweep::all_ended(&left) => false,
                () = tokio::time::sleep_until(kill_at) => return,
                () = self.stop.cancelled() => return,
                Ok(()) = self.orders.changed() => true,
            };
            if order {
                self.on_order().await;
            }
        }
    }

    /// The last line of the log of a container that is about to restart; none when it cannot be
    /// read.
    pub(super) async fn last_line(&mut self, container: &str) -> Option<String> {
        let bounds = Bounds {
            lines: 1,
            ..Bounds::of_exit()
        };
        let lines = tail(&self.host, self.folder.log(container), bounds).await;
        lines.ok()?.pop()
    }

    pub(super) async fn finish(mut self) {
        self.outlast().await;
        if self.stop.is_cancelled() {
            return;
        }
        let stop = self.stop.clone();
        unless(&stop, sweep::kill_all(&self.host, &self.scope())).await;
        if self.stop.is_cancelled() {
            return;
        }
        for slot in &self.slots {
            if let Some(process) = &slot.process {
                process.reap();
            }
        }
        let (mut exit, container) = self.outcome.take().unwrap_or_default();
        if let Some(order) = &self.ending {
            exit.reason = format!("{} ({})", exit.reason, order.reason);
        }
        let log = self.folder.log(&container);
        let all = self.slots.iter().map(|slot| self.folder.log(&slot.name));
        let all: Vec<_> = all.collect();
        exit.log_tail = last_words(&self.host, log, all).await;
        self.record.phase = Phase::Ended;
        self.record.ended_at = Some(jiff::Timestamp::now());
        self.record.end = Some(exit.reason.clone());
        self.write_record().await;
        self.host.room_ended(&self.key, &self.live, exit);
    }
}

/// The last lines of one log, within bounds; or why there are none.
async fn tail(host: &Host, log: PathBuf, bounds: Bounds) -> Result<Vec<String>, String> {
    let files = host.settings.log_files;
    let read = host.blocking(move || logs::tail(&log, files, bounds)).await;
    let read = read.ok_or_else(|| "it takes too long".to_owned())?;
    read.map_err(|error| error.to_string())
}

/// A container's last lines, once all output of its room is in the logs.
async fn last_words(host: &Host, log: PathBuf, all: Vec<PathBuf>) -> Vec<String> {
    logs_are_written(host, all).await;
    match tail(host, log, Bounds::of_exit()).await {
        Ok(lines) => lines,
        Err(why) => vec![format!("[maestro: the log cannot be read: {why}]")],
    }
}

/// The writers end with the room. A writer whose pipe is still held by an unreachable process is
/// not awaited any longer, and keeps its pipe.
async fn logs_are_written(host: &Host, mut left: Vec<PathBuf>) {
    let until = Instant::now() + LOG_WRITTEN_MAX;
    while Instant::now() < until {
        let look = move || {
            left.retain(|log| {
                let done = log_writer::is_done(log);
                if done {
                    // A pipe that cannot be removed delays nothing.
                    let _ = log_writer::remove(&log_writer::pipe_of(log));
                }
                !done
            });
            left
        };
        left = match host.blocking(look).await {
            Some(left) if !left.is_empty() => left,
            _ => return,
        };
        tokio::time::sleep(LOG_WRITTEN_LOOK).await;
    }
}
