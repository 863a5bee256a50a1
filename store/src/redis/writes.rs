//! The connection that writes. It is replaced when it ends, and what is sent over it goes over no other one.
//!
//! Behind a new connection may be a server that has lost changes, fences among them. So whoever writes has to know
//! which connection the write takes. The library's own reconnection does not tell: it notices the end of a connection
//! with the next command, and sends that over a new one.

use super::client::{ConnectError, RECONNECT_MAX, RECONNECT_MIN, client, unreachable};
use super::urls::Place;
use super::watchdog;
use fred::clients::Client;
use fred::interfaces::ClientLike;
use fred::types::config::TlsConnector;
use fred::types::{ConnectHandle, RespVersion};
use maestro_core::ports::{Cause, StoreError};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

/// One connection.
#[derive(Clone)]
pub struct Writer {
    pub client: Client,
    /// Grows with each connection.
    pub number: u64,
    /// The client goes on to say that it is connected when its only connection has ended.
    lost: Arc<AtomicBool>,
}

impl Writer {
    fn new(client: Client, number: u64) -> Self {
        Self {
            client,
            number,
            lost: Arc::default(),
        }
    }

    /// It has ended: whatever is sent over it has no answer.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Relaxed)
    }
}

/// Why there is no connection now, as far as it was tried.
type Failing = Arc<Mutex<Option<String>>>;

/// The one that is in use. Cheap to clone.
#[derive(Clone)]
pub struct Writes {
    current: Arc<Mutex<Writer>>,
    failing: Failing,
    place: Place,
    keeper: Arc<AbortOnDropHandle<()>>,
}

impl Writes {
    /// Opens the first connection. Must be called on a runtime.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub async fn open(place: &Place, tls: Option<&TlsConnector>) -> Result<Self, ConnectError> {
        let (client, ended) = open(place, tls).await?;
        let current = Arc::new(Mutex::new(Writer::new(client, 1)));
        let failing = Failing::default();
        let keeper = keep(
            current.clone(),
            ended,
            failing.clone(),
            place.clone(),
            tls.cloned(),
        );
        Ok(Self {
            current,
            failing,
            place: place.clone(),
            keeper: Arc::new(AbortOnDropHandle::new(tokio::spawn(keeper))),
        })
    }

    pub fn current(&self) -> Writer {
        self.current.lock().clone()
    }

    /// As [`Self::current`], for what would wait in vain.
    ///
    /// # Errors
    /// While there is no connection.
    pub fn connected(&self) -> Result<Writer, StoreError> {
        let writer = self.current();
        match writer.is_lost() {
            false => Ok(writer),
            true => Err(StoreError::Unavailable(self.not_connected())),
        }
    }

    /// Why it could not be connected again at the last attempt.
    pub fn not_connected(&self) -> Cause {
        let place = &self.place;
        let why = self.failing.lock().clone();
        let why = why.unwrap_or_else(|| format!("Redis {place} is not connected"));
        format!("{why}; it is tried again and again").into()
    }

    /// Ends it. Commands in flight are answered first.
    pub async fn close(self) {
        self.keeper.abort();
        // It fails if the connection is lost already.
        let _ = self.current().client.quit().await;
    }
}

async fn open(
    place: &Place,
    tls: Option<&TlsConnector>,
) -> Result<(Client, ConnectHandle), ConnectError> {
    let client = client(place, RespVersion::RESP2, tls, None);
    let started = client.init().await;
    let ended = started.map_err(|error| unreachable(place, &error))?;
    Ok((client, ended))
}

async fn keep(
    current: Arc<Mutex<Writer>>,
    mut ended: ConnectHandle,
    failing: Failing,
    place: Place,
    tls: Option<TlsConnector>,
) {
    loop {
        let writer = current.lock().clone();
        tokio::select! {
            _ = &mut ended => {}
            // Commands that wait for an answer have an unknown outcome.
            () = watchdog::until_useless(&writer.client) => ended.abort(),
        }
        writer.lost.store(true, Relaxed);
        let mut pause = u64::from(RECONNECT_MIN);
        let (client, next) = loop {
            match open(&place, tls.as_ref()).await {
                Ok(opened) => break opened,
                Err(why) => note(&failing, why.to_string()),
            }
            sleep(Duration::from_millis(pause)).await;
            pause = u64::from(RECONNECT_MAX).min(pause * 2);
        };
        *current.lock() = Writer::new(client, writer.number + 1);
        ended = next;
        *failing.lock() = None;
    }
}

/// Each new reason is logged once: a password that was changed is not mended by waiting.
fn note(failing: &Failing, why: String) {
    let mut failing = failing.lock();
    if failing.as_ref() != Some(&why) {
        warn!("it is tried again and again: {why}");
        *failing = Some(why);
    }
}
