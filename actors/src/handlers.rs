//! The turns of a SchedulerActor: each message becomes one input of the state machine.

use crate::gauge::Turn;
use crate::messages::{Again, Ask, Control, FromWriter, PingCall, WorkEnded};
use crate::orders::EndCause;
use crate::scheduler::SchedulerActor;
use crate::writer::WriterEvent;
use actix::prelude::*;
use maestro_core::domain::RoomId;
use maestro_core::state::{Caller, Command, Input, WorkResult};
use tracing::{error, info};

impl StreamHandler<Ask> for SchedulerActor {
    fn handle(&mut self, ask: Ask, ctx: &mut Self::Context) {
        drop(ask.queued);
        let caller = self.caller(ask.to);
        let kind = match ask.command {
            Command::Allocate => Turn::Allocate,
            _ => Turn::Command,
        };
        self.turn_for(
            ask.cause,
            kind,
            Input::Command {
                caller,
                command: ask.command,
            },
            ctx,
        );
    }
    /// The default stops the actor when a stream ends.
    fn finished(&mut self, _: &mut Self::Context) {}
}

impl StreamHandler<PingCall> for SchedulerActor {
    fn handle(&mut self, call: PingCall, ctx: &mut Self::Context) {
        drop(call.queued);
        let caller = self.caller(call.to);
        self.turn(
            Turn::Ping,
            Input::Ping {
                caller,
                ping: call.ping,
            },
            ctx,
        );
    }
    fn finished(&mut self, _: &mut Self::Context) {}
}

impl StreamHandler<Again> for SchedulerActor {
    fn handle(&mut self, _: Again, ctx: &mut Self::Context) {
        self.go_on(ctx);
    }
    fn finished(&mut self, _: &mut Self::Context) {}
}

impl Handler<WorkEnded> for SchedulerActor {
    type Result = ();
    fn handle(&mut self, WorkEnded(id, result, cause): WorkEnded, ctx: &mut Self::Context) {
        if let WorkResult::Created(instance) = &result {
            self.handle.0.tally.made(instance, self.state.rooms());
        }
        let input = Input::WorkDone { id, result };
        self.turn_for(cause.result(), Turn::WorkDone, input, ctx);
    }
}

impl Handler<FromWriter> for SchedulerActor {
    type Result = ();
    fn handle(&mut self, FromWriter(event): FromWriter, ctx: &mut Self::Context) {
        match event {
            WriterEvent::Untaken(room, caller) => self.untaken(room, caller, ctx),
            WriterEvent::Ended => {
                info!(scheduler_name = %self.guard.name, "the scheduler is gone, its actor ends");
                self.end(EndCause::Gone, ctx);
            }
            WriterEvent::Lost(why) => {
                error!(scheduler_name = %self.guard.name, %why, "a write has no known outcome: loading anew");
                self.end(EndCause::Failed(why), ctx);
            }
        }
    }
}

impl SchedulerActor {
    /// Somebody else may have got the room since, while the store was slow.
    fn untaken(&mut self, room: RoomId, caller: Caller, ctx: &mut Context<Self>) {
        if self.given.get(&room) != Some(&caller) {
            return self.handle.0.gauge.count(Turn::Untaken);
        }
        self.given.remove(&room);
        self.turn(Turn::Untaken, Input::AllocationUntaken { room }, ctx);
    }
}

impl Handler<Control> for SchedulerActor {
    type Result = ();
    fn handle(&mut self, control: Control, ctx: &mut Self::Context) {
        match control {
            Control::Pinged => self.tell_later(ctx),
            Control::Probe => self.handle.0.gauge.count(Turn::Probe),
            Control::Reload => self.end(EndCause::Reload, ctx),
            Control::Stop => self.end(EndCause::Stopped, ctx),
            Control::LeaseLost => self.end(EndCause::LeaseLost, ctx),
            Control::Pushed(record) => self.turn(Turn::Control, Input::Pushed(record), ctx),
            Control::CancelRequested(id) => {
                self.turn(Turn::Control, Input::CancelRequested(id), ctx);
            }
            #[cfg(feature = "faults")]
            Control::Interrupt(what) => {
                self.handle.0.gauge.begin_turn(Turn::Control);
                what();
                self.handle.0.gauge.end_turn();
            }
        }
    }
}
