//! Which orders a version of a managed scheduler takes, by its phase. Others are refused before anything is queued.

use crate::domain::VersionPhase;

/// An order about a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionOrder {
    /// Gives it its rooms.
    Start,
    /// Ends its rooms.
    Stop,
    /// Gives its rooms to callers of allocations, and those of no other version.
    Publish,
    /// Gives its rooms to nobody.
    Unpublish,
    /// Replaces its configuration.
    UpdateConfig,
}

/// What an order that is allowed does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It changes something.
    Go,
    /// The version is what the order makes of it; a repeated order succeeds.
    Already,
}

/// Whether a version in this phase takes the order.
///
/// # Errors
/// What can be done instead.
pub fn judge(order: VersionOrder, phase: VersionPhase) -> Result<Verdict, &'static str> {
    use VersionOrder as O;
    use VersionPhase as P;
    match (order, phase) {
        (O::Start, P::Stopped | P::Error)
        | (O::Stop, P::Started | P::Error)
        | (O::Publish, P::Started)
        | (O::Unpublish, P::Published)
        | (O::UpdateConfig, P::Stopped | P::Starting | P::Started | P::Published | P::Error) => {
            Ok(Verdict::Go)
        }
        (O::Stop, P::Stopped | P::Stopping) | (O::Publish, P::Published) => Ok(Verdict::Already),
        (O::Start, P::Starting) => Err("wait for its start, or cancel that operation"),
        (O::Start, P::Started | P::Published) => Err("it has its rooms already"),
        (O::Start, P::Stopping) => Err("wait until it is stopped"),
        (O::Stop, P::Starting) => Err("wait for its start, or cancel that operation"),
        (O::Stop, P::Published) => Err("unpublish it, or publish another version"),
        (O::Publish, P::Starting) => Err("wait until it is started"),
        (O::Publish, P::Stopped | P::Stopping | P::Error) => Err("start it first"),
        (O::Unpublish, _) => Err("unpublish the version that is published"),
        (O::UpdateConfig, P::Stopping) => Err("wait until it is stopped"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use VersionPhase as P;

    const PHASES: [P; 6] = [
        P::Stopped,
        P::Starting,
        P::Started,
        P::Published,
        P::Stopping,
        P::Error,
    ];

    fn allowed(order: VersionOrder, verdict: Verdict) -> Vec<P> {
        let is = |phase: &P| judge(order, *phase) == Ok(verdict);
        PHASES.into_iter().filter(is).collect()
    }

    #[test]
    fn each_order_has_its_phases() {
        let go = |order| allowed(order, Verdict::Go);
        assert_eq!(go(VersionOrder::Start), [P::Stopped, P::Error]);
        assert_eq!(go(VersionOrder::Stop), [P::Started, P::Error]);
        assert_eq!(go(VersionOrder::Publish), [P::Started]);
        assert_eq!(go(VersionOrder::Unpublish), [P::Published]);
        let pairs = [P::Stopped, P::Starting, P::Started, P::Published, P::Error];
        assert_eq!(go(VersionOrder::UpdateConfig), pairs);
    }

    #[test]
    fn a_repeated_order_succeeds_where_nothing_is_left_to_do() {
        let already = |order| allowed(order, Verdict::Already);
        assert_eq!(already(VersionOrder::Stop), [P::Stopped, P::Stopping]);
        assert_eq!(already(VersionOrder::Publish), [P::Published]);
        assert!(already(VersionOrder::Start).is_empty());
        assert!(already(VersionOrder::Unpublish).is_empty());
    }
}
