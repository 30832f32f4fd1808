//! Where two long texts differ: every stretch, by word; of JSON, every path.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::value::RawValue;
use similar::{ChangeTag, TextDiff};

/// Stretches with less in common between them, in bytes, are one.
const JOINED: usize = 24;
/// Longer texts are compared without their words: what is equal at both ends is left out.
const LONGEST: usize = 64 << 10;

/// A stretch in which two texts differ, as byte ranges of both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// In the first.
    pub old: Range<usize>,
    /// In the second.
    pub new: Range<usize>,
}

/// The stretches in which two texts differ, in order; none where they are the same. What stands
/// between, before and after them is the same in both.
pub fn stretches(old: &str, new: &str) -> Vec<Stretch> {
    if old == new {
        return Vec::new();
    }
    let (start, end) = ends(old, new);
    let (a, b) = (&old[start..old.len() - end], &new[start..new.len() - end]);
    if a.len().max(b.len()) > LONGEST {
        return vec![Stretch {
            old: start..old.len() - end,
            new: start..new.len() - end,
        }];
    }
    let diff = TextDiff::from_words(a, b);
    let mut found: Vec<Stretch> = Vec::new();
    let (mut at_old, mut at_new) = (start, start);
    for change in diff.iter_all_changes() {
        let length = change.value().len();
        let stretch = match change.tag() {
            ChangeTag::Equal => {
                at_old += length;
                at_new += length;
                continue;
            }
            ChangeTag::Delete => Stretch {
                old: at_old..at_old + length,
                new: at_new..at_new,
            },
            ChangeTag::Insert => Stretch {
                old: at_old..at_old,
                new: at_new..at_new + length,
            },
        };
        (at_old, at_new) = (stretch.old.end, stretch.new.end);
        match found.last_mut() {
            Some(last) if stretch.old.start - last.old.end < JOINED => {
                (last.old.end, last.new.end) = (at_old, at_new);
            }
            _ => found.push(stretch),
        }
    }
    found
}

/// How many bytes both have in common at the beginning and, beside that, at the end. A word is not
/// cut in two, so that the rest begins and ends with words.
fn ends(old: &str, new: &str) -> (usize, usize) {
    let same = old.char_indices().zip(new.chars());
    let start = same
        .take_while(|((_, a), b)| a == b)
        .filter(|((_, a), _)| a.is_whitespace())
        .last()
        .map_or(0, |((at, a), _)| at + a.len_utf8());
    let rest = old[start..].chars().rev().zip(new[start..].chars().rev());
    let (mut end, mut taken) = (0, 0);
    for (a, _) in rest.take_while(|(a, b)| a == b) {
        taken += a.len_utf8();
        if a.is_whitespace() {
            end = taken;
        }
    }
    (start, end)
}

/// A place in JSON at which two values differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathChange<'a> {
    /// Names and numbers from the top, `a.b[2]`.
    pub path: String,
    /// Its JSON in the first; `None` where it is absent.
    pub old: Option<&'a str>,
    /// Its JSON in the second.
    pub new: Option<&'a str>,
}

/// At which paths two JSON objects or arrays differ, in order; `None` where one of the texts is none,
/// or they differ in nothing but white space and the order of names.
pub fn paths<'a>(old: &'a str, new: &'a str) -> Option<Vec<PathChange<'a>>> {
    let holds = |text: &str| text.starts_with(['{', '[']);
    if !holds(old) || !holds(new) {
        return None;
    }
    let (old, new) = (
        serde_json::from_str(old).ok()?,
        serde_json::from_str(new).ok()?,
    );
    let mut found = Vec::new();
    compare(&mut String::new(), Some(old), Some(new), 0, &mut found);
    (!found.is_empty()).then_some(found)
}

/// How deep paths are followed; below that a value is compared as a whole.
const DEEPEST: usize = 64;

