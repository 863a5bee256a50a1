use super::*;
use futures_util::FutureExt;
use futures_util::future::join_all;

fn limiter(qps: u32, burst: u32) -> Limiter {
    Limiter::start(qps, burst, CancellationToken::new())
}

#[tokio::test]
async fn a_burst_goes_at_once_and_the_rest_at_the_rate() {
    let limiter = limiter(100, 20);
    let start = Instant::now();
    for number in 0..40 {
        drop(limiter.admit(&"a".into(), Urgency::Normal).await.unwrap());
        let due = 10 * u64::from(number - 19_u32.min(number));
        let early = Duration::from_millis(due.saturating_sub(1));
        assert!(start.elapsed() >= early, "{number}");
    }
}

#[tokio::test]
async fn a_long_pause_allows_no_more_than_a_burst() {
    let limiter = limiter(1000, 5);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let start = Instant::now();
    for _ in 0..25 {
        drop(limiter.admit(&"a".into(), Urgency::Normal).await.unwrap());
    }
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(19), "{took:?}");
}

#[tokio::test]
async fn callers_that_went_away_take_nothing_from_the_rate() {
    let limiter = limiter(10, 1);
    let scheduler = SchedulerName::from("a");
    let admit = || limiter.admit(&scheduler, Urgency::Normal);
    drop(admit().await.unwrap());
    for _ in 0..100 {
        assert!(admit().now_or_never().is_none());
    }
    let start = Instant::now();
    drop(admit().await.unwrap());
    let took = start.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn too_many_that_wait_are_refused_at_once() {
    let limiter = limiter(1, 1);
    let scheduler = SchedulerName::from("a");
    let admit = || limiter.admit(&scheduler, Urgency::Urgent).now_or_never();
    for _ in 0..WAITING_MAX {
        assert!(admit().is_none());
    }
    assert!(matches!(admit(), Some(Err(Refused::Crowded))));
}

#[tokio::test]
async fn schedulers_take_turns_and_urgent_calls_go_first() {
    let limiter = limiter(500, 1);
    drop(
        limiter
            .admit(&"first".into(), Urgency::Normal)
            .await
            .unwrap(),
    );
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut calls = Vec::new();
    let mut queue = |name: &'static str, urgency| {
        let (limiter, order) = (limiter.clone(), order.clone());
        calls.push(tokio::spawn(async move {
            let _permit = limiter.admit(&name.into(), urgency).await.unwrap();
            order.lock().push(name);
        }));
    };
    for _ in 0..50 {
        queue("crowd", Urgency::Normal);
    }
    queue("event", Urgency::Late);
    queue("lonely", Urgency::Normal);
    queue("urgent", Urgency::Urgent);
    join_all(calls).await;
    let order = order.lock();
    let place = |name| order.iter().position(|other| *other == name).unwrap();
    assert_eq!(place("urgent"), 0, "{order:?}");
    assert!(place("lonely") <= 2, "{order:?}");
    assert_eq!(place("event"), order.len() - 1);
    let sent = [("urgent", 1), ("normal", 52), ("late", 1)];
    assert_eq!(limiter.counts(), CallCounts { sent, waiting: 0 });
}

#[tokio::test]
async fn calls_in_flight_are_bounded_and_lost_callers_cost_nothing() {
    let limiter = limiter(2, 100);
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(limiter.admit(&"a".into(), Urgency::Normal).await.unwrap());
    }
    let scheduler = SchedulerName::from("b");
    let fifth = limiter.admit(&scheduler, Urgency::Urgent);
    let late = tokio::time::timeout(Duration::from_millis(50), fifth).await;
    assert!(late.is_err(), "four calls are in flight");
    held.pop();
    let next = limiter.admit(&scheduler, Urgency::Urgent);
    let next = tokio::time::timeout(Duration::from_secs(9), next).await;
    assert!(next.is_ok_and(|permit| permit.is_ok()));
    assert_eq!(limiter.waiting(), 0);
}

#[tokio::test]
async fn urgent_calls_without_end_leave_some_turns_to_others() {
    let limiter = limiter(2000, 1);
    let busy = limiter.clone();
    let urgent = tokio::spawn(async move {
        let admit = || async { drop(busy.admit(&"busy".into(), Urgency::Urgent).await) };
        loop {
            join_all((0..10).map(|_| admit())).await;
        }
    });
    while limiter.counts().sent[0].1 < 10 {
        tokio::task::yield_now().await;
    }
    for _ in 0..5 {
        let before = limiter.counts().sent[0].1;
        drop(
            limiter
                .admit(&"other".into(), Urgency::Normal)
                .await
                .unwrap(),
        );
        let overtaken = limiter.counts().sent[0].1 - before;
        assert!(overtaken <= FLOOR, "{overtaken}");
    }
    urgent.abort();
}

#[tokio::test]
async fn a_leave_is_the_turn_of_one_call() {
    let limiter = limiter(10, 2);
    let scheduler = SchedulerName::from("a");
    let admit = || limiter.admit(&scheduler, Urgency::Normal);
    let first = limiter.leave(&scheduler, Urgency::Normal).await.unwrap();
    let second = limiter.leave(&scheduler, Urgency::Normal).await.unwrap();
    let other = SchedulerName::from("b");
    let theirs = limiter.admit(&other, Urgency::Normal).now_or_never();
    assert!(theirs.is_none(), "it has no leave, and no token is left");
    let theirs = limiter.admit(&scheduler, Urgency::Urgent).now_or_never();
    assert!(theirs.is_none(), "the leave is for another lane");
    // Both have theirs, whoever ends first.
    assert!(admit().now_or_never().is_some());
    drop(first);
    assert!(admit().now_or_never().is_some());
    drop(second);
    assert!(admit().now_or_never().is_none());
}

#[tokio::test]
async fn a_leave_that_is_not_used_costs_nothing() {
    let limiter = limiter(1, 1);
    let scheduler = SchedulerName::from("a");
    let start = Instant::now();
    for _ in 0..50 {
        drop(limiter.leave(&scheduler, Urgency::Normal).await.unwrap());
    }
    drop(limiter.admit(&scheduler, Urgency::Normal).await.unwrap());
    assert!(start.elapsed() < Duration::from_secs(1));
    let sent = [("urgent", 0), ("normal", 1), ("late", 0)];
    assert_eq!(limiter.counts(), CallCounts { sent, waiting: 0 });
}

#[tokio::test]
async fn whoever_waits_is_told_when_the_limiter_ends() {
    let stopping = CancellationToken::new();
    let limiter = Limiter::start(1, 1, stopping.clone());
    let scheduler = SchedulerName::from("a");
    drop(limiter.admit(&scheduler, Urgency::Normal).await.unwrap());
    let waits = limiter.admit(&scheduler, Urgency::Normal);
    let (waited, ()) = tokio::join!(waits, async { stopping.cancel() });
    assert!(matches!(waited, Err(Refused::Stopped)));
    let late = limiter.admit(&scheduler, Urgency::Normal).await;
    assert!(matches!(late, Err(Refused::Stopped)));
}
