//! The actor that owns one scheduler: mailbox, timer, stream of room events, and the shell around the pure state
//! machine. It never awaits.

mod lifecycle;

use crate::allocated::AllocatedTo;
use crate::backlog::Backlog;
use crate::forwarding::Outbox;
use crate::gauge::Gauge;
use crate::group::Outgoing;
use crate::handle::SchedulerHandle;
use crate::lease::Lease;
use crate::messages::Inboxes;
use crate::operation_log;
use crate::ping_cache::PingCache;
use crate::published::{Published, WatchView};
use crate::supervisor_messages::{EndCause, ExitGuard, SupervisorLink};
use crate::throttle::{Due, Throttle};
use crate::turn_trace::TurnTrace;
use crate::turns::Turn;
use crate::waiter::Waiter;
use crate::writer_inbox::{Batch, Order, WriterGauge};
use actix::prelude::*;
use maestro_core::domain::{Mono, OperationId, RoomId, SchedulerName};
use maestro_core::ports::{Change, Clock, ForwardedEvent, Forwarding, Store};
use maestro_core::state::{
    Caller, Decision, Effect, Input, RefusalKind, Reply, Report, SchedulerState,
};
use prometheus::IntCounter;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::mpsc;

/// Minimum interval between snapshots for `/debug/actors` (architecture 4).
const PUBLISH_EVERY: Duration = Duration::from_millis(100);
/// A wake-up counts as late if it comes this long after its due time.
const LATE: Duration = Duration::from_millis(100);

/// The parts of one incarnation of an actor.
pub(crate) struct Parts {
    pub incarnation: u64,
    pub state: SchedulerState,
    pub handle: SchedulerHandle,
    pub clock: Arc<dyn Clock>,
    pub store: Arc<dyn Store>,
    /// See [`crate::NodeParts::duplicate_creates`].
    pub duplicate_creates: Option<IntCounter>,
    pub gauge: Arc<Gauge>,
    pub lease: Arc<Lease>,
    pub orders: mpsc::Sender<Order>,
    pub writer: Arc<WriterGauge>,
    pub outbox: Outbox,
    pub supervisor: SupervisorLink,
    pub ping_cache: Arc<PingCache>,
    /// The sender of [`Inboxes::continue_signal`].
    pub continue_signal: mpsc::Sender<()>,
    pub inboxes: Inboxes,
}

pub(crate) struct SchedulerActor {
    pub(crate) state: SchedulerState,
    pub(crate) handle: SchedulerHandle,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) store: Arc<dyn Store>,
    duplicate_creates: Option<IntCounter>,
    pub(crate) gauge: Arc<Gauge>,
    lease: Arc<Lease>,
    orders: mpsc::Sender<Order>,
    writer: Arc<WriterGauge>,
    outbox: Outbox,
    pub(crate) watch: WatchView,
    callers: HashMap<Caller, Waiter>,
    pub(crate) allocated: AllocatedTo,
    last_caller: u64,
    /// The trace of the current turn.
    trace: TurnTrace,
    /// Whether the current turn is for a read: a read promises nothing, so it does not wait for the store.
    pub(crate) looks: bool,
    timer: Option<(Mono, SpawnHandle)>,
    publishing: Throttle,
    pub(crate) guard: ExitGuard,
    pub(crate) ping_cache: Arc<PingCache>,
    pub(crate) continue_signal: mpsc::Sender<()>,
    pub(crate) backlog: Backlog,
    inboxes: Option<Inboxes>,
}

impl SchedulerActor {
    pub fn new(parts: Parts) -> Self {
        Self {
            guard: ExitGuard {
                name: parts.state.name().clone(),
                incarnation: parts.incarnation,
                cause: EndCause::Stopped,
                supervisor: parts.supervisor,
            },
            state: parts.state,
            handle: parts.handle,
            clock: parts.clock,
            store: parts.store,
            duplicate_creates: parts.duplicate_creates,
            gauge: parts.gauge,
            lease: parts.lease,
            orders: parts.orders,
            writer: parts.writer,
            outbox: parts.outbox,
            watch: WatchView::default(),
            callers: HashMap::new(),
            allocated: AllocatedTo::default(),
            last_caller: 0,
            trace: TurnTrace::default(),
            looks: false,
            timer: None,
            publishing: Throttle::new(PUBLISH_EVERY),
            ping_cache: parts.ping_cache,
            continue_signal: parts.continue_signal,
            backlog: Backlog::default(),
            inboxes: Some(parts.inboxes),
        }
    }

    pub(crate) fn name(&self) -> &SchedulerName {
        &self.guard.name
    }

    pub(crate) fn caller(&mut self, to: Waiter) -> Caller {
        self.last_caller += 1;
        let caller = Caller(self.last_caller);
        self.callers.insert(caller, to);
        caller
    }

