//! Text for people: what row data contains never acts on a terminal, and is cut to what a reader
//! can take in.

pub(crate) mod commands;
pub(crate) mod cut;
pub(crate) mod differ;

/// `text` with every control character, escape sequence and invisible or direction-changing
/// character shown as `\u{…}`; line breaks and tabs as `\n`, `\t`, `\r`. No command to a CI system
/// (`##[…]`) is left in it.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (i, c) in text.char_indices() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // Not a command to the CI that keeps the log.
            '#' if commands::begins(&text[i..]) => out.push_str("\\u{23}"),
            _ if acts(c) => out.extend(c.escape_unicode()),
            _ => out.push(c),
        }
    }
    out
}

/// [`escape`] of a name or value as it is in the data: a backslash that could be taken for one of ours is doubled, so that
/// two that differ look different.
pub fn escape_value(value: &str) -> String {
    let looks_like_ours =
        |rest: &str| rest.starts_with(['n', 'r', 't', '\\', '"']) || rest.starts_with("u{");
    let mut doubled = String::with_capacity(value.len());
    for (i, c) in value.char_indices() {
        doubled.push(c);
        if c == '\\' && looks_like_ours(&value[i + 1..]) {
            doubled.push(c);
        }
    }
    escape(&doubled)
}

/// [`escape_value`], with what no reader sees shown, too: blanks at either end, and blanks that are not the
/// usual one, as `\u{…}`. Two names or values that differ look different.
pub fn visible(text: &str) -> String {
    visible_ends(&escape_value(text))
}

/// An escaped text with the blanks at either end shown.
pub(crate) fn visible_ends(text: &str) -> String {
    let inner = text.trim_matches(' ');
    let start = text.len() - text.trim_start_matches(' ').len();
    let blank = "\\u{20}";
    if inner.is_empty() {
        return blank.repeat(text.len());
    }
    let end = text.len() - start - inner.len();
    format!("{}{inner}{}", blank.repeat(start), blank.repeat(end))
}

/// Text of several lines for people, each [`escape`]d: whatever of it was not already.
pub(crate) fn lines(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(escape).collect();
    lines.join("\n")
}

/// Whether a character does something other than being seen as what it is: controls (C0, C1), direction marks,
/// zero-width and other format characters, line and paragraph separators, tags, specials, and blanks
/// that are not the usual one.
pub(crate) fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{70f}' | '\u{180e}' | '\u{feff}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{fff0}'..='\u{fffb}' | '\u{fe00}'..='\u{fe0e}' | '\u{e0000}'..='\u{e0fff}')
        // Blanks that look like the usual one.
        || c != ' ' && c.is_whitespace()
        || matches!(c, '\u{115f}' | '\u{1160}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}')
        // The sign for a blank, with which blanks are shown in markdown.
        || c == '␣'
}

/// Hex digits of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut s, b| {
        let _ = write!(s, "{b:02x}");
        s
    })
}
