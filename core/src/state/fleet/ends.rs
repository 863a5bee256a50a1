//! How rooms end: on an order, well, or as a failure of their version (D30, D31), and who is told. Replacements are
//! decided elsewhere.

use crate::domain::*;
use crate::state::fleet::Fleet;
use crate::state::fleet::room::Room;
use crate::state::report::{Report, RoomEnd};
use crate::state::turn::Turn;

/// What the end of a room, or of a container that is restarted, says about its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It was told to end.
    Ordered,
    /// With exit code 0, after a match or after it had announced its end.
    Well,
    /// Unordered, but the version has proved before that it works, or had no part in it.
    Late,
    /// Unordered, before it was up or too soon afterwards.
    Failure,
}

/// A room that ended, for the operations that depend on it.
pub(in crate::state) struct Gone {
    pub validation: bool,
    /// The operation that created it, if its end is a failure of its version.
    pub failed: Option<OperationId>,
    /// How it ended, in one line.
    pub text: String,
}

impl Fleet {
    /// The runtime has no instance of this room any more. `None` if the room is unknown, or has another instance by
    /// now.
    pub fn room_gone(
        &mut self,
        turn: &mut Turn,
        id: &RoomId,
        uid: &str,
        exit: Option<Exit>,
    ) -> Option<Gone> {
        let room = self.rooms.get(id.as_str())?;
        let known = room.record.instance.as_ref();
        if known.is_some_and(|known| known.differs_from(uid)) {
            return None;
        }
        let told = room.record.intent.end().is_some()
            || matches!(
                room.status(),
                RoomStatus::Terminating | RoomStatus::Terminated
            );
        self.ended.since_run.properly += u64::from(told);
        let (code, signal) = exit.as_ref().map_or((None, None), |e| (e.code, e.signal));
        let by_others = exit.as_ref().is_some_and(|exit| exit.by_others);
        let verdict = self.judge(turn.now, room, (code, signal), by_others);
        let leaving = room.is_leaving();
        let (validation, made_by) = (room.record.intent.validation, room.record.intent.made_by);
        let version = room.record.intent.version.clone();
        let blamed = room.marks.blamed;
        let text = self.describe_end(turn.now, room, exit.as_ref());
        self.report_end(turn, id, verdict, exit.as_ref());
        self.remember_end(turn.now, id, exit);
        self.forget_room(turn, id);
        let mut gone = Gone {
            validation,
            failed: None,
            text,
        };
        if validation || leaving {
            return Some(gone);
        }
        self.replaced.push(format!("{id} ({})", how(code, signal)));
        match verdict {
            Verdict::Well => self.version_works(turn, &version),
            Verdict::Failure => {
                gone.failed = made_by;
                if !blamed {
                    self.version_failed(turn, &version, gone.text.clone());
                }
            }
            Verdict::Ordered | Verdict::Late => {}
        }
        Some(gone)
    }

    /// A container ended and will be restarted in place: the room keeps its place and begins again (D31).
    pub fn on_restart(&mut self, turn: &mut Turn, id: &RoomId, restart: Restart) {
        let Some(room) = self.rooms.get(id.as_str()) else {
            return;
        };
        let verdict = self.judge(turn.now, room, (restart.code, restart.signal), false);
        let (validation, leaving) = (room.record.intent.validation, room.is_leaving());
        let version = room.record.intent.version.clone();
        let instance = room.record.instance.as_ref();
        let words = instance.map(|i| i.description.clone()).unwrap_or_default();
        let text = format!("room {id} is started again in place: {words}");
        self.report_restart(turn, id, verdict, restart, words);
        // If there are several containers, another one may hold the match: its last report stays valid until the next
        // one.
        let document = self.document_of(&version);
        let alone = document.is_none_or(|s| s.spec.containers.len() < 2);
        let now = turn.now.mono;
        self.rooms.update(id.as_str(), |room| {
            let reported = &mut room.record.reported;
            if alone || reported.ping != PingStatus::Occupied {
                reported.ping = PingStatus::Unknown;
                reported.matches = 0;
            }
            reported.played = false;
            reported.first_ready_at = None;
            room.was_ready = false;
            room.marks.blamed = false;
            room.clock.first_ready = None;
            room.restart_since.get_or_insert(now);
        });
        if validation || leaving {
            return;
        }
        match verdict {
            Verdict::Well => self.version_works(turn, &version),
            Verdict::Failure => self.version_failed(turn, &version, text),
            Verdict::Ordered | Verdict::Late => {}
        }
    }

    /// The instance is broken and has not ended, such as one whose image cannot be fetched: its room is replaced, and
    /// stays until it has been silent for too long (contract 5.7), so that each try leaves one more. It is judged like
    /// an end. The answer is what the operation that made the room is to say, if it is a failure.
    pub fn on_broken(&mut self, turn: &mut Turn, id: &RoomId) -> Option<(OperationId, String)> {
        let room = self.rooms.get(id.as_str())?;
        let intent = &room.record.intent;
        let judged = self.judge(turn.now, room, (None, None), false);
        if intent.validation || room.is_leaving() || judged != Verdict::Failure {
            return None;
        }
        let (version, made_by) = (intent.version.clone(), intent.made_by);
        let words = room.record.instance.as_ref().map(|i| &*i.description);
        let words = words.unwrap_or_default();
        let what = room.trouble().map_or(words.into(), |t| t.words(words));
        let text = format!("room {id}: {what}");
        self.rooms
            .update(id.as_str(), |room| room.marks.blamed = true);
        self.version_failed(turn, &version, text.clone());
        Some((made_by?, text))
    }

