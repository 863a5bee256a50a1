//! The actor's subscription to its runtime's room events.

use crate::messages::Counted;
use crate::scheduler::SchedulerActor;
use crate::turns::Turn;
use actix::prelude::*;
use maestro_core::ports::RuntimeEvent;
use maestro_core::state::Input;
use tracing::warn;

impl StreamHandler<Counted<RuntimeEvent>> for SchedulerActor {
    fn handle(&mut self, message: Counted<RuntimeEvent>, ctx: &mut Self::Context) {
        let Counted(event, queued) = message;
        drop(queued);
        self.watch.events += 1;
        if matches!(event, RuntimeEvent::Listed(_)) {
            self.watch.last_list_at = Some(self.clock.now().wall);
        }
        self.handle
            .counters()
            .record_event(&event, self.state.rooms());
        self.turn(Turn::Runtime, Input::Runtime(event), ctx);
    }
    /// The default implementation would stop the actor when a stream ends.
    fn finished(&mut self, ctx: &mut Self::Context) {
        if self.is_over(ctx) {
            return;
        }
        self.watch.state = "ended";
        self.publish(ctx);
        warn!(scheduler_name = %self.name(), "the watch of its rooms ended");
    }
}
