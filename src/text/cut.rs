//! Values and lines cut and wrapped to what a reader can take in.

use std::ops::Range;

use textwrap::{Options, WordSplitter};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::text::commands::inert;
use crate::text::differ::{paths, stretches};
use crate::text::{escape, escape_value};

/// The longest value shown, in characters.
pub const WIDEST: usize = 200;

/// A part of a value, escaped.
pub struct Cut {
    /// What is shown.
    pub text: String,
    /// Whether something before it is left out.
    pub left: bool,
    /// Bytes of the whole value, where something after it is left out.
    pub right: Option<usize>,
}

/// At most `widest` characters of `value` from byte `start` on, which must begin a character.
pub fn cut(value: &str, start: usize, widest: usize) -> Cut {
    cut_as(escape, value, start, widest)
}

/// The same of a value as it is in the data ([`escape_value`]).
pub fn cut_value(value: &str, start: usize, widest: usize) -> Cut {
    cut_as(escape_value, value, start, widest)
}

fn cut_as(escape: fn(&str) -> String, value: &str, start: usize, widest: usize) -> Cut {
    let rest = value.get(start..).unwrap_or_default();
    let end = rest.char_indices().nth(widest).map(|(i, _)| i);
    let shown = rest.get(..end.unwrap_or(rest.len())).unwrap_or(rest);
    Cut {
        text: escape(shown),
        left: start > 0,
        right: end.map(|_| value.len()),
    }
}

/// At most so many differences of one pair of values are shown; the rest is counted.
const DIFFERENCES: usize = 12;

/// What of two different values is shown.
pub struct Difference {
    /// Of JSON the path, escaped; else empty.
    pub path: String,
    /// The first value or the part of it that differs; `None` where there is none.
    pub old: Option<Cut>,
    /// The second.
    pub new: Option<Cut>,
}

/// What differs between two values: both whole where they are short; else every stretch that differs,
/// with something around it, of JSON every path. The number counts further differences.
pub fn differences(old: &str, new: &str, widest: usize) -> (Vec<Difference>, usize) {
    let long = |v: &str| v.char_indices().nth(widest).is_some();
    let whole = |v: &str| Some(cut_value(v, 0, widest));
    if !long(old) && !long(new) {
        let pair = Difference {
            path: String::new(),
            old: whole(old),
            new: whole(new),
        };
        return (vec![pair], 0);
    }
    // JSON has its own backslashes.
    let of_json = |v: &str| Some(cut(v, 0, widest));
    let mut found: Vec<Difference> = match paths(old, new) {
        Some(paths) => (paths.into_iter())
            .map(|p| Difference {
                path: escape(&p.path),
                old: p.old.and_then(of_json),
                new: p.new.and_then(of_json),
            })
            .collect(),
        None => (stretches(old, new).into_iter())
            .map(|s| {
                let (of_old, of_new) = narrowed((old, s.old), (new, s.new), widest);
                Difference {
                    path: String::new(),
                    old: Some(around(old, of_old, widest)),
                    new: Some(around(new, of_new, widest)),
                }
            })
            .collect(),
    };
    let more = found.len().saturating_sub(DIFFERENCES);
    if more > 0 {
        // What was another value before says more than what is new, and what stands near the top than what is deep in it.
        found.sort_by_key(|d| {
            let depth = d.path.matches(['.', '[']).count();
            (d.old.is_none() || d.new.is_none(), depth)
        });
    }
    found.truncate(DIFFERENCES);
    (found, more)
}

/// Two parts that differ, without what they begin and end with alike where one is too long to be shown: of one very long
/// word, what is left differs.
fn narrowed(
    (old, of_old): (&str, Range<usize>),
    (new, of_new): (&str, Range<usize>),
    widest: usize,
) -> (Range<usize>, Range<usize>) {
    let (a, b) = (&old[of_old.clone()], &new[of_new.clone()]);
    if a.chars().count().max(b.chars().count()) <= longest_part(widest) {
        return (of_old, of_new);
    }
    let alike = |pairs: &mut dyn Iterator<Item = (char, char)>| -> usize {
        let same = pairs.take_while(|(a, b)| a == b);
        same.map(|(a, _)| a.len_utf8()).sum()
    };
    let before = alike(&mut a.chars().zip(b.chars()));
    let rest = a[before..].chars().rev().zip(b[before..].chars().rev());
    let after = alike(&mut { rest });
    (
        of_old.start + before..of_old.end - after,
        of_new.start + before..of_new.end - after,
    )
}

