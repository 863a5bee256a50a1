//! The history of an operation: what happened, one line for each thing, within bounds.

use crate::domain::*;
use std::borrow::Cow;

/// Lines that one operation's history may hold.
const LINES_MAX: usize = 200;
/// Of all lines together: a history is stored as a whole with each new line.
const BYTES_MAX: usize = 64 * 1024;
/// Of one line.
const EVENT_BYTES_MAX: usize = 16 * 1024;

/// Adds a line to the history of an operation.
pub(super) fn append(record: &mut OperationRecord, at: jiff::Timestamp, event: &str) {
    push_line(&mut record.history, at, event);
}

/// Adds a line to a history; beyond its bounds (lines, bytes) the last places are written
/// again. Texts of rooms get into histories, and rooms say what they like.
fn push_line(history: &mut Vec<OperationEvent>, at: jiff::Timestamp, event: &str) {
    let event = without_middle(event, EVENT_BYTES_MAX);
    let mut bytes: usize = history.iter().map(|earlier| earlier.event.len()).sum();
    while history.len() >= LINES_MAX || bytes + event.len() > BYTES_MAX {
        let Some(earlier) = history.pop() else { break };
        bytes -= earlier.event.len();
    }
    history.push(OperationEvent {
        created_at: at,
        event: event.into_owned(),
    });
}

/// What happened stands at the beginning, what a room said last at the end.
fn without_middle(text: &str, bytes_max: usize) -> Cow<'_, str> {
    if text.len() <= bytes_max {
        return text.into();
    }
    const CUT: &str = " [… cut …] ";
    let beginning = text.floor_char_boundary(bytes_max / 8);
    let end = text.ceil_char_boundary(text.len() - (bytes_max - beginning - CUT.len()));
    format!("{}{CUT}{}", &text[..beginning], &text[end..]).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(history: &[OperationEvent]) -> usize {
        history.iter().map(|event| event.event.len()).sum()
    }

    #[test]
    fn a_history_has_a_bound_in_bytes_whatever_rooms_say() {
        let mut history = Vec::new();
        let at = jiff::Timestamp::UNIX_EPOCH;
        push_line(&mut history, at, "it began");
        for number in 0..500 {
            let words = format!("room {number} ended{}end of {number}", "ä".repeat(30_000));
            push_line(&mut history, at, &words);
            assert!(bytes(&history) <= BYTES_MAX);
        }
        assert_eq!(history[0].event, "it began");
        let last = &history.last().unwrap().event;
        assert!(last.starts_with("room 499 ended") && last.ends_with("end of 499"));
        assert!(last.contains("[… cut …]") && last.len() <= EVENT_BYTES_MAX);
    }
}
