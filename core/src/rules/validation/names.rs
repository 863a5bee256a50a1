//! Names of schedulers and containers, and the game.

use super::checks::{Broken, Findings, chars_at_most, required, rule};
use crate::domain::Scheduler;

const NAME_BYTES_MAX: usize = 63;
/// The width of the column that stores it in an original's database (contract 8.1).
const GAME_CHARS_MAX: usize = 255;

/// Whether a text is a valid name: 1 to 63 lower-case letters, digits and hyphens, neither beginning nor ending with a
/// hyphen (contract 2.5).
pub fn valid_name(name: &str) -> bool {
    let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(allowed)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// The rules for a field that contains a name.
pub fn name_rules(name: &str) -> [Option<Broken>; 2] {
    [
        required(!name.is_empty()),
        rule(
            valid_name(name),
            "kube_resource_name",
            "must follow the public RFC 1123 about naming conventions",
        ),
    ]
}

pub fn check(scheduler: &Scheduler, findings: &mut Findings) {
    findings.field("Scheduler", "Name", name_rules(scheduler.name.as_str()));
    let game = &scheduler.game;
    findings.field(
        "Scheduler",
        "Game",
        [
            required(!game.is_empty()),
            chars_at_most(game, GAME_CHARS_MAX),
        ],
    );
}
