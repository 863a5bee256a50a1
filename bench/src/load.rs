//! Many connections that send requests for a slice of time. Each sends its next request after the
//! answer to the last one (closed loop), or at times given by a rate (open loop).

use crate::wire::Connection;
use anyhow::Context;
use hdrhistogram::Histogram;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Highest latency that is recorded exactly, in microseconds.
const LATENCY_MAX: u64 = 120_000_000;
/// How long answers may take after the slice is over.
const LATE_MAX: Duration = Duration::from_secs(60);
/// The pause after a failure, so that an unavailable server is not hammered.
const FAILURE_PAUSE: Duration = Duration::from_millis(10);

/// The requests that are sent, and which answers are good.
pub struct Requests {
    pub bytes: Vec<Vec<u8>>,
    /// Send each request at most once; otherwise they repeat.
    pub once: bool,
    /// What the body of a good answer contains.
    pub expect: &'static [u8],
    /// Whether to keep bodies of good answers.
    pub keep: bool,
    /// The first answer that is not good ends the slice: nothing is left to allocate.
    pub until_refused: bool,
}

impl Requests {
    /// Requests that repeat; a good answer contains `expect`.
    pub fn cycle(bytes: Vec<Vec<u8>>, expect: &'static [u8]) -> Self {
        Self {
            bytes,
            once: false,
            expect,
            keep: false,
            until_refused: false,
        }
    }
}

/// Connections to one server, kept between slices.
pub struct Generator {
    work: Arc<Work>,
    connections: Vec<Option<Connection>>,
}

struct Work {
    address: String,
    requests: Requests,
    next: AtomicUsize,
    /// Requests a second of the open loop.
    rate: Option<f64>,
}

/// The result of one slice.
pub struct Slice {
    /// Good answers.
    pub good: u64,
    /// Answers that were not good.
    pub refused: u64,
    /// Connections that broke.
    pub failed: u64,
    pub elapsed: Duration,
    /// Microseconds; in the open loop from the time at which the request was due.
    pub latency: Histogram<u64>,
    pub bodies: Vec<Vec<u8>>,
}

impl Slice {
    pub fn new() -> Self {
        Self {
            good: 0,
            refused: 0,
            failed: 0,
            elapsed: Duration::ZERO,
            latency: histogram(),
            bodies: Vec::new(),
        }
    }
    pub fn rate(&self) -> f64 {
        self.good as f64 / self.elapsed.as_secs_f64()
    }
    /// Answers of all kinds.
    pub fn answers(&self) -> u64 {
        self.good + self.refused
    }
    /// Adds another slice; the caller sets `elapsed`.
    pub fn add(&mut self, other: Self) {
        self.good += other.good;
        self.refused += other.refused;
        self.failed += other.failed;
        self.bodies.extend(other.bodies);
        // Both have the same bounds.
        let _ = self.latency.add(&other.latency);
    }
}

/// A histogram with three significant digits, up to the highest latency.
fn histogram() -> Histogram<u64> {
    let made = Histogram::new_with_bounds(1, LATENCY_MAX, 3);
    // The bounds are constants that the library accepts: see the test.
    #[allow(clippy::expect_used, reason = "constant bounds, tested")]
    made.expect("valid bounds")
}

impl Generator {
    /// `address`: host and port. Connections are opened when they are first needed.
    pub fn new(address: &str, connections: u32, rate: Option<u32>, requests: Requests) -> Self {
        Self {
            work: Arc::new(Work {
                address: address.into(),
                requests,
                next: AtomicUsize::new(0),
                rate: rate.map(f64::from),
            }),
            connections: (0..connections).map(|_| None).collect(),
        }
    }

