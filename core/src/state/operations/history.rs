//! The history of an operation: one line per event, within limits.

use crate::domain::*;
use std::borrow::Cow;

/// Maximum number of lines per operation.
const LINES_MAX: usize = 200;
/// Maximum size of all lines: the whole history is stored with each new line.
const BYTES_MAX: usize = 64 * 1024;
/// Maximum size of one line.
const EVENT_BYTES_MAX: usize = 16 * 1024;

/// Adds a line to the history of an operation.
pub(super) fn append(record: &mut OperationRecord, at: jiff::Timestamp, event: &str) {
    push_line(&mut record.history, at, event);
}

/// Adds a line to a history. Beyond the limits (lines, bytes) the last lines are overwritten. Histories contain texts
/// of rooms, which can be of any length.
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

/// The beginning says what happened, the end has the last words of a room.
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
