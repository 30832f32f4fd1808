//! Values and lines cut and wrapped to what a reader can take in.

use textwrap::{Options, WordSplitter};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::text::commands::inert;
use crate::text::escape;

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
    let rest = value.get(start..).unwrap_or_default();
    let end = rest.char_indices().nth(widest).map(|(i, _)| i);
    let shown = rest.get(..end.unwrap_or(rest.len())).unwrap_or(rest);
    Cut {
        text: escape(shown),
        left: start > 0,
        right: end.map(|_| value.len()),
    }
}

/// Where to begin showing two long values so that their first difference is seen.
pub fn difference(a: &str, b: &str, widest: usize) -> usize {
    let long = |v: &str| v.char_indices().nth(widest).is_some();
    if !long(a) && !long(b) {
        return 0;
    }
    let pairs = a.char_indices().zip(b.chars());
    let same: Vec<usize> = pairs
        .take_while(|((_, x), y)| x == y)
        .map(|((i, _), _)| i)
        .collect();
    // Some of what is equal stays, to know where one is.
    if same.len() > widest / 2 {
        same[same.len() - widest / 8]
    } else {
        0
    }
}

/// A value in quotes, or the word null.
pub fn quoted(value: Option<&str>) -> String {
    value.map_or("null".into(), |v| quote(&cut(v, 0, WIDEST)))
}

/// An old and a new value, `"a" → "b"`.
pub fn quoted_pair(old: Option<&str>, new: Option<&str>) -> String {
    let start = match (old, new) {
        (Some(a), Some(b)) => difference(a, b, WIDEST),
        _ => 0,
    };
    let show = |v: Option<&str>| v.map_or("null".into(), |v| quote(&cut(v, start, WIDEST)));
    format!("{} → {}", show(old), show(new))
}

fn quote(cut: &Cut) -> String {
    let left = if cut.left { "…" } else { "" };
    let right = cut
        .right
        .map(|bytes| format!("… ({bytes} bytes)"))
        .unwrap_or_default();
    format!("{left}\"{}\"{right}", cut.text.replace('"', "\\\""))
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
    fn long_values_begin_where_they_differ() {
        let (a, b) = ("a".repeat(1000) + "X", "a".repeat(1000) + "Y");
        let shown = quoted_pair(Some(&a), Some(&b));
        assert!(
            shown.contains("aX\"") && shown.contains("aY\"") && shown.len() < 120,
            "{shown}"
        );
        assert_eq!(quoted_pair(Some("a\"b"), None), "\"a\\\"b\" → null");
        let long = "é".repeat(300);
        assert!(quoted(Some(&long)).ends_with("é\"… (600 bytes)"));
        let other = "é".repeat(150) + &"ü".repeat(300);
        assert!(quoted_pair(Some(&long), Some(&other)).starts_with("…\"éé"));
    }

    #[test]
    fn names_are_cut_by_display_width() {
        assert_eq!(fit("subjects", 8), "subjects");
        assert_eq!(fit("subjects", 7), "subjec…");
        assert_eq!(fit("漢字漢字", 5), "漢字…");
        assert_eq!(fit("a\u{202e}b", 20), "a\\u{202e}b");
    }
}
