//! A report of the doctor, for people and for programs.

use maestro_store::cluster::doctor::{Finding, Outcome, Remedy, Treated};
use serde::Serialize;

/// What was found, and what became of it.
#[derive(Serialize)]
pub struct Report {
    /// Whether anything was to be mended.
    repaired: bool,
    findings: Vec<Treated>,
}

impl Report {
    pub fn of_look(found: Vec<Finding>) -> Self {
        let left = |finding| Treated {
            finding,
            outcome: Outcome::Left,
        };
        Self {
            repaired: false,
            findings: found.into_iter().map(left).collect(),
        }
    }

    pub fn of_repair(findings: Vec<Treated>) -> Self {
        Self {
            repaired: true,
            findings,
        }
    }

    /// Whether nothing is left.
    pub fn is_clean(&self) -> bool {
        let mut all = self.findings.iter();
        all.all(|one| one.outcome == Outcome::Mended)
    }

    /// # Errors
    /// None that its types can have.
    pub fn json(&self) -> serde_json::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    pub fn text(&self) -> String {
        let mut text = String::new();
        for one in &self.findings {
            let Finding {
                scheduler,
                text: what,
                remedy,
                ..
            } = &one.finding;
            let then = match (&one.outcome, remedy) {
                (Outcome::Mended, Remedy::Repair(how)) => format!("done: {how}"),
                (Outcome::Refused(why), _) => format!("not mended: {why}"),
                (_, Remedy::Repair(how)) => format!("--repair would: {how}"),
                (_, Remedy::Owner(how)) => format!("by itself: {how}"),
                (_, Remedy::ByHand(how)) => format!("by hand: {how}"),
            };
            text.push_str(&format!("{scheduler}: {what}\n    {then}\n"));
        }
        if self.findings.is_empty() {
            text.push_str("Postgres and Redis fit together.\n");
        }
        text.push_str("Rooms that run are compared with these rows by each owner when it takes its scheduler over.\n");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use maestro_store::cluster::doctor::Kind;

    fn finding(remedy: Remedy) -> Finding {
        Finding {
            scheduler: "arena".into(),
            kind: Kind::Remains,
            text: "something is left".into(),
            remedy,
            rooms: Vec::new(),
            operations: Vec::new(),
        }
    }

    #[test]
    fn a_report_says_what_was_found_and_what_would_be_done() {
        let report = Report::of_look(vec![finding(Remedy::Repair("delete it".into()))]);
        assert!(!report.is_clean());
        let text = report.text();
        assert!(
            text.contains("arena: something is left\n    --repair would: delete it\n"),
            "{text}"
        );
        let json: serde_json::Value = serde_json::from_str(&report.json().unwrap()).unwrap();
        assert_eq!(json["findings"][0]["kind"], "remains");
        assert_eq!(json["findings"][0]["remedy"]["repair"], "delete it");
        assert_eq!(json["findings"][0]["outcome"], "left");
        assert!(Report::of_look(Vec::new()).is_clean());
    }
}
