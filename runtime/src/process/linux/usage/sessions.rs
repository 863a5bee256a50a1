//! What sessions of processes use, from /proc. Each container of a room leads a session, to which its descendants
//! belong.

use std::{collections::HashMap, fs, io};

/// What the processes of a session use together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionUse {
    /// Clock ticks of CPU, with those of children that have ended.
    pub ticks: u64,
    /// Pages in memory.
    pub pages: u64,
}

/// All sessions of this machine. Processes that end meanwhile are left out. Blocking.
///
/// # Errors
/// If /proc cannot be listed.
pub fn all() -> io::Result<HashMap<i32, SessionUse>> {
    let mut sessions: HashMap<i32, SessionUse> = HashMap::new();
    for entry in fs::read_dir("/proc")? {
        let Ok(entry) = entry else { continue };
        let name = entry.file_name();
        let is_process = name
            .as_encoded_bytes()
            .first()
            .is_some_and(u8::is_ascii_digit);
        let stat = is_process.then(|| fs::read(entry.path().join("stat")).ok());
        if let Some((session, of_one)) = stat.flatten().as_deref().and_then(parse) {
            let sum = sessions.entry(session).or_default();
            sum.ticks += of_one.ticks;
            sum.pages += of_one.pages;
        }
    }
    Ok(sessions)
}

/// The session of a process and what it uses (proc_pid_stat(5)). Fields are counted from behind the name, which may
/// contain blanks and brackets.
fn parse(stat: &[u8]) -> Option<(i32, SessionUse)> {
    let end_of_name = stat.iter().rposition(|&byte| byte == b')')?;
    let fields = std::str::from_utf8(stat.get(end_of_name + 1..)?).ok()?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let session = fields.get(3)?.parse().ok()?;
    // User and system time, of its own and of children that it has waited for.
    let ticks = number(11)? + number(12)? + number(13)? + number(14)?;
    let pages = number(21)?;
    Some((session, SessionUse { ticks, pages }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_from_behind_the_name() {
        let stat = b"42 (a ) (b) S 7 42 40 0 -1 4194304 1 2 3 4 100 20 3 4 20 0 1 0 999 1000000 512 18446744073709551615 1";
        let expected = SessionUse {
            ticks: 127,
            pages: 512,
        };
        assert_eq!(parse(stat), Some((40, expected)));
        assert_eq!(parse(b"42 (torn"), None);
        assert_eq!(parse(b"42 (short) S 1 2 3"), None);
    }

    #[test]
    fn our_own_session_is_among_them() {
        // Not `getsid`, which asserts that the number is positive: in a new namespace of processes the session may
        // have begun outside, and its number is 0.
        let own = parse(&std::fs::read("/proc/self/stat").unwrap()).unwrap().0;
        let used = all().unwrap()[&own];
        assert!(used.pages > 0);
    }
}
