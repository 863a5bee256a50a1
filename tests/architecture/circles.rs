//! Finds out from the sources which module of a crate names items of which other module.
//!
//! An edge goes to the module that declares an item: a `pub use` is followed, and is no edge itself. Names in tests do
//! not count. Macros and methods are not analysed.

use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// From the root of its crate: `["embedded", "file"]`.
type ModulePath = Vec<String>;

#[derive(Default)]
struct Module {
    children: BTreeSet<String>,
    /// The declared items that a `*` can re-export.
    items: BTreeSet<String>,
    /// Paths as they are written, relative to this module.
    named: BTreeSet<Vec<String>>,
    /// `pub use`: the path behind a name; `*` holds the last glob.
    exports: BTreeMap<String, Vec<String>>,
}

/// The modules of one crate.
pub struct Modules(BTreeMap<ModulePath, Module>);

impl Modules {
    /// Of the crate whose root module is this file.
    pub fn read(root: &Path) -> Self {
        let mut modules = Self(BTreeMap::new());
        let folder = root.parent().expect("a file is in a folder");
        modules.add(root, folder, Vec::new());
        modules
    }

    fn add(&mut self, file: &Path, folder: &Path, path: ModulePath) {
        let source = fs::read_to_string(file).expect("sources are readable");
        let module = Module::parse(&without_tests(&tokens(&source)));
        for child in &module.children {
            let below = folder.join(child);
            let files = [folder.join(format!("{child}.rs")), below.join("mod.rs")];
            let file = files.into_iter().find(|file| file.exists());
            let path = path.iter().chain([child]).cloned().collect();
            self.add(&file.expect("a module has a file"), &below, path);
        }
        self.0.insert(path, module);
    }

    /// The edges that are part of a cycle, or connect two cycles.
    pub fn circles(&self) -> Vec<String> {
        let mut edges = BTreeSet::new();
        for (from, module) in &self.0 {
            for named in &module.named {
                if let Some(to) = self.home_of(from, named, 0).filter(|to| to != from) {
                    edges.insert((from.clone(), to));
                }
            }
        }
        loop {
            let targets: BTreeSet<_> = edges.iter().map(|(_, to)| to.clone()).collect();
            let sources: BTreeSet<_> = edges.iter().map(|(from, _)| from.clone()).collect();
            let before = edges.len();
            edges.retain(|(from, to)| targets.contains(from) && sources.contains(to));
            if edges.len() == before {
                let text = |path: &ModulePath| match path.is_empty() {
                    true => "crate".to_owned(),
                    false => path.join("::"),
                };
                let line = |(from, to): &_| format!("{} -> {}", text(from), text(to));
                return edges.iter().map(line).collect();
            }
        }
    }

    /// The module that declares what `named` means in `from`; `None`: another crate, or nothing of ours.
    fn home_of(&self, from: &ModulePath, named: &[String], depth: u32) -> Option<ModulePath> {
        const REEXPORTS_MAX: u32 = 8;
        let (mut at, mut rest) = (from.clone(), named);
        match named.first()?.as_str() {
            "crate" => {
                at.clear();
                rest = &named[1..];
            }
            "self" => rest = &named[1..],
            "super" => {
                while rest.first().is_some_and(|word| word == "super") {
                    at.pop();
                    rest = &rest[1..];
                }
            }
            word if self.0[&at].children.contains(word) => {}
            _ => return None,
        }
        while let Some(child) = rest
            .first()
            .filter(|word| self.0[&at].children.contains(*word))
        {
            at.push(child.clone());
            rest = &rest[1..];
        }
        let module = &self.0[&at];
        let Some(name) = rest.first().filter(|_| depth < REEXPORTS_MAX) else {
            return Some(at);
        };
        let exported = module.exports.get(name);
        let exported = exported.and_then(|path| self.home_of(&at, path, depth + 1));
        let by_glob = || {
            let glob = module
                .exports
                .get("*")
                .filter(|_| !module.items.contains(name))?;
            let home = self.home_of(&at, &glob[..glob.len() - 1], depth + 1)?;
            self.0[&home].items.contains(name).then_some(home)
        };
        exported.or_else(by_glob).or(Some(at))
    }
}

