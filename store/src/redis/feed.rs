//! What other programs put into Redis: operations that they push, and requests to cancel some (contract 5.2, 5.10).
//!
//! One connection for the whole node. The server tells it of every change of a queue (`CLIENT TRACKING`, Redis 6);
//! looking at all queues in turns makes a lost hint harmless. Our own pushes cause hints too (`NOLOOP` would leave out
//! those of this connection only): they are known by their entries in the journal.

use super::RedisStore;
use super::client::{self, ConnectError};
use super::keys::{CANCELLATIONS, Keys, QUEUES, queue_of};
use super::operation::operation_id;
use super::queues::{Queues, Watched};
use super::script::Script;
use super::watchdog::Watchdog;
use crate::names::{Names, is_name};
use fred::clients::Client;
use fred::error::Error;
use fred::interfaces::{ClientLike, EventInterface, PubsubInterface, TrackingInterface};
use fred::types::client::Invalidation;
use fred::types::{CustomCommand, Message, RespVersion, Value};
use futures_util::stream::{self, BoxStream, StreamExt};
use maestro_core::domain::SchedulerName;
use maestro_core::ports::{Feed, FeedEvent};
use parking_lot::Mutex;
use serde::Deserialize;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tracing::{info, warn};

/// How often a part of the queues is looked at, whether hints came or not.
const SCAN_EVERY: Duration = Duration::from_secs(1);
/// Scans until each queue was looked at. A lost connection is followed by a scan of all, so that this is for what no
/// side notices. All queues each second cost a node with 1,000 idle schedulers most of its time.
const TURNS: u64 = 10;
/// Hints that follow each other faster are looked at together: our own pushes cause hints as well.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// How often an id without a hash is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Events that wait for a subscriber. Pushes beyond that are told at a later scan.
const EVENTS_MAX: usize = 1024;
/// Schedulers of one round of questions.
const TOGETHER: usize = 100;
/// Queues that one call of a script looks at.
const SCANNED: usize = 1000;

type Subscribers = Arc<Mutex<Vec<mpsc::Sender<FeedEvent>>>>;

/// The feed of one process. It ends when it is dropped.
pub struct RedisFeed {
    subscribers: Subscribers,
    _running: oneshot::Sender<()>,
    _watchdog: Watchdog,
}

impl RedisStore {
    /// Begins to listen, on a connection of its own.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub async fn feed(&self) -> Result<RedisFeed, ConnectError> {
        let tls = self.connections.tls.as_ref();
        let client = client::reconnecting(&self.place, RespVersion::RESP3, tls);
        let listener = Listener {
            invalidations: client.invalidation_rx(),
            messages: client.message_rx(),
            reconnects: client.reconnect_rx(),
            waiting: Script::new(include_str!("scripts/waiting.lua")),
            watched: self.watched.clone(),
            subscribers: Subscribers::default(),
            queues: Queues::default(),
            names: self.names.clone(),
            hinted: HashSet::new(),
            looked: Instant::now(),
            turn: 0,
            has_hints: false,
            is_behind: true,
            is_failing: false,
            client,
        };
        let watchdog = client::start(&listener.client, &self.place).await?;
        let subscribers = listener.subscribers.clone();
        let (running, end) = oneshot::channel();
        tokio::spawn(listener.run(end));
        Ok(RedisFeed {
            subscribers,
            _running: running,
            _watchdog: watchdog,
        })
    }
}

impl Feed for RedisFeed {
    fn subscribe(&self) -> BoxStream<'static, FeedEvent> {
        let (sender, mut receiver) = mpsc::channel(EVENTS_MAX);
        self.subscribers.lock().push(sender);
        stream::poll_fn(move |context| receiver.poll_recv(context)).boxed()
    }
}