enum Node<'a> {
    Object(BTreeMap<String, &'a RawValue>),
    Array(Vec<&'a RawValue>),
    Leaf,
}

fn node(raw: &RawValue) -> Node<'_> {
    let text = raw.get();
    let parsed = match text.as_bytes().first() {
        Some(b'{') => serde_json::from_str(text).map(Node::Object),
        Some(b'[') => serde_json::from_str(text).map(Node::Array),
        _ => return Node::Leaf,
    };
    parsed.unwrap_or(Node::Leaf)
}

fn compare<'a>(
    path: &mut String,
    old: Option<&'a RawValue>,
    new: Option<&'a RawValue>,
    depth: usize,
    found: &mut Vec<PathChange<'a>>,
) {
    let (before, after) = (old.map(RawValue::get), new.map(RawValue::get));
    if before == after {
        return;
    }
    let length = path.len();
    let nodes = old.zip(new).filter(|_| depth < DEEPEST);
    match nodes.map(|(old, new)| (node(old), node(new))) {
        Some((Node::Object(old), Node::Object(mut new))) => {
            let mut names: Vec<String> = old.keys().chain(new.keys()).cloned().collect();
            names.sort();
            names.dedup();
            for name in names {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(&name);
                let (a, b) = (old.get(&name).copied(), new.remove(&name));
                compare(path, a, b, depth + 1, found);
                path.truncate(length);
            }
        }
        Some((Node::Array(old), Node::Array(new))) => {
            for i in 0..old.len().max(new.len()) {
                *path += &format!("[{i}]");
                let (a, b) = (old.get(i).copied(), new.get(i).copied());
                compare(path, a, b, depth + 1, found);
                path.truncate(length);
            }
        }
        _ => found.push(PathChange {
            path: path.clone(),
            old: before,
            new: after,
        }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(old: &str, new: &str) -> Vec<(String, String)> {
        let found = stretches(old, new).into_iter();
        found
            .map(|s| (old[s.old].to_owned(), new[s.new].to_owned()))
            .collect()
    }

    #[test]
    fn every_stretch_is_found() {
        let far = "and then for a long while nothing happened at all ".repeat(3);
        let old = format!("a tpyo here {far} withdrawal: NO");
        let new = format!("a typo here {far} withdrawal: YES");
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(parts(&old, &new), [pair("tpyo", "typo"), pair("NO", "YES")]);
        assert_eq!(parts("same", "same"), []);
        assert_eq!(parts("", "x"), [pair("", "x")]);
        // What is close together is one.
        assert_eq!(parts("a b c", "x b y"), [pair("a b c", "x b y")]);
    }

    #[test]
    fn paths_of_json_are_named() {
        let old = r#"{"meta": {"consent": "NO", "n": 5.0}, "tags": ["a", "b"], "gone": 1}"#;
        let new = r#"{"tags": ["a", "c", {}], "meta": {"consent": "YES", "n": 5.00}, "new": null}"#;
        let found: Vec<String> = paths(old, new)
            .unwrap()
            .iter()
            .map(|c| format!("{} {:?} {:?}", c.path, c.old, c.new))
            .collect();
        assert_eq!(
            found,
            [
                r#"gone Some("1") None"#,
                r#"meta.consent Some("\"NO\"") Some("\"YES\"")"#,
                r#"meta.n Some("5.0") Some("5.00")"#,
                r#"new None Some("null")"#,
                r#"tags[1] Some("\"b\"") Some("\"c\"")"#,
                r#"tags[2] None Some("{}")"#,
            ]
        );
        assert_eq!(paths("{}", "{ }"), None);
        assert_eq!(paths("1", "2"), None);
        assert_eq!(paths("{", "{}"), None);
    }

    proptest! {
        #[test]
        fn what_is_no_stretch_is_the_same(old in "[ab é\\n]{0,60}", new in "[ab é\\n]{0,60}") {
            let (mut a, mut b) = (0, 0);
            for s in stretches(&old, &new) {
                prop_assert_eq!(&old[a..s.old.start], &new[b..s.new.start]);
                prop_assert_ne!(&old[s.old.clone()], &new[s.new.clone()]);
                (a, b) = (s.old.end, s.new.end);
            }
            prop_assert_eq!(&old[a..], &new[b..]);
        }
    }
}
