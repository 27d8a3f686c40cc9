//! Keeps the shape of the code: who may import whom, which folder may name which library, how long a file may be, which names
//! are banned. Invariant: a rule that is broken is named with its file, its line and what to do.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Most lines of a file, tests included.
const MAX_LINES: usize = 400;

/// Most lines of the file in the middle of `src/`.
const MAX_MEDIAN: usize = 150;

/// Left may import right; everyone but `domain` may also import [`BASE`]. `*` is everything.
const IMPORTS: [(&str, &[&str]); 25] = [
    ("main", &["app", "cli"]),
    // The one-off commands (token, migrate, openapi, dead-letters) call one station each.
    ("cli", &["app", "auth", "dlq", "http", "kafka", "slo", "store"]),
    ("app", &["*"]),
    (
        "http",
        &[
            "auth",
            "ingest",
            "idempotency",
            "lanes",
            "limit",
            "operators",
            "query",
            "quotas",
            "sources",
            "topics",
            "stream",
            "slo",
            "dlq",
        ],
    ),
    ("ingest", &["lanes", "limit", "codec", "kafka"]),
    ("lanes", &["operators", "store"]),
    ("idempotency", &["cache"]),
    ("operators", &["store"]),
    ("quotas", &["operators", "limit", "store", "cache"]),
    ("sources", &["operators", "codec"]),
    ("topics", &["operators", "kafka"]),
    ("worker", &["codec", "kafka", "store", "cache", "dlq"]),
    ("query", &["store", "cache"]),
    ("slo", &["store"]),
    ("dlq", &["kafka", "store"]),
    ("stream", &["kafka", "codec"]),
    ("limit", &["store", "cache"]),
    ("auth", &[]),
    ("codec", &[]),
    ("kafka", &[]),
    ("store", &[]),
    ("cache", &[]),
    ("config", &[]),
    ("telemetry", &[]),
    ("domain", &[]),
];

/// What every folder stands on.
const BASE: [&str; 3] = ["config", "telemetry", "domain"];

/// Libraries that one folder alone may name, so that replacing one stays a local change.
const LIBRARIES: [(&str, &str); 7] = [
    ("poem", "http"),
    ("poem_openapi", "http"),
    ("rdkafka", "kafka"),
    ("sqlx", "store"),
    ("redis", "cache"),
    ("deadpool_redis", "cache"),
    ("jsonwebtoken", "auth"),
];

/// Names that say nothing; files of such names grow without a ceiling.
const BANNED: [&str; 10] =
    ["util", "utils", "helper", "helpers", "common", "types", "manager", "managers", "misc", "stuff"];

/// Folders that are not ours to judge.
const SKIPPED: [&str; 5] = ["target", ".git", ".weir", "out", "node_modules"];

struct Source {
    /// Relative to the root of the repository.
    path: PathBuf,
    text: String,
}

impl Source {
    fn is_rust(&self) -> bool {
        self.path.extension().is_some_and(|extension| extension == "rs")
    }

    /// A file of tests only: it may stand a station on doubles of the stations below.
    fn is_test(&self) -> bool {
        self.path.file_stem().and_then(|stem| stem.to_str()).is_some_and(|stem| stem.ends_with("tests"))
    }

    /// First name below `src/`: the folder of a station, or a file of the root by its stem.
    fn station(&self) -> Option<&str> {
        let first = self.path.strip_prefix("src").ok()?.components().next()?;
        first.as_os_str().to_str().map(|name| name.trim_end_matches(".rs"))
    }

    /// Depth of the module below the crate: 1 for `src/auth/mod.rs`, 2 for `src/auth/keys.rs`.
    fn depth(&self) -> usize {
        let stem = self.path.file_stem().and_then(|stem| stem.to_str());
        self.path.components().count() - if matches!(stem, Some("mod")) { 2 } else { 1 }
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() && !path.is_symlink() {
                if !SKIPPED.contains(&name) {
                    folders.push(path);
                }
            } else if ["rs", "sql", "lua", "sh"].iter().any(|end| path.extension().is_some_and(|found| found == *end)) {
                let text = fs::read_to_string(&path).expect("text");
                found.push(Source { path: path.strip_prefix(root).expect("below the root").to_owned(), text });
            }
        }
    }
    assert!(found.len() > 20, "the walk found {} files only: is the repository elsewhere?", found.len());
    found
}

fn none(broken: Vec<String>, rule: &str) {
    assert!(broken.is_empty(), "{rule}\n  {}", broken.join("\n  "));
}

/// Lines with their numbers from 1, comments cut.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line.split("//").next().unwrap_or_default()))
}

/// What follows each `word` that is not the tail of a longer name.
fn after<'a>(line: &'a str, word: &str) -> Vec<&'a str> {
    let whole = |at: &usize| !line[..*at].ends_with(|before: char| before.is_alphanumeric() || before == '_');
    line.match_indices(word).map(|(at, _)| at).filter(whole).map(|at| &line[at + word.len()..]).collect()
}

/// The first names of a path: one, or those of a `{…}` group.
fn heads(path: &str) -> Vec<String> {
    let name = |text: &str| text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
    let Some(group) = path.strip_prefix('{') else { return vec![name(path)] };
    let (mut names, mut depth, mut fresh) = (Vec::new(), 0, true);
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            _ if fresh && !letter.is_whitespace() => {
                names.push(name(&group[at..]));
                fresh = false;
            }
            _ => {}
        }
    }
    names
}

