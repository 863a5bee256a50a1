//! The turns of a SchedulerActor: each message becomes one input of the state machine.

use crate::messages::{Ask, ContinueSignal, Control, Counted, FromWriter, PingCall, WorkEnded};
use crate::order::Order;
use crate::scheduler::SchedulerActor;
use crate::supervisor_messages::EndCause;
use crate::turns::Turn;
use crate::writer_event::WriterEvent;
use actix::prelude::*;
use maestro_core::domain::RoomId;
use maestro_core::state::{Caller, Command, Input, Refusal, RefusalKind, WorkResult};
use tracing::{error, info, warn};

impl StreamHandler<Counted<Ask>> for SchedulerActor {
    fn handle(&mut self, Counted(ask, queued): Counted<Ask>, ctx: &mut Self::Context) {
        drop(queued);
        // The store may have failed while the command waited in the queue.
        let Order { command, request } = ask.order;
        if !command.only_looks()
            && let Some(outage) = self.store.outage()
        {
            let text = outage.refusal().to_string();
            // The caller may have stopped waiting.
            let _ = ask
                .to
                .deliver(Err(Refusal::new(RefusalKind::Unavailable, text)));
            return;
        }
        let caller = self.caller(ask.to);
        let kind = match command {
            Command::Allocate => Turn::Allocate,
            _ => Turn::Command,
        };
        self.looks = command.only_looks();
        self.turn_for(
            ask.trace,
            kind,
            Input::Command {
                caller,
                request,
                command,
            },
            ctx,
        );
        self.looks = false;
    }
    /// The default implementation would stop the actor when a stream ends.
    fn finished(&mut self, _: &mut Self::Context) {}
}

impl StreamHandler<Counted<PingCall>> for SchedulerActor {
    fn handle(&mut self, Counted(call, queued): Counted<PingCall>, ctx: &mut Self::Context) {
        drop(queued);
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

impl StreamHandler<ContinueSignal> for SchedulerActor {
    fn handle(&mut self, _: ContinueSignal, ctx: &mut Self::Context) {
        self.go_on(ctx);
    }
    fn finished(&mut self, _: &mut Self::Context) {}
}

impl Handler<Counted<WorkEnded>> for SchedulerActor {
    type Result = ();
    fn handle(&mut self, message: Counted<WorkEnded>, ctx: &mut Self::Context) {
        let Counted(WorkEnded(id, result, trace), queued) = message;
        drop(queued);
        if let WorkResult::Created(instance) = &result {
            self.handle
                .counters()
                .record_created(instance, self.state.rooms());
        }
        let input = Input::WorkDone { id, result };
        self.turn_for(trace.result(), Turn::WorkDone, input, ctx);
    }
}

impl Handler<Counted<FromWriter>> for SchedulerActor {
    type Result = ();
    fn handle(&mut self, message: Counted<FromWriter>, ctx: &mut Self::Context) {
        let Counted(FromWriter(event), queued) = message;
        drop(queued);
        match event {
            WriterEvent::Untaken(room, caller) => self.untaken(room, caller, ctx),
            WriterEvent::Ended => {
                info!(scheduler_name = %self.guard.name, "the scheduler is gone, its actor ends");
                self.end(EndCause::Gone, ctx);
            }
            WriterEvent::Fenced => {
                warn!(scheduler_name = %self.guard.name, "another node owns the scheduler: its actor ends");
                self.end(EndCause::Fenced, ctx);
            }
            WriterEvent::Behind { again } => self.republish(again, ctx),
            WriterEvent::Lost(why) => {
                error!(scheduler_name = %self.guard.name, %why, "the outcome of a write is unknown: reloading");
                self.end(EndCause::Failed(why), ctx);
            }
        }
    }
}

impl SchedulerActor {
    fn untaken(&mut self, room: RoomId, caller: Caller, ctx: &mut Context<Self>) {
        if !self.allocated.take_back(&room, caller) {
            return self.gauge.count(Turn::Untaken);
        }
        self.turn(Turn::Untaken, Input::AllocationUntaken { room }, ctx);
    }
}

impl Handler<Counted<Control>> for SchedulerActor {
    type Result = ();
    fn handle(&mut self, message: Counted<Control>, ctx: &mut Self::Context) {
        let Counted(control, queued) = message;
        drop(queued);
        match control {
            Control::Pinged => self.tell_later(ctx),
            Control::Probe => self.gauge.count(Turn::Probe),
            Control::Reload => self.end(EndCause::Reload, ctx),
            Control::Stop => self.end(EndCause::Stopped, ctx),
            Control::HandOver => self.end(EndCause::HandedOver, ctx),
            Control::LeaseLost => self.end(EndCause::LeaseLost, ctx),
            Control::Pushed(record) => self.turn(Turn::Control, Input::Pushed(record), ctx),
            Control::CancelRequested(id) => {
                self.turn(Turn::Control, Input::CancelRequested(id), ctx);
            }
            #[cfg(feature = "faults")]
            Control::Interrupt(what) => {
                self.gauge.begin_turn(Turn::Control);
                what();
                self.gauge.end_turn();
            }
        }
    }
}
