//! `add_rooms`: a user's order is all or nothing, our own keeps the rooms that succeeded (D16).

use crate::domain::*;
use crate::state::fleet::Fleet;
use crate::state::fleet::Purpose;
use crate::state::operations::progress::{AddRun, Progress, Running};
use crate::state::operations::queue::Operations;
use crate::state::turn::Turn;
use crate::state::work::Work;
use std::sync::Arc;

const LANE: Lane = Lane::Room;

impl Operations {
    pub fn begin_add(
        &mut self,
        fleet: &mut Fleet,
        turn: &mut Turn,
        amount: i32,
        version: Option<SchedulerVersion>,
    ) {
        let active = fleet.scheduler.as_ref().filter(|_| fleet.is_managed());
        let version = version.or_else(|| active.map(|s| s.version().clone()));
        if let Some(version) = version.as_ref().filter(|of| !fleet.wants_rooms_of(of)) {
            let text = format!("{version} is {}: start it first", fleet.phase_of(version));
            return self.fail(fleet, turn, LANE, text);
        }
        let amount = amount.clamp(0, self.settings.add_limit).unsigned_abs();
        self.set_progress(
            LANE,
            Progress::Add(AddRun {
                amount,
                version,
                ..AddRun::default()
            }),
        );
        self.set_step(LANE, "creating rooms");
        self.continue_add(fleet, turn);
    }

    /// Keeps up to `add_batch` creations in flight; ends the operation when none is left.
    pub fn continue_add(&mut self, fleet: &mut Fleet, turn: &mut Turn) {
        let Some(scheduler) = self.document_to_add(fleet) else {
            return;
        };
        loop {
            let batch = self.settings.add_batch.max(1);
            let Some(running) = self.running_mut(LANE) else {
                return;
            };
            let operation = running.record.id;
            let in_flight = fleet.work.in_flight(operation);
            let Progress::Add(run) = &mut running.progress else {
                return;
            };
            let done = run.stopped.is_some() || run.next == run.amount;
            if done {
                if in_flight == 0 {
                    self.finish_add(fleet, turn);
                }
                return;
            }
            if in_flight >= batch {
                return;
            }
            let index = run.next;
            run.next += 1;
            let Some(room) = fleet.free_room_id(operation, index) else {
                // Its row exists: an earlier attempt created it (architecture 6, Every operation ends).
                if let Some(Running {
                    progress: Progress::Add(run),
                    ..
                }) = self.running_mut(LANE)
                {
                    run.created += 1;
                }
                continue;
            };
            let purpose = Purpose::Ports {
                operation,
                room: room.clone(),
            };
            fleet.run(
                turn,
                purpose,
                Work::ReservePorts {
                    room,
                    scheduler: scheduler.clone(),
                },
            );
        }
    }

    /// What the rooms of the running operation are created from.
    pub fn document_to_add(&self, fleet: &Fleet) -> Option<Arc<Scheduler>> {
        let version = match self.running(LANE) {
            Some(Running {
                progress: Progress::Add(run),
                ..
            }) => run.version.as_ref(),
            _ => None,
        };
        match version {
            None => fleet.scheduler.clone(),
            Some(version) => fleet.document_of(version),
        }
    }

    fn finish_add(&mut self, fleet: &mut Fleet, turn: &mut Turn) {
        let Some(running) = self.running(LANE) else {
            return;
        };
        let journal = &running.record.resume;
        let (by_user, canceled) = (journal.by_user, journal.cancel_requested);
        let Progress::Add(run) = &running.progress else {
            return;
        };
        let (created, failed) = (run.created, run.failed);
        let cause = run.cause.clone().unwrap_or_default();
        if canceled {
            let why = run.stopped.clone().unwrap_or_default();
            return self.roll_back(
                fleet,
                turn,
                LANE,
                format!("{why}, after {created} of {} rooms", run.amount),
                true,
            );
        }
        if failed > created || (by_user && failed > 0) {
            let total = run.amount;
            return self.fail(
                fleet,
                turn,
                LANE,
                format!("{failed} of {total} rooms could not be created: {cause}"),
            );
        }
        let mut text = format!("added {created} rooms");
        if failed > 0 {
            text.push_str(&format!("; {failed} could not be created: {cause}"));
        }
        self.finish(fleet, turn, LANE, &text);
    }
}
