//! Carries out what follows from decisions once they are durable: replies, calls and events, in their order.

use crate::executor::Executor;
use crate::forwarding::Outbox;
use crate::group::Outgoing;
use crate::handle::SchedulerHandle;
use crate::scope::Task;
use crate::waiter::Waiter;
use crate::writer_event::WriterEvent;
use crate::writer_inbox::WriterGauge;
use maestro_core::state::{Caller, CommandResult, WorkId};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// How long an answer waits for the protection of the room that it gives away; then it goes out all the same (D11).
const PROTECTION_MAX: Duration = Duration::from_millis(250);

/// What the effects of one owner act on. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Effects {
    pub executor: Executor,
    pub outbox: Outbox,
    pub gauge: Arc<WriterGauge>,
    pub tell: Arc<dyn Fn(WriterEvent) + Send + Sync>,
    pub handle: SchedulerHandle,
}

impl Effects {
    pub fn carry_out(&self, outgoing: Vec<Outgoing>) {
        for item in outgoing {
            match item {
                Outgoing::Reply {
                    caller,
                    to,
                    answer,
                    protected_by,
                } => match protected_by {
                    Some(order) if self.must_wait(&to, order) => {
                        self.reply_when_protected(order, caller, to, answer);
                    }
                    _ => self.reply(caller, to, answer),
                },
                Outgoing::Run {
                    trace,
                    id,
                    work,
                    timeout,
                } => self.executor.run(&trace, id, work, timeout),
                Outgoing::Abandon(ids) => self.executor.abandon(&ids),
                Outgoing::Forward(event) => {
                    self.outbox.push(&event);
                    self.gauge.held.done(&event.room);
                }
                Outgoing::Ended => (self.tell)(WriterEvent::Ended),
            }
        }
    }

    fn must_wait(&self, to: &Waiter, order: WorkId) -> bool {
        !to.is_gone() && !self.executor.protections.include(order)
    }

    /// The answer waits in a task of its own, so that a slow protection holds up no other answer and no commit. There
    /// are no more of them than calls that an owner takes at a time, since a waiting caller keeps its permit. An owner
    /// that ends knows no more of its orders.
    fn reply_when_protected(
        &self,
        order: WorkId,
        caller: Caller,
        to: Waiter,
        answer: CommandResult,
    ) {
        let this = self.clone();
        let scope = &self.executor.scope;
        let ending = scope.ending();
        let waits = async move {
            let is_protected = tokio::select! {
                biased;
                () = this.executor.protections.reach(order) => true,
                () = ending.cancelled() => false,
                () = tokio::time::sleep(PROTECTION_MAX) => false,
            };
            if !is_protected {
                let counters = this.handle.counters();
                counters.given_unprotected.fetch_add(1, Relaxed);
            }
            this.reply(caller, to, answer);
        };
        scope.spawn(Task::Reply, waits);
    }

    fn reply(&self, caller: Caller, to: Waiter, answer: CommandResult) {
        if let Some(room) = to.deliver(answer) {
            (self.tell)(WriterEvent::Untaken(room, caller));
        }
    }
}
