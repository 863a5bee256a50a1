//! How an owner begins and ends.

use super::SchedulerActor;
use crate::messages::ContinueSignal;
use crate::supervisor_messages::EndCause;
use crate::turns::Turn;
use crate::writer_inbox::Order;
use actix::prelude::*;
use futures_util::StreamExt;
use maestro_core::state::PingCacheChange;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio_stream::wrappers::ReceiverStream;
use tracing::warn;

/// How long an owner without a scheduler waits for its creation.
const VACANT_MAX: Duration = Duration::from_secs(5);

impl Actor for SchedulerActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some(inboxes) = self.inboxes.take() {
            ctx.add_stream(ReceiverStream::new(inboxes.asks));
            ctx.add_stream(ReceiverStream::new(inboxes.pings));
            ctx.add_stream(ReceiverStream::new(inboxes.events));
            ctx.add_stream(ReceiverStream::new(inboxes.continue_signal).map(|()| ContinueSignal));
        }
        self.watch_vacancy(ctx);
        self.gauge.begin_turn(Turn::Start);
        self.arm(ctx);
        self.publish(ctx);
        self.gauge.end_turn();
    }
}

impl SchedulerActor {
    fn watch_vacancy(&self, ctx: &mut Context<Self>) {
        if self.state.scheduler().is_none() {
            ctx.run_later(VACANT_MAX, |actor, ctx| actor.end_if_vacant(ctx));
        }
    }

    /// Ends the owner if its scheduler was never created: the creation was not stored, or is not wanted any more. While
    /// operations wait for the scheduler, or for their own end, the name would get its next owner at once.
    fn end_if_vacant(&mut self, ctx: &mut Context<Self>) {
        match self.state.is_vacant() {
            true => self.end(EndCause::Gone, ctx),
            false => self.watch_vacancy(ctx),
        }
    }

    /// Flushes coalesced changes and ends. Rooms keep running.
    pub(crate) fn end(&mut self, cause: EndCause, ctx: &mut Context<Self>) {
        if self.is_over(ctx) {
            return;
        }
        let flush = matches!(
            cause,
            EndCause::Reload | EndCause::Stopped | EndCause::HandedOver
        );
        self.ping_cache.change(PingCacheChange::Clear);
        let touches = self.state.flush(self.ping_cache.tell(usize::MAX));
        if flush {
            self.writer.waiting.fetch_add(1, Relaxed);
            if self.orders.try_send(Order::Touches(touches)).is_err() {
                self.writer.waiting.fetch_sub(1, Relaxed);
                warn!(scheduler_name = %self.guard.name, "the last pings were not stored");
            }
        }
        self.guard.cause = cause;
        ctx.stop();
    }
}
