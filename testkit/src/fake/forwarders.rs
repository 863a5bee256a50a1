//! Matchmakers that record events, and hold or refuse them as a test says.

use super::{Gate, this_thread};
use async_trait::async_trait;
use maestro_core::domain::{Forwarder, RoomId, SchedulerName};
use maestro_core::ports::{ForwardError, ForwardedEvent, Forwarders, Forwarding};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// One received call.
#[derive(Clone, Debug)]
pub struct Told {
    pub forwarder: String,
    pub address: String,
    pub event: Forwarding,
    /// Name of the thread that called.
    pub thread: String,
}

/// Every forwarder of a node.
#[derive(Default)]
pub struct FakeForwarders {
    told: Mutex<Vec<Told>>,
    /// Calls for these rooms, or to these forwarders, wait.
    gates: Mutex<HashMap<String, Gate>>,
    /// These forwarders fail.
    down: Mutex<Vec<String>>,
    /// Schedulers whose last event has been sent.
    ended: Mutex<Vec<SchedulerName>>,
}

impl FakeForwarders {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }
    /// Holds calls to a forwarder, or for a room, of that name.
    pub fn hold(&self, name: &str) -> Gate {
        let gate = Gate::closed();
        self.gates.lock().insert(name.to_owned(), gate.clone());
        gate
    }
    pub fn fail(&self, forwarder: &str) {
        self.down.lock().push(forwarder.to_owned());
    }
    /// Failing forwarders accept events again.
    pub fn heal(&self) {
        self.down.lock().clear();
    }
    /// Schedulers whose last event has been sent, in that order.
    pub fn ended(&self) -> Vec<SchedulerName> {
        self.ended.lock().clone()
    }
    /// All received calls, in the order in which they began.
    pub fn told(&self) -> Vec<Told> {
        self.told.lock().clone()
    }
    /// The events of one room at one forwarder.
    pub fn events(&self, forwarder: &str, room: &RoomId) -> Vec<ForwardedEvent> {
        let told = self.told.lock();
        let of = told.iter().filter(|t| t.forwarder == forwarder);
        of.filter(|t| t.event.room == *room)
            .map(|t| t.event.event.clone())
            .collect()
    }
}

#[async_trait]
impl Forwarders for FakeForwarders {
    async fn forward(&self, forwarder: &Forwarder, event: &Forwarding) -> Result<(), ForwardError> {
        self.told.lock().push(Told {
            forwarder: forwarder.name.clone(),
            address: forwarder.address.clone(),
            event: event.clone(),
            thread: this_thread(),
        });
        let gates = {
            let gates = self.gates.lock();
            [forwarder.name.as_str(), event.room.as_str()].map(|name| gates.get(name).cloned())
        };
        for gate in gates.into_iter().flatten() {
            gate.pass().await;
        }
        if self.down.lock().contains(&forwarder.name) {
            return Err(ForwardError::Failed {
                forwarder: forwarder.name.clone(),
                code: "Unavailable".into(),
                cause: "it is down".into(),
            });
        }
        Ok(())
    }

    fn ended(&self, scheduler: &SchedulerName) {
        self.ended.lock().push(scheduler.clone());
    }
}
