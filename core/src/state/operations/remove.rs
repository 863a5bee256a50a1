//! `remove_rooms`: by ids, or as many as asked in the order of deletion (contract 5.5, 5.6; D22, D27).

use super::*;
use crate::rules::deletion;

const LANE: Lane = Lane::Room;

#[derive(Debug, Default)]
pub(in crate::state) struct RemoveRun {
    left: VecDeque<RoomId>,
    removed: Vec<RoomId>,
    /// Rooms with a match that were told to go after it.
    drained: Vec<RoomId>,
    failed: usize,
    cause: Option<String>,
}

/// Ids that one line of a history names.
const IDS_SHOWN: usize = 20;
/// After a removal that found nothing to remove.
const IDLE_WAIT: Duration = Duration::from_secs(1);

impl SchedulerState {
    pub(super) fn begin_remove(
        &mut self,
        turn: &mut Turn,
        amount: i32,
        ids: Vec<RoomId>,
        reason: &str,
        force: bool,
    ) {
        let reason = RemovalReason::from_word(reason).unwrap_or(RemovalReason::RequestedByUser);
        let Some(running) = self.operations.running(LANE) else {
            return;
        };
        let (resumed, pushed) = (
            running.record.journal.rooms.clone(),
            running.record.journal.pushed,
        );
        let mut run = RemoveRun::default();
        if !resumed.is_empty() {
            run.left.extend(resumed);
        } else {
            run.left.extend(ids);
            let amount = amount.clamp(0, self.settings.remove_limit);
            // The original ends what the order names, whatever happened since.
            run.left
                .retain(|id| pushed || self.may_still_go(turn.now, id, reason));
            self.pick(turn, amount as usize, reason, force || pushed, &mut run);
        }
        run.left.retain(|id| self.rooms.get(id.as_str()).is_some());
        for id in run.left.clone() {
            self.expired.remove(&id);
            self.mark_removal(turn, &id, reason, false);
        }
        if let Some(running) = self.operations.running_mut(LANE) {
            running.record.journal.rooms = run.left.iter().cloned().collect();
            running.record.journal.step = "ending rooms".into();
            turn.changes.put_operation(running.record.clone());
            running.progress = Progress::Remove(run);
        }
        self.note_drained(turn);
        self.continue_remove(turn);
    }

    /// Stored with the drains themselves, so that a restart loses neither.
    fn note_drained(&mut self, turn: &mut Turn) {
        let Some(Running {
            progress: Progress::Remove(run),
            ..
        }) = self.operations.running(LANE)
        else {
            return;
        };
        if let Some(named) = some_of(&run.drained) {
            let count = run.drained.len();
            self.note(
                turn,
                LANE,
                &format!("{count} rooms go when their matches end: {named}"),
            );
        }
    }

    /// Much may have happened since a room was chosen: a ping of one that was silent, a
    /// match in one that was to be drained first.
    fn may_still_go(&self, now: Now, id: &RoomId, reason: RemovalReason) -> bool {
        let Some(room) = self.rooms.get(id.as_str()) else {
            return false;
        };
        match (reason, room.record.removal) {
            (_, Some(removal)) if !removal.drain => true,
            (RemovalReason::ExpiredRoom, _) => self.is_expired(now, id),
            (RemovalReason::ScaleDown | RemovalReason::RollingUpdateReplace, _) | (_, Some(_)) => {
                !room.is_busy()
            }
            _ => true,
        }
    }

    /// Chooses by the order of deletion, idle rooms first; those with a match are only marked
    /// to be drained, unless they are to go `at_once` (D27).
    fn pick(
        &mut self,
        turn: &mut Turn,
        amount: usize,
        reason: RemovalReason,
        at_once: bool,
        run: &mut RemoveRun,
    ) {
        if amount == 0 {
            return;
        }
        let order = self.deletion_order(turn.now, amount, reason);
        run.left.extend(order.remove);
        run.left.extend(order.terminating);
        for id in order.drain {
            if at_once {
                run.left.push_back(id);
            } else {
                self.mark_removal(turn, &id, reason, true);
                run.drained.push(id);
            }
        }
    }