    /// One turn: decide, execute the decision, set the timer for the next wake-up.
    pub(crate) fn turn(&mut self, kind: Turn, input: Input, ctx: &mut Context<Self>) {
        if self.is_over(ctx) {
            return;
        }
        self.gauge.begin_turn(kind);
        let decision = self
            .state
            .decide(input, self.clock.now(), self.clock.entropy());
        // The thread may have been blocked during the decision.
        if !self.is_over(ctx) {
            self.hand_on(kind, decision, ctx);
            self.arm(ctx);
            self.publish(ctx);
        }
        self.gauge.end_turn();
    }

    /// Whether another incarnation owns the scheduler, because this one was given up while its thread was blocked. If
    /// so, it ends without any further effect.
    pub(crate) fn is_over(&self, ctx: &mut Context<Self>) -> bool {
        let over = self.lease.is_over();
        if over {
            ctx.stop();
        }
        over
    }

    /// A turn for a message, inside the message's span.
    pub(crate) fn turn_for(
        &mut self,
        trace: TurnTrace,
        kind: Turn,
        input: Input,
        ctx: &mut Context<Self>,
    ) {
        let span = trace.span.clone();
        self.trace = trace;
        span.in_scope(|| self.turn(kind, input, ctx));
        self.trace = TurnTrace::default();
    }

    fn hand_on(&mut self, kind: Turn, decision: Decision, ctx: &mut Context<Self>) {
        // Before any reply is sent: the room's next ping must find the ping cache in its new state.
        for change in decision.ping_cache {
            self.ping_cache.change(change);
        }
        if decision.more {
            self.backlog.more = true;
            self.go_on_soon();
        }
        // Replies from memory are sent at once; everything else goes through the writer, in order. That includes a
        // reply that promises a change: an earlier caller may have made the change, and it may not be stored yet. So
        // does the refusal which tells that the scheduler is gone: as long as its deletion is not stored, it is not.
        let exists = self.state.scheduler().is_some();
        let from_memory = |effect: &Effect| match effect {
            Effect::Reply { answer, .. } => {
                let refused = answer
                    .as_ref()
                    .is_err_and(|why| why.kind != RefusalKind::NotFound || exists);
                kind == Turn::Ping || self.looks || refused
            }
            Effect::Forward(_) => true,
            _ => false,
        };
        let ordered = decision
            .changes
            .iter()
            .find_map(operation_log::operation_of);
        let only_answers = decision.changes.is_empty() && decision.effects.iter().all(from_memory);
        let outgoing: Vec<Outgoing> = decision
            .effects
            .into_iter()
            .filter_map(|effect| self.outgoing(effect, ordered))
            .collect();
        if only_answers {
            for item in outgoing {
                match item {
                    // Not an allocation, which always comes with a change.
                    Outgoing::Reply { to, answer, .. } => drop(to.deliver(answer)),
                    Outgoing::Forward(event) => self.forward_in_order(event, ctx),
                    _ => {}
                }
            }
        } else {
            self.order(decision.changes, outgoing, ctx);
        }
        for report in &decision.reports {
            operation_log::record(self.state.name(), report);
            if let (Report::DuplicateCreate, Some(counter)) = (report, &self.duplicate_creates) {
                counter.inc();
            }
        }
        self.handle.counters().record(decision.reports);
        if !decision.touches.is_empty() {
            self.send(Order::Touches(decision.touches), ctx);
        }
    }

    /// Passes to the writer what must happen once these changes are durable. Resyncs need not wait for them, unless
    /// they concern the same room.
    fn order(&mut self, changes: Vec<Change>, outgoing: Vec<Outgoing>, ctx: &mut Context<Self>) {
        let mut waits = Vec::with_capacity(outgoing.len());
        for item in outgoing {
            match item {
                Outgoing::Forward(event) if is_apart(&event, &changes) => {
                    self.forward_in_order(event, ctx);
                }
                Outgoing::Forward(event) => {
                    self.writer.held.add(&event.room);
                    waits.push(Outgoing::Forward(event));
                }
                other => waits.push(other),
            }
        }
        let batch = Batch {
            trace: self.trace.clone(),
            changes,
            outgoing: waits,
        };
        self.send(Order::Batch(batch), ctx);
    }

    fn forward_in_order(&mut self, event: Arc<Forwarding>, ctx: &mut Context<Self>) {
        if let Some(event) = self.outbox.push_in_order(event, &self.writer.held) {
            let behind = Batch {
                // Events that waited have no span of their own.
                trace: TurnTrace::default(),
                changes: Vec::new(),
                outgoing: vec![Outgoing::Forward(event)],
            };
            self.send(Order::Batch(behind), ctx);
        }
    }

