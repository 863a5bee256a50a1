//! Commands about the versions of a managed scheduler (architecture 6, Live versions). What a version's phase does not
//! allow is refused before anything is queued.

use crate::domain::*;
use crate::rules::lifecycle::{VersionOrder, judge};
use crate::state::command::{CommandResult, Refusal, RefusalKind, Reply};
use crate::state::fleet::Fleet;
use crate::state::operations::Operations;
use crate::state::refusals::{missing, not_found};
use crate::state::turn::Turn;
use crate::state::views::LiveVersionView;
use std::sync::Arc;

pub(super) fn start(
    fleet: &mut Fleet,
    operations: &mut Operations,
    turn: &mut Turn,
    version: SchedulerVersion,
    images: &[String],
    config: Option<ConfigPairs>,
) -> CommandResult {
    let document = stored(fleet, operations, &version)?;
    // The active version of a scheduler that is not managed is taken over as it runs.
    let phase = match fleet.is_managed() {
        true => fleet.phase_of(&version),
        false => VersionPhase::Stopped,
    };
    has_images(fleet, &document, images, phase)?;
    nothing_else(operations, &version)?;
    allowed(fleet, VersionOrder::Start, &version, phase)?;
    let definition = Definition::StartVersion {
        version: version.clone(),
    };
    let answer = operations.order(turn, definition)?;
    if let Some(config) = config {
        fleet.replace_config(turn, &version, config, ConfigRestart::Rolling);
    }
    Ok(answer)
}

pub(super) fn stop(
    fleet: &mut Fleet,
    operations: &mut Operations,
    turn: &mut Turn,
    version: SchedulerVersion,
    force: bool,
) -> CommandResult {
    stored(fleet, operations, &version)?;
    if let Some(under_way) = repeated_stop(operations, &version) {
        if force {
            operations.force_open_stop(fleet, turn, &version);
        }
        return Ok(Reply::Operation(under_way));
    }
    nothing_else(operations, &version)?;
    allowed(
        fleet,
        VersionOrder::Stop,
        &version,
        fleet.phase_of(&version),
    )?;
    operations.order(turn, Definition::StopVersion { version, force })
}

fn repeated_stop(operations: &Operations, version: &SchedulerVersion) -> Option<OperationId> {
    let open = operations.about(version)?;
    matches!(open.definition, Definition::StopVersion { .. }).then_some(open.id)
}

pub(super) fn publish(
    fleet: &Fleet,
    operations: &mut Operations,
    turn: &mut Turn,
    version: SchedulerVersion,
) -> CommandResult {
    operations.no_version_edit("publish a version")?;
    stored(fleet, operations, &version)?;
    managed(fleet)?;
    nothing_else(operations, &version)?;
    allowed(
        fleet,
        VersionOrder::Publish,
        &version,
        fleet.phase_of(&version),
    )?;
    operations.order(turn, Definition::PublishVersion { version })
}

pub(super) fn unpublish(
    fleet: &Fleet,
    operations: &mut Operations,
    turn: &mut Turn,
    version: SchedulerVersion,
) -> CommandResult {
    stored(fleet, operations, &version)?;
    managed(fleet)?;
    nothing_else(operations, &version)?;
    allowed(
        fleet,
        VersionOrder::Unpublish,
        &version,
        fleet.phase_of(&version),
    )?;
    operations.order(turn, Definition::UnpublishVersion { version })
}

/// The pairs are stored with the order: rooms that are created from now on have them.
pub(super) fn update_config(
    fleet: &mut Fleet,
    operations: &mut Operations,
    turn: &mut Turn,
    version: SchedulerVersion,
    config: ConfigPairs,
    restart: ConfigRestart,
) -> CommandResult {
    stored(fleet, operations, &version)?;
    managed(fleet)?;
    nothing_else(operations, &version)?;
    allowed(
        fleet,
        VersionOrder::UpdateConfig,
        &version,
        fleet.phase_of(&version),
    )?;
    let definition = Definition::UpdateVersionConfig {
        version: version.clone(),
        restart,
    };
    let answer = operations.order(turn, definition)?;
    fleet.replace_config(turn, &version, config, restart);
    Ok(answer)
}

/// The version whose rooms an order by amount concerns; `None` if the scheduler is not managed.
pub(super) fn with_rooms(
    fleet: &Fleet,
    version: Option<SchedulerVersion>,
) -> Result<Option<SchedulerVersion>, Refusal> {
    if version.is_none() && !fleet.is_managed() {
        return Ok(None);
    }
    managed(fleet)?;
    let active = fleet.scheduler.as_ref().map(|s| s.version().clone());
    let Some(version) = version.or(active) else {
        return Ok(None);
    };
    if !fleet.versions.contains_key(&version) {
        return Err(absent(fleet, &version));
    }
    let phase = fleet.phase_of(&version);
    match phase.wants_rooms() {
        true => Ok(Some(version)),
        false => Err(unfit(fleet, &version, phase, "start it first")),
    }
}

