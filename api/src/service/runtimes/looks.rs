//! Looks at runtimes. One costs several requests of the platform, so that callers who ask at the same time share it.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::codec::messages::runtime::{Request, RuntimeStatusResponse};
use crate::{ApiResult, Code, RequestContext, RuntimeApi, Status};

/// The looks of a node.
pub struct Looks {
    runtimes: Arc<dyn RuntimeApi>,
    /// Those that somebody has joined.
    open: Mutex<HashMap<String, Arc<Last>>>,
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
        let last = open.entry(name.to_owned()).or_default().clone();
        Look {
            looks: self,
            name,
            last,
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
            // A deadline is that of one caller.
            *last = match &seen {
                Err(status) if status.code == Code::DeadlineExceeded => None,
                seen => Some((began, seen.clone())),
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

impl Drop for Look<'_> {
    fn drop(&mut self) {
        let mut open = self.looks.open.lock();
        // This one, and the map's.
        if Arc::strong_count(&self.last) == 2 {
            open.remove(self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::messages::runtime::Response;
    use async_trait::async_trait;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::time::Duration;

    /// Each look takes a second.
    #[derive(Default)]
    struct Slow(AtomicUsize);

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
}
