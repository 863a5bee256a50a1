//! The course of the demonstration: rooms come up, matches are played, the fleet grows and shrinks with them, one room
//! crashes and is replaced, a rolling update replaces all rooms, and in the end everything is removed.

use super::api::{Api, FIRST_VERSION, Rollout, SCHEDULER};
use super::look::{replacement_after, unended, wait_for_ready};
use super::matchmaker::{self, Load, Stop, Tally};
use super::screen::{FleetState, Screen};
use super::script::Script;
use super::server::Server;
use super::signals::Signals;
use super::summary::{Crash, OtherReasons, Summary, Update};
use anyhow::Context;
use jiff::Timestamp;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// How long one attempt waits for a ready room: the matchmaker allocates them as well.
const CRASH_WAIT: Duration = Duration::from_millis(800);
/// Steps that have begun may take this much longer than the demonstration.
const SETTLE_WAIT: Duration = Duration::from_secs(30);
/// The time within which everything must be gone.
const GONE_WAIT: Duration = Duration::from_secs(30);

/// Steps in progress.
struct Story<'a> {
    api: &'a Api,
    tally: Arc<Tally>,
    load: Arc<Load>,
    script: Script,
    screen: Screen,
    summary: Summary,
    others: OtherReasons,
    crashed_at: Option<Timestamp>,
    update: Option<StartedUpdate>,
}

struct StartedUpdate {
    operation: String,
    began: Instant,
    at: Timestamp,
}

pub async fn tell(server: Server, rooms: u32, time: Option<Duration>) -> anyhow::Result<Summary> {
    let api = Api::new(&server.management, &server.rooms)?;
    let mut signals = Signals::listen()?;
    let script = Script::new(rooms, time);
    let mut screen = Screen::new();
    for line in urls(&server, &script) {
        screen.say(&line);
    }
    let began = Instant::now();
    api.create(rooms, script.rooms_max()).await?;
    let interrupted = tokio::select! {
        up = wait_for_ready(&api, u64::from(rooms)) => { up?; false }
        () = signals.any() => true,
    };
    let mut story = Story {
        api: &api,
        tally: Arc::default(),
        load: Arc::new(Load::new(script.load(Duration::ZERO))),
        script,
        screen,
        summary: Summary::default(),
        others: OtherReasons::default(),
        crashed_at: None,
        update: None,
    };
    if !interrupted {
        let took = began.elapsed().as_secs_f64();
        let line = format!("{rooms} rooms ready after {took:.1} s");
        story.screen.say(&line);
        story.play(&mut signals).await?;
    }
    story.take_away().await?;
    Ok(story.summary)
}

fn urls(server: &Server, script: &Script) -> [String; 9] {
    let (management, internal) = (&server.management, &server.internal);
    [
        format!(
            "maestro demo: a fleet of {} to {} rooms as local processes. Try while it runs:",
            script.rooms(),
            script.rooms_max()
        ),
        format!("  curl {management}/schedulers/info"),
        format!("  curl {management}/schedulers/{SCHEDULER}"),
        format!("  curl '{management}/schedulers/{SCHEDULER}/rooms?status=occupied'"),
        format!("  curl {management}/schedulers/{SCHEDULER}/rollout"),
        format!("  curl '{management}/schedulers/{SCHEDULER}/operations?stage=final'"),
        format!(
            "  curl -X POST {}/scheduler/{SCHEDULER}/rooms/allocate",
            server.rooms
        ),
        format!("  curl {internal}/debug/actors"),
        "Ctrl-C ends it and leaves nothing behind.".into(),
    ]
}

