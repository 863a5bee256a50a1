//! Work left for the next turns of an actor, each of which does a piece.

/// What remains to be done, one piece per turn.
#[derive(Default)]
pub(crate) struct Backlog {
    /// Number of rooms whose cached pings are still to be reported in this round.
    pub tell: usize,
    /// A timer is set for the next round.
    pub tell_later: bool,
    /// A wake-up is due after this round: a room whose ping is in the cache is not silent.
    pub wake: bool,
    /// The last decision has more to do.
    pub more: bool,
}
