//! Whether the owner of a scheduler runs now, and the ways to it if it does.

use crate::gauge::Gauge;
use crate::lease::Lease;
use crate::messages::{Ask, Control, Counted, PingCall};
use crate::ping_cache::PingCache;
use crate::writer::WriterGauge;
use actix::Recipient;
use maestro_core::ports::Clock;
use std::sync::Arc;
use tokio::sync::mpsc;

/// An actor that runs now.
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

/// Whether a scheduler has an owner that runs, as all its callers see it.
#[derive(Clone)]
pub(crate) enum OwnerStatus {
    /// Being loaded, or between two lives.
    Loading,
    Live(Live),
    Degraded {
        cause: String,
    },
    Gone,
    ShuttingDown,
}
