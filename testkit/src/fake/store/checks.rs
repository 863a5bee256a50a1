//! Records writes that no owner may make.

use super::tables::Tables;
use maestro_core::{domain::*, ports::*};

/// Maximum rows of steady pings in one write (architecture 5).
const TOUCHES_MAX: usize = 256;

/// The violations in one applied batch.
pub(super) fn batch(
    before: &Tables,
    after: &Tables,
    fence: &Fence,
    changes: &[Change],
) -> Vec<String> {
    let mut found = Vec::new();
    if fence.seq <= fence.previous {
        found.push(format!("seq {:?} behind {:?}", fence.seq, fence.previous));
    }
    for change in changes {
        match change {
            Change::TouchRooms(touches) if touches.len() > TOUCHES_MAX => {
                found.push(format!("{} steady pings in one write", touches.len()));
            }
            Change::PutOperation(next) => {
                let old = before.operations.get(&next.id);
                if old.is_some_and(|(_, o)| o.status.is_final() && !next.status.is_final()) {
                    found.push(format!("operation {} goes on after its end", next.id));
                }
                if next.scheduler != fence.scheduler {
                    found.push(format!("operation {} of {}", next.id, next.scheduler));
                }
            }
            _ => {}
        }
    }
    for lane in [Lane::Version, Lane::Room] {
        let running = after.operations.values().filter(|(_, o)| {
            o.status == OperationStatus::InProgress && o.definition.lane() == lane
        });
        let count = running.count();
        if count > 1 {
            found.push(format!("{count} operations run in the {lane:?} lane"));
        }
    }
    let name = &fence.scheduler;
    found.iter().map(|text| format!("{name}: {text}")).collect()
}