    /// All of its containers run again. Its reports since then may say that it is occupied, but the contract has no
    /// transition from error to occupied (4.4).
    pub fn on_restarted(&mut self, turn: &mut Turn, id: &RoomId) {
        if self.rooms.get(id.as_str()).map(Room::status) == Some(RoomStatus::Error) {
            self.set_status(turn, id, RoomStatus::Unready);
        }
    }

    fn judge(
        &self,
        now: Now,
        room: &Room,
        (code, signal): (Option<i32>, Option<i32>),
        by_others: bool,
    ) -> Verdict {
        if room.record.intent.end().is_some() {
            return Verdict::Ordered;
        }
        if !room.was_ready {
            return Verdict::Failure;
        }
        let goodbye = matches!(
            room.record.reported.ping,
            PingStatus::Terminating | PingStatus::Terminated
        );
        match (code, signal) {
            // A room that was never ready is not among them: whoever ends each new one at once is to be waited for.
            _ if by_others => return Verdict::Late,
            (Some(0), _) if goodbye || room.record.reported.played => return Verdict::Well,
            // Adopted processes leave no exit code, so their last reports count.
            (None, None) if goodbye => return Verdict::Well,
            (None, None) if room.record.reported.played => return Verdict::Late,
            _ => {}
        }
        let wait = self.settings.room_min_uptime;
        let soon = |up: Mono| now.mono.since(up) < wait;
        match room.clock.first_ready.is_some_and(soon) {
            true => Verdict::Failure,
            false => Verdict::Late,
        }
    }

    /// A line for the history: how it ended, and its last output.
    fn describe_end(&self, now: Now, room: &Room, exit: Option<&Exit>) -> String {
        let mut text = format!("room {} ended", room.record.id);
        match room.clock.first_ready {
            _ if !room.was_ready => text.push_str(" before it was ready"),
            Some(up) => {
                let seconds = now.mono.since(up).as_secs();
                text.push_str(&format!(" {seconds} s after it was ready"));
            }
            None => {}
        }
        let Some(exit) = exit else { return text };
        match (exit.code, exit.signal) {
            (Some(code), _) => text.push_str(&format!(": exit code {code}")),
            (None, Some(signal)) => text.push_str(&format!(": killed by signal {signal}")),
            (None, None) => {}
        }
        if !exit.reason.is_empty() {
            text.push_str(&format!(" ({})", exit.reason));
        }
        if !exit.log_tail.is_empty() {
            text.push_str(&format!("; last log lines: {}", exit.log_tail.join(" | ")));
        }
        text
    }

    fn report_end(&self, turn: &mut Turn, id: &RoomId, verdict: Verdict, exit: Option<&Exit>) {
        let Some(room) = self.rooms.get(id.as_str()) else {
            return;
        };
        let (code, signal) = exit.map_or((None, None), |e| (e.code, e.signal));
        let ordered = room.record.intent.end();
        let planned = matches!(verdict, Verdict::Ordered | Verdict::Well);
        let end = RoomEnd {
            room: id.clone(),
            version: room.record.intent.version.clone(),
            reason: match ordered {
                Some(removal) => removal.reason.as_str(),
                None => end_reason(code, signal),
            },
            code,
            signal,
            in_match: room.is_busy(),
            planned,
            restarts: false,
            words: exit.map(|e| e.reason.clone()).unwrap_or_default(),
            last_line: exit.and_then(|e| e.log_tail.last().cloned()),
        };
        turn.reports.push(Report::RoomEnded(Box::new(end)));
    }

    fn report_restart(
        &self,
        turn: &mut Turn,
        id: &RoomId,
        verdict: Verdict,
        restart: Restart,
        words: String,
    ) {
        let Some(room) = self.rooms.get(id.as_str()) else {
            return;
        };
        let end = RoomEnd {
            room: id.clone(),
            version: room.record.intent.version.clone(),
            reason: "restarted",
            code: restart.code,
            signal: restart.signal,
            in_match: room.is_busy(),
            planned: matches!(verdict, Verdict::Ordered | Verdict::Well),
            restarts: true,
            words,
            last_line: None,
        };
        turn.reports.push(Report::RoomEnded(Box::new(end)));
    }

    /// It ended while nobody watched, so how is unknown.
    pub fn ended_unwatched(&mut self, turn: &mut Turn, id: &RoomId) {
        let Some(room) = self.rooms.get(id.as_str()) else {
            return;
        };
        let (made, leaving) = (room.record.instance.is_some(), room.is_leaving());
        let trial = room.record.intent.validation;
        if !made {
            return;
        }
        let verdict = match room.record.intent.end().is_some() {
            true => Verdict::Ordered,
            false => Verdict::Late,
        };
        let exit = Exit {
            reason: "it ended while nobody watched".into(),
            ..Exit::default()
        };
        self.report_end(turn, id, verdict, Some(&exit));
        self.remember_end(turn.now, id, Some(exit));
        if !leaving && !trial {
            self.replaced
                .push(format!("{id} (ended while nobody watched)"));
        }
    }
}

/// The label of `maestro_rooms_ended_total` for an end that nobody ordered.
fn end_reason(code: Option<i32>, signal: Option<i32>) -> &'static str {
    match (code, signal) {
        (Some(0), _) => "completed",
        (Some(_), _) => "failed",
        (None, Some(_)) => "killed",
        (None, None) => "unknown",
    }
}

/// How it ended, in a few words for the history.
fn how(code: Option<i32>, signal: Option<i32>) -> String {
    match (code, signal) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "exit code unknown".into(),
    }
}
