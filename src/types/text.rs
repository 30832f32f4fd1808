//! Text and its limits; booleans.

use super::{Accepted, Read, Refused};
use crate::sql::ident::nearest;

/// Text of at most `most` characters.
pub fn limited(text: &str, most: u32) -> Read<'_> {
    fits(text, text, most, "character varying")
}

/// Text in a column that pads to `width` characters: what it would pad with may be there already.
pub fn padded(text: &str, width: u32) -> Read<'_> {
    fits(text, text.trim_end_matches(' '), width, "character")
}

fn fits<'a>(text: &'a str, counted: &str, most: u32, ty: &str) -> Read<'a> {
    let most_bytes = most as usize;
    if counted.len() <= most_bytes || counted.chars().count() <= most_bytes {
        return Ok(Accepted::surely(text));
    }
    let blanks = match counted.ends_with(' ') {
        true => ", with the blanks at its end",
        false => "",
    };
    Err(Refused::because(format!(
        "value too long for type {ty}({most}){blanks}"
    )))
}

/// A name in the database: PostgreSQL cuts a longer one.
pub fn name(text: &str) -> Read<'_> {
    const MOST: usize = 63;
    match text.len() <= MOST {
        true => Ok(Accepted::surely(text)),
        false => Err(Refused::because(format!(
            "value too long for type name, which keeps {MOST} bytes"
        ))),
    }
}

/// One byte: of a longer text PostgreSQL keeps the first.
pub fn byte(text: &str) -> Read<'_> {
    match text.len() <= 1 {
        true => Ok(Accepted::surely(text)),
        false => Err(Refused::because(
            "value too long for type \"char\", which keeps one ASCII character",
        )),
    }
}

/// The most labels that a message names.
const NAMED: usize = 20;

/// One of the labels of an enum, exactly as it stands there.
pub fn label<'a>(text: &'a str, labels: &[String]) -> Read<'a> {
    if labels.iter().any(|label| label == text) {
        return Ok(Accepted::surely(text));
    }
    let all = labels.iter().map(String::as_str);
    let named: Vec<String> = all.clone().take(NAMED).map(crate::text::escape).collect();
    let more = match labels.len().saturating_sub(NAMED) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    let like = |label: &&str| label.trim().eq_ignore_ascii_case(text.trim());
    let meant = all.clone().find(like).or_else(|| nearest(text, all));
    let meant = meant.map(|label| format!("; did you mean {}?", crate::text::escape(label)));
    // The nearest label says what the value is like.
    Err(Refused::quoting(format!(
        "not one of the labels {}{more}{}",
        named.join(", "),
        meant.unwrap_or_default()
    )))
}

/// Whether it is nothing but digits.
pub fn is_number(text: &str) -> bool {
    let digits = text.trim_ascii();
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

const TRUE: [&str; 6] = ["true", "t", "yes", "y", "on", "1"];
const FALSE: [&str; 6] = ["false", "f", "no", "n", "off", "0"];

/// The words for true and false, in any case.
pub fn boolean(text: &str) -> Read<'_> {
    let is = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is(&TRUE) || is(&FALSE) {
        return Ok(Accepted::surely(text));
    }
    let lower = text.to_ascii_lowercase();
    // PostgreSQL takes beginnings of the words.
    let begins = |word: &str| !lower.is_empty() && word.starts_with(&lower);
    let instead = match lower.as_str() {
        "o" => None,
        _ if begins("true") || begins("yes") => Some("true".to_owned()),
        _ if begins("false") || begins("no") || begins("off") => Some("false".to_owned()),
        _ => None,
    };
    Err(Refused::instead(
        "not a boolean (true, t, yes, y, on, 1, false, f, no, n, off, 0)",
        instead,
    ))
}