    fn deletion_order(&self, now: Now, amount: usize, reason: RemovalReason) -> deletion::Deletion {
        let Some(active) = &self.scheduler else {
            return deletion::Deletion::default();
        };
        let major_of = |version: &SchedulerVersion| version.semver().map(|v| v.major);
        let major = major_of(active.version());
        // Few versions have many rooms: their numbers are read once.
        let in_use = self.rooms.by_version().keys();
        let same_major: HashSet<&SchedulerVersion> =
            in_use.filter(|v| major_of(v) == major).collect();
        let now = now.mono;
        // A rollout replaces old rooms only: a new one would be made anew without end.
        let rolling = reason == RemovalReason::RollingUpdateReplace;
        let replaced = |room: &&Room| !rolling || self.outdated.contains(&room.record.version);
        // Rooms that drain already are on their way: `amount` is about others.
        let candidates = self
            .rooms
            .iter()
            .filter(|room| !room.is_leaving() && !room.record.validation)
            .filter(replaced)
            .map(|room| deletion::DeletionCandidate {
                id: &room.record.id,
                // In error while a container of it is started again, and a match runs in another.
                status: match room.is_restarting() && room.is_busy() {
                    true => RoomStatus::Occupied,
                    false => room.status(),
                },
                same_major: same_major.contains(&room.record.version),
                same_version: room.record.version == *active.version(),
                ping_expired: now.since(room.clock.last_ping) > self.settings.ping_timeout,
            });
        deletion::deletion_order(candidates, amount)
    }

    pub(super) fn continue_remove(&mut self, turn: &mut Turn) {
        loop {
            let Some(running) = self.operations.running_mut(LANE) else {
                return;
            };
            let operation = running.record.id;
            let in_flight = self.work.in_flight(operation);
            let Progress::Remove(run) = &mut running.progress else {
                return;
            };
            if in_flight >= TERMINATIONS_AT_ONCE {
                return;
            }
            let Some(id) = run.left.pop_front() else {
                if in_flight == 0 {
                    self.finish_remove(turn);
                }
                return;
            };
            self.order_termination(turn, &id, Some(operation));
        }
    }

    fn finish_remove(&mut self, turn: &mut Turn) {
        let Some(Running {
            progress: Progress::Remove(run),
            ..
        }) = self.operations.running_mut(LANE)
        else {
            return;
        };
        let run = std::mem::take(run);
        if run.removed.is_empty() && run.drained.is_empty() {
            // Nothing could go: another look at once would only order the same again.
            self.hold_scaling_until = Some(turn.now.mono.plus(IDLE_WAIT));
        }
        if run.failed > 0 {
            let total = run.failed + run.removed.len();
            let cause = run.cause.unwrap_or_default();
            return self.fail(
                turn,
                LANE,
                format!(
                    "{} of {total} rooms could not be ended: {cause}",
                    run.failed
                ),
            );
        }
        let mut text = format!("removed {} rooms", run.removed.len());
        if let Some(named) = some_of(&run.removed) {
            text.push_str(&format!(": {named}"));
        }
        if !run.drained.is_empty() {
            let more = run.drained.len();
            text.push_str(&format!("; {more} more go when their matches end"));
        }
        self.finish(turn, LANE, &text);
    }

    /// Writes down that a room is to end; it is not given out any more from now on.
    pub(in crate::state) fn mark_removal(
        &mut self,
        turn: &mut Turn,
        id: &RoomId,
        reason: RemovalReason,
        drain: bool,
    ) {
        let at = turn.now.wall;
        let changed = self.rooms.update(id.as_str(), |room| {
            let stronger = room.record.removal.is_none_or(|r| r.drain && !drain);
            if stronger {
                room.record.removal = Some(Removal { reason, at, drain });
                room.events.push(
                    at,
                    match drain {
                        true => RoomHappening::Draining(reason),
                        false => RoomHappening::Removing(reason),
                    },
                );
            }
            stronger
        });
        if changed == Some(true) {
            turn.changes.put_room(id);
            turn.reconsider = true;
            self.schedule_health(turn.now, id);
        }
    }

    /// Rooms that a user wanted gone, and then not, before anything happened to them.
    pub(super) fn keep_rooms_of(&mut self, turn: &mut Turn, canceled: &OperationRecord) {
        let Definition::RemoveRooms {
            rooms_ids: Some(ids),
            ..
        } = &canceled.definition
        else {
            return;
        };
        if !canceled.journal.by_user {
            return;
        }
        for id in ids {
            let kept = self.rooms.update(id.as_str(), |room| {
                let removal = room.record.removal;
                let asked =
                    removal.is_some_and(|r| r.drain && r.reason == RemovalReason::RequestedByUser);
                if asked {
                    room.record.removal = None;
                }
                asked
            });
            if kept == Some(true) {
                turn.changes.put_room(id);
                turn.reconsider = true;
                self.schedule_health(turn.now, id);
            }
        }
    }

