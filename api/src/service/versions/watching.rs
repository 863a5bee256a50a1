//! One watch: the present state of each room, then what has changed since.

use std::collections::VecDeque;

use futures_util::stream::{StreamExt, unfold};
use maestro_core::state::NodeView;
use tokio::sync::watch;

use super::feed::Member;
use crate::codec::messages::version::NodeStatusResponse;
use crate::{ApiResult, Code, NodeWatch, Status};

/// Rooms that are taken at a time: what a watcher holds is bounded by it.
const TAKEN_MAX: usize = 64;

struct Watching {
    member: Member,
    rounds: watch::Receiver<u64>,
    /// The last change when it joined, and that to which it has read.
    joined: u64,
    read: u64,
    taken: VecDeque<NodeView>,
}

/// The stream of a watch, once the rooms are known. A version that does not exist is the answer of the call.
pub async fn watch(member: Member) -> ApiResult<NodeWatch> {
    let mut rounds = member.rounds();
    tokio::select! {
        // The sender is in the feed, of which this is a member.
        _ = rounds.wait_for(|round| *round > 0) => {}
        ended = member.ended() => return Err(ended),
    }
    let (joined, ended) = member.look(|known| (known.last(), known.ended().cloned()));
    if let Some(status) = ended {
        return Err(status);
    }
    let watching = Watching {
        member,
        rounds,
        joined,
        read: 0,
        taken: VecDeque::new(),
    };
    let stream = unfold(Some(watching), async |watching| {
        let mut watching = watching?;
        let told = watching.next().await;
        // Whatever comes after an error would not be read.
        let rest = told.is_ok().then_some(watching);
        Some((told, rest))
    });
    Ok(stream.boxed())
}

impl Watching {
    async fn next(&mut self) -> ApiResult<NodeStatusResponse> {
        loop {
            if let Some(node) = self.taken.pop_front() {
                return Ok(response(node));
            }
            self.rounds.mark_unchanged();
            if self.take()? {
                continue;
            }
            if let Some(ended) = self.member.look(|known| known.ended().cloned()) {
                return Err(ended);
            }
            tokio::select! {
                _ = self.rounds.changed() => {}
                ended = self.member.ended() => return Err(ended),
            }
        }
    }

    /// Takes what is newer. False if there is nothing.
    fn take(&mut self) -> ApiResult<bool> {
        let (read, joined) = (self.read, self.joined);
        let (missed, (nodes, last)) = self.member.look(|known| {
            let news = known.after(read, joined, TAKEN_MAX);
            (known.missed(read, joined), news)
        });
        if missed {
            let text = "the watch was not read for too long and has been ended: watch again";
            return Err(Status::new(Code::ResourceExhausted, text));
        }
        self.taken.extend(nodes);
        self.read = last;
        Ok(last > read)
    }
}

fn response(node: NodeView) -> NodeStatusResponse {
    let room = node.room.to_string();
    NodeStatusResponse {
        nodeId: room.clone(),
        status: node.phase.as_str().to_owned(),
        name: room,
        reason: node.reason,
    }
}
