//! One task for each version whose rooms are watched: it asks the owner once per second, however many watch, and keeps
//! the present state of each room with the number of its last change. A watcher has only the number that it has read
//! to, so that a slow one skips states rather than taking memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use maestro_actors::Node;
use maestro_core::domain::{RoomId, SchedulerVersion};
use maestro_core::state::{Command, NodePhase, NodeView, Reply};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::error::unexpected;
use crate::service::shared_tasks::{Common, Share, SharedTasks};
use crate::{ApiResult, Code, RequestContext, Status};

/// The time between two rounds.
const ROUND: Duration = Duration::from_secs(1);
/// The most watches of a node.
const WATCHES_MAX: usize = 4_096;
/// Failures in a row that end a feed.
const FAILURES_MAX: u32 = 3;
/// Rounds for which the end of a room is remembered. A watcher that has not read it by then has missed it.
const GONE_ROUNDS: u64 = 30;

/// What is watched.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Watched {
    pub scheduler: String,
    pub version: SchedulerVersion,
}

/// All watches of a node.
pub struct NodeFeeds {
    node: Node,
    tasks: Arc<SharedTasks<Watched, Feed>>,
}

/// What the watchers of one version share.
#[derive(Default)]
pub struct Feed {
    known: Mutex<Known>,
    /// The number of rounds; 0 before the first one.
    rounds: watch::Sender<u64>,
}

impl Common for Feed {
    type End = Status;

    fn ended(&self, end: Status) {
        self.known.lock().ended = Some(end);
        self.rounds.send_modify(|round| *round += 1);
    }
}

/// The rooms as of the last round.
#[derive(Default)]
pub struct Known {
    /// The number of the last change.
    last: u64,
    rooms: HashMap<RoomId, Entry>,
    /// Each room by its last change.
    by_change: BTreeMap<u64, RoomId>,
    /// The last end that is not remembered any more.
    forgotten: u64,
    /// Why there will be no more rounds.
    ended: Option<Status>,
}

struct Entry {
    change: u64,
    /// The round that listed it last.
    seen_in: u64,
    is_gone: bool,
    node: NodeView,
}

impl Known {
    /// Takes the complete list of a round. True if anything changed.
    pub fn take(&mut self, round: u64, nodes: Vec<NodeView>) -> bool {
        let before = self.last;
        for node in nodes {
            let known = self.rooms.get_mut(&node.room);
            let known = known.filter(|known| !known.is_gone && known.node == node);
            match known {
                Some(known) => known.seen_in = round,
                None => self.put(round, node, false),
            }
        }
        let absent = self
            .rooms
            .values()
            .filter(|entry| entry.seen_in < round && !entry.is_gone);
        let absent: Vec<RoomId> = absent.map(|entry| entry.node.room.clone()).collect();
        for room in absent {
            let node = NodeView {
                room,
                phase: NodePhase::Stopped,
                reason: "it has ended".to_owned(),
            };
            self.put(round, node, true);
        }
        self.forget(round);
        self.last > before
    }

    fn put(&mut self, round: u64, node: NodeView, is_gone: bool) {
        self.last += 1;
        self.by_change.insert(self.last, node.room.clone());
        let entry = Entry {
            change: self.last,
            seen_in: round,
            is_gone,
            node,
        };
        if let Some(before) = self.rooms.insert(entry.node.room.clone(), entry) {
            self.by_change.remove(&before.change);
        }
    }

    fn forget(&mut self, round: u64) {
        let (by_change, forgotten) = (&mut self.by_change, &mut self.forgotten);
        self.rooms.retain(|_, entry| {
            let is_old = entry.is_gone && entry.seen_in + GONE_ROUNDS <= round;
            if is_old {
                by_change.remove(&entry.change);
                *forgotten = entry.change.max(*forgotten);
            }
            !is_old
        });
    }

    /// At most `most` rooms that changed after a change, with the last change among them. Ends before `joined` are left
    /// out: whoever joined then never knew those rooms.
    pub fn after(&self, change: u64, joined: u64, most: usize) -> (Vec<NodeView>, u64) {
        let newer = self.by_change.range(change + 1..).take(most);
        let mut last = change;
        let mut nodes = Vec::new();
        for (change, room) in newer {
            last = *change;
            if let Some(entry) = self.rooms.get(room)
                && !(entry.is_gone && entry.change <= joined)
            {
                nodes.push(entry.node.clone());
            }
        }
        (nodes, last)
    }

    /// Whether a watcher that joined at one change and has read to another has missed the end of a room.
    pub fn missed(&self, change: u64, joined: u64) -> bool {
        self.forgotten > change.max(joined)
    }

    pub fn last(&self) -> u64 {
        self.last
    }

    pub fn ended(&self) -> Option<&Status> {
        self.ended.as_ref()
    }
}

/// The membership of a watcher.
pub struct Member(Share<Watched, Feed>);

impl Member {
    /// The rounds from now on.
    pub fn rounds(&self) -> watch::Receiver<u64> {
        self.0.common().rounds.subscribe()
    }

    /// Looks at what is known.
    pub fn look<T>(&self, look: impl FnOnce(&Known) -> T) -> T {
        look(&self.0.common().known.lock())
    }

    /// Completes when the node shuts down.
    pub async fn ended(&self) -> Status {
        self.0.ended().await
    }
}

impl NodeFeeds {
    pub fn new(node: Node, io: Handle) -> Arc<Self> {
        let tasks = SharedTasks::new("watches of rooms", WATCHES_MAX, io);
        Arc::new(Self { node, tasks })
    }