    fn outgoing(&mut self, effect: Effect, ordered: Option<OperationId>) -> Option<Outgoing> {
        Some(match effect {
            Effect::Reply {
                caller,
                answer,
                protected_by,
            } => {
                if let Ok(Reply::Allocated { room, .. }) = &answer {
                    let rooms = self.state.rooms();
                    let is_there = |id: &RoomId| rooms.get(id.as_str()).is_some();
                    self.allocated
                        .note(room.clone(), caller, rooms.len(), is_there);
                }
                let to = self.callers.remove(&caller)?;
                // Recorded before it is durable, so that a caller that stops waiting can name it.
                if answer.is_ok() {
                    to.note_taken();
                }
                match &answer {
                    Ok(Reply::Operation(id)) => to.note_operation(*id),
                    Ok(Reply::Scheduler(_)) => {
                        ordered.into_iter().for_each(|id| to.note_operation(id))
                    }
                    _ => {}
                }
                Outgoing::Reply {
                    caller,
                    to,
                    answer,
                    protected_by,
                }
            }
            Effect::Run { id, work, timeout } => Outgoing::Run {
                trace: self.trace.clone(),
                id,
                work,
                timeout,
            },
            Effect::Abandon(ids) => Outgoing::Abandon(ids),
            Effect::Forward(event) => Outgoing::Forward(event),
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

    /// Sends the writer everything that it has to write again, behind the decisions that this contains. A large fleet
    /// is copied within one turn, since a part of it would be no snapshot; this is rare enough.
    pub(crate) fn republish(&mut self, again: bool, ctx: &mut Context<Self>) {
        if self.is_over(ctx) {
            return;
        }
        self.gauge.begin_turn(Turn::Control);
        if !again {
            self.handle.counters().store_was_behind();
        }
        self.send(Order::Snapshot(self.state.snapshot()), ctx);
        self.gauge.end_turn();
    }

    fn arm(&mut self, ctx: &mut Context<Self>) {
        if self.backlog.wake {
            return; // it is on its way
        }
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
            if is_late(at, actor.clock.now().mono) {
                actor.gauge.totals.late_wake();
            }
            actor.wake(ctx);
        });
        self.timer = Some((at, timer));
    }

    pub(crate) fn publish(&mut self, ctx: &mut Context<Self>) {
        if self.is_over(ctx) {
            return;
        }
        let now = self.clock.now();
        match self.publishing.wanted(now.mono) {
            Due::Now => {}
            Due::Promised => return,
            Due::Later(after) => {
                ctx.run_later(after, |actor, ctx| {
                    actor.publishing.came();
                    actor.publish(ctx);
                });
                return;
            }
        }
        let published = Published::of(&self.state, now, self.lease.epoch, self.watch.clone());
        self.handle
            .counters()
            .record_document(self.state.scheduler());
        self.handle.publish(published);
    }
}

/// Whether a timer due at `due` fired noticeably late.
fn is_late(due: Mono, now: Mono) -> bool {
    now.since(due) > LATE
}

/// Whether the event only repeats a room's status, and no change of that room has to be stored first.
fn is_apart(event: &Forwarding, changes: &[Change]) -> bool {
    let about_it = |change: &Change| match change {
        Change::PutRoom(room) => room.id == event.room,
        Change::DeleteRoom(id) => *id == event.room,
        _ => false,
    };
    matches!(event.event, ForwardedEvent::Resync(_)) && !changes.iter().any(about_it)
}

#[cfg(test)]
mod tests {
    use super::*;
    use maestro_core::domain::PingStatus;
    use maestro_testkit::build;

    #[test]
    fn a_timer_is_late_once_people_would_notice() {
        let due = Mono::default().plus(Duration::from_secs(1));
        for (ms, late) in [
            (900, false),
            (1000, false),
            (1100, false),
            (1101, true),
            (9000, true),
        ] {
            let now = Mono::default().plus(Duration::from_millis(ms));
            assert_eq!(is_late(due, now), late, "{ms} ms");
        }
    }

    #[test]
    fn what_a_room_says_again_waits_for_no_change_of_others() {
        let says = |event| Forwarding {
            scheduler: "s".into(),
            game: "g".into(),
            to: Arc::new([]),
            room: "a".into(),
            address: None,
            event,
            metadata: "".into(),
        };
        let again = says(ForwardedEvent::Resync(PingStatus::Ready));
        let put = |id| Change::PutRoom(Box::new(build::room(id).build()));
        assert!(is_apart(
            &again,
            &[put("b"), Change::DeleteRoom("c".into())]
        ));
        assert!(!is_apart(&again, &[put("b"), put("a")]));
        assert!(!is_apart(&again, &[Change::DeleteRoom("a".into())]));
        assert!(!is_apart(&says(ForwardedEvent::Terminated), &[put("b")]));
    }
}
