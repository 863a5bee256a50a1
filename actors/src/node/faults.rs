//! What tests do to a node, and look at.

use super::{Node, live};
use crate::messages::Control;
use crate::supervisor_messages::Notice;
use tokio_util::task::TaskTracker;

impl Node {
    /// Panics in the middle of a turn.
    pub fn panic(&self, name: &str) {
        self.interrupt(name, || panic!("a fault that a test asked for"));
    }

    /// Runs code in the middle of a turn; a test may block the actor with it.
    pub fn interrupt(&self, name: &str, what: impl FnOnce() + Send + 'static) {
        if let Some(live) = live(&self.directory, name) {
            live.tell(Control::Interrupt(Box::new(what)));
        }
    }

    /// Like [`Self::interrupt`], in a turn of the supervisor.
    pub fn interrupt_supervisor(&self, what: impl FnOnce() + Send + 'static) {
        self.supervisor.tell(Notice::Interrupt(Box::new(what)));
    }

    /// Remaining tasks of all owners and of the node itself.
    pub fn tasks_left(&self) -> usize {
        let ours = [&self.parts.tasks, &self.background, &self.parts.retiring];
        let all = ours.into_iter().chain([self.parts.outbox.tasks()]);
        all.map(TaskTracker::len).sum()
    }
}
