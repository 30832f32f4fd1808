//! Intervals: as PostgreSQL prints them, with the units' names in full, or as ISO 8601 durations.

use super::{Accepted, Read, Refused};

/// What an interval column keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fields {
    /// All of an interval.
    All,
    /// Some of its fields, or fewer digits behind the seconds.
    Some,
}

/// The spans of which an interval is made; they are kept apart.
#[derive(Debug, Default, PartialEq, Eq)]
struct Interval {
    months: i64,
    days: i64,
    /// Billionths of a second; more digits are counted as one more.
    nanos: i128,
}

const NANOS: i128 = 1_000_000_000;

/// Seconds of a duration go through a double, which has all microseconds of so many.
const SURE: i64 = 1 << 31;

/// An interval in one of the accepted forms.
pub fn interval<'a>(text: &'a str, fields: &Fields) -> Read<'a> {
    match parse(text) {
        Some(parsed) => {
            let is_kept = *fields == Fields::All && parsed.nanos % 1_000 == 0;
            let longest = i128::from(i64::MAX) * 1_000;
            if !is_kept && parsed.nanos.abs() > longest - 60 * NANOS {
                // PostgreSQL gives it the other sign then.
                return Err(Refused::instead(
                    "the column keeps less of it, and rounded it could be longer than an interval can be",
                    None,
                ));
            }
            let is_kept = is_kept && parsed.nanos.abs() < i128::from(SURE) * NANOS;
            Ok(Accepted::kept_if(text, is_kept))
        }
        None => Err(Refused::instead(
            "not an interval as 1 year 2 mons 3 days 04:05:06 or P1Y2M3DT4H5M6S",
            in_full(text),
        )),
    }
}

/// Whether both are the same months, days and seconds.
pub fn equal(given: &str, stored: &str) -> bool {
    parse(given.trim_ascii()).is_some_and(|given| parse(stored) == Some(given))
}

fn parse(text: &str) -> Option<Interval> {
    match text.strip_prefix('P') {
        Some(rest) => iso(rest),
        None => words(text),
    }
}

/// Number and unit in turn, from the largest unit to the smallest, each once; a time at the end.
fn words(text: &str) -> Option<Interval> {
    let mut interval = Interval::default();
    let mut words = text.split_ascii_whitespace();
    let mut last = None;
    while let Some(word) = words.next() {
        if word.contains(':') {
            interval.nanos = clock(word)?;
            // Nothing may follow a time, nor an hour stand before it.
            let alone = last < Some(Unit::Hour) && words.next().is_none();
            return alone.then_some(interval);
        }
        let unit = unit(words.next()?)?;
        if last >= Some(unit) {
            return None;
        }
        last = Some(unit);
        interval.add(word, unit)?;
    }
    last.map(|_| interval)
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Unit {
    Year,
    Month,
    Week,
    Day,
    Hour,
    Minute,
    Second,
}

fn unit(word: &str) -> Option<Unit> {
    Some(match word {
        "year" | "years" => Unit::Year,
        "mon" | "mons" | "month" | "months" => Unit::Month,
        "week" | "weeks" => Unit::Week,
        "day" | "days" => Unit::Day,
        "hour" | "hours" => Unit::Hour,
        "min" | "mins" | "minute" | "minutes" => Unit::Minute,
        "sec" | "secs" | "second" | "seconds" => Unit::Second,
        _ => return None,
    })
}

impl Interval {
    /// Adds `number` units; only seconds can have decimals.
    fn add(&mut self, number: &str, unit: Unit) -> Option<()> {
        if unit == Unit::Second {
            self.nanos = self.nanos.checked_add(seconds(number)?)?;
            return Some(());
        }
        let digits = number.strip_prefix(['+', '-']).unwrap_or(number);
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let count: i64 = number.parse::<i32>().ok()?.into();
        match unit {
            Unit::Year => self.months += 12 * count,
            Unit::Month => self.months += count,
            Unit::Week => self.days += 7 * count,
            Unit::Day => self.days += count,
            Unit::Hour => self.nanos += i128::from(count) * 3_600 * NANOS,
            Unit::Minute => self.nanos += i128::from(count) * 60 * NANOS,
            Unit::Second => {}
        }
        Some(())
    }
}

/// Seconds with decimals or none, as billionths.
fn seconds(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let significant = fraction.trim_end_matches('0');
    let mut nanos = whole.parse::<i64>().ok().map(i128::from)? * NANOS;
    let (kept, more) = significant.split_at(significant.len().min(9));
    nanos += format!("{kept:0<9}").parse::<i128>().ok()?;
    nanos += i128::from(!more.is_empty());
    Some(if negative { -nanos } else { nanos })
}

/// `HH:MM:SS` with decimals or none, and a sign or none.
fn clock(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut parts = digits.split(':');
    let (hours, minutes, rest) = (parts.next()?, parts.next()?, parts.next()?);
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    let right = !hours.is_empty()
        && digits(hours)
        && minutes.len() == 2
        && digits(minutes)
        && minutes < "60"
        && rest
            .split('.')
            .next()
            .is_some_and(|s| s.len() == 2 && s < "60")
        && parts.next().is_none();
    if !right {
        return None;
    }
    let whole = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
    let nanos = i128::from(whole) * 60 * NANOS + seconds(rest).filter(|n| *n >= 0)?;
    Some(if negative { -nanos } else { nanos })
}

/// What follows the `P` of an ISO 8601 duration.
fn iso(text: &str) -> Option<Interval> {
    let mut interval = Interval::default();
    let (mut rest, mut in_time, mut last) = (text, false, None);
    while !rest.is_empty() {
        if let Some(time) = rest.strip_prefix('T') {
            if in_time || time.is_empty() {
                return None;
            }
            (rest, in_time) = (time, true);
            continue;
        }
        let end = rest.find(|c: char| c.is_ascii_uppercase())?;
        let unit = match (rest.as_bytes()[end], in_time) {
            (b'Y', false) => Unit::Year,
            (b'M', false) => Unit::Month,
            (b'W', false) => Unit::Week,
            (b'D', false) => Unit::Day,
            (b'H', true) => Unit::Hour,
            (b'M', true) => Unit::Minute,
            (b'S', true) => Unit::Second,
            _ => return None,
        };
        if last >= Some(unit) {
            return None;
        }
        last = Some(unit);
        interval.add(&rest[..end], unit)?;
        rest = &rest[end + 1..];
    }
    last.map(|_| interval)
}

/// An interval whose units are short, in another case, or written together with their numbers.
fn in_full(text: &str) -> Option<String> {
    let mut parts: Vec<String> = Vec::new();
    for word in text.split([' ', ',']).filter(|w| !w.is_empty()) {
        let split = word
            .find(|c: char| c.is_alphabetic())
            .filter(|_| !word.contains(':'));
        let (number, unit) = word.split_at(split.unwrap_or(word.len()));
        if !number.is_empty() {
            parts.push(match number.matches(':').count() {
                1 => format!("{number}:00"),
                _ => number.to_owned(),
            });
        }
        if !unit.is_empty() {
            parts.push(
                match unit.to_ascii_lowercase().as_str() {
                    "y" | "yr" | "yrs" => "years",
                    "w" => "weeks",
                    "d" => "days",
                    "h" | "hr" | "hrs" => "hours",
                    "s" => "seconds",
                    // Months, or minutes.
                    "m" => return None,
                    other => other,
                }
                .to_owned(),
            );
        }
    }
    let spelled = parts.join(" ");
    (spelled != text && words(&spelled).is_some()).then_some(spelled)
}
