//! Looks at runtimes. One costs several requests of the platform, so that callers who ask at the same time share it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::codec::messages::runtime::{Request, RuntimeStatusResponse};
use crate::{ApiResult, Code, RequestContext, RuntimeApi, Status};

/// A caller with less time left has used it up: whoever looks for it on another node may notice that first.
const NEARLY: Duration = Duration::from_millis(100);

/// The looks of a node.
pub struct Looks {
    runtimes: Arc<dyn RuntimeApi>,
    open: Mutex<HashMap<String, Joined>>,
}

/// What somebody has joined.
#[derive(Default)]
struct Joined {
    members: usize,
    last: Arc<Last>,
}

/// When the last look began, and what it saw. Held while a look is under way, so that there is one at a time.
type Last = tokio::sync::Mutex<Option<(Instant, ApiResult<RuntimeStatusResponse>)>>;

/// The membership of one who looks at a runtime. What was seen is known for as long as anybody is a member.
pub struct Look<'a> {
    looks: &'a Looks,
    name: &'a str,
    last: Arc<Last>,
}

impl Looks {
    pub fn new(runtimes: Arc<dyn RuntimeApi>) -> Self {
        Self {
            runtimes,
            open: Mutex::default(),
        }
    }

    pub fn join<'a>(&'a self, name: &'a str) -> Look<'a> {
        let mut open = self.open.lock();
        let joined = open.entry(name.to_owned()).or_default();
        joined.members += 1;
        Look {
            looks: self,
            name,
            last: joined.last.clone(),
        }
    }
}

impl Look<'_> {
    /// What a look saw that began at `since` or later.
    pub async fn since(
        &self,
        context: &RequestContext,
        request: &Request,
        since: Instant,
    ) -> ApiResult<RuntimeStatusResponse> {
        let looking = async {
            let mut last = self.last.lock().await;
            if let Some((began, seen)) = &*last
                && *began >= since
            {
                return seen.clone();
            }
            let began = Instant::now();
            let runtimes = &self.looks.runtimes;
            let seen = runtimes.runtime_status(context, request.clone()).await;
            *last = match is_of_one(context, &seen) {
                true => None,
                false => Some((began, seen.clone())),
            };
            seen
        };
        match context.remaining() {
            None => looking.await,
            Some(left) => tokio::time::timeout(left, looking)
                .await
                .unwrap_or_else(|_| {
                    let text = "context deadline exceeded";
                    Err(Status::new(Code::DeadlineExceeded, text))
                }),
        }
    }
}

/// Whether this is the end of one caller's own time, which says nothing to the others. A platform has a limit too, and
/// the next who looks would wait for that as well.
fn is_of_one(context: &RequestContext, seen: &ApiResult<RuntimeStatusResponse>) -> bool {
    let is_late = matches!(seen, Err(status) if status.code == Code::DeadlineExceeded);
    is_late && context.remaining().is_some_and(|left| left <= NEARLY)
}

