//! The connection that writes. It is replaced when it ends, and what is sent over it goes over no other one.
//!
//! Behind a new connection may be a server that has lost changes, fences among them. So whoever writes has to know
//! which connection the write takes. The library's own reconnection does not tell: it notices the end of a connection
//! with the next command, and sends that over a new one.

use super::client::{ConnectError, RECONNECT_MAX, RECONNECT_MIN, client, unreachable};
use super::silence;
use super::urls::Place;
use fred::clients::Client;
use fred::interfaces::ClientLike;
use fred::types::{ConnectHandle, RespVersion};
use parking_lot::Mutex;
use std::sync::Arc;
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
}

/// Why there is no connection now, as far as it was tried.
type Failing = Arc<Mutex<Option<String>>>;

/// The one that is in use. Cheap to clone.
#[derive(Clone)]
pub struct Writes {
    current: Arc<Mutex<Writer>>,
    failing: Failing,
    keeper: Arc<AbortOnDropHandle<()>>,
}

impl Writes {
    /// Opens the first connection. Must be called on a runtime.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub async fn open(place: &Place, authorities: &[Vec<u8>]) -> Result<Self, ConnectError> {
        let (client, ended) = open(place, authorities).await?;
        let current = Arc::new(Mutex::new(Writer { client, number: 1 }));
        let failing = Failing::default();
        let keeper = keep(
            current.clone(),
            ended,
            failing.clone(),
            place.clone(),
            authorities.to_vec(),
        );
        Ok(Self {
            current,
            failing,
            keeper: Arc::new(AbortOnDropHandle::new(tokio::spawn(keeper))),
        })
    }

    pub fn current(&self) -> Writer {
        self.current.lock().clone()
    }

    /// Why it could not be connected again at the last attempt; `None` while it is connected.
    pub fn failing(&self) -> Option<String> {
        self.failing.lock().clone()
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
    authorities: &[Vec<u8>],
) -> Result<(Client, ConnectHandle), ConnectError> {
    let client = client(place, RespVersion::RESP2, authorities, None)?;
    let started = client.init().await;
    let ended = started.map_err(|error| unreachable(place, &error))?;
    Ok((client, ended))
}

async fn keep(
    current: Arc<Mutex<Writer>>,
    mut ended: ConnectHandle,
    failing: Failing,
    place: Place,
    authorities: Vec<Vec<u8>>,
) {
    loop {
        let client = current.lock().client.clone();
        tokio::select! {
            _ = &mut ended => {}
            // Commands that wait for an answer have an unknown outcome.
            () = silence::begins(&client) => ended.abort(),
        }
        let mut pause = u64::from(RECONNECT_MIN);
        let opened = loop {
            match open(&place, &authorities).await {
                Ok(opened) => break opened,
                Err(why) => note(&failing, why.to_string()),
            }
            sleep(Duration::from_millis(pause)).await;
            pause = u64::from(RECONNECT_MAX).min(pause * 2);
        };
        let mut current = current.lock();
        current.number += 1;
        (current.client, ended) = opened;
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