fn stored(
    fleet: &Fleet,
    operations: &Operations,
    version: &SchedulerVersion,
) -> Result<Arc<Scheduler>, Refusal> {
    fleet.active(missing)?;
    operations.not_terminating(fleet)?;
    let document = fleet.versions.get(version).cloned();
    document.ok_or_else(|| absent(fleet, version))
}

fn absent(fleet: &Fleet, version: &SchedulerVersion) -> Refusal {
    not_found(format!(
        "scheduler {} version {version} not found",
        fleet.name
    ))
}

fn managed(fleet: &Fleet) -> Result<(), Refusal> {
    match fleet.is_managed() {
        true => Ok(()),
        false => Err(Refusal::new(
            RefusalKind::Conflict,
            format!(
                "scheduler {} is not managed by its versions: start one of them first",
                fleet.name
            ),
        )),
    }
}

fn nothing_else(operations: &Operations, version: &SchedulerVersion) -> Result<(), Refusal> {
    match operations.about(version) {
        None => Ok(()),
        Some(open) => Err(Refusal::new(
            RefusalKind::Conflict,
            format!(
                "operation {} ({}) concerns version {version} of scheduler {} and has not ended: wait for it, or \
                 cancel it",
                open.id,
                open.definition.name(),
                operations.name
            ),
        )),
    }
}

fn allowed(
    fleet: &Fleet,
    order: VersionOrder,
    version: &SchedulerVersion,
    phase: VersionPhase,
) -> Result<(), Refusal> {
    let judged = judge(order, phase);
    judged
        .map(drop)
        .map_err(|why| unfit(fleet, version, phase, why))
}

fn unfit(fleet: &Fleet, version: &SchedulerVersion, phase: VersionPhase, why: &str) -> Refusal {
    let text = format!(
        "version {version} of scheduler {} is {phase}: {why}",
        fleet.name
    );
    Refusal::new(RefusalKind::Conflict, text)
}

fn has_images(
    fleet: &Fleet,
    document: &Scheduler,
    images: &[String],
    phase: VersionPhase,
) -> Result<(), Refusal> {
    let containers = &document.spec.containers;
    let other = images
        .iter()
        .find(|image| !containers.iter().any(|c| c.image == **image));
    let Some(image) = other else { return Ok(()) };
    let (version, name) = (document.version(), &fleet.name);
    Err(match phase.wants_rooms() {
        true => Refusal::new(
            RefusalKind::AlreadyExists,
            format!("version {version} of scheduler {name} is {phase} without the image {image}"),
        ),
        false => Refusal::new(
            RefusalKind::Invalid,
            format!(
                "version {version} of scheduler {name} has no container with the image {image}: store a version that \
                 has one"
            ),
        ),
    })
}

impl Operations {
    /// A stop that is open does not wait for matches any more.
    fn force_open_stop(&mut self, fleet: &mut Fleet, turn: &mut Turn, version: &SchedulerVersion) {
        let waiting = self.queues.iter_mut().flatten();
        let observing = self.observing.iter_mut().map(|running| &mut running.record);
        for record in waiting.chain(observing) {
            match &mut record.definition {
                Definition::StopVersion { version: of, force } if of == version && !*force => {
                    *force = true;
                    turn.changes.put_operation(record.clone());
                }
                _ => {}
            }
        }
        if fleet.phase_of(version) == VersionPhase::Stopping {
            self.force_stop(fleet, turn, version);
            self.hurry(fleet, turn.now, version);
        }
    }
}

impl Fleet {
    pub fn live_versions(&self, now: Mono) -> CommandResult {
        self.active(missing)?;
        let view = |version: &SchedulerVersion| {
            let live = self.live.get(version).cloned().unwrap_or_default();
            let phase = self.phase_of(version);
            let counts = self
                .rooms
                .by_version()
                .get(version)
                .copied()
                .unwrap_or_default();
            let all = self
                .rooms
                .live(version)
                .map_or(counts.available, |of| of.rooms);
            LiveVersionView {
                version: version.clone(),
                phase,
                rooms_wanted: match phase {
                    VersionPhase::Published => self.published_rooms(),
                    phase if phase.wants_rooms() => live.rooms,
                    _ => 0,
                },
                rooms: all,
                rooms_up: counts.available.saturating_sub(counts.starting),
                rooms_outdated: self.stale_rooms(version).available,
                failure: match phase {
                    VersionPhase::Error => live.failure,
                    _ => self.failing(now, version).unwrap_or_default().to_owned(),
                },
                config: live.config,
            }
        };
        Ok(Reply::LiveVersions(
            self.versions.keys().map(view).collect(),
        ))
    }
}
