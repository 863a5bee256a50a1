//! Work that is too long for one turn of the actor is split into pieces, so that other messages are handled in between.

use crate::scheduler::SchedulerActor;
use crate::turns::Turn;
use actix::prelude::*;
use maestro_core::state::Input;

impl SchedulerActor {
    pub(crate) fn wake(&mut self, ctx: &mut Context<Self>) {
        if self.ping_cache.waiting() == 0 {
            return self.turn(Turn::Wake, Input::Wake, ctx);
        }
        self.backlog.wake = true;
        self.begin_telling();
    }

    /// Starts to report all pings that the cache has answered until now.
    fn begin_telling(&mut self) {
        self.backlog.tell = self.ping_cache.waiting();
        self.go_on_soon();
    }

    /// Schedules a report of the pings that the cache answers within the next second (architecture 5).
    pub(crate) fn tell_later(&mut self, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.backlog.tell_later, true) {
            return;
        }
        let wait = self.state.settings().touch_interval;
        ctx.run_later(wait, |actor, _| {
            actor.backlog.tell_later = false;
            actor.begin_telling();
        });
    }

    pub(crate) fn go_on_soon(&self) {
        // One pending signal is enough; the actor itself holds the receiver.
        let _ = self.continue_signal.try_send(());
    }

    /// Does one piece of each pending kind of work.
    pub(crate) fn go_on(&mut self, ctx: &mut Context<Self>) {
        if self.backlog.tell > 0 {
            let chunk = self.backlog.tell.min(self.state.settings().rooms_per_turn);
            self.backlog.tell -= chunk;
            let pings = self.ping_cache.tell(chunk);
            self.turn(Turn::Pinged, Input::Pinged(pings), ctx);
            if self.backlog.tell == 0 && self.ping_cache.waiting() > 0 {
                self.tell_later(ctx);
            }
        }
        if self.backlog.tell == 0 && std::mem::take(&mut self.backlog.wake) {
            self.turn(Turn::Wake, Input::Wake, ctx);
        }
        if std::mem::take(&mut self.backlog.more) {
            self.turn(Turn::Continue, Input::Continue, ctx);
        }
        if self.backlog.tell > 0 {
            self.go_on_soon();
        }
    }
}