/// The most characters of a part that is shown with what stands around it.
fn longest_part(widest: usize) -> usize {
    widest * 10
}

/// A part of `value` with something before and after it, to know where one is. Only a part that is very
/// long itself is cut at its end.
fn around(value: &str, part: Range<usize>, widest: usize) -> Cut {
    let beside = (widest / 8).max(8);
    let start = value[..part.start].char_indices().rev().nth(beside - 1);
    let start = start.map_or(0, |(at, _)| at);
    let end = value[part.end..].char_indices().nth(beside);
    let end = end.map_or(value.len(), |(at, _)| part.end + at);
    let mut shown = cut_value(&value[..end], start, longest_part(widest));
    if shown.right.is_none() && end < value.len() {
        shown.right = Some(value.len());
    }
    shown
}

/// A value in quotes, or the word null.
pub fn quoted(value: Option<&str>) -> String {
    value.map_or("null".into(), |v| quote(&cut_value(v, 0, WIDEST)))
}

/// An old and a new value, `"a" → "b"`; of long values all that differs.
pub fn quoted_pair(old: Option<&str>, new: Option<&str>) -> String {
    let (Some(a), Some(b)) = (old, new) else {
        return format!("{} → {}", quoted(old), quoted(new));
    };
    let (found, more) = differences(a, b, WIDEST);
    let show = |cut: &Option<Cut>, how: fn(&Cut) -> String| {
        let cut = cut.as_ref();
        cut.map_or("nothing".into(), how)
    };
    let mut shown: Vec<String> = found
        .iter()
        .map(|Difference { path, old, new }| match path.as_str() {
            "" => format!("{} → {}", show(old, quote), show(new, quote)),
            // JSON has its own quotes.
            path => format!("{path}: {} → {}", show(old, bare), show(new, bare)),
        })
        .collect();
    shown.extend(further(more));
    shown.join("; ")
}

/// How many differences are not shown, where some are not.
pub fn further(more: usize) -> Option<String> {
    match more {
        0 => None,
        1 => Some("and 1 more difference".into()),
        n => Some(format!("and {n} more differences")),
    }
}

fn quote(cut: &Cut) -> String {
    marked(cut, &format!("\"{}\"", cut.text.replace('"', "\\\"")))
}

fn bare(cut: &Cut) -> String {
    marked(cut, &cut.text)
}

/// `text` with marks where it was cut.
fn marked(cut: &Cut, text: &str) -> String {
    let left = if cut.left { "…" } else { "" };
    let right = cut.right.map(|bytes| format!("… ({bytes} bytes)"));
    format!("{left}{text}{}", right.unwrap_or_default())
}

/// Appends `lead` and `text` to `out`, ended by a line end and wrapped at `width` columns; further
/// lines are indented by `hang`. Colours in `lead` take no room.
pub fn wrap(out: &mut String, lead: &str, text: &str, hang: usize, width: usize) {
    let indent = " ".repeat(hang);
    let options = Options::new(width.max(hang + 20))
        .initial_indent(lead)
        .subsequent_indent(&indent)
        // A key with hyphens stays whole.
        .word_splitter(WordSplitter::NoHyphenation);
    for line in textwrap::wrap(text, options) {
        // A word that begins a line now must not be a command there.
        out.push_str(&inert(&line));
        out.push('\n');
    }
}

/// `text` escaped and cut to its last `width` columns: of paths, what tells them apart stands at the end.
pub fn fit_end(text: &str, width: usize) -> String {
    let text = escape(text);
    if text.width() <= width {
        return text;
    }
    let mut taken = 0;
    let fits = text.char_indices().rev().take_while(|(_, c)| {
        taken += c.width().unwrap_or(0);
        taken < width
    });
    let from = fits.last().map_or(text.len(), |(at, _)| at);
    format!("…{}", &text[from..])
}

