//! What the metrics reporter reads of all fleets, in a bounded number of round trips.

use super::RedisStore;
use super::asking::{Ask, WrongType, ask};
use super::keys::Keys;
use super::pod_map::instance_status;
use maestro_core::ports::{RoomCounts, StoreError};
use std::collections::HashMap;

/// Instances of one page, unless the settings say otherwise: Redis answers others between pages.
const PAGE: usize = 1000;
/// Schedulers whose instances are read at the same time: it bounds what one round trip brings.
const TOGETHER: usize = 100;

/// The state of one fleet as it is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FleetFigures {
    /// By status.
    pub rooms: RoomCounts,
    /// By `InstanceStatus as usize`.
    pub instances: [u64; 5],
    /// Matches in all rooms.
    pub running_matches: i64,
}

impl RedisStore {
    /// The figures of each scheduler, in order; `None` for one whose keys have another type than the contract says.
    /// `page` is `adapters.instanceStorage.redis.scanSize`; 0: as fits.
    ///
    /// # Errors
    /// If Redis cannot be read.
    pub async fn figures(
        &self,
        schedulers: &[&str],
        page: usize,
    ) -> Result<Vec<Option<FleetFigures>>, StoreError> {
        let page = if page == 0 { PAGE } else { page };
        let mut all = Vec::with_capacity(schedulers.len());
        for part in schedulers.chunks(TOGETHER) {
            let rooms = self.room_counts(part).await?;
            let occupied = part
                .iter()
                .map(|name| Ask::above_zero(Keys(name).occupancy()));
            let matches = ask(&self.connections.reads()?, occupied.collect()).await?;
            let instances = self.instances(part, page).await?;
            for ((rooms, matches), instances) in rooms.into_iter().zip(matches).zip(instances) {
                let figures = matches.scores().and_then(|matches| {
                    Ok(FleetFigures {
                        rooms,
                        instances: instances?,
                        running_matches: matches.iter().map(|(_, running)| running).sum(),
                    })
                });
                all.push(figures.ok());
            }
        }
        Ok(all)
    }

    /// Instances by status. The pages of all these schedulers come in the same round trips.
    async fn instances(
        &self,
        schedulers: &[&str],
        page: usize,
    ) -> Result<Vec<Result<[u64; 5], WrongType>>, StoreError> {
        // A room may be on two pages of a hash that grows or shrinks meanwhile.
        let mut seen: Vec<Result<HashMap<String, usize>, WrongType>> =
            schedulers.iter().map(|_| Ok(HashMap::new())).collect();
        let mut open: Vec<(usize, String)> = (0..schedulers.len())
            .map(|at| (at, "0".to_owned()))
            .collect();
        while !open.is_empty() {
            let asked = open
                .iter()
                .map(|(at, cursor)| Ask::page(Keys(schedulers[*at]).instances(), cursor, page));
            let pages = ask(&self.connections.reads()?, asked.collect()).await?;
            let mut left = Vec::new();
            for ((at, _), page) in open.into_iter().zip(pages) {
                match page.page() {
                    Ok((next, fields)) => {
                        if let Ok(seen) = &mut seen[at] {
                            let statuses = fields.into_iter();
                            seen.extend(
                                statuses.map(|(room, pod)| (room, instance_status(&pod) as usize)),
                            );
                        }
                        if next != "0" {
                            left.push((at, next));
                        }
                    }
                    Err(wrong) => seen[at] = Err(wrong),
                }
            }
            open = left;
        }
        let count = |statuses: HashMap<String, usize>| {
            let mut counts = [0; 5];
            for status in statuses.into_values() {
                counts[status] += 1;
            }
            counts
        };
        Ok(seen.into_iter().map(|seen| seen.map(count)).collect())
    }
}
