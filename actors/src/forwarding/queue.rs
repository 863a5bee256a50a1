//! The bounded queue of one forwarder: ordered within a room, concurrent across rooms.
//!
//! A plain data structure without calls, tasks or locks.

use maestro_core::domain::RoomId;
use maestro_core::ports::{ForwardedEvent, Forwarding};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Maximum number of waiting resyncs per forwarder (architecture 4, Bounds).
pub(super) const RESYNCS_MAX: usize = 1024;
/// Maximum number of waiting ends of rooms per forwarder: one per room, and more than the default limit of a
/// scheduler's rooms.
pub(super) const ENDS_MAX: usize = 32_768;

/// An event that waits for one or more forwarders.
pub(super) struct Waiting {
    pub event: Arc<Forwarding>,
    /// A forwarder has failed to accept it; this counts once.
    failed: AtomicBool,
}

impl Waiting {
    pub fn new(event: Arc<Forwarding>) -> Arc<Self> {
        let failed = AtomicBool::new(false);
        Arc::new(Self { event, failed })
    }

    /// Records a failure; whether it is the first one.
    pub fn fails(&self) -> bool {
        !self.failed.swap(true, Relaxed)
    }

    /// Whether it may be dropped because the next ping repeats it.
    pub fn is_resync(&self) -> bool {
        matches!(self.event.event, ForwardedEvent::Resync(_))
    }
}

/// The result of queuing an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    Waits,
    /// An event was dropped: an older one to make space, or this one.
    Dropped,
}

#[derive(Default)]
pub(super) struct Queue {
    rooms: HashMap<RoomId, Line>,
    /// Rooms with events and no call in progress; the one that has waited longest comes first.
    ready: VecDeque<RoomId>,
    resyncs: usize,
    ends: usize,
}

/// The events of one room.
#[derive(Default)]
struct Line {
    events: VecDeque<Arc<Waiting>>,
    /// A call for this room is in progress.
    busy: bool,
}

impl Queue {
    pub fn len(&self) -> usize {
        self.resyncs + self.ends
    }

    /// Whether a call could be started now.
    pub fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    pub fn push(&mut self, waiting: Arc<Waiting>) -> Pushed {
        let mut dropped = false;
        if waiting.is_resync() {
            if self.resyncs >= RESYNCS_MAX {
                self.drop_a_resync(&waiting.event.room);
                dropped = true;
            }
            self.resyncs += 1;
        } else {
            if self.ends >= ENDS_MAX {
                return Pushed::Dropped;
            }
            self.ends += 1;
        }
        let room = waiting.event.room.clone();
        let line = self.rooms.entry(room.clone()).or_default();
        line.events.push_back(waiting);
        if !line.busy && line.events.len() == 1 {
            self.ready.push_back(room);
        }
        match dropped {
            true => Pushed::Dropped,
            false => Pushed::Waits,
        }
    }

    /// Takes the next event; the caller must call [`Self::done`] for its room.
    pub fn next(&mut self) -> Option<Arc<Waiting>> {
        let id = self.ready.pop_front()?;
        let line = self.rooms.get_mut(&id)?;
        let waiting = line.events.pop_front()?;
        line.busy = true;
        match waiting.is_resync() {
            true => self.resyncs -= 1,
            false => self.ends -= 1,
        }
        Some(waiting)
    }

    /// The call for this room has ended.
    pub fn done(&mut self, id: &RoomId) {
        let Some(line) = self.rooms.get_mut(id) else {
            return;
        };
        line.busy = false;
        if line.events.is_empty() {
            self.rooms.remove(id);
        } else {
            self.ready.push_back(id.clone());
        }
    }

