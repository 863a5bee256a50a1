//! Plays recorded cases of the original against the built binary (`cargo xtask golden`).
//!
//! `cases/<area>.jsonl` holds one case a line:
//!
//! | key | meaning |
//! |---|---|
//! | `setup` | steps before: `{"use": fixture}` of `fixtures.json`, or `{"http": request, "expect": status, "save": {VARIABLE: path}}` |
//! | `request` | `api`, `method`, `path`, `headers`, and `body` (JSON), `raw` (text) or `generate` |
//! | `parallel` | how often the request is sent at once; their answers are `replies`, in any order |
//! | `receivers` | forwarders that the scheduler has, as `{{FWD1}}`; what reached them is `forwarded` |
//! | `metrics` | the answer is read as a page of metrics |
//! | `expect` | answers of which one has to be given |
//! | `order` | keys of the answer in their order; `unordered`: the lists whose order does not count |
//! | `after` | requests after it, each with what is expected; `{{OPID}}` is the operation that it ordered |
//!
//! `{{S}}`, `{{S2}}` are names of schedulers and `{{G}}` of a game, unique to this case. Expected answers may contain
//! `<uuid>`, `<timestamp>` (RFC 3339 in UTC, near now), `<timestamp-any>` (with any offset) and `<any>`.
//!
//! These cases need HTTP only. Those that prepare or inspect Postgres and Redis will come with that store.

mod case;
mod compare;
mod exposition;
mod http;
mod play;
#[path = "../support/mod.rs"]
mod support;
mod variables;

use std::path::{Path, PathBuf};

fn cases(file: &str) -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    tests.join("golden/cases").join(file)
}

/// Plays all cases of an area on their own server, and reports each difference.
fn play_area(area: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    // Paused, so that operations stay in the queue.
    let paused = [("MAESTRO_WORKERS_PAUSED", "true")];
    let maestro = support::Maestro::start_with(folder.path(), &paused);
    let stage = play::Stage::new(&maestro, &cases("fixtures.json"));
    let text = std::fs::read_to_string(cases(&format!("{area}.jsonl"))).expect("the cases");
    let mut wrong = Vec::new();
    for line in text.lines() {
        let case: case::Case = serde_json::from_str(line).expect("a case");
        let differences = stage.play(&case);
        wrong.extend(differences.iter().map(|text| format!("{} {text}", case.id)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

macro_rules! areas {
    ($($area:ident)*) => {$(
        #[test]
        fn $area() {
            play_area(stringify!($area));
        }
    )*

        #[test]
        fn every_area_is_played() {
            let played = [$(stringify!($area)),*];
            for entry in std::fs::read_dir(cases("")).expect("the folder") {
                let name = entry.expect("an entry").file_name();
                let name = name.to_str().expect("a name");
                let area = name.strip_suffix(".jsonl").unwrap_or("fixtures");
                assert!(area == "fixtures" || played.contains(&area), "{name}");
            }
        }
    };
}

areas! {
    address allocate cancel create delete events forward gateway internal newversion operations patch ping read storage
    switch
}
