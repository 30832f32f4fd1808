//! Imports point down, never up and never in a circle, and what only the command line may do is
//! done nowhere else: read from the sources, so that ARCHITECTURE.md stays true.
#![allow(clippy::unwrap_used, reason = "a test that panics says where")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

#[path = "support/rust.rs"]
mod rust;

use rust::Module;

/// Bottom to top. Modules of one line may not import each other; those of the first line may, as
/// long as it is no circle.
const ORDER: [&[&str]; 12] = [
    &["text", "strict", "action", "error"],
    &["sql"],
    &["types"],
    &["table"],
    &["record"],
    &["plan"],
    &["planfile"],
    &["source"],
    &["pg", "render"],
    &["ops"],
    &["postgres_server"],
    &["cli"],
];
/// Values in, values out.
const CORE: [&str; 10] = [
    "text", "strict", "action", "error", "sql", "types", "table", "record", "plan", "planfile",
];
/// What the core does without.
const EFFECTS: [&str; 6] = [
    "tokio",
    "tokio_postgres",
    "aws_",
    "TcpStream",
    "std::process",
    "std::thread",
];
/// What only the command line does.
const SURROUNDINGS: [&str; 10] = [
    "std::env",
    "SystemTime::now",
    "stdin()",
    "stdout()",
    "stderr()",
    "print!",
    "println!",
    "eprint!",
    "eprintln!",
    "dbg!",
];

/// Circles that are still to be cut.
const CIRCLES: [(&str, &str); 0] = [];
/// What is done elsewhere all the same.
const ELSEWHERE: [(&str, &str); 2] = [
    // The AWS client reads its own variables; these two say how it is to be made.
    ("source::s3", "std::env"),
    // Where libpq looks for certificates: below the home folder.
    ("pg::connect::tls", "std::env"),
];

/// Every module of the program but those for tests alone, by its path, such as `pg::apply`.
fn modules() -> BTreeMap<String, Module> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = BTreeMap::new();
    let mut folders = vec![source.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(&source).unwrap().with_extension("");
                let name = name.to_str().unwrap().replace('/', "::");
                let name = name.strip_suffix("::mod").unwrap_or(&name).to_owned();
                let name = if name == "lib" { String::new() } else { name };
                let module = Module::read(&name, &fs::read_to_string(path).unwrap());
                found.insert(name, module);
            }
        }
    }
    found.remove("main");
    let tests: Vec<String> = found.values().flat_map(|m| m.tests.clone()).collect();
    found.retain(|name, _| !tests.contains(name));
    assert!(found.len() > 80, "{:?}", found.keys());
    found
}

/// The module in which what a path names is made: through what modules pass on by `pub use`.
fn home<'m>(modules: &'m BTreeMap<String, Module>, path: &[String]) -> Option<&'m str> {
    let mut path = path.to_vec();
    for _ in 0..8 {
        let (name, module) = (0..=path.len())
            .rev()
            .find_map(|n| modules.get_key_value(&path[..n].join("::")))?;
        let depth = name.split("::").filter(|s| !s.is_empty()).count();
        match path.get(depth).and_then(|item| module.passed_on.get(item)) {
            Some(original) => path = [original.clone(), path[depth + 1..].to_vec()].concat(),
            None => return Some(name),
        }
    }
    None
}

/// Who imports whom, each with one line that says so.
fn imports(modules: &BTreeMap<String, Module>) -> BTreeMap<(&str, &str), String> {
    let mut all = BTreeMap::new();
    for (name, module) in modules {
        for path in &module.imports {
            let home = home(modules, path).filter(|home| !home.is_empty());
            if let Some(home) = home.filter(|home| home != name) {
                let line = format!("{name} imports {}", path.join("::"));
                all.entry((name.as_str(), home)).or_insert(line);
            }
        }
    }
    all.retain(|(from, _), _| !from.is_empty());
    all
}

fn top(module: &str) -> &str {
    module.split("::").next().unwrap()
}

fn rank(module: &str) -> usize {
    let line = ORDER.iter().position(|line| line.contains(&top(module)));
    line.unwrap_or_else(|| panic!("{module} stands nowhere in the order: give it its place"))
}

#[test]
fn imports_point_down() {
    let modules = modules();
    let wrong: Vec<String> = imports(&modules)
        .into_iter()
        .filter(|((from, to), _)| {
            let beside = rank(from) == rank(to) && rank(from) > 0 && top(from) != top(to);
            rank(from) < rank(to) || beside
        })
        .map(|(_, line)| line)
        .collect();
    assert!(
        wrong.is_empty(),
        "upwards or sideways:\n{}",
        wrong.join("\n")
    );
}

/// A module and those below it are one family: they may need each other.
fn is_family(a: &str, b: &str) -> bool {
    a.strip_prefix(b)
        .or(b.strip_prefix(a))
        .is_some_and(|rest| rest.starts_with("::"))
}

#[test]
fn no_modules_import_each_other_in_a_circle() {
    let modules = modules();
    let imports = imports(&modules);
    let mut below: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (from, to) in imports.keys().filter(|(from, to)| !is_family(from, to)) {
        below.entry(from).or_default().insert(to);
    }
    // What can be reached from each, by as many steps as there are modules.
    loop {
        let before: usize = below.values().map(BTreeSet::len).sum();
        for name in modules.keys().map(String::as_str) {
            let next: BTreeSet<&str> = below.get(name).into_iter().flatten().copied().collect();
            let further: Vec<&str> = next
                .iter()
                .flat_map(|n| below.get(n))
                .flatten()
                .copied()
                .collect();
            below.entry(name).or_default().extend(further);
        }
        if before == below.values().map(BTreeSet::len).sum() {
            break;
        }
    }
    let back = |(from, to): &(&str, &str)| below.get(to).is_some_and(|all| all.contains(from));
    let is_known = |a: &str, b: &str| CIRCLES.iter().any(|c| [*c, (c.1, c.0)].contains(&(a, b)));
    let (known, wrong): (Vec<_>, Vec<_>) = imports
        .iter()
        .filter(|(pair, _)| !is_family(pair.0, pair.1) && back(pair))
        .partition(|(pair, _)| is_known(pair.0, pair.1));
    let wrong: Vec<&str> = wrong.iter().map(|(_, line)| line.as_str()).collect();
    assert!(wrong.is_empty(), "in a circle:\n{}", wrong.join("\n"));
    let left = CIRCLES
        .iter()
        .filter(|c| known.iter().any(|(pair, _)| *pair == *c));
    assert_eq!(
        left.count(),
        CIRCLES.len(),
        "strike what is cut off the list"
    );
}

#[test]
fn the_core_has_no_effects_and_only_the_command_line_knows_its_surroundings() {
    let mut found = Vec::new();
    for (name, module) in modules() {
        let mut forbidden: Vec<&str> = Vec::new();
        if CORE.contains(&top(&name)) {
            forbidden.extend(EFFECTS);
        }
        if top(&name) != "cli" {
            forbidden.extend(SURROUNDINGS);
        }
        found.extend(
            forbidden
                .into_iter()
                .filter(|words| module.mentions(words))
                .map(|words| (name.clone(), words)),
        );
    }
    let mut known = ELSEWHERE.map(|(name, words)| (name.to_owned(), words));
    known.sort();
    assert_eq!(found, known);
}
