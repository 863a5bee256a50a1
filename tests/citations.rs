//! Everything that comments, settings and pages cite exists: sections and items of `docs/contract.md` ("contract 2.4"),
//! decisions ("D22", in the contract and in `docs/compatibility.md`), parts of ARCHITECTURE.md ("architecture 5,
//! Order") and its invariants ("invariant 3"). Links between pages are not broken.

#[path = "support/sources.rs"]
mod sources;

use regex::Regex;
use sources::{root, sources};
use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

const CITING: &[&str] = &["rs", "md", "toml", "yaml", "yml", "proto", "py", "js"];

/// Everything that can be cited.
struct Pages {
    contract: HashSet<String>,
    compatibility: HashSet<String>,
    /// Number and text of each part.
    parts: Vec<(String, String)>,
    invariants: HashSet<String>,
}

/// One number or several: "2.4, 5.10", "4.4–4.7", "3, 7 and 16".
const NUMBERS: &str = r"(\d+(?:\.\d+)?(?:(?:, | and | to |–)\d+(?:\.\d+)?)*)";

struct Patterns {
    contract: Regex,
    architecture: Regex,
    invariants: Regex,
    number: Regex,
    decision: Regex,
}

static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| {
    let pattern = |text: &str| Regex::new(text).expect("a pattern");
    Patterns {
        contract: pattern(&format!(r"(?i)\bcontract {NUMBERS}")),
        architecture: pattern(&format!(
            r"\b[Aa]rchitecture {NUMBERS}(?:, ([A-Z][A-Za-z ]+)\))?"
        )),
        invariants: pattern(&format!(r"(?i)\binvariants? {NUMBERS}")),
        number: pattern(r"(\d+(?:\.\d+)?)"),
        decision: pattern(r"\b(D[1-9]\d?)\b"),
    }
});

fn all(pattern: &Regex, text: &str) -> HashSet<String> {
    let found = pattern.captures_iter(text);
    found.map(|found| found[1].to_owned()).collect()
}

impl Pages {
    fn read() -> Self {
        let page = |name: &str| fs::read_to_string(root().join(name)).expect(name);
        Self::of(
            &page("docs/contract.md"),
            &page("docs/compatibility.md"),
            &page("ARCHITECTURE.md"),
        )
    }

