//! Values that PostgreSQL would take, but not as they were meant: rounded to a scale, read from
//! the clock, or read in an order of day and month that nobody stated.

use std::borrow::Cow;

/// Whether storing `text` in a column of the type `base_type` (`type_sql` with its modifiers)
/// loses digits. Only numbers and times can; text that does not fit is refused by PostgreSQL.
pub fn loses_digits(base_type: &str, type_sql: &str, text: &str) -> bool {
    match base_type {
        "numeric" => match (scale(type_sql), Decimal::parse(text)) {
            (Some(scale), Some(d)) => !d.digits.is_empty() && d.last_place < -scale,
            _ => false,
        },
        "float8" => differs(text, text.parse::<f64>().map(|f| f.to_string())),
        "float4" => differs(text, text.parse::<f32>().map(|f| f.to_string())),
        "timestamptz" | "timestamp" | "time" | "timetz" => {
            let places = type_sql
                .split_once('(')
                .and_then(|(_, rest)| rest.split_once(')'))
                .and_then(|(n, _)| n.parse().ok())
                .unwrap_or(6);
            fraction(text).len() > places
        }
        _ => false,
    }
}

fn differs(given: &str, stored: Result<String, std::num::ParseFloatError>) -> bool {
    match (Decimal::parse(given), stored) {
        (Some(given), Ok(stored)) => Decimal::parse(&stored).is_some_and(|s| s != given),
        _ => false,
    }
}

/// The digits behind the point of the seconds, without trailing zeros.
fn fraction(text: &str) -> &str {
    let Some((_, rest)) = text.rsplit_once('.') else {
        return "";
    };
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    rest[..end].trim_end_matches('0')
}

/// The scale of `numeric(p,s)`; `None` where it has none.
fn scale(type_sql: &str) -> Option<i64> {
    let inside = type_sql.split_once('(')?.1.split_once(')')?.0;
    inside.split_once(',')?.1.trim().parse().ok()
}

/// A decimal number in one spelling: sign, digits without zeros at either end, and the power of
/// ten of the last digit.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    negative: bool,
    digits: String,
    last_place: i64,
}

