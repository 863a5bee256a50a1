//! Counts what was tested and what was skipped, over all parts, and prints it at the end.

use std::process::ExitCode;

use crate::shell;

/// The counts of a run.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub counts: Counts,
    skips: Vec<String>,
    failures: Vec<String>,
}

/// Passed, failed and skipped cases.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub passed: u64,
    pub failed: u64,
    pub skipped: u64,
}

impl Summary {
    pub fn add(&mut self, counts: Counts) {
        self.counts.passed += counts.passed;
        self.counts.failed += counts.failed;
        self.counts.skipped += counts.skipped;
    }

    /// Records a test that could not run because a tool is missing. In CI that is a failure.
    pub fn skip(&mut self, what: &str, why: &str) {
        if shell::in_ci() {
            self.fail(format!("{what}: skipped, because {why}"));
        } else {
            self.pass_over(what, why);
        }
    }

    /// Records a test that does not apply to this machine.
    pub fn pass_over(&mut self, what: &str, why: &str) {
        self.counts.skipped += 1;
        self.skips.push(format!("{what}: skipped, because {why}"));
    }

    /// Records a failure that is no counted case.
    pub fn fail(&mut self, why: String) {
        self.counts.failed += 1;
        self.note_failure(why);
    }

    /// Describes a failure whose cases are counted already.
    pub fn note_failure(&mut self, why: String) {
        self.failures.push(why);
    }

    /// Prints the summary and returns the exit status.
    pub fn close(self) -> ExitCode {
        println!();
        for line in self.skips.iter().chain(&self.failures) {
            println!("{line}");
        }
        let Counts {
            passed,
            failed,
            skipped,
        } = self.counts;
        println!("{passed} passed, {failed} failed, {skipped} skipped");
        if failed == 0 && self.failures.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

impl Counts {
    /// Reads `test result: ok. 3 passed; 0 failed; 1 ignored; …`, one line of `cargo test`.
    pub fn of_cargo(line: &str) -> Option<Self> {
        let (_, text) = line.strip_prefix("test result: ")?.split_once(". ")?;
        let (mut counts, mut known) = (Self::default(), 0);
        for part in text.trim().split(';') {
            let Some((number, name)) = part.trim().split_once(' ') else {
                continue;
            };
            let place = match name {
                "passed" => &mut counts.passed,
                "failed" => &mut counts.failed,
                "ignored" => &mut counts.skipped,
                _ => continue,
            };
            *place = number.parse().ok()?;
            known += 1;
        }
        (known == 3).then_some(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_last_lines() {
        let counts = Some(Counts {
            passed: 12,
            failed: 2,
            skipped: 3,
        });
        let line = "test result: FAILED. 12 passed; 2 failed; 3 ignored; 0 measured; 4 filtered out; finished in 0.1s";
        assert_eq!(Counts::of_cargo(line), counts);
    }

    #[test]
    fn other_lines_are_no_counts() {
        assert_eq!(Counts::of_cargo("running 3 tests"), None);
        assert_eq!(
            Counts::of_cargo("test result: ok. x passed; 0 failed; 0 ignored"),
            None
        );
    }
}
