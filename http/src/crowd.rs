//! All connections of one worker. When it is nearly full, the connections that have been idle longest are closed:
//! clients that open connections and stay silent cannot keep others out.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::progress::Progress;

/// The fraction of the capacity (one in so many) that idle connections may not occupy.
const RESERVE: usize = 8;
/// The fraction of the connections that is closed at a time, so that not every new connection causes a scan.
const AT_ONCE: usize = 16;

pub struct Crowd {
    /// From this number of connections on, idle ones are closed.
    full: usize,
    members: RefCell<Vec<Member>>,
}

struct Member {
    progress: Progress,
    /// Its index in the list, shared with its [`Place`].
    at: Rc<Cell<usize>>,
}

/// Held by a connection while it is open.
pub struct Place {
    crowd: Rc<Crowd>,
    at: Rc<Cell<usize>>,
}

impl Crowd {
    /// For a worker that accepts up to `places` connections.
    pub fn new(places: usize) -> Self {
        Self {
            full: places - places / RESERVE,
            members: RefCell::default(),
        }
    }

    /// Registers a connection until the place is dropped.
    pub fn enter(self: &Rc<Self>, progress: Progress) -> Place {
        let mut members = self.members.borrow_mut();
        if members.len() >= self.full {
            make_room(&members, self.full);
        }
        let at = Rc::new(Cell::new(members.len()));
        members.push(Member {
            progress,
            at: at.clone(),
        });
        Place {
            crowd: self.clone(),
            at,
        }
    }
}

/// Closes idle connections. Those that were told to close already count as closed.
fn make_room(members: &[Member], full: usize) {
    let stays = |member: &&Member| !member.progress.is_ousted();
    let staying: Vec<&Member> = members.iter().filter(stays).collect();
    if staying.len() < full {
        return;
    }
    let enough = (staying.len() / AT_ONCE).max(1);
    let idle = staying.into_iter().filter_map(|member| {
        let since = member.progress.idle_since()?;
        Some((since, &member.progress))
    });
    let mut idle: Vec<_> = idle.collect();
    if enough < idle.len() {
        idle.select_nth_unstable_by_key(enough, |(since, _)| *since);
        idle.truncate(enough);
    }
    for (_, progress) in idle {
        progress.oust();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut members = self.crowd.members.borrow_mut();
        let at = self.at.get();
        members.swap_remove(at);
        if let Some(moved) = members.get(at) {
            moved.at.set(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::Instant;

    #[test]
    fn the_longest_idle_go_and_places_are_found_again() {
        let crowd = Rc::new(Crowd::new(64));
        let mut open = Vec::new();
        let began = Instant::now();
        for n in 0..56 {
            let progress = Progress::new(began + Duration::from_millis(n));
            open.push((progress.clone(), Some(crowd.enter(progress))));
        }
        let ousted = |open: &[(Progress, Option<Place>)]| -> Vec<usize> {
            let all = open.iter().enumerate();
            all.filter(|(_, (progress, _))| progress.is_ousted())
                .map(|(n, _)| n)
                .collect()
        };
        assert!(ousted(&open).is_empty());
        // The second oldest is busy.
        let busy = Progress::during(Some(open[1].0.clone()), std::future::pending::<()>());
        assert!(futures_util::FutureExt::now_or_never(busy).is_none());
        let newcomer = Progress::new(Instant::now());
        let place = crowd.enter(newcomer.clone());
        assert_eq!(ousted(&open), [0, 2, 3]);
        // Those three are about to close, so no others have to for the next ones.
        let more = [(); 2].map(|()| crowd.enter(Progress::new(began)));
        assert_eq!(ousted(&open), [0, 2, 3]);
        drop(more);
        // Connections close in any order; the index of each remaining one stays correct.
        for n in [3, 0, 2, 55] {
            open[n].1 = None;
        }
        assert_eq!(crowd.members.borrow().len(), 53);
        for (n, member) in crowd.members.borrow().iter().enumerate() {
            assert_eq!(member.at.get(), n);
        }
        drop((open, place));
        assert!(crowd.members.borrow().is_empty());
    }
}
