//! Feeds and their watchers on a clock that stands still, with a source that is scripted.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{LazyLock, Mutex};

use futures_util::StreamExt;

use super::answer::Unit;
use super::*;
use crate::{Code, Tick};

const TICK: Duration = Duration::from_secs(5);
const STEP: u64 = 5;

/// The wall clock goes with that of the test, from a time on the grid.
fn now() -> Timestamp {
    static BEGIN: LazyLock<Timestamp> =
        LazyLock::new(|| "2026-01-02T12:00:00Z".parse().expect("a time"));
    let begin = STARTED.with(|started| *started);
    *BEGIN + begin.elapsed()
}

thread_local! {
    /// Tests run on threads of their own.
    static STARTED: tokio::time::Instant = tokio::time::Instant::now();
}

/// Answers with one sample for each time, or fails.
#[derive(Default)]
struct Source {
    asked: AtomicUsize,
    windows: Mutex<Vec<Window>>,
    fails: Mutex<Option<Status>>,
    is_empty: std::sync::atomic::AtomicBool,
}

impl Source {
    fn feeds(self: &Arc<Self>, places: usize) -> Arc<Feeds> {
        // The first use fixes the begin of the test's clock.
        now();
        let source = self.clone();
        let ask = move |_: &Watched, window: Window| {
            let source = source.clone();
            async move {
                source.asked.fetch_add(1, SeqCst);
                source.windows.lock().expect("unpoisoned").push(window);
                if let Some(status) = source.fails.lock().expect("unpoisoned").clone() {
                    return Err(status);
                }
                if source.is_empty.load(SeqCst) {
                    return Ok(Vec::new());
                }
                let sample = |at: Timestamp| Usage {
                    at,
                    cores: 0.35,
                    bytes: 150_000_000.0,
                };
                Ok(window.times().map(sample).collect())
            }
            .boxed()
        };
        Feeds::new(Box::new(ask), now, TICK, places, Handle::current())
    }

    fn fail(&self, status: Option<Status>) {
        *self.fails.lock().expect("unpoisoned") = status;
    }
}

fn watched() -> Watched {
    Watched {
        scheduler: "arena".into(),
        version: "v1.0.0".into(),
        step: STEP,
    }
}

fn watch_from(feeds: &Arc<Feeds>, seconds_ago: u64) -> Watch {
    let to = feeds.now();
    let first = Window {
        from: to - Duration::from_secs(seconds_ago),
        to,
        step: Duration::from_secs(STEP),
    };
    let member = feeds.join(watched()).expect("a place");
    watching::watch(member, first, Unit::Cores)
}

