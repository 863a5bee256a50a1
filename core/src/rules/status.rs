//! Room status: how it is composed of the room's and the runtime's reports, and which changes are allowed (contract
//! 4.4). Callers decide when it is evaluated.

use crate::domain::{InstanceStatus, PingStatus, RoomStatus};

/// Composes ping and instance status (contract 4.4, first table).
///
/// An instance in error takes precedence over anything the room reports.
pub fn compose(ping: PingStatus, instance: InstanceStatus) -> RoomStatus {
    use InstanceStatus as I;
    use PingStatus as P;
    match (ping, instance) {
        (_, I::Error) => RoomStatus::Error,
        (P::Terminated, _) => RoomStatus::Terminated,
        (P::Terminating, _) | (_, I::Terminating) => RoomStatus::Terminating,
        (_, I::Unknown | I::Pending) => RoomStatus::Pending,
        (P::Unknown, I::Ready) => RoomStatus::Unready,
        (P::Ready, I::Ready) => RoomStatus::Ready,
        (P::Occupied, I::Ready) => RoomStatus::Occupied,
    }
}

/// The input of [`effective`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusInput {
    /// What the room said last.
    pub ping: PingStatus,
    /// What the runtime says of the room's instance.
    pub instance: InstanceStatus,
    /// Matches in progress, as the room reports them.
    pub running_matches: i64,
    /// Matches per room; values up to one stand for a single-match room.
    pub max_matches: i64,
    /// The status that is currently stored.
    pub stored: RoomStatus,
    /// The room is allocated and its allocation has not expired.
    pub allocation_fresh: bool,
}

/// The status that the room should have (contract 4.4, calculator).
///
/// An allocation is checked before the number of matches, also in multi-match rooms: such a room stays allocated while
/// it pings ready, whatever it runs.
pub fn effective(input: StatusInput) -> RoomStatus {
    let composed = compose(input.ping, input.instance);
    let allocated = input.stored == RoomStatus::Allocated && input.allocation_fresh;
    if composed == RoomStatus::Ready && allocated {
        return RoomStatus::Allocated;
    }
    let live = matches!(composed, RoomStatus::Ready | RoomStatus::Occupied);
    if input.max_matches <= 1 || !live {
        return composed;
    }
    match input.running_matches {
        ..=0 => RoomStatus::Ready,
        n if n >= input.max_matches => RoomStatus::Occupied,
        _ => RoomStatus::Active,
    }
}

