//! All connections of a server. When the limit is reached, the connection that has been idle longest is closed for each
//! new one: clients that open connections without making calls cannot keep others out.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// How long to wait for an idle connection to close, before the next one is told to.
const MAKES_ROOM_WITHIN: Duration = Duration::from_millis(100);

/// Concurrent calls without a stream per connection; further calls wait.
pub const TURNS_MAX: usize = 256;
/// Concurrent calls with a stream per connection; further calls are refused.
pub const STREAMS_MAX: usize = 1_024;

/// The connections of one server.
pub struct Crowd {
    places: Arc<Semaphore>,
    members: Mutex<Members>,
}

#[derive(Default)]
struct Members {
    /// The number of the next connection.
    next: u64,
    open: HashMap<u64, Line>,
}

/// A connection, as its calls see it.
#[derive(Clone)]
pub struct Line(Arc<State>);

struct State {
    calls: Mutex<Calls>,
    /// For calls without a stream; further ones wait.
    turns: Arc<Semaphore>,
    /// A node of the cluster has called over it.
    trusted: AtomicBool,
    /// It was told to close.
    ousted: AtomicBool,
    cut: CancellationToken,
}

struct Calls {
    /// Streams included.
    under_way: usize,
    streams: usize,
    /// When the last call ended; before the first call, when the connection was opened.
    idle_since: Instant,
}

/// Held by a connection while it is open.
pub struct Place {
    crowd: Arc<Crowd>,
    number: u64,
    line: Line,
    _permit: OwnedSemaphorePermit,
}

/// A call in progress.
pub struct Call {
    line: Line,
    streams: bool,
}

impl Crowd {
    pub fn new(places: usize) -> Arc<Self> {
        let places = places.clamp(1, Semaphore::MAX_PERMITS);
        Arc::new(Self {
            places: Arc::new(Semaphore::new(places)),
            members: Mutex::default(),
        })
    }

    /// Waits for a place while idle connections are told to close. `cut` closes all connections.
    pub async fn enter(self: &Arc<Self>, cut: &CancellationToken) -> Option<Place> {
        let permit = loop {
            let free = self.places.clone().acquire_owned();
            match timeout(Duration::ZERO, free).await {
                Ok(permit) => break permit.ok()?,
                Err(_) => self.make_room(),
            }
            let freed = self.places.clone().acquire_owned();
            // If all of them have calls in progress, one may have become idle by then.
            if let Ok(permit) = timeout(MAKES_ROOM_WITHIN, freed).await {
                break permit.ok()?;
            }
        };
        let line = Line(Arc::new(State {
            turns: Arc::new(Semaphore::new(TURNS_MAX)),
            calls: Mutex::new(Calls {
                under_way: 0,
                streams: 0,
                idle_since: Instant::now(),
            }),
            trusted: AtomicBool::new(false),
            ousted: AtomicBool::new(false),
            cut: cut.child_token(),
        }));
        let mut members = self.members();
        let number = members.next;
        members.next += 1;
        members.open.insert(number, line.clone());
        Some(Place {
            crowd: self.clone(),
            number,
            line,
            _permit: permit,
        })
    }

    fn make_room(&self) {
        let members = self.members();
        let staying = members.open.values().filter(|line| !line.is_ousted());
        let idle = staying.filter_map(|line| Some((line.idle_since()?, line)));
        if let Some((_, line)) = idle.min_by_key(|(since, _)| *since) {
            line.oust();
        }
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// A call of this connection begins. It ends when the guard is dropped.
    pub fn call(&self) -> Call {
        self.calls().under_way += 1;
        Call {
            line: self.clone(),
            streams: false,
        }
    }

    /// The same for a call that answers with a stream; `None` if the connection has as many as it may.
    pub fn stream(&self) -> Option<Call> {
        let mut calls = self.calls();
        if calls.streams == STREAMS_MAX {
            return None;
        }
        calls.streams += 1;
        calls.under_way += 1;
        Some(Call {
            line: self.clone(),
            streams: true,
        })
    }

    /// Waits until the connection has fewer than [`TURNS_MAX`] calls without a stream at work. HTTP/2 has one limit for
    /// both kinds, and streams stay.
    pub async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        self.0.turns.clone().acquire_owned().await.ok()
    }

    /// What comes over it is not limited any more: it belongs to a node of the cluster.
    pub fn trust(&self) {
        self.0.trusted.store(true, Relaxed);
    }

    fn idle_since(&self) -> Option<Instant> {
        let calls = self.calls();
        (calls.under_way == 0).then_some(calls.idle_since)
    }

    fn is_ousted(&self) -> bool {
        self.0.ousted.load(Relaxed)
    }

    fn oust(&self) {
        self.0.ousted.store(true, Relaxed);
        self.0.cut.cancel();
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.0.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    pub fn line(&self) -> Line {
        self.line.clone()
    }

    /// See [`Line::trust`].
    pub fn is_trusted(&self) -> bool {
        self.line.0.trusted.load(Relaxed)
    }

    /// Canceled when the connection must close.
    pub fn cut(&self) -> CancellationToken {
        self.line.0.cut.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.members().open.remove(&self.number);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let mut calls = self.line.calls();
        calls.under_way -= 1;
        calls.streams -= usize::from(self.streams);
        if calls.under_way == 0 {
            calls.idle_since = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn cut(place: &Place) -> bool {
        place.cut().is_cancelled()
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_idle_makes_room_and_no_call_is_cut() {
        let (crowd, all) = (Crowd::new(3), CancellationToken::new());
        let mut places = Vec::new();
        for _ in 0..3 {
            places.push(crowd.enter(&all).await.unwrap());
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        // The first has made the latest call, and the second is about to make one.
        drop(places[0].line().call());
        let call = places[1].line().call();
        let mut entering = Box::pin(crowd.enter(&all));
        assert!(entering.as_mut().now_or_never().is_none());
        tokio::time::advance(MAKES_ROOM_WITHIN / 2).await;
        assert!(entering.as_mut().now_or_never().is_none());
        assert_eq!(
            places.iter().map(cut).collect::<Vec<_>>(),
            [false, false, true]
        );
        drop(places.pop());
        let newcomer = entering.await.unwrap();
        assert!(!cut(&newcomer) && !cut(&places[0]));
        // No connection is idle: the new one waits until one is.
        let calls = [places[0].line().call(), newcomer.line().call()];
        let mut entering = Box::pin(crowd.enter(&all));
        for _ in 0..20 {
            tokio::time::advance(MAKES_ROOM_WITHIN).await;
            assert!(entering.as_mut().now_or_never().is_none());
        }
        assert!(!places.iter().chain([&newcomer]).any(cut));
        drop(call);
        for _ in 0..3 {
            tokio::time::advance(MAKES_ROOM_WITHIN).await;
            assert!(entering.as_mut().now_or_never().is_none());
        }
        assert!(cut(&places[1]));
        drop(places);
        assert!(entering.await.is_some());
        drop((newcomer, calls));
        assert!(crowd.members().open.is_empty());
        assert_eq!(crowd.places.available_permits(), 3);
    }
}
