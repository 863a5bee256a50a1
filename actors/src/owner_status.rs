//! Whether the owner of a scheduler is running, and the channels to it if so.

use crate::gauge::Gauge;
use crate::lease::Lease;
use crate::messages::{Ask, Control, Counted, PingCall};
use crate::ping_cache::PingCache;
use crate::writer_inbox::WriterGauge;
use actix::Recipient;
use maestro_core::ports::Clock;
use std::sync::Arc;
use tokio::sync::mpsc;

/// A running actor.
#[derive(Clone)]
pub(crate) struct Live {
    pub control: Recipient<Counted<Control>>,
    pub asks: mpsc::Sender<Counted<Ask>>,
    pub pings: mpsc::Sender<Counted<PingCall>>,
    pub lease: Arc<Lease>,
    pub gauge: Arc<Gauge>,
    pub writer: Arc<WriterGauge>,
    pub ping_cache: Arc<PingCache>,
    pub clock: Arc<dyn Clock>,
}

impl Live {
    pub fn tell(&self, control: Control) {
        self.control.do_send(Counted(control, self.gauge.enqueue()));
    }
}

/// The state of a scheduler's owner, as all its callers see it.
#[derive(Clone)]
pub(crate) enum OwnerStatus {
    /// Being loaded, or between two incarnations.
    Loading,
    /// As [`Self::Loading`]; the last attempt has failed.
    Unloaded {
        cause: String,
    },
    Live(Live),
    Degraded {
        cause: String,
    },
    Gone,
    ShuttingDown,
}
