//! The end of a room: asked for, waited for, and told with its last words.

use super::*;

const EXIT_LOG_LINES: usize = 20;

impl Keeper {
    pub(super) async fn on_order(&mut self) {
        let Some(order) = self.orders.borrow_and_update().clone() else {
            return;
        };
        if self.ending.is_some() {
            return self.set_kill_at(order.kill_at);
        }
        self.tell(InstanceStatus::Terminating, order.reason.to_owned());
        self.begin_end(order).await;
    }

    /// Never later than it was.
    pub(super) fn set_kill_at(&mut self, kill_at: Instant) {
        if let Some(ending) = &mut self.ending {
            let passed = ending.kill_at <= Instant::now();
            ending.kill_at = match passed {
                true => kill_at,
                false => ending.kill_at.min(kill_at),
            };
        }
    }

    pub(super) async fn begin_end(&mut self, order: EndOrder) {
        self.ending = Some(order);
        for slot in &mut self.slots {
            if matches!(slot.state, SlotState::RestartAt(_)) {
                slot.state = SlotState::Ended;
            }
        }
        sweep::ask_to_end(&self.host, &self.scope()).await;
    }

    /// What the leaders left behind may use the rest of the grace period.
    async fn outlast(&mut self) {
        while let Some(kill_at) = self.ending.as_ref().map(|order| order.kill_at) {
            let left = sweep::members(&self.host, &self.scope()).await;
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

    /// Of a container's log; none when it cannot be read.
    pub(super) async fn last_lines(&mut self, container: &str, lines: usize) -> Vec<String> {
        let log = self.folder.log(container);
        let tail = self.host.blocking(move || logs::tail(&log, lines));
        tail.await.and_then(Result::ok).unwrap_or_default()
    }

    pub(super) async fn finish(mut self) {
        self.outlast().await;
        if self.stop.is_cancelled() {
            return;
        }
        sweep::kill_all(&self.host, &self.scope()).await;
        for slot in &self.slots {
            if let Some(process) = &slot.process {
                process.reap();
            }
        }
        let (mut exit, container) = self.outcome.take().unwrap_or_default();
        if let Some(order) = &self.ending {
            exit.reason = format!("{} ({})", exit.reason, order.reason);
        }
        exit.log_tail = self.last_lines(&container, EXIT_LOG_LINES).await;
        self.record.phase = Phase::Ended;
        self.record.ended_at = Some(jiff::Timestamp::now());
        self.record.end = Some(exit.reason.clone());
        self.write_record().await;
        self.host.room_ended(&self.key, &self.live);
        self.host.feeds.gone(&self.key.0, &self.key.1, exit);
    }
}