    /// Adds a watcher, and begins to ask if it is the first.
    pub fn join(self: &Arc<Self>, watched: Watched) -> ApiResult<Member> {
        let (feeds, of) = (self.clone(), watched.clone());
        let asking = |feed: Arc<Feed>| async move { ask_each_round(&feeds, &of, &feed).await };
        self.tasks.join(watched, asking).map(Member)
    }

    /// Ends all watches and their tasks.
    pub async fn close(&self) {
        self.tasks.close().await;
    }

    async fn nodes(&self, watched: &Watched) -> ApiResult<Vec<NodeView>> {
        let context = RequestContext::internal();
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let command = Command::Nodes {
                version: watched.version.clone(),
                after,
            };
            let asked = crate::service::ask(&self.node, &context, &watched.scheduler, command);
            let page = match asked.await? {
                Reply::Nodes(page) => page,
                other => return Err(unexpected(&other)),
            };
            all.extend(page.nodes);
            match page.next {
                None => return Ok(all),
                next => after = next,
            }
        }
    }
}

/// Returns why there are no more rounds.
async fn ask_each_round(feeds: &NodeFeeds, watched: &Watched, feed: &Feed) -> Status {
    let mut failures = 0;
    for round in 1.. {
        match feeds.nodes(watched).await {
            Ok(nodes) => {
                failures = 0;
                let changed = feed.known.lock().take(round, nodes);
                if changed || round == 1 {
                    feed.rounds.send_modify(|told| *told += 1);
                }
            }
            // It moved to another node, or it is gone: no retry here changes that.
            Err(status) if status.owner.is_some() => {
                let text = format!("{}: watch again", status.message);
                return Status::unavailable(text);
            }
            Err(status) => {
                failures += 1;
                let passes = matches!(
                    status.code,
                    Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted
                );
                // The first answer is that of the call.
                if !passes || failures == FAILURES_MAX || round == 1 {
                    return status;
                }
            }
        }
        tokio::time::sleep(ROUND).await;
    }
    Status::internal("internal error")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(room: &str, phase: NodePhase) -> NodeView {
        NodeView {
            room: room.into(),
            phase,
            reason: String::new(),
        }
    }

    fn words(of: (Vec<NodeView>, u64)) -> (Vec<String>, u64) {
        let word = |node: NodeView| format!("{} {}", node.room, node.phase.as_str());
        (of.0.into_iter().map(word).collect(), of.1)
    }

    #[test]
    fn a_watcher_is_told_the_present_state_and_then_each_change() {
        let mut known = Known::default();
        let (a, b) = (
            node("a", NodePhase::Starting),
            node("b", NodePhase::Started),
        );
        assert!(known.take(1, vec![a.clone(), b.clone()]));
        assert!(!known.take(2, vec![a, b.clone()]), "nothing changed");
        let joined = known.last();
        let (first, read) = words(known.after(0, joined, 10));
        assert_eq!(first, ["a STARTING", "b STARTED"]);
        assert!(known.take(3, vec![node("a", NodePhase::Started)]));
        let (next, read) = words(known.after(read, joined, 10));
        assert_eq!(next, ["a STARTED", "b STOPPED"]);
        assert_eq!(known.after(read, joined, 10).0, []);
        // A room of that name again is news, also within the time in which the end is remembered.
        assert!(known.take(4, vec![node("a", NodePhase::Started), b]));
        assert_eq!(words(known.after(read, joined, 10)).0, ["b STARTED"]);
    }

    #[test]
    fn a_slow_watcher_skips_states_and_one_that_joins_late_is_not_told_of_ends() {
        let mut known = Known::default();
        known.take(
            1,
            vec![
                node("a", NodePhase::Starting),
                node("b", NodePhase::Starting),
            ],
        );
        let joined = known.last();
        let (first, read) = words(known.after(0, joined, 1));
        assert_eq!(first, ["a STARTING"]);
        known.take(
            2,
            vec![node("a", NodePhase::Error), node("b", NodePhase::Starting)],
        );
        known.take(3, vec![node("a", NodePhase::Started)]);
        let (rest, _) = words(known.after(read, joined, 10));
        assert_eq!(rest, ["a STARTED", "b STOPPED"]);
        let late = known.last();
        assert_eq!(words(known.after(0, late, 10)).0, ["a STARTED"]);
    }

    #[test]
    fn ends_are_remembered_for_a_while_and_nothing_grows() {
        let mut known = Known::default();
        known.take(1, vec![node("a", NodePhase::Started)]);
        let joined = known.last();
        let (_, read) = known.after(0, joined, 10);
        known.take(2, Vec::new());
        for round in 3..2 + GONE_ROUNDS {
            known.take(round, Vec::new());
            assert!(!known.missed(read, joined));
            assert_eq!(known.rooms.len(), 1);
        }
        known.take(2 + GONE_ROUNDS, Vec::new());
        assert!(known.missed(read, joined), "its end is forgotten");
        assert!(!known.missed(known.last(), joined));
        assert!(!known.missed(0, known.last()), "it never knew the room");
        assert!(known.rooms.is_empty() && known.by_change.is_empty());
        let rooms = |round: u64| {
            (0..50).map(move |n| node(&format!("r{}", round * 50 + n), NodePhase::Started))
        };
        for round in 100..300 {
            known.take(round, rooms(round).collect());
            let most = usize::try_from((GONE_ROUNDS + 1) * 50).expect("a number");
            assert!(known.rooms.len() <= most && known.by_change.len() == known.rooms.len());
        }
    }
}