impl Story<'_> {
    /// Runs the schedule with the matchmaker at work, then waits for what it has begun.
    async fn play(&mut self, signals: &mut Signals) -> anyhow::Result<()> {
        let stop = Stop::default();
        let mut player = tokio::spawn(matchmaker::run(
            self.api.clone(),
            self.tally.clone(),
            self.load.clone(),
            stop.clone(),
        ));
        let acted = self.act(signals).await;
        stop.soon.cancel();
        let mut interrupted = *acted.as_ref().unwrap_or(&true);
        let ended = tokio::select! {
            // Running matches are not awaited.
            () = std::future::ready(()), if interrupted => None,
            () = signals.any(), if !interrupted => None,
            ended = &mut player, if !interrupted => Some(ended),
        };
        interrupted |= ended.is_none();
        stop.now.cancel();
        let ended = match ended {
            Some(ended) => ended,
            None => player.await,
        };
        ended.context("the matchmaker failed")?;
        acted?;
        self.settle(interrupted, signals).await
    }

    /// Runs the schedule until its time is over; `true`: it was stopped before.
    async fn act(&mut self, signals: &mut Signals) -> anyhow::Result<bool> {
        let began = Instant::now();
        let mut beat = tokio::time::interval(self.screen.pause());
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = signals.any() => return Ok(true),
                _ = beat.tick() => {}
            }
            let at = began.elapsed();
            self.load.set(self.script.load(at));
            let rollout = self.show(at).await?;
            if self.screen.is_lost() {
                return Ok(true);
            }
            if self.script.is_over(at) {
                return Ok(false);
            }
            if self.crashed_at.is_none() && at >= self.script.crash_at() {
                self.crash().await?;
            }
            if self.update.is_none() && self.script.update_at().is_some_and(|due| at >= due) {
                self.begin_update().await?;
            } else {
                self.watch_update(&rollout).await?;
            }
            self.watch_crash().await?;
        }
    }

    async fn show(&mut self, at: Duration) -> anyhow::Result<Rollout> {
        let counts = self.api.counts().await?;
        let open = self.api.open_operations().await?;
        let name = |o: &Value| Some(o["definitionName"].as_str()?.to_owned());
        let mut state = FleetState {
            at,
            counts,
            matches: self.tally.matches.load(Relaxed),
            rooms_max: self.script.rooms_max(),
            load_is_high: self.script.is_high(at),
            rollout: self.api.rollout().await?,
            operation: open.first().and_then(name),
        };
        // A rolling update shows in the rooms only once its new version is active.
        if self.update_runs() && state.rollout.waits_for.is_empty() {
            state.rollout.waits_for = "the new version to become active".into();
        }
        self.summary.rooms_peak = self.summary.rooms_peak.max(counts.there());
        self.screen.show(&state);
        Ok(state.rollout)
    }

    /// Allocates a room like any other caller, and makes it crash. If none is ready in time, the
    /// next round tries again.
    async fn crash(&mut self) -> anyhow::Result<()> {
        let until = Instant::now() + CRASH_WAIT;
        let room = loop {
            if let Some(room) = self.api.allocate().await? {
                break room;
            }
            if Instant::now() > until {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        self.tally.take(&room);
        self.crashed_at = Some(Timestamp::now());
        self.summary.crash = Crash::Open;
        // The room ends without an answer.
        let _ = matchmaker::command(&room.game, "crash").await;
        let text = format!("room {} was made to crash", room.room);
        self.screen.note(&text);
        Ok(())
    }

    async fn watch_crash(&mut self) -> anyhow::Result<()> {
        let (Some(crash), Crash::Open) = (self.crashed_at, self.summary.crash) else {
            return Ok(());
        };
        if let Some((operation, time)) = replacement_after(self.api, crash).await? {
            self.summary.crash = Crash::ReplacedAfter(time);
            self.others.replacement = Some(operation);
            let millis = time.as_millis();
            let text = format!("the crashed room was replaced after {millis} ms");
            self.screen.note(&text);
        }
        Ok(())
    }

    async fn begin_update(&mut self) -> anyhow::Result<()> {
        let operation = self.api.update().await?;
        self.screen
            .note("a rolling update began: another environment");
        self.update = Some(StartedUpdate {
            operation,
            began: Instant::now(),
            at: Timestamp::now(),
        });
        Ok(())
    }

    fn update_runs(&self) -> bool {
        self.update.is_some() && self.summary.update == Update::None
    }

    async fn watch_update(&mut self, rollout: &Rollout) -> anyhow::Result<()> {
        let Some(update) = self.update.as_ref().filter(|_| self.update_runs()) else {
            return Ok(());
        };
        if rollout.active == FIRST_VERSION {
            let operation = self.api.operation(&update.operation).await?;
            if matches!(operation["status"].as_str(), Some("error" | "canceled")) {
                let text = format!("its version failed: {}", operation["executionHistory"]);
                self.screen.note(&text);
                self.summary.update = Update::Failed("its version failed".into());
            }
        } else if !rollout.in_progress {
            let time = update.began.elapsed();
            self.others.update = Some((update.at, Timestamp::now()));
            self.summary.update = Update::Finished(time);
            let text = format!("the rolling update finished in {:.1} s", time.as_secs_f64());
            self.screen.note(&text);
        }
        Ok(())
    }

    /// Waits for the crash and the update to be handled, unless the demonstration was interrupted: without its matches
    /// the fleet may be too large already, and then the crashed room is not replaced.
    async fn settle(&mut self, interrupted: bool, signals: &mut Signals) -> anyhow::Result<()> {
        let mut hurry = interrupted;
        let began = Instant::now();
        loop {
            self.watch_crash().await?;
            let rollout = self.api.rollout().await?;
            self.watch_update(&rollout).await?;
            if hurry && self.update_runs() {
                self.summary.update = Update::Interrupted;
                self.end_update_window();
            }
            if hurry && self.summary.crash == Crash::Open {
                self.summary.crash = Crash::Interrupted;
                self.screen
                    .note("ended before the crashed room was replaced");
            }
            if self.summary.crash != Crash::Open && !self.update_runs() {
                return Ok(());
            }
            if began.elapsed() > SETTLE_WAIT {
                if self.update_runs() {
                    let why = format!("not finished, it waits for {}", rollout.waits_for);
                    self.summary.update = Update::Failed(why);
                    self.end_update_window();
                }
                return Ok(());
            }
            tokio::select! {
                () = signals.any() => hurry = true,
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
            }
        }
    }

    fn end_update_window(&mut self) {
        let began = self.update.as_ref().map(|update| update.at);
        self.others.update = began.map(|at| (at, Timestamp::now()));
    }

    /// Collects the summary, and deletes the fleet.
    async fn take_away(&mut self) -> anyhow::Result<()> {
        let api = self.api;
        self.summary.matches = self.tally.matches.load(Relaxed);
        self.summary.cut_short = self.tally.cut_short();
        self.summary.twice = self.tally.twice.load(Relaxed);
        self.summary.count(api, &self.others).await?;
        self.summary.unended = unended(api, GONE_WAIT).await?;
        api.delete().await?;
        let until = Instant::now() + GONE_WAIT;
        while api.exists().await? {
            if Instant::now() > until {
                self.summary.unended.push("delete_scheduler".into());
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}