    /// Sends for this long, or until nothing is left.
    ///
    /// # Errors
    /// If answers are missing long after the end.
    pub async fn slice(&mut self, time: Duration) -> anyhow::Result<Slice> {
        let began = Instant::now();
        let until = began + time;
        let count = self.connections.len();
        let mut senders = JoinSet::new();
        for (index, connection) in self.connections.iter_mut().enumerate() {
            let sender = Sender {
                work: self.work.clone(),
                connection: connection.take(),
                seen: Slice::new(),
            };
            let pace = self
                .work
                .rate
                .map(|rate| Pace::new(began, rate, index, count));
            senders.spawn(async move { (index, sender.send(until, pace).await) });
        }
        let mut whole = Slice::new();
        let gather = async {
            while let Some(joined) = senders.join_next().await {
                let (index, (connection, seen)) = joined.context("a sender was interrupted")?;
                self.connections[index] = connection;
                whole.add(seen);
            }
            anyhow::Ok(())
        };
        let gathered = tokio::time::timeout(time + LATE_MAX, gather).await;
        gathered.context("answers are missing a minute after the end")??;
        whole.elapsed = began.elapsed();
        Ok(whole)
    }
}

/// The due times of one connection in the open loop.
#[derive(Clone, Copy)]
struct Pace {
    due: Instant,
    every: Duration,
}

impl Pace {
    fn new(began: Instant, rate: f64, index: usize, connections: usize) -> Self {
        let every = Duration::from_secs_f64(connections as f64 / rate);
        Self {
            due: began + every.mul_f64(index as f64 / connections as f64),
            every,
        }
    }
}

struct Sender {
    work: Arc<Work>,
    connection: Option<Connection>,
    seen: Slice,
}

impl Sender {
    async fn send(mut self, until: Instant, mut pace: Option<Pace>) -> (Option<Connection>, Slice) {
        loop {
            let from = match &mut pace {
                None => Instant::now(),
                Some(pace) => {
                    let due = pace.due;
                    pace.due += pace.every;
                    if due < until {
                        tokio::time::sleep_until(due.into()).await;
                    }
                    due
                }
            };
            if from >= until {
                break;
            }
            let number = self.work.next.fetch_add(1, Relaxed);
            let all = &self.work.requests.bytes;
            if all.is_empty() || (self.work.requests.once && number >= all.len()) {
                break;
            }
            let good = self.request(number % all.len(), from).await;
            if self.work.requests.until_refused && !good {
                break;
            }
        }
        (self.connection, self.seen)
    }

    /// Sends one request; returns whether the answer was good.
    async fn request(&mut self, number: usize, from: Instant) -> bool {
        let work = self.work.clone();
        let connection = match &mut self.connection {
            Some(open) => open,
            none => match Connection::open(&work.address).await {
                Ok(opened) => none.insert(opened),
                Err(_) => return self.failed().await,
            },
        };
        let requests = &work.requests;
        let Ok(answer) = connection.call(&requests.bytes[number]).await else {
            self.connection = None;
            return self.failed().await;
        };
        // Whole microseconds, at least one: zero is no value of the histogram.
        let took = (from.elapsed().as_micros() as u64).clamp(1, LATENCY_MAX);
        let body = connection.body(&answer);
        let good = answer.status == 200 && contains(body, requests.expect);
        if !good {
            self.seen.refused += 1;
            return false;
        }
        self.seen.good += 1;
        if requests.keep {
            self.seen.bodies.push(body.to_vec());
        }
        self.seen.latency.saturating_record(took);
        true
    }

    async fn failed(&mut self) -> bool {
        self.seen.failed += 1;
        tokio::time::sleep(FAILURE_PAUSE).await;
        false
    }
}

fn contains(body: &[u8], part: &[u8]) -> bool {
    part.is_empty() || body.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_can_be_made() {
        assert!(histogram().is_empty());
    }

    #[test]
    fn connections_of_the_open_loop_are_due_in_turn() {
        let began = Instant::now();
        let due = |index| Pace::new(began, 100.0, index, 4).due - began;
        assert_eq!([0, 1, 2].map(due), [0, 10, 20].map(Duration::from_millis));
        assert_eq!(
            Pace::new(began, 100.0, 0, 4).every,
            Duration::from_millis(40)
        );
    }
}