struct Listener {
    client: Client,
    invalidations: Receiver<Invalidation>,
    messages: Receiver<Message>,
    reconnects: Receiver<fred::types::config::Server>,
    waiting: Script,
    watched: Watched,
    subscribers: Subscribers,
    queues: Queues,
    names: Arc<Names>,
    /// Schedulers whose queues have changed.
    hinted: HashSet<SchedulerName>,
    looked: Instant,
    /// Counts scans: each looks at one part of the queues.
    turn: u64,
    /// Whether the server promised to tell of changes.
    has_hints: bool,
    /// Whether hints may have been lost, so that the next scan looks at all queues.
    is_behind: bool,
    /// Whether the last questions failed, so that each outage is logged once.
    is_failing: bool,
}

impl Listener {
    async fn run(mut self, mut end: oneshot::Receiver<()>) {
        let mut scan = interval(SCAN_EVERY);
        scan.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut again = interval(LOOK_AGAIN);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let waits_for_hashes = !self.queues.waiting_for_hashes().is_empty();
            tokio::select! {
                _ = &mut end => break,
                // A hint that was dropped because too many came at once is made up for by a scan.
                connected = self.reconnects.recv() => match connected {
                    Ok(_) | Err(RecvError::Lagged(_)) => {
                        self.listen().await;
                        self.is_behind = true;
                        scan.reset_immediately();
                    }
                    Err(RecvError::Closed) => break,
                },
                hint = self.invalidations.recv() => match hint {
                    Ok(hint) => self.hint(hint),
                    Err(RecvError::Lagged(_)) => {
                        self.is_behind = true;
                        scan.reset_immediately();
                    }
                    Err(RecvError::Closed) => break,
                },
                message = self.messages.recv() => match message {
                    Ok(message) => self.cancel(&message),
                    Err(RecvError::Lagged(lost)) => warn!(lost, "requests to cancel operations came too fast"),
                    Err(RecvError::Closed) => break,
                },
                _ = sleep_until(self.looked + LOOK_EVERY), if !self.hinted.is_empty() => self.look_at_hints().await,
                _ = scan.tick() => self.scan().await,
                _ = again.tick(), if waits_for_hashes => {
                    self.hinted.extend(self.queues.waiting_for_hashes());
                }
            }
        }
        // It fails if the connection is lost already.
        let _ = self.client.quit().await;
    }

    /// Asks the server for hints and requests, after each connection.
    async fn listen(&mut self) {
        let words = ["TRACKING", "ON", "BCAST", "PREFIX", QUEUES];
        let tracking = CustomCommand::new_static("CLIENT", None, false);
        let tracking: Result<Value, Error> = self.client.custom(tracking, words.to_vec()).await;
        self.has_hints = tracking.is_ok();
        if let Err(error) = tracking {
            warn!(
                "Redis gives no hints of pushed operations ({error}); they start up to a second late"
            );
        }
        if let Err(error) = self.client.subscribe(CANCELLATIONS).await {
            warn!("requests of other programs to cancel operations are not heard: {error}");
        }
    }

    fn hint(&mut self, hint: Invalidation) {
        let names = hint
            .keys
            .iter()
            .filter_map(|key| Some(queue_of(key.as_str()?)?.to_owned()));
        let names = names.filter(|name| self.names.accept("the name of a queue", name));
        self.hinted.extend(names.map(SchedulerName::from));
    }

    fn cancel(&mut self, message: &Message) {
        let payload = message.value.as_bytes().unwrap_or_default();
        match request(payload) {
            Ok(event) if self.tell(event.clone()) => {}
            Ok(event) => warn!(
                ?event,
                "a request to cancel an operation is lost: nobody had time for it"
            ),
            Err(reason) => warn!("a request to cancel an operation cannot be read: {reason}"),
        }
    }

    /// False if somebody who listens could not take it.
    fn tell(&mut self, event: FeedEvent) -> bool {
        let mut taken = true;
        self.subscribers
            .lock()
            .retain(|subscriber| match subscriber.try_send(event.clone()) {
                Ok(()) => true,
                Err(mpsc::error::TrySendError::Full(_)) => {
                    taken = false;
                    true
                }
                Err(mpsc::error::TrySendError::Closed(_)) => false,
            });
        taken
    }

    async fn look_at_hints(&mut self) {
        let names: Vec<SchedulerName> = self.hinted.drain().collect();
        self.look(&names, false).await;
        self.looked = Instant::now();
    }

    async fn look(&mut self, names: &[SchedulerName], whole: bool) {
        if self.subscribers.lock().is_empty() {
            return;
        }
        for part in names.chunks(TOGETHER) {
            let pushed = match self.queues.look(&self.client, part, whole).await {
                Ok(pushed) => pushed,
                Err(error) => return self.failed(&error),
            };
            for (scheduler, record) in pushed {
                let id = record.id;
                let event = FeedEvent::Pushed {
                    scheduler: scheduler.clone(),
                    operation: Box::new(record),
                };
                if self.tell(event) {
                    self.queues.told(&scheduler, id);
                }
            }
        }
    }

    /// Looks at the queues of this turn that have something in them, and forgets what has left them.
    async fn scan(&mut self) {
        let turn = (self.has_hints && !self.is_behind).then_some(self.turn % TURNS);
        let due = |name: &&SchedulerName| turn.is_none_or(|turn| turn_of(name) == turn);
        let watched: Vec<SchedulerName> = self.watched.lock().iter().filter(due).cloned().collect();
        let mut busy = self.queues.known();
        for part in watched.chunks(SCANNED) {
            let keys = part.iter().flat_map(|name| {
                let keys = Keys(name.as_str());
                [keys.queue().into(), keys.taken().into()]
            });
            let answer = self.waiting.run(&self.client, QUEUES, keys.collect()).await;
            match answer.and_then(|value| value.convert::<Vec<String>>()) {
                Ok(keys) => busy.extend(keys.iter().filter_map(|key| Some(queue_of(key)?.into()))),
                Err(error) => return self.failed(&error),
            }
        }
        self.turn += 1;
        self.is_behind = false;
        if self.is_failing {
            self.is_failing = false;
            info!("Redis can be asked for pushed operations again");
        }
        let busy: Vec<SchedulerName> = busy.into_iter().collect();
        self.look(&busy, true).await;
    }

    fn failed(&mut self, error: &dyn std::error::Error) {
        if !self.is_failing {
            self.is_failing = true;
            warn!("Redis cannot be asked for pushed operations: {error}");
        }
    }
}

