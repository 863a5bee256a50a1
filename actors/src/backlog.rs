//! What is left for the next turns of an actor, each of which does a piece.

/// What is done a piece a turn.
#[derive(Default)]
pub(crate) struct Backlog {
    /// Rooms whose pings the ping cache is to tell of in this round.
    pub tell: usize,
    /// The next round is due at a moment that is set.
    pub tell_later: bool,
    /// A wake-up that comes behind this round: a room that pinged is not silent.
    pub wake: bool,
    /// A decision was not all.
    pub more: bool,
}
