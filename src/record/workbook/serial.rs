//! Dates and times as a workbook has them: days since 1900 or 1904, told from numbers by a format.

use jiff::civil::{Date, date};
use jiff::{SignedDuration, ToSpan};

/// What a number is, by the format of its cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    /// A date, a time of day, or both.
    Moment,
    /// An elapsed time: hours may be more than 24.
    Elapsed,
}

/// The kind of the format that every workbook has under this number (ECMA-376, 18.8.30).
pub(super) fn builtin(id: &str) -> Kind {
    match id.parse().unwrap_or(0) {
        46 => Kind::Elapsed,
        14..=22 | 27..=36 | 45 | 47 | 50..=58 => Kind::Moment,
        _ => Kind::Number,
    }
}

/// The kind of a format by its code.
pub(super) fn custom(code: &str) -> Kind {
    // Only the section for positive numbers counts.
    let mut chars = code.chars();
    let mut kind = Kind::Number;
    while let Some(c) = chars.next() {
        match c {
            '"' => drop(chars.by_ref().find(|c| *c == '"')),
            '\\' | '_' | '*' => drop(chars.next()),
            '[' => {
                let inside: String = chars.by_ref().take_while(|c| *c != ']').collect();
                let elapsed = |sign| {
                    !inside.is_empty() && inside.chars().all(|c| c.eq_ignore_ascii_case(&sign))
                };
                if ['h', 'm', 's'].into_iter().any(elapsed) {
                    return Kind::Elapsed;
                }
            }
            ';' => break,
            'y' | 'Y' | 'm' | 'M' | 'd' | 'D' | 'h' | 'H' | 's' | 'S' => kind = Kind::Moment,
            // `General`, scientific, fractions and digits make it a number, whatever letters follow.
            'G' | 'g' | '#' | '?' => return Kind::Number,
            _ => {}
        }
    }
    kind
}

const MILLISECONDS: f64 = 86_400_000.0;

/// The text of the moment or time that `number` is, or why it is none.
pub(super) fn text(number: &str, kind: Kind, from_1904: bool) -> Result<String, String> {
    let days: f64 = number
        .parse()
        .map_err(|_| format!("{number:?} is no number"))?;
    if !(0.0..3_000_000.0).contains(&days) {
        return Err(format!("{number} is no date of a workbook"));
    }
    let (mut whole, mut rest) = (days.floor(), ((days - days.floor()) * MILLISECONDS).round());
    if rest >= MILLISECONDS {
        (whole, rest) = (whole + 1.0, 0.0);
    }
    // Both are within what was checked above.
    let (whole, rest) = (whole as i64, SignedDuration::from_millis(rest as i64));
    if kind == Kind::Elapsed || days < 1.0 {
        // What is rounded up to the end of its day is 24:00:00.
        let seconds = rest.as_secs() + whole * 86_400;
        let clock = clock(seconds, rest.subsec_millis());
        return Ok(clock);
    }
    let time = clock(rest.as_secs(), rest.subsec_millis());
    let day = day(whole, from_1904).ok_or_else(|| format!("{number} is no date of a workbook"))?;
    if rest.is_zero() {
        return Ok(day.to_string());
    }
    Ok(format!("{day}T{time}"))
}

fn clock(seconds: i64, millis: i32) -> String {
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let fraction = match millis {
        0 => String::new(),
        millis => format!(".{millis:03}"),
    };
    format!("{hours:02}:{minutes:02}:{:02}{fraction}", seconds % 60)
}

/// The day with this number. Excel has 1900-02-29, which there was not.
fn day(number: i64, from_1904: bool) -> Option<Date> {
    let start = match (from_1904, number) {
        (true, _) => date(1904, 1, 1),
        (false, 60) => return None,
        (false, 61..) => date(1899, 12, 30),
        (false, _) => date(1899, 12, 31),
    };
    start.checked_add(number.days()).ok()
}