impl Module {
    fn parse(tokens: &[&str]) -> Self {
        let mut module = Self::default();
        let mut at = 0;
        while at < tokens.len() {
            let after = |n| tokens.get(at + n).copied().unwrap_or_default();
            match tokens[at] {
                "mod" if after(2) == ";" => drop(module.children.insert(after(1).to_owned())),
                "struct" | "enum" | "fn" | "trait" | "type" | "const" | "static" => {
                    module.items.insert(after(1).to_owned());
                }
                "pub" => {
                    let restricted = matches!(after(2), "crate" | "super" | "self" | "in");
                    let skipped = match after(1) {
                        "(" if restricted => {
                            tokens[at..].iter().position(|&t| t == ")").unwrap_or(0)
                        }
                        _ => 0,
                    };
                    if tokens.get(at + skipped + 1) == Some(&"use") {
                        let mut paths = Vec::new();
                        at = path_tree(tokens, at + skipped + 2, &[], &mut paths);
                        module.exports.extend(paths);
                        continue;
                    }
                    // A visibility is no dependency.
                    at += skipped;
                }
                word if is_word(word) && (after(1) == "::" || before_is_use(tokens, at)) => {
                    let mut paths = Vec::new();
                    at = path_tree(tokens, at, &[], &mut paths);
                    module.named.extend(paths.into_iter().map(|(_, path)| path));
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
        module
    }
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

fn before_is_use(tokens: &[&str], at: usize) -> bool {
    at > 0 && tokens[at - 1] == "use"
}

/// Reads `a::{b, c as d}` from `at`: each path with its name. Returns the position after it.
fn path_tree(
    tokens: &[&str],
    mut at: usize,
    before: &[String],
    paths: &mut Vec<(String, Vec<String>)>,
) -> usize {
    let mut path = before.to_vec();
    while let Some(&token) = tokens.get(at) {
        match token {
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|&token| token != "}") {
                    let next = path_tree(tokens, at, &path, paths);
                    at = next.max(at + 1);
                    if tokens.get(at) == Some(&",") {
                        at += 1;
                    }
                }
                return at + 1;
            }
            // The braces of `a::{self}` name `a`.
            "self" if !path.is_empty() => {}
            token if is_word(token) || token == "*" => path.push(token.to_owned()),
            _ => break,
        }
        at += 1;
        if tokens.get(at) != Some(&"::") {
            break;
        }
        at += 1;
    }
    let mut name = path.last().cloned().unwrap_or_default();
    if tokens.get(at) == Some(&"as") {
        name = tokens[at + 1].to_owned();
        at += 2;
    }
    if path.len() > before.len() || tokens.get(at.wrapping_sub(1)) == Some(&"self") {
        paths.push((name, path));
    }
    at
}

/// Identifiers and relevant punctuation, without comments and literals.
fn tokens(source: &str) -> Vec<&str> {
    let comments = r"//[^\n]*|/\*.*?\*/";
    let texts = r##"b?r"[^"]*"|b?r#".*?"#|b?"(?:\\.|[^"\\])*"|'(?:\\[^']+|[^'\\])'"##;
    let kept = r"[A-Za-z_][A-Za-z0-9_]*|::|[{}(),;*#\[\]]";
    let lexer = Regex::new(&format!("(?s){comments}|{texts}|({kept})"));
    let lexer = lexer.expect("a regular expression");
    let found = lexer.captures_iter(source);
    found
        .filter_map(|found| Some(found.get(1)?.as_str()))
        .collect()
}

/// Removes the items that are compiled for tests only.
fn without_tests<'a>(tokens: &[&'a str]) -> Vec<&'a str> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if !tokens[at..].starts_with(&["#", "[", "cfg", "(", "test", ")", "]"]) {
            kept.push(tokens[at]);
            at += 1;
            continue;
        }
        let mut depth = 0;
        while let Some(&token) = tokens.get(at) {
            at += 1;
            match token {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            if depth == 0 && matches!(token, "}" | ";") {
                break;
            }
        }
    }
    kept
}

#[test]
fn a_circle_is_found_through_a_reexport() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("a file");
    write("lib.rs", "mod a; mod b; mod c; pub use b::{B as Bee};");
    write("a.rs", "use crate::{c::C, Bee}; // use crate::nobody;");
    write(
        "b.rs",
        "struct B; fn b() { super::a::run(\"crate::c::C\") }",
    );
    write(
        "c.rs",
        "pub(in crate::a) struct C; #[cfg(test)] mod tests { use super::super::a; }",
    );
    let circles = Modules::read(&folder.path().join("lib.rs")).circles();
    assert_eq!(circles, ["a -> b", "b -> a"]);
}
