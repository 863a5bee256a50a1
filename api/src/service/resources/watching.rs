//! One watch: its first message at once, then what each round of its feed has that is newer.

use futures_util::stream::{StreamExt, unfold};
use jiff::Timestamp;
use maestro_core::ports::{Usage, Window};
use std::sync::Arc;
use tokio::sync::watch;

use super::answer::Unit;
use super::feed::{Member, Round, or_zero};
use crate::{ApiResult, Code, Status, Tick, Watch};

/// Failures in a row that end a watch.
const FAILURES_MAX: u32 = 3;
/// Samples of one message: what is written to a client that does not read is bounded by it.
const MESSAGE_MAX: usize = 500;

struct Watching {
    member: Member,
    rounds: watch::Receiver<Arc<Round>>,
    /// The window of the first message, until it has been asked for.
    first: Option<Window>,
    /// The time of the latest sample that was kept for the client.
    last: Option<Timestamp>,
    failures: u32,
    unit: Unit,
}

/// The stream of a watch whose first message has the samples of `first`.
pub fn watch(member: Member, first: Window, unit: Unit) -> Watch {
    let watching = Watching {
        rounds: member.rounds(),
        member,
        first: Some(first),
        last: None,
        failures: 0,
        unit,
    };
    unfold(Some(watching), async |watching| {
        let mut watching = watching?;
        watching.member.watcher.asks();
        let told = watching.next().await;
        watching.member.gives();
        // Whatever comes after an error would not be read.
        let rest = told.is_ok().then_some(watching);
        Some((told, rest))
    })
    .boxed()
}

impl Watching {
    async fn next(&mut self) -> ApiResult<Tick> {
        loop {
            if self.member.watcher.is_cut() {
                let text = "the watch was not read and has been ended: watch again, from the last date that was read";
                return Err(Status::new(Code::ResourceExhausted, text));
            }
            let samples = self.member.watcher.take(MESSAGE_MAX);
            if !samples.is_empty() {
                return Ok(Tick::Samples(self.unit.response(samples)));
            }
            let news = match self.first {
                Some(window) => self.first(window).await?,
                None => self.later().await?,
            };
            if let Err(status) = news {
                return self.failed(status);
            }
        }
    }

    /// Asks for the first message, again with each tick until it succeeds. The outer error is the end of the watch.
    async fn first(&mut self, window: Window) -> ApiResult<ApiResult<()>> {
        if self.failures > 0 {
            self.round().await?;
        }
        let to = self.member.now().max(window.to);
        let window = Window { to, ..window };
        Ok(match self.member.first(window).await {
            Ok(samples) => {
                self.first = None;
                self.failures = 0;
                self.keep(or_zero(samples.to_vec(), to));
                Ok(())
            }
            Err(status) => Err(status),
        })
    }

    /// What the next round has. The outer error is the end of the watch.
    async fn later(&mut self) -> ApiResult<ApiResult<()>> {
        let round = self.round().await?;
        if let Some(status) = &round.failed {
            return Ok(Err(status.clone()));
        }
        if round.asked {
            self.failures = 0;
        }
        self.keep(round.samples.clone());
        Ok(Ok(()))
    }

    async fn round(&mut self) -> ApiResult<Arc<Round>> {
        tokio::select! {
            // The sender is in the feed, of which this is a member.
            _ = self.rounds.changed() => {}
            ended = self.member.ended() => return Err(ended),
        }
        Ok(self.rounds.borrow_and_update().clone())
    }

    fn keep(&mut self, samples: Vec<Usage>) {
        let last = self.last;
        let newer = |sample: &Usage| last.is_none_or(|last| sample.at > last);
        let samples: Vec<_> = samples.into_iter().filter(newer).collect();
        self.last = samples.last().map(|sample| sample.at).or(last);
        self.member.watcher.keep(samples.into_iter());
    }

    /// One failure is told, and the next tick tries again; three in a row end the watch, and so does what no retry
    /// changes.
    fn failed(&mut self, status: Status) -> ApiResult<Tick> {
        self.failures += 1;
        let passes = matches!(
            status.code,
            Code::Unavailable
                | Code::DeadlineExceeded
                | Code::Internal
                | Code::ResourceExhausted
                | Code::Unknown
        );
        match (passes, self.failures < FAILURES_MAX) {
            (false, _) => Err(status),
            (true, true) => Ok(Tick::Failed(status)),
            (true, false) => Err(Status::unavailable(format!(
                "{FAILURES_MAX} attempts in a row failed: {}",
                status.message
            ))),
        }
    }
}
