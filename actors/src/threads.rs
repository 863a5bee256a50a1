//! The threads on which the owners of schedulers run, and the detection of blocked ones.
//!
//! A turn that does not end (a defect, a blocking call) blocks its whole thread. The schedulers of that thread are then
//! moved to other threads; if the thread continues later, it can be used again.

use crate::supervisor_messages::{Notice, SupervisorLink};
use actix::prelude::*;
use maestro_core::domain::SchedulerName;
use parking_lot::Mutex;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Checks per lease duration. Missed checks are counted rather than seconds, so that no thread counts as blocked after
/// the whole process was stopped or the machine slept.
const LOOKS: u32 = 12;
const LOOK_MIN: Duration = Duration::from_millis(10);
/// Maximum number of threads created as replacements when all others are blocked.
const SPARE_MAX: usize = 16;

pub(crate) struct Threads(Mutex<Vec<Thread>>);

struct Thread {
    arbiter: ArbiterHandle,
    asked: u64,
    answered: Arc<AtomicU64>,
    /// Checks since it was probed.
    missed: u32,
    stuck: bool,
    spare: bool,
}

impl Thread {
    fn new(arbiter: ArbiterHandle, spare: bool) -> Self {
        Self {
            arbiter,
            asked: 0,
            answered: Arc::default(),
            missed: 0,
            stuck: false,
            spare,
        }
    }

    /// Sends a probe, one at a time.
    fn ask(&mut self) {
        self.asked += 1;
        self.missed = 0;
        let (answered, number) = (self.answered.clone(), self.asked);
        self.arbiter.spawn(async move {
            answered.store(number, Relaxed);
        });
    }
}

/// Where actors run: on a thread of its own, or on that of the running actix system.
pub(crate) fn arbiter(own: bool) -> ArbiterHandle {
    match own {
        true => Arbiter::new().handle(),
        false => Arbiter::current(),
    }
}

/// The result of one check.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Stuck(usize),
    GoesOn(usize),
}

impl Threads {
    /// Must be called on the thread of a running actix system. That thread is used for all actors if `amount` is 0.
    pub fn start(amount: usize) -> Arc<Self> {
        let threads = (0..amount.max(1)).map(|_| Thread::new(arbiter(amount > 0), false));
        Arc::new(Self(Mutex::new(threads.collect())))
    }

    /// The thread for the next incarnation of a scheduler: always the same one among those that are not blocked. Must
    /// be called on the thread of a running actix system.
    pub fn pick(&self, name: &SchedulerName) -> (usize, ArbiterHandle) {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let hash = hasher.finish() as usize;
        let mut threads = self.0.lock();
        let usual = threads.iter().filter(|thread| !thread.spare).count();
        let mut at = hash % usual;
        if threads[at].stuck {
            let well = |at: &usize| !threads[*at].stuck;
            let others: Vec<usize> = (0..threads.len()).filter(well).collect();
            if !others.is_empty() {
                at = others[hash % others.len()];
            } else if threads.len() < usual + SPARE_MAX {
                at = threads.len();
                threads.push(Thread::new(arbiter(true), true));
            }
        }
        (at, threads[at].arbiter.clone())
    }

    fn look(&self) -> Vec<Found> {
        let mut found = Vec::new();
        for (at, thread) in self.0.lock().iter_mut().enumerate() {
            if thread.answered.load(Relaxed) == thread.asked {
                if std::mem::take(&mut thread.stuck) {
                    found.push(Found::GoesOn(at));
                }
                thread.ask();
                continue;
            }
            thread.missed += 1;
            if thread.missed >= LOOKS && !std::mem::replace(&mut thread.stuck, true) {
                found.push(Found::Stuck(at));
            }
        }
        found
    }
}

/// Checks until `stop`; reports each thread that is blocked for a whole lease duration to the supervisor.
pub(crate) async fn watch(
    threads: Arc<Threads>,
    supervisor: SupervisorLink,
    lease: Duration,
    stop: CancellationToken,
) {
    let every = (lease / LOOKS).max(LOOK_MIN);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
        for found in threads.look() {
            if let Found::Stuck(thread) = found {
                supervisor.tell(Notice::ThreadStuck(thread));
            }
            // A log that panics must not end the watch.
            let _ = catch_unwind(|| found.log());
        }
    }
}

impl Found {
    fn log(&self) {
        match self {
            Self::Stuck(thread) => warn!(
                thread,
                "an actor thread is stalled: its schedulers move to other threads"
            ),
            Self::GoesOn(thread) => info!(thread, "an actor thread continues"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Threads that are all the one of the system.
    fn threads(amount: usize) -> Threads {
        let thread = |_| Thread::new(arbiter(false), false);
        Threads(Mutex::new((0..amount).map(thread).collect()))
    }

    fn test<F: Future<Output = ()>>(test: impl FnOnce() -> F) {
        actix::System::new().block_on(async { test().await });
    }

    fn stop(threads: &Threads, at: usize) {
        threads.0.lock()[at].stuck = true;
    }

    fn name_on(threads: &Threads, at: usize) -> SchedulerName {
        let mut names = (0..).map(|n| SchedulerName::from(format!("fleet-{n}").as_str()));
        names.find(|name| threads.pick(name).0 == at).unwrap()
    }

    #[test]
    fn a_thread_that_does_not_answer_is_found_once_and_once_more_when_it_goes_on() {
        test(|| async {
            let threads = threads(2);
            assert_eq!(threads.look(), [], "both are asked");
            for look in 1..LOOKS {
                assert_eq!(threads.look(), [], "{look}");
            }
            assert_eq!(threads.look(), [Found::Stuck(0), Found::Stuck(1)]);
            assert_eq!(threads.look(), []);
            // They answer now.
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert_eq!(threads.look(), [Found::GoesOn(0), Found::GoesOn(1)]);
            for _ in 0..3 * LOOKS {
                tokio::time::sleep(Duration::from_millis(1)).await;
                assert_eq!(threads.look(), []);
            }
        });
    }

    #[test]
    fn a_name_stays_on_its_thread_while_that_goes_on() {
        test(|| async {
            let threads = threads(3);
            for at in 0..3 {
                let name = name_on(&threads, at);
                stop(&threads, (at + 1) % 3);
                assert_eq!(threads.pick(&name).0, at);
                threads.0.lock()[(at + 1) % 3].stuck = false;
            }
        });
    }

    #[test]
    fn others_are_found_for_the_names_of_a_stuck_thread_and_made_when_none_is_left() {
        test(|| async {
            let threads = threads(3);
            let name = name_on(&threads, 1);
            stop(&threads, 1);
            let others: Vec<_> = (0..100)
                .map(|n| {
                    threads
                        .pick(&SchedulerName::from(format!("other-{n}").as_str()))
                        .0
                })
                .collect();
            assert!(others.contains(&0) && others.contains(&2), "{others:?}");
            assert!(!others.contains(&1), "{others:?}");
            stop(&threads, 0);
            assert_eq!(threads.pick(&name).0, 2, "the last one");
            stop(&threads, 2);
            for spare in 0..SPARE_MAX {
                assert_eq!(threads.pick(&name).0, 3 + spare);
                assert_eq!(threads.pick(&name).0, 3 + spare, "it is there by now");
                stop(&threads, 3 + spare);
            }
            assert_eq!(threads.pick(&name).0, 1, "no more are made");
            assert_eq!(threads.0.lock().len(), 3 + SPARE_MAX);
            // A spare one is nobody's usual thread.
            threads.0.lock()[1].stuck = false;
            assert_eq!(threads.pick(&name).0, 1);
        });
    }
}