    /// Drops the oldest resync of the same room or, if it has none, the oldest one of the room that has waited longest.
    fn drop_a_resync(&mut self, same: &RoomId) {
        let has = |id: &&RoomId| {
            let line = self.rooms.get(*id);
            line.is_some_and(|line| line.events.iter().any(|w| w.is_resync()))
        };
        let all = std::iter::once(same)
            .chain(&self.ready)
            .chain(self.rooms.keys());
        let Some(id) = all.into_iter().find(has).cloned() else {
            return;
        };
        let Some(line) = self.rooms.get_mut(&id) else {
            return;
        };
        if let Some(at) = line.events.iter().position(|w| w.is_resync()) {
            line.events.remove(at);
            self.resyncs -= 1;
        }
        if line.events.is_empty() {
            self.ready.retain(|ready| *ready != id);
            if !line.busy {
                self.rooms.remove(&id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use maestro_core::domain::PingStatus;

    fn event(room: &str, event: ForwardedEvent, text: &str) -> Arc<Waiting> {
        Waiting::new(Arc::new(Forwarding {
            scheduler: "s".into(),
            game: "g".into(),
            to: Arc::new([]),
            room: room.into(),
            address: None,
            event,
            metadata: text.into(),
        }))
    }

    fn resync(room: &str, text: &str) -> Arc<Waiting> {
        event(room, ForwardedEvent::Resync(PingStatus::Ready), text)
    }

    fn end(room: &str) -> Arc<Waiting> {
        event(room, ForwardedEvent::Terminated, "end")
    }

    /// Room and text of what comes out, one call at a time.
    fn drain(queue: &mut Queue) -> Vec<(String, String)> {
        let mut all = Vec::new();
        while let Some(waiting) = queue.next() {
            let event = &waiting.event;
            all.push((event.room.to_string(), event.metadata.to_string()));
            queue.done(&event.room);
        }
        all
    }

    #[test]
    fn an_event_fails_once_however_many_do_not_take_it() {
        let waiting = resync("a", "1");
        assert!(waiting.fails());
        assert!(!waiting.fails());
    }

    #[test]
    fn a_room_has_one_call_at_a_time_and_holds_up_no_other() {
        let mut queue = Queue::default();
        for text in ["1", "2"] {
            queue.push(resync("a", text));
            queue.push(resync("b", text));
        }
        queue.push(end("a"));
        let first = queue.next().unwrap();
        let first = &first.event;
        assert_eq!((first.room.as_str(), &*first.metadata), ("a", "1"));
        // The call for `a` hangs: `b` goes on, `a` does not.
        let others = drain(&mut queue);
        assert_eq!(others, [("b".into(), "1".into()), ("b".into(), "2".into())]);
        queue.done(&first.room);
        let rest = drain(&mut queue);
        assert_eq!(rest, [("a".into(), "2".into()), ("a".into(), "end".into())]);
        assert_eq!(
            (queue.len(), queue.rooms.len(), queue.ready.len()),
            (0, 0, 0)
        );
    }

    #[test]
    fn when_it_is_full_the_oldest_resync_of_the_same_room_goes() {
        let mut queue = Queue::default();
        queue.push(end("a"));
        queue.push(resync("b", "kept"));
        for n in 1..RESYNCS_MAX {
            assert_eq!(queue.push(resync("a", &n.to_string())), Pushed::Waits);
        }
        assert_eq!(queue.push(resync("a", "last")), Pushed::Dropped);
        assert_eq!(queue.len(), RESYNCS_MAX + 1);
        // A room that has none takes the place of the one that has waited longest.
        assert_eq!(queue.push(resync("c", "new")), Pushed::Dropped);
        let all = drain(&mut queue);
        let of = |room: &str| -> Vec<&str> {
            let of = all.iter().filter(|(of, _)| of == room);
            of.map(|(_, text)| text.as_str()).collect()
        };
        assert_eq!(of("a")[..2], ["end", "3"]);
        assert_eq!(of("a").last(), Some(&"last"));
        assert_eq!((of("b"), of("c")), (vec!["kept"], vec!["new"]));
        assert_eq!((queue.rooms.len(), queue.ready.len()), (0, 0));
    }

    #[test]
    fn a_dropped_resync_leaves_no_trace_of_its_room() {
        let mut queue = Queue::default();
        for n in 0..RESYNCS_MAX {
            queue.push(resync(&format!("r{n}"), ""));
        }
        assert_eq!(queue.push(resync("new", "")), Pushed::Dropped);
        let all = drain(&mut queue);
        assert_eq!(all.len(), RESYNCS_MAX);
        assert_eq!(all.first().unwrap().0, "r1");
        assert_eq!(all.last().unwrap().0, "new");
    }

    #[test]
    fn a_busy_room_whose_resync_was_dropped_still_has_one_call_at_a_time() {
        let mut queue = Queue::default();
        queue.push(resync("busy", "1"));
        let call = queue.next().unwrap();
        queue.push(resync("busy", "2"));
        for n in 1..RESYNCS_MAX {
            queue.push(resync(&format!("r{n}"), ""));
        }
        // Its only one that waits goes, so that its line is empty for a moment.
        assert_eq!(queue.push(resync("busy", "3")), Pushed::Dropped);
        let others = drain(&mut queue);
        assert!(others.iter().all(|(room, _)| room != "busy"), "{others:?}");
        assert_eq!(others.len(), RESYNCS_MAX - 1);
        queue.done(&call.event.room);
        assert_eq!(drain(&mut queue), [("busy".into(), "3".into())]);
        assert_eq!((queue.len(), queue.rooms.len()), (0, 0));
    }

    #[test]
    fn resyncs_never_push_an_end_out() {
        let mut queue = Queue::default();
        queue.push(end("a"));
        for n in 0..2 * RESYNCS_MAX {
            queue.push(resync(&format!("r{}", n % 7), ""));
        }
        assert_eq!(queue.len(), RESYNCS_MAX + 1);
        assert_eq!(
            drain(&mut queue).first().unwrap(),
            &("a".into(), "end".into())
        );
    }
}
