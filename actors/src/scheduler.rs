//! The actor that owns one scheduler: mailbox, timer, room-watch stream, and the shell
//! around the pure state machine. It never awaits.

use crate::debug::Published;
use crate::gauge::Turn;
use crate::handle::SchedulerHandle;
use crate::lease::Lease;
use crate::supervisor::{ChildEnded, EndCause};
use crate::writer::{Batch, Order, Outgoing, WriterEvent, WriterGauge, deliver};
use actix::prelude::*;
use maestro_core::domain::{Mono, OperationRecord, RoomId, SchedulerName};
use maestro_core::ports::{Clock, RuntimeEvent};
use maestro_core::state::{
    Answer, Caller, Command, Decision, Effect, Input, Ping, SchedulerState, WorkId, WorkResult,
};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tracing::{error, info, warn};

/// The snapshot for `/debug/actors` is made at most this often (architecture 4).
const PUBLISH_EVERY: Duration = Duration::from_millis(100);
/// A wake-up counts as late when it comes this much after its moment.
const LATE: Duration = Duration::from_millis(100);

#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Ask {
    pub command: Command,
    pub to: oneshot::Sender<Answer>,
    pub _permit: OwnedSemaphorePermit,
}

pub(crate) struct PingCall {
    pub ping: Ping,
    pub to: oneshot::Sender<Answer>,
}

#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct WorkEnded(pub WorkId, pub WorkResult);

#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct FromWriter(pub WriterEvent);

#[derive(Message)]
#[rtype(result = "()")]
pub(crate) enum Control {
    /// A sign of life is asked for.
    Probe,
    /// Flush what is coalesced and end; the supervisor loads it anew.
    Reload,
    /// Flush and end for good: the node goes down.
    Stop,
    /// Another node owns it now, or the store cannot say so.
    LeaseLost,
    Pushed(Box<OperationRecord>),
    CancelRequested(maestro_core::domain::OperationId),
    /// For tests of supervision only: a defect of ours.
    #[cfg(any(test, feature = "faults"))]
    Panic,
}

/// Tells the supervisor of the end, however it came: also while unwinding.
struct ExitGuard {
    name: SchedulerName,
    life: u64,
    cause: EndCause,
    supervisor: Recipient<ChildEnded>,
}

impl Drop for ExitGuard {
    fn drop(&mut self) {
        let cause = match std::thread::panicking() {
            true => EndCause::Panicked,
            false => std::mem::replace(&mut self.cause, EndCause::Stopped),
        };
        // Nothing here may panic: a second panic while unwinding aborts the process.
        self.supervisor.do_send(ChildEnded {
            name: self.name.clone(),
            life: self.life,
            cause,
        });
    }
}

/// What one life of an actor is made of.
pub(crate) struct Parts {
    pub life: u64,
    pub state: SchedulerState,
    pub handle: SchedulerHandle,
    pub clock: Arc<dyn Clock>,
    pub lease: Arc<Lease>,
    pub orders: mpsc::Sender<Order>,
    pub writer: Arc<WriterGauge>,
    pub supervisor: Recipient<ChildEnded>,
    pub pings: mpsc::Receiver<PingCall>,
    pub events: mpsc::Receiver<RuntimeEvent>,
}

pub(crate) struct SchedulerActor {
    state: SchedulerState,
    handle: SchedulerHandle,
    clock: Arc<dyn Clock>,
    lease: Arc<Lease>,
    orders: mpsc::Sender<Order>,
    writer: Arc<WriterGauge>,
    callers: HashMap<Caller, oneshot::Sender<Answer>>,
    last_caller: u64,
    timer: Option<(Mono, SpawnHandle)>,
    published_at: Option<Mono>,
    publish_later: bool,
    guard: ExitGuard,
    inlets: Option<(mpsc::Receiver<PingCall>, mpsc::Receiver<RuntimeEvent>)>,
}

impl SchedulerActor {
    pub fn new(parts: Parts) -> Self {
        Self {
            guard: ExitGuard {
                name: parts.state.name().clone(),
                life: parts.life,
                cause: EndCause::Stopped,
                supervisor: parts.supervisor,
            },
            state: parts.state,
            handle: parts.handle,
            clock: parts.clock,
            lease: parts.lease,
            orders: parts.orders,
            writer: parts.writer,
            callers: HashMap::new(),
            last_caller: 0,
            timer: None,
            published_at: None,
            publish_later: false,
            inlets: Some((parts.pings, parts.events)),
        }
    }

