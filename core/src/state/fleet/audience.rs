//! The receivers of a scheduler's events.

use crate::domain::*;
use std::sync::Arc;

/// The receivers of events, computed once per active version rather than per event.
#[derive(Clone)]
pub(in crate::state) struct Audience {
    pub game: Arc<str>,
    /// The enabled forwarders, at least one.
    pub to: Arc<[Forwarder]>,
}

impl Audience {
    pub fn of(scheduler: &Scheduler) -> Option<Self> {
        let enabled = scheduler.forwarders().iter().filter(|f| f.enabled);
        let to: Arc<[Forwarder]> = enabled.cloned().collect();
        (!to.is_empty()).then(|| Self {
            game: scheduler.game.as_str().into(),
            to,
        })
    }
}