fn turn_of(scheduler: &SchedulerName) -> u64 {
    let mut hasher = DefaultHasher::new();
    scheduler.hash(&mut hasher);
    hasher.finish() % TURNS
}

/// A request as other programs publish it.
#[derive(Deserialize)]
struct Request {
    #[serde(rename = "schedulerName")]
    scheduler: String,
    #[serde(rename = "operationID")]
    operation: String,
}

fn request(payload: &[u8]) -> Result<FeedEvent, String> {
    let request: Request = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
    let operation = operation_id(&request.operation);
    if !is_name(&request.scheduler) {
        return Err("it names no scheduler".to_owned());
    }
    Ok(FeedEvent::CancelRequested {
        scheduler: request.scheduler.into(),
        operation: operation.ok_or_else(|| format!("{:?} is no UUID", request.operation))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_to_cancel_is_read_as_the_original_writes_it() {
        let id = "00000000-0000-4000-8000-0000000000a1";
        let payload = format!(r#"{{"schedulerName":"arena","operationID":"{id}"}}"#);
        let expected = FeedEvent::CancelRequested {
            scheduler: "arena".into(),
            operation: id.parse().unwrap(),
        };
        assert_eq!(request(payload.as_bytes()), Ok(expected));
        for bad in ["", "{}", "[]", r#"{"schedulerName":"a","operationID":"7"}"#] {
            assert!(request(bad.as_bytes()).is_err());
        }
    }
}
