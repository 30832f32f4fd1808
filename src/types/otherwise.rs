//! Dates and times that are written otherwise: how the same value would be accepted, where it is
//! clear which value that is.

use jiff::tz::TimeZone;

use super::{Refused, Zoned, time};

/// For what is no date.
pub fn date(text: &str) -> Refused {
    let accepted = |spelled: &String| time::date(spelled).is_some_and(|r| r.is_ok());
    refused(
        text,
        "not a date as YYYY-MM-DD",
        in_order(text).filter(accepted),
    )
}

/// For what is no time of day.
pub fn time(text: &str) -> Refused {
    refused(text, "not a time as HH:MM:SS", clock(text))
}

/// For what is no date with a time.
pub fn timestamp(text: &str, zoned: Zoned, local: Option<&TimeZone>) -> Refused {
    let why = match zoned {
        Zoned::Yes => "not a date and time as YYYY-MM-DD HH:MM:SS+00",
        Zoned::No => "not a date and time as YYYY-MM-DD HH:MM:SS",
    };
    let accepted =
        |spelled: &String| time::timestamp(spelled, zoned, 6, local).is_some_and(|r| r.is_ok());
    refused(text, why, in_order(text).filter(accepted))
}

/// Words that PostgreSQL replaces by the time of the statement (PostgreSQL documentation, 8.5.1.4).
const CLOCK: [&str; 4] = ["now", "today", "tomorrow", "yesterday"];

fn refused(text: &str, why: &'static str, instead: Option<String>) -> Refused {
    let words = || text.split(|c: char| !c.is_alphanumeric());
    let clock = words().find(|word| CLOCK.iter().any(|c| word.eq_ignore_ascii_case(c)));
    if let Some(word) = clock {
        return Refused::quoting(format!(
            "the word {word} stands for the time at which it is read"
        ));
    }
    if instead.is_some() {
        return Refused::instead(why, instead);
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    if matches!(digits.len(), 9..=13) && digits.bytes().all(|b| b.is_ascii_digit()) {
        return Refused::because(format!(
            "{why}; if it counts from 1970, that is a setting: epoch: seconds, or milliseconds"
        ));
    }
    if !text.contains(|c: char| c.is_ascii_digit()) {
        return Refused::because(why);
    }
    Refused::because(format!(
        "{why}; how a delivery writes dates and times is a setting: formats"
    ))
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

const DAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

/// The one of `names` that `word` is, in full or by its first three letters.
fn position(names: &[&str], word: &str) -> Option<usize> {
    let word = word.trim_end_matches('.').to_ascii_lowercase();
    names.iter().position(|name| {
        word.len() >= 3
            && (*name == word || name[..3] == word || word == "sept" && *name == "september")
    })
}

/// The same date, and time, in order: where the year has four digits and either stands first or the
/// month has a name.
fn in_order(text: &str) -> Option<String> {
    let text = without_name(text.trim());
    // A year before Christ.
    if text.starts_with('-') {
        return None;
    }
    let (date, time) = split(text);
    let mut numbers = Vec::new();
    let (mut month, mut weekday) = (None, None);
    let words = date.split(|c: char| c.is_whitespace() || "/.-,".contains(c));
    for word in words.filter(|w| !w.is_empty()) {
        if let Some(named) = position(&MONTHS, word) {
            if month.replace(named + 1).is_some() {
                return None;
            }
        } else if let Some(named) = position(&DAYS, word) {
            weekday = Some(named);
        } else {
            let bare = ["st", "nd", "rd", "th"]
                .iter()
                .find_map(|end| word.strip_suffix(end))
                .unwrap_or(word);
            numbers.push((bare.len(), bare.parse::<u32>().ok()?));
        }
    }
    let (year, month, day) = match (numbers.as_slice(), month) {
        ([(4, year), (1 | 2, month), (1 | 2, day)], None) => (*year, *month, *day),
        ([(4, year), (1 | 2, day)] | [(1 | 2, day), (4, year)], Some(month)) => {
            (*year, u32::try_from(month).ok()?, *day)
        }
        _ => return None,
    };
    let date = format!("{year:04}-{month:02}-{day:02}");
    let of_date = date.parse::<jiff::civil::Date>().ok()?.weekday();
    if weekday.is_some_and(|named| named != of_date.to_monday_zero_offset() as usize) {
        return None;
    }
    match time {
        "" => Some(date),
        time => Some(format!("{date} {}", clock(time)?)),
    }
}

/// The text without the name of the time zone that RFC 9557 puts behind the offset.
fn without_name(text: &str) -> &str {
    match text.strip_suffix(']').and_then(|t| t.split_once('[')) {
        Some((bare, _)) => bare,
        None => text,
    }
}

/// What stands before the time of day, and the time.
fn split(text: &str) -> (&str, &str) {
    let Some(colon) = text.find(':') else {
        return (text, "");
    };
    let digits = text[..colon]
        .bytes()
        .rev()
        .take_while(u8::is_ascii_digit)
        .count();
    let (date, time) = text.split_at(colon - digits);
    (date.trim_end_matches(['T', 't', ' ', ',', '_']), time)
}

/// The same time of day with two digits each, a point before the decimals, on the clock of 24 hours
/// and with an offset that is a number.
fn clock(text: &str) -> Option<String> {
    let text = text.trim().trim_start_matches(['T', 't']);
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || ":.,".contains(c)))
        .unwrap_or(text.len());
    let (time, rest) = text.split_at(end);
    let mut parts = time.splitn(3, ':');
    let mut hour: u32 = parts.next()?.parse().ok()?;
    let minute: u32 = parts.next().unwrap_or("0").parse().ok()?;
    let seconds = parts.next().unwrap_or("00").replace(',', ".");
    let mut rest = rest.trim().to_ascii_uppercase();
    for (word, afternoon) in [("AM", false), ("PM", true), ("A.M.", false), ("P.M.", true)] {
        if let Some(behind) = rest.strip_prefix(word) {
            if !(1..=12).contains(&hour) {
                return None;
            }
            hour = hour % 12 + if afternoon { 12 } else { 0 };
            rest = behind.trim().to_owned();
            break;
        }
    }
    let offset = match rest.as_str() {
        "" | "Z" => rest,
        "GMT" | "UT" | "UTC" => "+00".into(),
        offset if offset.starts_with(['+', '-']) => rest,
        _ => return None,
    };
    if !time.contains(':') && offset.is_empty() && !text.contains(['M', 'm']) {
        return None;
    }
    let whole = if seconds.find('.').unwrap_or(seconds.len()) == 1 {
        format!("0{seconds}")
    } else {
        seconds
    };
    let spelled = format!("{hour:02}:{minute:02}:{whole}{offset}");
    let zoned = if offset.is_empty() {
        Zoned::No
    } else {
        Zoned::Yes
    };
    let accepted = time::time(&spelled, zoned, usize::MAX).is_some_and(|r| r.is_ok());
    accepted.then_some(spelled)
}
