//! The actor's ear: the stream of its runtime's room events, and what is seen of it.

use crate::gauge::Turn;
use crate::messages::Counted;
use crate::scheduler::SchedulerActor;
use actix::prelude::*;
use jiff::Timestamp;
use maestro_core::ports::RuntimeEvent;
use maestro_core::state::Input;
use serde::Serialize;
use tracing::warn;

/// The watch of one life of an owner, as `/debug/actors` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct WatchView {
    /// `alive`, or `ended`: the owner hears nothing of its rooms any more.
    pub state: &'static str,
    /// Events that were handled, lists among them.
    pub events: u64,
    /// When the last complete list was taken in.
    pub last_list_at: Option<Timestamp>,
}

impl Default for WatchView {
    fn default() -> Self {
        Self {
            state: "alive",
            events: 0,
            last_list_at: None,
        }
    }
}

impl StreamHandler<Counted<RuntimeEvent>> for SchedulerActor {
    fn handle(&mut self, message: Counted<RuntimeEvent>, ctx: &mut Self::Context) {
        let Counted(event, queued) = message;
        drop(queued);
        self.watch.events += 1;
        if matches!(event, RuntimeEvent::Listed(_)) {
            self.watch.last_list_at = Some(self.clock.now().wall);
        }
        self.handle.0.tally.heard(&event, self.state.rooms());
        self.turn(Turn::Runtime, Input::Runtime(event), ctx);
    }
    /// The default stops the actor when a stream ends.
    fn finished(&mut self, ctx: &mut Self::Context) {
        if self.is_over(ctx) {
            return;
        }
        self.watch.state = "ended";
        self.publish(ctx);
        warn!(scheduler_name = %self.name(), "the watch of its rooms ended");
    }
}