    fn of(contract: &str, compatibility: &str, architecture: &str) -> Self {
        let pattern = |text: &str| Regex::new(text).expect("a pattern");
        let rows = compatibility.lines().filter(|line| line.starts_with("| D"));
        let cells = rows.filter_map(|line| line.split('|').nth(1));
        let decisions = cells.flat_map(|cell| cell.split(',').map(|word| word.trim().to_owned()));
        let parts: Vec<(String, String)> = architecture
            .split("\n## ")
            .skip(1)
            .filter_map(|part| Some((part.split_once(". ")?.0.to_owned(), part.to_owned())))
            .collect();
        let never = parts
            .iter()
            .find(|(_, text)| text.contains("What never happens\n"));
        Self {
            contract: all(&pattern(r#"<a id="([^"]+)"></a>"#), contract),
            compatibility: decisions.collect(),
            invariants: all(
                &pattern(r"(?m)^(\d+)\. "),
                never.map_or("", |(_, text)| text.as_str()),
            ),
            parts,
        }
    }

    /// The citations in a text whose target does not exist.
    fn lost(&self, text: &str) -> Vec<String> {
        let text = flat(text);
        let mut lost = Vec::new();
        for found in PATTERNS.contract.captures_iter(&text) {
            if !all(&PATTERNS.number, &found[1]).is_subset(&self.contract) {
                lost.push(found[0].to_owned());
            }
        }
        for found in PATTERNS.architecture.captures_iter(&text) {
            let heading = found.get(2).map_or("", |heading| heading.as_str());
            for number in all(&PATTERNS.number, &found[1]) {
                let part = self.parts.iter().find(|(name, _)| *name == number);
                if !part.is_some_and(|(_, text)| text.contains(heading)) {
                    lost.push(found[0].to_owned());
                }
            }
        }
        for found in PATTERNS.invariants.captures_iter(&text) {
            if !all(&PATTERNS.number, &found[1]).is_subset(&self.invariants) {
                lost.push(found[0].to_owned());
            }
        }
        for decision in all(&PATTERNS.decision, &text) {
            if !self.contract.contains(&decision) || !self.compatibility.contains(&decision) {
                lost.push(decision);
            }
        }
        lost
    }
}

/// The text without line ends and comment markers, so that a citation may span two lines.
fn flat(text: &str) -> String {
    let marks = ['/', '!', '#', ' ', '\t'];
    let lines = text.lines().map(|line| line.trim_start_matches(marks));
    lines.collect::<Vec<_>>().join(" ")
}

#[test]
fn what_is_cited_is_there() {
    let pages = Pages::read();
    let mut lost = Vec::new();
    let mut files = 0;
    sources(CITING, &mut |path, text| {
        // This file has broken citations on purpose.
        if path != Path::new(file!()) {
            files += 1;
            let found = pages.lost(text);
            lost.extend(
                found
                    .iter()
                    .map(|what| format!("{}: {what}", path.display())),
            );
        }
    });
    assert!(files > 300, "{files} files were read");
    assert!(
        lost.is_empty(),
        "cited and not there; a rule has its anchor in docs/contract.md, a decision also its row in \
         docs/compatibility.md:\n{}",
        lost.join("\n")
    );
}

#[test]
fn a_citation_that_leads_nowhere_is_found() {
    let contract = r#"<a id="5.7"></a> <a id="D22"></a> <a id="D23"></a>"#;
    let architecture =
        "# A\n\n## 5. State\n\n**Order.** x\n\n## 8. What never happens\n\n1. a\n2. b\n";
    let pages = Pages::of(contract, "| D22 | a | b |\n", architecture);
    let lost = |text: &str| pages.lost(text);
    assert_eq!(
        lost("// a (contract 5.7; D22, architecture 5, 8; invariant 2)"),
        [""; 0]
    );
    assert_eq!(lost("/// (architecture 5, Order)"), [""; 0]);
    assert_eq!(
        lost("// (contract\n    // 5.7, 5.8)"),
        ["contract 5.7, 5.8"]
    );
    assert_eq!(lost("# Contract 5.7–5.9"), ["Contract 5.7–5.9"]);
    assert_eq!(lost("(architecture 6)"), ["architecture 6"]);
    assert_eq!(
        lost("(architecture 5, Bounds)"),
        ["architecture 5, Bounds)"]
    );
    assert_eq!(lost("(invariant 3)"), ["invariant 3"]);
    // A decision that is in only one of the two pages, and one that is in neither.
    assert_eq!(lost("(D23)"), ["D23"]);
    assert_eq!(lost("(D24)"), ["D24"]);
    // The page without its anchor.
    let pages = Pages::of("### 5.7 Health", "", architecture);
    assert_eq!(pages.lost("(contract 5.7)"), ["contract 5.7"]);
}

/// The anchor that GitHub creates for a heading.
fn slug(heading: &str) -> String {
    let heading = heading.trim().trim_start_matches('#').trim();
    let kept = heading.chars().filter_map(|c| match c {
        ' ' => Some('-'),
        '-' | '_' => Some(c),
        c if c.is_alphanumeric() => Some(c.to_ascii_lowercase()),
        _ => None,
    });
    kept.collect()
}

#[test]
fn links_between_pages_lead_somewhere() {
    let link = Regex::new(r"\]\(([^)\s:]+)\)").expect("a pattern");
    let mut lost = Vec::new();
    sources(&["md"], &mut |path, text| {
        for found in link.captures_iter(text) {
            let (file, anchor) = found[1].split_once('#').unwrap_or((&found[1], ""));
            let target = match file {
                "" => root().join(path),
                _ => root().join(path).parent().expect("a folder").join(file),
            };
            let there = target.exists() && {
                let page = fs::read_to_string(&target).unwrap_or_default();
                let headings = page.lines().filter(|line| line.starts_with('#'));
                anchor.is_empty()
                    || headings.map(slug).any(|slug| slug == anchor)
                    || page.contains(&format!("<a id=\"{anchor}\">"))
            };
            if !there {
                lost.push(format!("{}: {}", path.display(), &found[1]));
            }
        }
    });
    assert!(
        lost.is_empty(),
        "links that lead nowhere:\n{}",
        lost.join("\n")
    );
}