    /// Asks the runtime to end a room, once what says so is durable.
    pub(in crate::state) fn order_termination(
        &mut self,
        turn: &mut Turn,
        id: &RoomId,
        operation: Option<OperationId>,
    ) {
        let Some(room) = self.rooms.get(id.as_str()) else {
            return;
        };
        let reason = room
            .record
            .removal
            .map_or(RemovalReason::RequestedByUser, |r| r.reason);
        let uid = room.record.instance.as_ref().map(|i| i.uid.clone());
        let document = self.document_of(&room.record.version);
        let grace = document
            .or(self.scheduler.clone())
            .map_or(Duration::ZERO, |s| s.spec.grace());
        let work = Work::TerminateRoom {
            room: id.clone(),
            uid: uid.clone(),
            grace,
            reason,
        };
        let purpose = Purpose::Terminate {
            operation,
            room: id.clone(),
            uid,
        };
        // Until this is answered it is not told again, however long ago it was told before.
        let now = turn.now.mono;
        self.rooms
            .update(id.as_str(), |room| room.terminated_at = Some(now));
        self.schedule_health(turn.now, id);
        self.run(turn, purpose, work);
    }

    /// `uid` is the instance that was told to end; `None`: none was known.
    pub(super) fn on_terminated(
        &mut self,
        turn: &mut Turn,
        of: Option<(Lane, OperationId)>,
        id: &RoomId,
        uid: Option<String>,
        result: WorkResult,
    ) {
        let not_found = matches!(
            result,
            WorkResult::Failed(crate::ports::RuntimeError::NotFound)
        );
        if not_found && self.is_another_instance(id, uid.as_deref()) {
            return self.another_came_to_life(turn, of, id);
        }
        let failure = match result {
            WorkResult::Done => {
                let now = turn.now.mono;
                self.rooms
                    .update(id.as_str(), |room| room.terminated_at = Some(now));
                let from = self.rooms.get(id.as_str()).map(Room::status);
                let may = from.is_some_and(|from| {
                    crate::rules::status::transition_allowed(from, RoomStatus::Terminating)
                });
                if may {
                    self.set_status(turn, id, RoomStatus::Terminating);
                }
                self.schedule_health(turn.now, id);
                None
            }
            WorkResult::Failed(crate::ports::RuntimeError::NotFound) => {
                // A creation that still comes back would bring it to life again.
                self.bury(turn.now, id.clone());
                self.forget_room(turn, id);
                self.run(
                    turn,
                    Purpose::Sweep,
                    Work::ReleasePorts { room: id.clone() },
                );
                None
            }
            WorkResult::Failed(why) => Some(why.to_string()),
            WorkResult::Unknown(why) => Some(why),
            other => Some(format!("the runtime answered a termination with {other:?}")),
        };
        if failure.is_some() {
            // Tried again when its time to end is over, counted from now.
            let now = turn.now.mono;
            self.rooms
                .update(id.as_str(), |room| room.terminated_at = Some(now));
            self.schedule_health(turn.now, id);
        }
        let Some((lane, _)) = of else { return };
        self.termination_ended(turn, lane, id, failure);
    }

    /// It did so after the runtime had looked for the room: a creation took effect late.
    fn another_came_to_life(
        &mut self,
        turn: &mut Turn,
        of: Option<(Lane, OperationId)>,
        id: &RoomId,
    ) {
        let room = self.rooms.get(id.as_str());
        let removal = room.and_then(|room| room.record.removal);
        if removal.is_some_and(|removal| !removal.drain) {
            return self.order_termination(turn, id, of.map(|(_, operation)| operation));
        }
        // Its row is another one too: what was told to end has ended.
        if let Some((lane, _)) = of {
            self.termination_ended(turn, lane, id, None);
        }
    }

    /// The room's instance that is known by now is not this one.
    fn is_another_instance(&self, id: &RoomId, uid: Option<&str>) -> bool {
        let room = self.rooms.get(id.as_str());
        let known = room.and_then(|room| room.record.instance.as_ref());
        known.is_some_and(|known| uid != Some(known.uid.as_str()))
    }

    fn termination_ended(
        &mut self,
        turn: &mut Turn,
        lane: Lane,
        id: &RoomId,
        failure: Option<String>,
    ) {
        let Some(running) = self.operations.running_mut(lane) else {
            return;
        };
        match &mut running.progress {
            Progress::Remove(run) => {
                match failure {
                    None => run.removed.push(id.clone()),
                    Some(cause) => {
                        turn.reports.push(Report::RoomNotRemoved);
                        run.failed += 1;
                        run.cause.get_or_insert(cause);
                    }
                }
                self.continue_remove(turn);
            }
            Progress::Delete(_) => self.continue_delete(turn),
            Progress::Version(_) => self.validation_room_terminated(turn, id),
            _ => {}
        }
    }
}

/// The first of these ids, for a line of a history; `None`: there are none.
fn some_of(ids: &[RoomId]) -> Option<String> {
    let shown: Vec<&str> = ids.iter().take(IDS_SHOWN).map(RoomId::as_str).collect();
    let others = if ids.len() > IDS_SHOWN {
        " and others"
    } else {
        ""
    };
    (!ids.is_empty()).then(|| format!("{}{others}", shown.join(", ")))
}