/// Top-level modules a file names, by `crate::` or by climbing up to the root.
fn imports(source: &Source) -> BTreeSet<String> {
    let flat: String = code(&source.text).flat_map(|(_, line)| [line.trim(), " "]).collect();
    let climb = "super::".repeat(source.depth());
    let climbed = if source.depth() > 1 { after(&flat, &climb) } else { Vec::new() };
    after(&flat, "crate::").into_iter().chain(climbed).flat_map(heads).filter(|name| !name.is_empty()).collect()
}

fn stations() -> BTreeSet<&'static str> {
    IMPORTS.iter().map(|(left, _)| *left).collect()
}

#[test]
fn imports_follow_the_table() {
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| source.is_rust() && !source.is_test()) {
        let Some(station) = source.station().filter(|station| *station != "lib") else { continue };
        let Some((_, allowed)) = IMPORTS.iter().find(|(left, _)| *left == station) else {
            broken.push(format!("{}: src/{station} is not in the table; add it", source.path.display()));
            continue;
        };
        for name in imports(source).into_iter().filter(|name| name != station && stations().contains(name.as_str())) {
            let base = station != "domain" && BASE.contains(&name.as_str());
            if !base && !allowed.contains(&"*") && !allowed.contains(&name.as_str()) {
                broken.push(format!("{}: {station} must not import {name}", source.path.display()));
            }
        }
    }
    none(broken, "Hand the value in from `app`, or move the code to the folder it belongs to (docs/architecture.md):");
}

#[test]
fn each_library_is_known_to_one_folder() {
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| source.is_rust()) {
        let Some(station) = source.station() else { continue };
        for (library, owner) in LIBRARIES {
            // A module of the same name, such as config::redis, is not the library.
            let own_module = source.text.contains(&format!("mod {library};"));
            if station == owner || own_module {
                continue;
            }
            for (number, line) in code(&source.text) {
                let named = after(line, library).iter().any(|rest| rest.starts_with("::") || rest.starts_with(';'));
                let by_path = line.contains(&format!("crate::config::{library}::"));
                if named && !by_path {
                    broken.push(format!("{}:{number}: {library} belongs to src/{owner}", source.path.display()));
                }
            }
        }
    }
    none(broken, "Offer what is needed as a function or type of the owning folder and call that:");
}

#[test]
fn files_are_short() {
    let sources = sources();
    let long =
        sources.iter().map(|source| (source.text.lines().count(), source)).filter(|(lines, _)| *lines > MAX_LINES);
    let long = long.map(|(lines, source)| format!("{}: {lines} lines", source.path.display())).collect();
    none(long, &format!("A file may have {MAX_LINES} lines; split it by ideas, one a file:"));

    let mut lengths: Vec<_> = sources
        .iter()
        .filter(|source| source.is_rust() && source.path.starts_with("src"))
        .map(|source| source.text.lines().count())
        .collect();
    lengths.sort_unstable();
    let median = lengths[lengths.len() / 2];
    assert!(median <= MAX_MEDIAN, "the median file of src/ has {median} lines, {MAX_MEDIAN} are allowed: split some");
}

#[test]
fn names_say_what_is_inside() {
    let mut broken = Vec::new();
    for source in sources() {
        let bad = source.path.with_extension("").components().any(|part| {
            part.as_os_str().to_str().is_some_and(|name| BANNED.contains(&name.to_ascii_lowercase().as_str()))
        });
        if bad {
            broken.push(source.path.display().to_string());
        }
    }
    none(broken, "Name files and folders after their role on the path of an event, not after being left over:");
}

#[test]
fn every_module_says_its_place() {
    let bare = |source: &Source| source.is_rust() && !source.text.starts_with("//!");
    let broken =
        sources().iter().filter(|source| bare(source)).map(|source| source.path.display().to_string()).collect();
    none(broken, "Begin the file with `//!`: its place on the path, then the one invariant it keeps:");
}

#[test]
fn nothing_is_left_for_later() {
    // Written in halves, so that this file does not break its own rule.
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("unimple", "mented!"), concat!("to", "do!(")];
    let ignored = concat!("#[ign", "ore");
    let mut broken = Vec::new();
    for source in sources() {
        for (index, line) in source.text.lines().enumerate() {
            for mark in marks.iter().copied().filter(|mark| !after(line, mark).is_empty()) {
                broken.push(format!("{}:{}: {mark}", source.path.display(), index + 1));
            }
            if line.contains(ignored) {
                broken.push(format!("{}:{}: a test that does not run", source.path.display(), index + 1));
            }
        }
    }
    none(broken, "Finish it now, or open an issue and take the mark out:");
}

#[test]
fn the_scanner_sees_every_form_of_import() {
    let see = |path: &str, text: &str| {
        let source = Source { path: path.into(), text: text.into() };
        imports(&source).into_iter().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(see("src/http/mod.rs", "use crate::store::ApiStore;"), "store");
    assert_eq!(see("src/http/mod.rs", "use crate::{store::{self, x}, kafka, domain::id};"), "domain kafka store");
    assert_eq!(see("src/http/mod.rs", "use crate::{\n    store,\n};"), "store");
    assert_eq!(see("src/http/mod.rs", "fn f() { crate::store::open() }"), "store");
    assert_eq!(see("src/http/api.rs", "use super::super::store;"), "store");
    assert_eq!(see("src/http/api.rs", "use super::store; // crate::kafka"), "");
    assert_eq!(see("src/http/mod.rs", "/// See crate::store.\nuse my_crate::kafka;"), "");
}
