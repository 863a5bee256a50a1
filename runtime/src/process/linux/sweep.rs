//! All processes of a room or of one container, including those that its leaders left behind.

use super::{
    exit_watch::{Watched, signal_process},
    host::Host,
    ports::RoomKey,
    process_table::{ProcessId, Row},
    shortage::{LOOK_AGAIN_FIRST, LOOK_AGAIN_MAX},
};
use futures_util::future::join_all;
use maestro_core::rules::back_off::BackOff;
use rustix::process::Signal;
use std::time::Duration;

/// Rounds of scanning and killing; each finds only what was forked meanwhile.
const ROUNDS_MAX: usize = 10;
/// For one round: a process in uninterruptible sleep must not block its room forever.
const ROUND_MAX: Duration = Duration::from_secs(5);

/// The processes to find.
pub struct Scope<'a> {
    pub key: &'a RoomKey,
    /// `None`: the whole room.
    pub container: Option<&'a str>,
    pub leaders: Vec<ProcessId>,
}

impl Scope<'_> {
    /// Members by mark, and by session while its leader is known to be the one we started: while it
    /// is in the table its pid cannot be reused. A process in its leader's session was forked by
    /// it, whatever marks it shows.
    fn members(&self, table: &[Row], installation: &str) -> Vec<ProcessId> {
        let leads = |row: &Row, leader: &ProcessId| row.id == *leader && row.leads_session();
        let leaders: Vec<_> = self
            .leaders
            .iter()
            .filter(|leader| table.iter().any(|row| leads(row, leader)))
            .collect();
        let own = std::process::id() as i32;
        table
            .iter()
            .filter(|row| row.stat.alive() && row.id.pid > 1 && row.id.pid != own)
            .filter(|row| {
                leaders.iter().any(|leader| leader.pid == row.stat.session)
                    || self.is_marked(row, installation)
            })
            .map(|row| row.id)
            .collect()
    }

    fn is_marked(&self, row: &Row, installation: &str) -> bool {
        row.marks.of_room(installation).as_ref() == Some(self.key)
            && self
                .container
                .is_none_or(|name| row.marks.container.as_deref() == Some(name))
    }
}

/// The running members, once they are known (see `shortage`): while the process table cannot be read, no process counts
/// as gone. Also empty when the runtime is stopping.
pub async fn members(host: &Host, scope: &Scope<'_>) -> Vec<ProcessId> {
    members_after(host, scope, None).await
}

/// While the table cannot be read, at least the leaders are signalled; that may free the resource
/// that is short.
async fn members_after(host: &Host, scope: &Scope<'_>, signal: Option<Signal>) -> Vec<ProcessId> {
    let mut looks = BackOff::new(LOOK_AGAIN_FIRST, LOOK_AGAIN_MAX);
    let mut unsignalled = scope.leaders.clone();
    loop {
        if let Ok(table) = host.scanner.table().await {
            return scope.members(&table, &host.settings.installation);
        }
        if let Some(signal) = signal {
            unsignalled.retain(|id| !signal_process(*id, signal));
        }
        tokio::select! {
            () = host.stopping.cancelled() => return Vec::new(),
            () = tokio::time::sleep(looks.pause()) => {}
        }
    }
}

/// TERM to each process, not to groups by number: a group number may have been reused.
pub async fn ask_to_end(host: &Host, scope: &Scope<'_>) {
    for id in members_after(host, scope, Some(Signal::TERM)).await {
        signal_process(id, Signal::TERM);
    }
}

/// Sends KILL until nothing is left. Returns early when the runtime is stopping, which callers must check before they
/// consider the room ended.
pub async fn kill_all(host: &Host, scope: &Scope<'_>) {
    for _ in 0..ROUNDS_MAX {
        let left = members_after(host, scope, Some(Signal::KILL)).await;
        if left.is_empty() {
            return;
        }
        for id in &left {
            signal_process(*id, Signal::KILL);
        }
        let _ = tokio::time::timeout(ROUND_MAX, all_ended(&left)).await;
    }
    tracing::warn!(scheduler_name = %scope.key.0, room_id = %scope.key.1, "processes of a room cannot be killed");
}

pub async fn all_ended(processes: &[ProcessId]) {
    join_all(processes.iter().map(|id| async {
        if let Some(process) = Watched::new(*id) {
            process.ended().await;
        }
    }))
    .await;
}

#[cfg(test)]
mod tests {
    use super::super::process_table::{Marks, Stat, stat};
    use super::*;

    fn row(pid: i32, session: i32, room: Option<&str>) -> Row {
        let alive = stat(std::process::id() as i32).unwrap().unwrap();
        Row {
            id: ProcessId {
                pid,
                start_ticks: 5,
            },
            stat: Stat { session, ..alive },
            marks: Marks {
                installation: Some("i".into()),
                scheduler: Some("s".into()),
                room: room.map(str::to_owned),
                container: Some("game".into()),
                ports: vec![],
            },
        }
    }

    #[test]
    fn a_session_counts_only_while_its_leader_is_the_one_that_was_started() {
        let key = ("s".into(), "r".into());
        let table = [
            row(900_001, 900_001, None),
            row(900_002, 900_001, None),
            row(900_003, 900_003, Some("r")),
            row(900_004, 900_004, Some("other")),
            row(900_005, 900_006, None),
        ];
        let pids = |start_ticks| {
            let leader = ProcessId {
                pid: 900_001,
                start_ticks,
            };
            let scope = Scope {
                key: &key,
                container: None,
                leaders: vec![leader],
            };
            let members = scope.members(&table, "i");
            members.iter().map(|id| id.pid).collect::<Vec<_>>()
        };
        let members = Scope {
            key: &key,
            container: None,
            leaders: vec![ProcessId {
                pid: 900_005,
                start_ticks: 5,
            }],
        };
        let members = members.members(&table, "another installation");
        assert!(members.is_empty(), "no leader, no mark: {members:?}");
        assert_eq!(pids(5), [900_001, 900_002, 900_003]);
        assert_eq!(pids(4), [900_003], "a namesake's session is not ours");
    }
}