    fn caller(&mut self, to: oneshot::Sender<Answer>) -> Caller {
        self.last_caller += 1;
        let caller = Caller(self.last_caller);
        self.callers.insert(caller, to);
        caller
    }

    /// One turn: decide, hand on, arm the next wake-up.
    fn turn(&mut self, kind: Turn, input: Input, ctx: &mut Context<Self>) {
        self.handle.0.gauge.begin_turn(kind);
        let decision = self
            .state
            .decide(input, self.clock.now(), self.clock.entropy());
        self.hand_on(decision, ctx);
        self.arm(ctx);
        self.publish(ctx);
        self.handle.0.gauge.end_turn();
    }

    fn hand_on(&mut self, decision: Decision, ctx: &mut Context<Self>) {
        // What only answers from memory goes out at once; all else keeps the order of the writer.
        let only_answers = decision.changes.is_empty()
            && decision
                .effects
                .iter()
                .all(|e| matches!(e, Effect::Reply { .. }));
        let outgoing: Vec<Outgoing> = decision
            .effects
            .into_iter()
            .filter_map(|effect| self.outgoing(effect))
            .collect();
        if only_answers {
            for item in outgoing {
                if let Outgoing::Reply { to, answer } = item {
                    deliver(to, answer);
                }
            }
        } else {
            self.send(
                Order::Batch(Batch {
                    changes: decision.changes,
                    outgoing,
                }),
                ctx,
            );
        }
        if !decision.touches.is_empty() {
            self.send(Order::Touches(decision.touches), ctx);
        }
    }

    fn outgoing(&mut self, effect: Effect) -> Option<Outgoing> {
        Some(match effect {
            Effect::Reply { caller, answer } => Outgoing::Reply {
                to: self.callers.remove(&caller)?,
                answer,
            },
            Effect::Run { id, work, timeout } => Outgoing::Run { id, work, timeout },
            Effect::Abandon(ids) => Outgoing::Abandon(ids),
            Effect::Ended => Outgoing::Ended,
        })
    }

    fn send(&mut self, order: Order, ctx: &mut Context<Self>) {
        self.writer.waiting.fetch_add(1, Relaxed);
        if self.orders.try_send(order).is_err() {
            self.writer.waiting.fetch_sub(1, Relaxed);
            self.end(EndCause::Failed("its writer takes no more".into()), ctx);
        }
    }

    fn arm(&mut self, ctx: &mut Context<Self>) {
        let wake = self.state.next_wake();
        if self.timer.as_ref().map(|(at, _)| *at) == wake {
            return;
        }
        if let Some((_, timer)) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        let Some(at) = wake else { return };
        let wait = at.since(self.clock.now().mono);
        let timer = ctx.run_later(wait, move |actor, ctx| {
            actor.timer = None;
            if actor.clock.now().mono.since(at) > LATE {
                actor.handle.0.gauge.late_wake();
            }
            actor.turn(Turn::Wake, Input::Wake, ctx);
        });
        self.timer = Some((at, timer));
    }

    fn publish(&mut self, ctx: &mut Context<Self>) {
        let now = self.clock.now();
        let early = self
            .published_at
            .is_some_and(|at| now.mono.since(at) < PUBLISH_EVERY);
        if early {
            if !std::mem::replace(&mut self.publish_later, true) {
                ctx.run_later(PUBLISH_EVERY, |actor, ctx| {
                    actor.publish_later = false;
                    actor.publish(ctx);
                });
            }
            return;
        }
        self.published_at = Some(now.mono);
        let wake = self.state.next_wake().map(|at| at.since(now.mono));
        let published = Published {
            at: now.wall,
            epoch: self.lease.epoch,
            next_wake_ms: wake.map(|wait| wait.as_millis() as u64),
            state: self.state.view(),
        };
        *self.handle.0.published.lock() = Some(Arc::new(published));
    }