impl Decimal {
    fn parse(text: &str) -> Option<Decimal> {
        let text = text.trim();
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((m, e)) => (m, e.parse::<i64>().ok()?),
            None => (rest, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all: String = [whole, fraction].concat();
        if all.is_empty() || !all.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let kept = all.trim_end_matches('0');
        let dropped = all.len() - kept.len();
        let digits = kept.trim_start_matches('0').to_owned();
        let last_place = exponent - fraction.len() as i64 + dropped as i64;
        Some(Decimal {
            negative: negative && !digits.is_empty(),
            last_place: if digits.is_empty() { 0 } else { last_place },
            digits,
        })
    }
}

/// Words that PostgreSQL replaces by the time of the statement (PostgreSQL documentation, 8.5.1.4).
const CLOCK: [&str; 4] = ["now", "today", "tomorrow", "yesterday"];

/// Whether values of this type are dates or times, or hold some.
pub fn holds_time(base_type: &str) -> bool {
    let element = base_type.trim_start_matches('_');
    matches!(
        element,
        "date" | "timestamp" | "timestamptz" | "time" | "timetz"
    ) || element.contains("tsrange")
        || element.contains("tstzrange")
        || element.contains("daterange")
        || element.contains("tsmultirange")
        || element.contains("tstzmultirange")
        || element.contains("datemultirange")
}

/// Whether it is `YYYY-MM-DD` with a time behind it or none, as nearly all are.
fn is_plain(text: &str) -> bool {
    let Some((date, time)) = text.as_bytes().split_at_checked(10) else {
        return false;
    };
    let digits = |range: &[u8]| range.iter().all(u8::is_ascii_digit);
    digits(&date[..4])
        && date[4] == b'-'
        && digits(&date[5..7])
        && date[7] == b'-'
        && digits(&date[8..])
        && time
            .iter()
            .all(|b| matches!(b, b'0'..=b'9' | b':' | b'.' | b'+' | b'T' | b'Z' | b' '))
        && time.iter().filter(|b| **b == b'.').count() <= 1
}

/// Why `text` must not be read as a value that [holds a time](holds_time), where it must not: it
/// reads the clock, or the order of its day and month depends on a setting.
pub fn unclear_time(text: &str) -> Option<Cow<'static, str>> {
    if is_plain(text) {
        return None;
    }
    for word in text.split(|c: char| !c.is_alphanumeric()) {
        if CLOCK.iter().any(|c| word.eq_ignore_ascii_case(c)) {
            return Some(format!("the word {word} stands for the time at which it is read").into());
        }
    }
    let date_parts = |t: &str| {
        let numbers: Vec<usize> = t
            .split(['/', '-', '.'])
            .map(|p| {
                if p.bytes().all(|b| b.is_ascii_digit()) {
                    p.len()
                } else {
                    0
                }
            })
            .collect();
        numbers.len() == 3 && numbers.iter().all(|n| (1..=4).contains(n)) && numbers[0] <= 2
    };
    text.split(|c: char| c.is_whitespace() || "T,[](){}\"".contains(c))
        .any(date_parts)
        .then(|| "the order of day, month and year is not clear; write it as YYYY-MM-DD".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_that_get_lost() {
        let numeric = |t| loses_digits("numeric", "numeric(10,3)", t);
        assert!(!numeric("1.2340"));
        assert!(!numeric("5e-3"));
        assert!(!numeric("0"));
        assert!(!numeric("0.0000"));
        assert!(numeric("1.2345"));
        assert!(numeric("5e-4"));
        assert!(!loses_digits("numeric", "numeric", "1.23456789"));
        assert!(!loses_digits("float8", "double precision", "0.1"));
        assert!(!loses_digits("float8", "double precision", "1e300"));
        assert!(loses_digits(
            "float8",
            "double precision",
            "0.1000000000000000055511"
        ));
        assert!(loses_digits(
            "float8",
            "double precision",
            "12345678901234567890"
        ));
        assert!(loses_digits("float4", "real", "0.123456789"));
        let time = |t| loses_digits("timestamptz", "timestamp with time zone", t);
        assert!(!time("2024-01-15T00:00:00.123456Z"));
        assert!(!time("2024-01-15T00:00:00.1234560000Z"));
        assert!(time("2024-01-15T00:00:00.1234565+02"));
        assert!(loses_digits(
            "timestamp",
            "timestamp(0) without time zone",
            "2024-01-15 00:00:00.5"
        ));
    }

    #[test]
    fn times_that_are_not_clear() {
        for word in [
            "now",
            "NOW",
            "today 12:00",
            "{now}",
            "[2024-01-01,tomorrow)",
        ] {
            assert!(unclear_time(word).is_some(), "{word}");
        }
        for date in ["01/02/2024", "1-2-2024", "01.02.24", "01/02/24 10:00"] {
            assert!(unclear_time(date).is_some(), "{date}");
        }
        for fine in [
            "2024-01-15",
            "2024-01-15T10:00:00.123Z",
            "infinity",
            "15 Jan 2024",
            "20240115",
            "2024-01-15 10:00:00.12+02",
        ] {
            assert!(unclear_time(fine).is_none(), "{fine}");
        }
        assert!(unclear_time("10:00:00.12").is_none());
        for two in [
            "2024-01-15 1.2.2024",
            "2024-01-15 01-02-2024",
            "2024-01-15T1/2/24",
        ] {
            assert!(unclear_time(two).is_some(), "{two}");
        }
        for of in ["date", "_timestamptz", "tstzmultirange"] {
            assert!(holds_time(of), "{of}");
        }
        assert!(!holds_time("text") && !holds_time("interval"));
    }
}
