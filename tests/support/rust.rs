//! As much of Rust as it takes to see what a source file imports.

use std::collections::BTreeMap;

/// What one file imports and mentions, its tests left out.
#[derive(Debug, Default)]
pub struct Module {
    /// Full paths of all that it names in this crate, by `use` or in place.
    pub imports: Vec<Vec<String>>,
    /// What it passes on by `pub use`, a name to the full path.
    pub passed_on: BTreeMap<String, Vec<String>>,
    /// Full paths of the modules that it declares for tests alone.
    pub tests: Vec<String>,
    words: Vec<String>,
}

impl Module {
    /// Reads the text of the module of that path.
    pub fn read(path: &str, text: &str) -> Module {
        let here: Vec<String> = path
            .split("::")
            .filter(|s| !s.is_empty())
            .map(str::to_owned)
            .collect();
        let mut module = Module::default();
        let words = module.without_tests(words(text), &here);
        let children: Vec<&String> = words
            .windows(3)
            .filter(|w| w[0] == "mod" && w[2] == ";")
            .map(|w| &w[1])
            .collect();
        let absolute = |path: Vec<String>| -> Option<Vec<String>> {
            let first = path.first()?.as_str();
            let ups = path.iter().take_while(|s| *s == "super").count();
            match first {
                "crate" => Some(path[1..].to_vec()),
                "self" => Some([&here[..], &path[1..]].concat()),
                "super" => Some([&here[..here.len().checked_sub(ups)?], &path[ups..]].concat()),
                _ if children.iter().any(|c| *c == first) => Some([&here[..], &path[..]].concat()),
                _ => None,
            }
        };
        let mut i = 0;
        while i < words.len() {
            let starts = i == 0 || !["::", "."].contains(&words[i - 1].as_str());
            // `use<'a>` says what a type captures.
            let is_use = words[i] == "use" && starts && words[i + 1] != "<";
            let passes_on = is_use && i > 0 && ["pub", ")"].contains(&words[i - 1].as_str());
            if is_use {
                let mut leaves = Vec::new();
                i = tree(&words, i + 1, &[], &mut leaves);
                for (name, path) in leaves {
                    let Some(path) = absolute(path) else { continue };
                    if passes_on {
                        module.passed_on.insert(name, path);
                    } else {
                        module.imports.push(path);
                    }
                }
            } else if starts && words.get(i + 1).is_some_and(|w| w == "::") {
                let mut path = vec![words[i].clone()];
                while words.get(i + 1).is_some_and(|w| w == "::")
                    && words.get(i + 2).is_some_and(|w| is_name(w))
                {
                    path.push(words[i + 2].clone());
                    i += 2;
                }
                module.imports.extend(absolute(path));
                i += 1;
            } else {
                i += 1;
            }
        }
        module.words = words;
        module
    }

    /// Whether these words stand in the code one after the other; one that ends in `_` is the
    /// beginning of a word.
    pub fn mentions(&self, text: &str) -> bool {
        let text = words(text);
        self.words.windows(text.len()).any(|part| {
            part.iter().zip(&text).all(|(word, asked)| {
                word == asked || asked.ends_with('_') && word.starts_with(asked.as_str())
            })
        })
    }

    /// Leaves out what follows `#[cfg(test)]`, and notes modules of that kind.
    fn without_tests(&mut self, all: Vec<String>, here: &[String]) -> Vec<String> {
        const TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
        let mut kept = Vec::new();
        let mut i = 0;
        while i < all.len() {
            if !all[i..].starts_with(&TEST.map(str::to_owned)) {
                kept.push(all[i].clone());
                i += 1;
                continue;
            }
            i += TEST.len();
            if all[i] == "mod" && all[i + 2] == ";" {
                self.tests
                    .push([here, &[all[i + 1].clone()]].concat().join("::"));
            }
            let mut depth = 0;
            loop {
                match all[i].as_str() {
                    "{" | "(" | "[" => depth += 1,
                    "}" | ")" | "]" => depth -= 1,
                    _ => {}
                }
                i += 1;
                if depth == 0 && [";", "}"].contains(&all[i - 1].as_str()) {
                    break;
                }
            }
        }
        kept
    }
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// Reads one tree of a `use` from `i` on; returns where it ends.
fn tree(
    words: &[String],
    mut i: usize,
    before: &[String],
    out: &mut Vec<(String, Vec<String>)>,
) -> usize {
    let mut path = before.to_vec();
    loop {
        match words[i].as_str() {
            "{" => {
                i += 1;
                while words[i] != "}" {
                    assert_ne!(words[i], ";", "not a tree of imports");
                    i = tree(words, i, &path, out);
                    i += usize::from(words[i] == ",");
                }
                return i + 1;
            }
            "::" => i += 1,
            "as" => {
                out.push((words[i + 1].clone(), path));
                return i + 2;
            }
            "," | "}" | ";" => {
                if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
                    path.pop();
                }
                out.push((path.last().unwrap().clone(), path));
                return i;
            }
            word => {
                path.push(word.to_owned());
                i += 1;
            }
        }
    }
}

/// Names, `::` and single signs; no comments, no texts.
fn words(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut words = Vec::new();
    let mut i = 0;
    while i < chars.len() {
        let c = chars[i];
        let start = i;
        if c == '/' && at(i + 1) == '/' {
            while i < chars.len() && chars[i] != '\n' {
                i += 1;
            }
        } else if let Some(hashes) = raw_text(&chars[i..]) {
            let end: String = std::iter::once('"')
                .chain((0..hashes).map(|_| '#'))
                .collect();
            let rest: String = chars[i..].iter().collect();
            let body = rest.find('"').unwrap() + 1;
            let length = rest[body..].find(&end).unwrap();
            i += rest[..body + length].chars().count() + 1 + hashes;
        } else if c == '"' {
            i += 1;
            while at(i) != '"' {
                i += 1 + usize::from(at(i) == '\\');
            }
            i += 1;
        } else if c == '\'' && (at(i + 1) == '\\' || at(i + 2) == '\'') {
            i += 2 + usize::from(at(i + 1) == '\\');
            while at(i) != '\'' {
                i += 1;
            }
            i += 1;
        } else if c.is_alphanumeric() || c == '_' {
            while at(i).is_alphanumeric() || at(i) == '_' {
                i += 1;
            }
            words.push(chars[start..i].iter().collect());
        } else if c == ':' && at(i + 1) == ':' {
            words.push("::".into());
            i += 2;
        } else {
            if !c.is_whitespace() {
                words.push(c.to_string());
            }
            i += 1;
        }
    }
    words
}

/// The number of `#` where a raw text begins.
fn raw_text(chars: &[char]) -> Option<usize> {
    let rest = match chars {
        ['b', 'r', rest @ ..] | ['r', rest @ ..] => rest,
        _ => return None,
    };
    let hashes = rest.iter().take_while(|c| **c == '#').count();
    (rest.get(hashes) == Some(&'"')).then_some(hashes)
}