    /// Flushes what is coalesced and ends. Rooms stay as they are.
    fn end(&mut self, cause: EndCause, ctx: &mut Context<Self>) {
        let flush = matches!(cause, EndCause::Reload | EndCause::Stopped);
        let touches = self.state.flush_touches();
        if flush && !touches.is_empty() {
            self.writer.waiting.fetch_add(1, Relaxed);
            if self.orders.try_send(Order::Touches(touches)).is_err() {
                self.writer.waiting.fetch_sub(1, Relaxed);
                warn!(scheduler = %self.guard.name, "the last pings were not stored");
            }
        }
        self.guard.cause = cause;
        ctx.stop();
    }
}

impl Actor for SchedulerActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // Asks are bounded by the handle's permits, results by the work that is out: the
        // mailbox itself must not refuse what was promised.
        ctx.set_mailbox_capacity(usize::MAX >> 4);
        if let Some((pings, events)) = self.inlets.take() {
            ctx.add_stream(tokio_stream::wrappers::ReceiverStream::new(pings));
            ctx.add_stream(tokio_stream::wrappers::ReceiverStream::new(events));
        }
        self.handle.0.gauge.begin_turn(Turn::Start);
        self.arm(ctx);
        self.publish(ctx);
        self.handle.0.gauge.end_turn();
    }
}

impl Handler<Ask> for SchedulerActor {
    type Result = ();
    fn handle(&mut self, ask: Ask, ctx: &mut Self::Context) {
        self.handle.0.gauge.take();
        let caller = self.caller(ask.to);
        self.turn(
            Turn::Command,
            Input::Command {
                caller,
                command: ask.command,
            },
            ctx,
        );
    }
}

impl StreamHandler<PingCall> for SchedulerActor {
    fn handle(&mut self, call: PingCall, ctx: &mut Self::Context) {
        self.handle.0.gauge.take();
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
    /// The default stops the actor when a stream ends.
    fn finished(&mut self, _: &mut Self::Context) {}
}

impl StreamHandler<RuntimeEvent> for SchedulerActor {
    fn handle(&mut self, event: RuntimeEvent, ctx: &mut Self::Context) {
        self.turn(Turn::Runtime, Input::Runtime(event), ctx);
    }
    fn finished(&mut self, _: &mut Self::Context) {
        warn!(scheduler = %self.guard.name, "the watch of its rooms ended");
    }
}

impl Handler<WorkEnded> for SchedulerActor {
    type Result = ();
    fn handle(&mut self, WorkEnded(id, result): WorkEnded, ctx: &mut Self::Context) {
        self.turn(Turn::WorkDone, Input::WorkDone { id, result }, ctx);
    }
}

impl Handler<FromWriter> for SchedulerActor {
    type Result = ();
    fn handle(&mut self, FromWriter(event): FromWriter, ctx: &mut Self::Context) {
        match event {
            WriterEvent::Untaken(room) => self.untaken(room, ctx),
            WriterEvent::Ended => {
                info!(scheduler = %self.guard.name, "the scheduler is gone, its actor ends");
                self.end(EndCause::Gone, ctx);
            }
            WriterEvent::Lost(why) => {
                error!(scheduler = %self.guard.name, %why, "a write has no known outcome: loading anew");
                self.end(EndCause::Failed(why), ctx);
            }
        }
    }
}

impl SchedulerActor {
    fn untaken(&mut self, room: RoomId, ctx: &mut Context<Self>) {
        self.turn(Turn::Untaken, Input::AllocationUntaken { room }, ctx);
    }
}

impl Handler<Control> for SchedulerActor {
    type Result = ();
    fn handle(&mut self, control: Control, ctx: &mut Self::Context) {
        let gauge = |actor: &Self, kind| {
            actor.handle.0.gauge.begin_turn(kind);
            actor.handle.0.gauge.end_turn();
        };
        match control {
            Control::Probe => gauge(self, Turn::Probe),
            Control::Reload => self.end(EndCause::Reload, ctx),
            Control::Stop => self.end(EndCause::Stopped, ctx),
            Control::LeaseLost => self.end(EndCause::LeaseLost, ctx),
            Control::Pushed(record) => self.turn(Turn::Control, Input::Pushed(record), ctx),
            Control::CancelRequested(id) => {
                self.turn(Turn::Control, Input::CancelRequested(id), ctx);
            }
            #[cfg(any(test, feature = "faults"))]
            Control::Panic => panic!("a fault that a test asked for"),
        }
    }
}
