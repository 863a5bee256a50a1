//! A report of the doctor, for people and for programs.

use super::rooms::Seen;
use maestro_store::cluster::doctor::{Finding, Kind, Outcome, Place, Remedy, Treated};
use serde::Serialize;
use std::collections::BTreeMap;

/// Findings of one kind that are shown as text. The JSON has all.
const SHOWN: usize = 100;

/// What was found, and what became of it.
#[derive(Serialize)]
pub struct Report {
    /// Whether anything was to be mended.
    repaired: bool,
    /// Whether the rooms that run were compared, or why not.
    rooms: String,
    findings: Vec<Treated>,
}

impl Report {
    pub fn of_look(found: Vec<Finding>, seen: &Seen) -> Self {
        let left = |finding| Treated {
            finding,
            outcome: Outcome::Left,
        };
        Self {
            repaired: false,
            rooms: told(seen),
            findings: found.into_iter().map(left).collect(),
        }
    }

    pub fn of_repair(findings: Vec<Treated>, seen: &Seen) -> Self {
        Self {
            repaired: true,
            rooms: told(seen),
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

    /// The first findings of each kind, and how many more there are.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut counts: BTreeMap<Kind, usize> = BTreeMap::new();
        for one in &self.findings {
            let count = counts.entry(one.finding.kind).or_default();
            *count += 1;
            if *count <= SHOWN {
                text.push_str(&lines(one));
            }
        }
        for (kind, count) in counts {
            if let Some(more @ 1..) = count.checked_sub(SHOWN) {
                text.push_str(&format!("{more} more of the kind {kind}: --json has all\n"));
            }
        }
        if self.findings.is_empty() {
            text.push_str("Postgres and Redis fit together.\n");
        }
        text.push_str(&format!("{}\n", self.rooms));
        text
    }
}

fn lines(one: &Treated) -> String {
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
    format!("{scheduler}: {what}\n    {then}\n")
}

/// What the comparison with the rooms that run covers.
fn told(seen: &Seen) -> String {
    match seen {
        Seen::Rooms(runtime) => match runtime.place {
            Place::Pods => "The pods of rooms were compared with the stored rooms.".to_owned(),
            Place::Processes => "The rooms of this machine's processes were compared with the stored rooms; run this on \
                                 each machine with rooms, with the settings of its node."
                .to_owned(),
        },
        Seen::Nothing(why) => format!("The rooms that run were not compared: {why}."),
        Seen::Unknown(error) => format!("The rooms that run could not be compared: {error:#}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOWHERE: Seen = Seen::Nothing("nobody looked");

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
        let report = Report::of_look(vec![finding(Remedy::Repair("delete it".into()))], &NOWHERE);
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
        assert!(Report::of_look(Vec::new(), &NOWHERE).is_clean());
    }

    #[test]
    fn a_long_report_is_cut_as_text_and_whole_as_json() {
        let many = || vec![finding(Remedy::ByHand("look".into())); SHOWN];
        let text = Report::of_look(many(), &NOWHERE).text();
        assert_eq!(text.matches("something is left").count(), SHOWN);
        assert!(!text.contains("more of the kind"), "{text}");
        let mut more = many();
        more.extend(many());
        let report = Report::of_look(more, &NOWHERE);
        let text = report.text();
        assert_eq!(text.matches("something is left").count(), SHOWN);
        assert!(text.contains("100 more of the kind remains: --json has all"));
        let json: serde_json::Value = serde_json::from_str(&report.json().unwrap()).unwrap();
        assert_eq!(json["findings"].as_array().unwrap().len(), 2 * SHOWN);
    }
}