/// Whether a room may change from one status to another (contract 4.4, second table).
///
/// Keeping the status is always allowed and changes nothing. The gaps of the table are those of contract 4.4 and 11.26,
/// because answers to pings depend on them: from pending to active, from a running room to terminated, and from error
/// to occupied is refused, and terminated is final.
pub fn transition_allowed(from: RoomStatus, to: RoomStatus) -> bool {
    use RoomStatus as S;
    if from == to {
        return true;
    }
    match from {
        S::Pending => {
            matches!(
                to,
                S::Ready | S::Terminating | S::Unready | S::Error | S::Occupied
            )
        }
        S::Ready => matches!(
            to,
            S::Occupied | S::Allocated | S::Terminating | S::Unready | S::Error | S::Active
        ),
        S::Unready => matches!(
            to,
            S::Terminating | S::Occupied | S::Ready | S::Error | S::Pending | S::Active
        ),
        S::Active => matches!(
            to,
            S::Ready | S::Occupied | S::Terminating | S::Unready | S::Error
        ),
        S::Occupied => matches!(
            to,
            S::Ready | S::Terminating | S::Unready | S::Error | S::Active
        ),
        S::Allocated => matches!(
            to,
            S::Active | S::Occupied | S::Ready | S::Terminating | S::Unready | S::Error
        ),
        S::Error => matches!(to, S::Terminating | S::Unready | S::Ready),
        S::Terminating => matches!(to, S::Error | S::Unready | S::Ready | S::Terminated),
        S::Terminated => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RoomStatus as S;

    const PINGS: [PingStatus; 5] = [
        PingStatus::Unknown,
        PingStatus::Ready,
        PingStatus::Occupied,
        PingStatus::Terminating,
        PingStatus::Terminated,
    ];
    const INSTANCES: [InstanceStatus; 5] = [
        InstanceStatus::Unknown,
        InstanceStatus::Pending,
        InstanceStatus::Ready,
        InstanceStatus::Terminating,
        InstanceStatus::Error,
    ];

    #[test]
    fn every_composition_is_that_of_the_contract() {
        // Rows and columns as in contract 4.4.
        let table = [
            [S::Pending, S::Pending, S::Unready, S::Terminating, S::Error],
            [S::Pending, S::Pending, S::Ready, S::Terminating, S::Error],
            [
                S::Pending,
                S::Pending,
                S::Occupied,
                S::Terminating,
                S::Error,
            ],
            [
                S::Terminating,
                S::Terminating,
                S::Terminating,
                S::Terminating,
                S::Error,
            ],
            [
                S::Terminated,
                S::Terminated,
                S::Terminated,
                S::Terminated,
                S::Error,
            ],
        ];
        for (ping, row) in PINGS.into_iter().zip(table) {
            for (instance, status) in INSTANCES.into_iter().zip(row) {
                assert_eq!(compose(ping, instance), status, "{ping:?} x {instance:?}");
            }
        }
    }

    #[test]
    fn every_transition_is_that_of_the_contract() {
        let allowed: [(S, &[S]); 9] = [
            (
                S::Pending,
                &[S::Ready, S::Terminating, S::Unready, S::Error, S::Occupied],
            ),
            (
                S::Ready,
                &[
                    S::Occupied,
                    S::Allocated,
                    S::Terminating,
                    S::Unready,
                    S::Error,
                    S::Active,
                ],
            ),
            (
                S::Unready,
                &[
                    S::Terminating,
                    S::Occupied,
                    S::Ready,
                    S::Error,
                    S::Pending,
                    S::Active,
                ],
            ),
            (
                S::Active,
                &[S::Ready, S::Occupied, S::Terminating, S::Unready, S::Error],
            ),
            (
                S::Occupied,
                &[S::Ready, S::Terminating, S::Unready, S::Error, S::Active],
            ),
            (
                S::Allocated,
                &[
                    S::Active,
                    S::Occupied,
                    S::Ready,
                    S::Terminating,
                    S::Unready,
                    S::Error,
                ],
            ),
            (S::Error, &[S::Terminating, S::Unready, S::Ready]),
            (
                S::Terminating,
                &[S::Error, S::Unready, S::Ready, S::Terminated],
            ),
            (S::Terminated, &[]),
        ];
        for (from, targets) in allowed {
            for to in S::ALL {
                let expected = from == to || targets.contains(&to);
                assert_eq!(transition_allowed(from, to), expected, "{from:?} to {to:?}");
            }
        }
    }

    fn input(ping: PingStatus, running_matches: i64, max_matches: i64) -> StatusInput {
        StatusInput {
            ping,
            instance: InstanceStatus::Ready,
            running_matches,
            max_matches,
            stored: S::Ready,
            allocation_fresh: false,
        }
    }

    #[test]
    fn a_room_of_many_matches_is_what_its_matches_are() {
        for ping in [PingStatus::Ready, PingStatus::Occupied] {
            let status = |matches| effective(input(ping, matches, 3));
            let expected = [
                (-1, S::Ready),
                (0, S::Ready),
                (1, S::Active),
                (2, S::Active),
                (3, S::Occupied),
                (4, S::Occupied),
            ];
            for (matches, expected) in expected {
                assert_eq!(status(matches), expected, "{ping:?} with {matches}");
            }
        }
        assert_eq!(
            effective(input(PingStatus::Terminating, 2, 3)),
            S::Terminating
        );
    }

    #[test]
    fn a_room_of_one_match_is_what_it_says() {
        for max_matches in [0, 1] {
            assert_eq!(
                effective(input(PingStatus::Ready, 1, max_matches)),
                S::Ready
            );
            assert_eq!(
                effective(input(PingStatus::Occupied, 0, max_matches)),
                S::Occupied
            );
        }
    }

    #[test]
    fn a_fresh_allocation_holds_against_ready_pings_only() {
        for max_matches in [1, 3] {
            for ping in PINGS {
                for instance in INSTANCES {
                    let plain = StatusInput {
                        instance,
                        ..input(ping, 1, max_matches)
                    };
                    let allocated = StatusInput {
                        stored: S::Allocated,
                        allocation_fresh: true,
                        ..plain
                    };
                    let expected = match compose(ping, instance) {
                        S::Ready => S::Allocated,
                        _ => effective(plain),
                    };
                    assert_eq!(effective(allocated), expected);
                    let stale = StatusInput {
                        allocation_fresh: false,
                        ..allocated
                    };
                    assert_eq!(effective(stale), effective(plain));
                    let never = StatusInput {
                        stored: S::Ready,
                        ..allocated
                    };
                    assert_eq!(effective(never), effective(plain));
                }
            }
        }
    }
}