impl Drop for Look<'_> {
    fn drop(&mut self) {
        let mut open = self.looks.open.lock();
        if let Some(joined) = open.get_mut(self.name) {
            joined.members -= 1;
            if joined.members == 0 {
                open.remove(self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::messages::runtime::Response;
    use async_trait::async_trait;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    /// Each look takes a second, or as long as the platform may take.
    #[derive(Default)]
    struct Slow(AtomicUsize, Option<Duration>);

    #[async_trait]
    impl RuntimeApi for Slow {
        async fn create(&self, _: &RequestContext, _: Request) -> ApiResult<Response> {
            Err(Status::internal("not asked"))
        }

        async fn runtime_status(
            &self,
            _: &RequestContext,
            _: Request,
        ) -> ApiResult<RuntimeStatusResponse> {
            let number = self.0.fetch_add(1, SeqCst) + 1;
            if let Some(limit) = self.1 {
                tokio::time::sleep(limit).await;
                return Err(Status::new(Code::DeadlineExceeded, "the platform"));
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(RuntimeStatusResponse {
                Status: number.to_string(),
                conditions: Vec::new(),
            })
        }
    }

    async fn seen(looks: &Looks, name: &str, since: Instant) -> String {
        let context = RequestContext::internal();
        let look = looks.join(name);
        let seen = look.since(&context, &Request::default(), since).await;
        seen.expect("an answer").Status
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_ask_during_a_look_share_the_next_one() {
        let slow = Arc::new(Slow::default());
        let looks = Looks::new(slow.clone());
        let later = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let since = Instant::now();
            let asked = (0..50).map(|_| seen(&looks, "lobby", since));
            futures_util::future::join_all(asked).await
        };
        let first = seen(&looks, "lobby", Instant::now());
        let other = seen(&looks, "arena", Instant::now());
        let (first, other, later) = tokio::join!(first, other, later);
        assert_eq!(
            (&*first, &*other),
            ("1", "2"),
            "names do not wait for each other"
        );
        assert_eq!(later, vec!["3"; 50]);
        assert_eq!(slow.0.load(SeqCst), 3);
        assert!(looks.open.lock().is_empty(), "nothing is left");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_seen_is_good_for_those_who_are_content_with_it() {
        let looks = Looks::new(Arc::new(Slow::default()));
        let (context, request) = (RequestContext::internal(), Request::default());
        let member = looks.join("lobby");
        let began = Instant::now();
        let first = member.since(&context, &request, began).await;
        assert_eq!(seen(&looks, "lobby", began).await, "1");
        assert_eq!(first.expect("an answer").Status, "1");
        assert_eq!(seen(&looks, "lobby", Instant::now()).await, "2");
        drop(member);
        assert_eq!(seen(&looks, "lobby", began).await, "3", "forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_waits_for_no_look_beyond_its_deadline() {
        let looks = Looks::new(Arc::new(Slow::default()));
        let context = RequestContext {
            deadline: Some(std::time::Instant::now() + Duration::from_millis(100)),
            ..RequestContext::internal()
        };
        let look = looks.join("lobby");
        let first = seen(&looks, "lobby", Instant::now());
        let request = Request::default();
        let second = look.since(&context, &request, Instant::now());
        let (first, second) = tokio::join!(first, second);
        assert_eq!(first, "1");
        assert_eq!(second.expect_err("late").code, Code::DeadlineExceeded);
    }

    #[tokio::test(start_paused = true)]
    async fn the_platform_s_own_limit_is_waited_for_once() {
        let limit = Duration::from_secs(15);
        let silent = Arc::new(Slow(AtomicUsize::new(0), Some(limit)));
        let looks = Looks::new(silent.clone());
        let (context, request) = (RequestContext::internal(), Request::default());
        let begun = Instant::now();
        let asked = (0..50).map(|_| async {
            let look = looks.join("lobby");
            look.since(&context, &request, begun).await
        });
        for seen in futures_util::future::join_all(asked).await {
            assert_eq!(seen.expect_err("late").message, "the platform");
        }
        assert_eq!((silent.0.load(SeqCst), begun.elapsed()), (1, limit));
        // The end of one caller's own time is not that of the others.
        let member = looks.join("lobby");
        let short = RequestContext {
            deadline: Some(std::time::Instant::now()),
            ..RequestContext::internal()
        };
        let since = Instant::now();
        let own = member.since(&short, &request, since).await;
        assert_eq!(own.expect_err("late").code, Code::DeadlineExceeded);
        let other = member.since(&context, &request, since).await;
        assert_eq!(other.expect_err("late").message, "the platform");
    }

    /// What one caller was told whose time is over, by whoever looked for it.
    #[test]
    fn an_end_that_is_one_caller_s_own_is_not_shared() {
        let late = Err(Status::new(Code::DeadlineExceeded, "late"));
        let due = |left| RequestContext {
            deadline: Some(std::time::Instant::now() + left),
            ..RequestContext::internal()
        };
        assert!(is_of_one(&due(Duration::ZERO), &late));
        assert!(!is_of_one(&due(Duration::from_secs(60)), &late));
        assert!(!is_of_one(&RequestContext::internal(), &late));
        let away = Err(Status::new(Code::Unavailable, "away"));
        assert!(!is_of_one(&due(Duration::ZERO), &away));
    }

    #[test]
    fn whoever_leaves_last_forgets_it_however_many_leave_at_once() {
        let looks = Looks::new(Arc::new(Slow::default()));
        let both = std::sync::Barrier::new(2);
        std::thread::scope(|threads| {
            for _ in 0..2 {
                threads.spawn(|| {
                    for round in 0..20_000 {
                        let name = round.to_string();
                        let look = looks.join(&name);
                        both.wait();
                        drop(look);
                    }
                });
            }
        });
        assert!(looks.open.lock().is_empty(), "nothing is left");
    }
}