async fn dates(watch: &mut Watch) -> Vec<String> {
    match watch.next().await {
        Some(Ok(Tick::Samples(response))) => {
            let samples = response.versionResourceMetrics;
            samples.into_iter().map(|sample| sample.date).collect()
        }
        other => panic!("no samples: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_message_comes_at_once_and_later_ones_have_only_newer_samples() {
    let source = Arc::new(Source::default());
    let feeds = source.feeds(8);
    let mut watch = watch_from(&feeds, 10);
    let first = dates(&mut watch).await;
    assert_eq!(
        first,
        [
            "2026-01-02T11:59:50Z",
            "2026-01-02T11:59:55Z",
            "2026-01-02T12:00:00Z"
        ]
    );
    assert_eq!(dates(&mut watch).await, ["2026-01-02T12:00:05Z"]);
    assert_eq!(dates(&mut watch).await, ["2026-01-02T12:00:10Z"]);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_watchers_cost_one_question_per_tick() {
    let source = Arc::new(Source::default());
    let feeds = source.feeds(2_000);
    let mut watches: Vec<_> = (0..1_000).map(|_| watch_from(&feeds, 5)).collect();
    for watch in &mut watches {
        dates(watch).await;
    }
    // They began together.
    assert_eq!(source.asked.load(SeqCst), 1);
    for tick in 1..=3 {
        for watch in &mut watches {
            assert_eq!(dates(watch).await.len(), 1);
        }
        assert_eq!(source.asked.load(SeqCst), 1 + tick);
    }
    assert_eq!(feeds.tasks(), 1);
    drop(watches);
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    assert_eq!(feeds.tasks(), 0, "nobody watches");
}

#[tokio::test(start_paused = true)]
async fn a_failed_tick_does_not_end_it_and_leaves_no_gap() {
    let source = Arc::new(Source::default());
    let feeds = source.feeds(8);
    let mut watch = watch_from(&feeds, 0);
    assert_eq!(dates(&mut watch).await, ["2026-01-02T12:00:00Z"]);
    source.fail(Some(Status::unavailable("down")));
    let failed = watch.next().await;
    assert_eq!(failed, Some(Ok(Tick::Failed(Status::unavailable("down")))));
    source.fail(None);
    assert_eq!(
        dates(&mut watch).await,
        ["2026-01-02T12:00:05Z", "2026-01-02T12:00:10Z"]
    );
}

#[tokio::test(start_paused = true)]
async fn three_failures_in_a_row_end_it_and_what_no_retry_changes_at_once() {
    let source = Arc::new(Source::default());
    let feeds = source.feeds(8);
    source.fail(Some(Status::new(Code::DeadlineExceeded, "slow")));
    let mut watch = watch_from(&feeds, 0);
    for _ in 0..2 {
        assert!(matches!(watch.next().await, Some(Ok(Tick::Failed(_)))));
    }
    let ended = watch.next().await.expect("an item").unwrap_err();
    assert_eq!(ended.code, Code::Unavailable);
    assert!(ended.message.ends_with("slow"), "{ended}");
    assert!(watch.next().await.is_none());

    source.fail(Some(Status::not_found("deleted")));
    let mut watch = watch_from(&feeds, 0);
    let ended = watch.next().await.expect("an item").unwrap_err();
    assert_eq!(ended.code, Code::NotFound);
    assert!(watch.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_version_without_data_uses_nothing() {
    let source = Arc::new(Source::default());
    source.is_empty.store(true, SeqCst);
    let feeds = source.feeds(8);
    let mut watch = watch_from(&feeds, 60);
    assert_eq!(dates(&mut watch).await, ["2026-01-02T12:00:00Z"]);
    assert_eq!(dates(&mut watch).await, ["2026-01-02T12:00:05Z"]);
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_read_is_cut_within_two_ticks_and_nobody_else() {
    let source = Arc::new(Source::default());
    let feeds = source.feeds(8);
    // More samples than one message takes: the rest waits for the client.
    let mut lazy = watch_from(&feeds, 5 * 2_000);
    let mut eager = watch_from(&feeds, 0);
    assert_eq!(dates(&mut lazy).await.len(), 500);
    dates(&mut eager).await;
    for _ in 0..3 {
        assert_eq!(dates(&mut eager).await.len(), 1);
    }
    let cut = lazy.next().await.expect("an item").unwrap_err();
    assert_eq!(cut.code, Code::ResourceExhausted);
    assert!(lazy.next().await.is_none());
    assert_eq!(dates(&mut eager).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_is_not_cut_however_long_it_takes() {
    let source = Arc::new(Source::default());
    let feeds = source.feeds(8);
    let mut watch = watch_from(&feeds, 0);
    dates(&mut watch).await;
    source.fail(Some(Status::unavailable("down")));
    watch.next().await;
    source.fail(None);
    for _ in 0..10 {
        dates(&mut watch).await;
    }
}

#[tokio::test(start_paused = true)]
async fn watches_are_bounded_and_end_with_the_node() {
    let source = Arc::new(Source::default());
    let feeds = source.feeds(2);
    let mut watch = watch_from(&feeds, 0);
    let other = watch_from(&feeds, 0);
    let refused = feeds.join(watched()).err().expect("no place");
    assert_eq!(refused.code, Code::ResourceExhausted);
    drop(other);
    assert!(feeds.join(watched()).is_ok());
    dates(&mut watch).await;
    let (ended, ()) = tokio::join!(watch.next(), feeds.close());
    assert_eq!(ended.expect("an item").unwrap_err().code, Code::Unavailable);
    assert!(feeds.join(watched()).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_first_message_that_failed_is_asked_for_again() {
    let source = Arc::new(Source::default());
    let feeds = source.feeds(8);
    source.fail(Some(Status::unavailable("down")));
    let mut watch = watch_from(&feeds, 10);
    assert!(matches!(watch.next().await, Some(Ok(Tick::Failed(_)))));
    source.fail(None);
    let first = dates(&mut watch).await;
    assert_eq!(first.len(), 4);
    assert_eq!(first[0], "2026-01-02T11:59:50Z");
    assert_eq!(dates(&mut watch).await, ["2026-01-02T12:00:10Z"]);
}