/// `text` escaped and cut to `width` columns.
pub fn fit(text: &str, width: usize) -> String {
    let text = escape(text);
    if text.width() <= width {
        return text;
    }
    let mut out = String::new();
    let mut taken = 0;
    for c in text.chars() {
        taken += c.width().unwrap_or(0);
        if taken >= width {
            break;
        }
        out.push(c);
    }
    out + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_keep_their_end() {
        for (width, fits) in [
            (40, "staging/b/é/字_1.csv"),
            (10, "…/字_1.csv"),
            (9, "…字_1.csv"),
            (1, "…"),
        ] {
            let shown = fit_end("staging/b/é/字_1.csv", width);
            assert_eq!(shown, fits);
            assert!(shown.width() <= width);
        }
    }

    #[test]
    fn lines_keep_to_the_width() {
        let text = format!(
            "short words and {} 中文字符 {}",
            "x".repeat(70),
            "字".repeat(50)
        );
        let mut out = String::new();
        wrap(&mut out, "  ~ ", &text, 6, 40);
        assert!(out.lines().all(|l| l.width() <= 40), "{out}");
        let joined: String = out.split_whitespace().collect();
        assert_eq!(joined, format!("~{}", text.replace(' ', "")));
    }

    #[test]
    fn of_long_values_all_that_differs_is_shown() {
        let (a, b) = ("a".repeat(1000) + " X", "a".repeat(1000) + " Y");
        let shown = quoted_pair(Some(&a), Some(&b));
        assert!(
            shown.contains("a X\"") && shown.contains("a Y\"") && shown.len() < 120,
            "{shown}"
        );
        assert_eq!(quoted_pair(Some("a\"b"), None), "\"a\\\"b\" → null");
        // One word of three thousand letters.
        let word = "x".repeat(2999);
        let (found, more) = differences(&format!("{word}y"), &format!("{word}z"), 60);
        let [Difference { old, new, .. }] = &found[..] else {
            panic!("{} and {more}", found.len());
        };
        let shown = |cut: &Option<Cut>| cut.as_ref().unwrap().text.clone();
        assert!(shown(old).ends_with("xy") && shown(new).ends_with("xz"));
        // What looks like a line feed, and one.
        assert_eq!(
            quoted_pair(Some("a\nb"), Some("a\\nb")),
            r#""a\nb" → "a\\nb""#
        );
        assert_ne!(quoted(Some("\u{202e}")), quoted(Some("\\u{202e}")));
        assert_eq!(quoted(Some("C:\\data")), r#""C:\data""#);
        let long = "é".repeat(300);
        assert!(quoted(Some(&long)).ends_with("é\"… (600 bytes)"));
        let far = "nothing happens here ".repeat(20);
        let note = |typo: &str, word: &str| format!("the {typo} note. {far}withdrawal: {word}");
        let shown = quoted_pair(Some(&note("frist", "NO")), Some(&note("first", "YES")));
        assert!(
            shown.contains("the frist note") && shown.contains("the first note"),
            "{shown}"
        );
        assert!(
            shown.contains("withdrawal: NO\"") && shown.contains("withdrawal: YES\""),
            "{shown}"
        );
        let json = |word: &str| format!(r#"{{"meta": {{"consent": "{word}"}}, "text": "{far}"}}"#);
        let shown = quoted_pair(Some(&json("NO")), Some(&json("YES")));
        assert_eq!(shown, "meta.consent: \"NO\" → \"YES\"");
        // Among many new values, the one that changes.
        let answers: Vec<String> = (0..60).map(|n| format!(r#""q{n}": {n}"#)).collect();
        let json = |answers: &str, word: &str| {
            format!(
                r#"{{"answers": {{{answers}}}, "text": "{far}", "z": {{"consent": "{word}"}}}}"#
            )
        };
        let shown = quoted_pair(
            Some(&json("", "NO")),
            Some(&json(&answers.join(", "), "YES")),
        );
        assert!(
            shown.starts_with("z.consent: \"NO\" → \"YES\"; answers.")
                && shown.ends_with("and 49 more differences"),
            "{shown}"
        );
    }

    #[test]
    fn names_are_cut_by_display_width() {
        assert_eq!(fit("subjects", 8), "subjects");
        assert_eq!(fit("subjects", 7), "subjec…");
        assert_eq!(fit("漢字漢字", 5), "漢字…");
        assert_eq!(fit("a\u{202e}b", 20), "a\\u{202e}b");
    }
}
