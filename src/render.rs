//! Plans for people. Row data can contain anything; nothing here lets it act on a terminal.

use crate::planfile::PlanFile;

pub(crate) mod cut;
pub mod diff;
pub mod drift;
pub mod graph;
pub mod html;
pub mod json;
pub mod markdown;
pub mod select;
pub mod text;

/// `text` with every control character, escape sequence and invisible or direction-changing
/// character shown as `\u{…}`; line breaks and tabs as `\n`, `\t`, `\r`.
///
/// ```
/// assert_eq!(table_loader::render::escape("a\u{202e}b\n\x1b[31m"), "a\\u{202e}b\\n\\u{1b}[31m");
/// ```
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if acts(c) => out.extend(c.escape_unicode()),
            _ => out.push(c),
        }
    }
    out
}

/// What is said of a plan whose sensitive values are encrypted and that was not opened.
fn sealed(plan: &PlanFile) -> Vec<String> {
    let Some(recipients) = plan.sealed_for() else {
        return Vec::new();
    };
    vec![
        format!(
            "Sensitive values are encrypted and stand as •••, equal ones alike. The hash above covers them and can only \
             be verified with the key of {}.",
            recipients.join(" or ")
        ),
        format!(
            "What is shown was verified; its hash, for an approval, is {}",
            plan.verified_hash()
        ),
    ]
}

/// Whether a character does something other than being seen: controls (C0, C1), direction marks,
/// zero-width and other format characters, line and paragraph separators, tags, specials.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{70f}' | '\u{180e}' | '\u{feff}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{fff0}'..='\u{fffb}' | '\u{fe00}'..='\u{fe0e}' | '\u{e0000}'..='\u{e0fff}')
}
