//! Text that Markdown does not read as markup: not in a table cell, not in a summary, not in any
//! dialect that also knows mentions, references, mathematics and bare links.

use crate::render::select::Filter;
use crate::text::cut::{Cut, cut};

/// A value as code, cut to `widest` characters.
pub fn code(value: &str, widest: usize) -> String {
    cut_code(&cut(value, 0, widest), false)
}

/// As [`code`], in HTML only: where Markdown is not read at all, or not for certain.
pub fn html_code(value: &str, widest: usize) -> String {
    cut_code(&cut(value, 0, widest), true)
}

/// A cut value as code, with marks where it was cut.
pub fn cut_code(cut: &Cut, html: bool) -> String {
    let left = if cut.left { "…" } else { "" };
    let right = cut.right.map(|bytes| format!("… ({bytes} bytes)"));
    let text = visible_spaces(&cut.text);
    let body = match text.as_str() {
        "" => "<i>empty</i>".to_owned(),
        text if !html && text.bytes().all(harmless_in_span) => format!("`{text}`"),
        text => format!("<code>{}</code>", entities(text)),
    };
    format!("{left}{body}{}", right.unwrap_or_default())
}

/// Running text, cut to `widest` characters. Mentions work outside of code, so a word with one is
/// made code.
pub fn words(text: &str, widest: usize) -> String {
    let cut = cut(text, 0, widest);
    let shown = cut.text.split(' ').map(|word| {
        let body = word.strip_suffix(':').unwrap_or(word);
        if body.bytes().all(|b| harmless_in_text(b) || !b.is_ascii()) && !body.contains("www.") {
            word.to_owned()
        } else {
            format!("<code>{}</code>", entities(word))
        }
    });
    let shown = shown.collect::<Vec<_>>().join(" ");
    format!("{shown}{}", if cut.right.is_some() { "…" } else { "" })
}

/// Whether a text is the address of a page, and one link in every dialect.
pub fn is_address(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or(url.strip_prefix("http://"));
    let harmless = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/?#@=&%+,".contains(&b);
    url.len() <= 500 && rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(harmless))
}

/// For who sees a part: a link to all of it, where there is a page that has it.
pub fn link_to(filter: &Filter) -> String {
    match filter.page.as_deref().filter(|url| is_address(url)) {
        Some(url) => {
            format!("\nSome of it is left out for want of room: [the page]({url}) has all of it.\n")
        }
        None => String::new(),
    }
}

/// Only letters, digits and `:`, for a comment.
pub fn plain(text: &str) -> String {
    let keep = |c: &char| c.is_ascii_alphanumeric() || *c == ':';
    text.chars().filter(keep).take(80).collect()
}

/// HTML leaves out spaces at the ends of code, and makes several one.
fn visible_spaces(text: &str) -> String {
    let inner = text.trim_matches(' ');
    let lead = text.len() - text.trim_start_matches(' ').len();
    let trail = text.len() - lead - inner.len();
    let mut shown = "␣".repeat(lead);
    shown += &inner.replace("  ", "␣␣");
    shown + &"␣".repeat(trail)
}

/// A code span has no markup but its own end; a table's cell ends at `|`, and dialects differ
/// about `\`. Characters of HTML are kept away from filters that come later.
fn harmless_in_span(b: u8) -> bool {
    !matches!(b, b'`' | b'|' | b'\\' | b'<' | b'>' | b'&' | b'$')
}

fn harmless_in_text(b: u8) -> bool {
    b.is_ascii_alphanumeric()
        || matches!(
            b,
            b',' | b'.' | b';' | b'(' | b')' | b'"' | b'\'' | b'-' | b'%' | b'?'
        )
}

/// Every ASCII character but letters, digits and spaces as a character reference, which is never
/// markup.
fn entities(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() && !c.is_ascii_alphanumeric() && c != ' ' {
            out += &format!("&#{};", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_values_stay_readable() {
        assert_eq!(code("GSID-0001", 80), "`GSID-0001`");
        assert_eq!(
            code("2024-01-15 00:00:00+00", 80),
            "`2024-01-15 00:00:00+00`"
        );
        assert_eq!(code("@octocat #1", 80), "`@octocat #1`");
        assert_eq!(words("not one of F, M", 80), "not one of F, M");
    }

    #[test]
    fn the_rest_is_character_references() {
        assert_eq!(code("a|b", 80), "<code>a&#124;b</code>");
        assert_eq!(code("``", 80), "<code>&#96;&#96;</code>");
        assert_eq!(code(" a  b ", 80), "`␣a␣␣b␣`");
        assert_eq!(code("a␣", 80), "<code>a&#92;u&#123;2423&#125;</code>");
        assert_eq!(code("", 80), "<i>empty</i>");
        assert_eq!(
            words("see www.evil.example @x", 80),
            "see <code>www&#46;evil&#46;example</code> <code>&#64;x</code>"
        );
    }

    #[test]
    fn long_values_say_how_long() {
        assert_eq!(code(&"ab".repeat(100), 4), "`abab`… (200 bytes)");
    }
}
