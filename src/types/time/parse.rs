//! The parts of a date and time, as they are written.

use super::{Clock, Date, Moment, Zone};

/// How many digits `bytes` begins with.
fn digits(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|b| b.is_ascii_digit()).count()
}

/// Reads all of `text`: a date, and behind it a time with an offset or none, and the era.
pub(super) fn moment(text: &str) -> Option<Moment<'_>> {
    let bytes = text.as_bytes();
    let first = digits(bytes);
    let (year, month, day, end, basic) = if first == 8 && matches!(bytes.get(8), None | Some(b'T'))
    {
        (0..4, 4..6, 6..8, 8, true)
    } else {
        let wide = first >= 4 && (first == 4 || bytes[0] != b'0');
        let dashes = bytes.get(first) == Some(&b'-') && bytes.get(first + 3) == Some(&b'-');
        let both = dashes
            && digits(&bytes[first + 1..]) == 2
            && bytes
                .get(first + 4..first + 6)
                .is_some_and(|d| digits(d) == 2);
        if !wide || !both {
            return None;
        }
        (
            0..first,
            first + 1..first + 3,
            first + 4..first + 6,
            first + 6,
            false,
        )
    };
    let mut moment = Moment {
        date: Date {
            year: &text[year],
            month: &text[month],
            day: &text[day],
        },
        clock: None,
        zone: Zone::None,
        before_christ: false,
        basic,
    };
    let mut rest = &text[end..];
    let timed = rest
        .strip_prefix(['T', 't', ' '])
        .filter(|time| digits(time.as_bytes()) > 0);
    if let Some(time) = timed {
        let (clock, behind) = match basic {
            true => basic_clock(time)?,
            false => clock(time)?,
        };
        let (zone, behind) = zone(behind)?;
        (moment.clock, moment.zone, rest) = (Some(clock), zone, behind);
    }
    if let Some(behind) = rest.strip_prefix(" BC") {
        moment.before_christ = true;
        rest = behind;
    }
    rest.is_empty().then_some(moment)
}

/// `HH:MM`, `HH:MM:SS` or `HH:MM:SS.digits`, and what is behind it.
pub(super) fn clock(text: &str) -> Option<(Clock<'_>, &str)> {
    let bytes = text.as_bytes();
    let pair = |at: usize, most: &[u8]| {
        let pair = bytes.get(at..at + 2)?;
        (digits(pair) == 2 && digits(&bytes[at..]) == 2 && pair <= most).then_some(at + 2)
    };
    let hour = pair(0, b"24")?;
    if bytes.get(hour) != Some(&b':') {
        return None;
    }
    let mut end = pair(hour + 1, b"59")?;
    if bytes.get(end) == Some(&b':') {
        end = pair(end + 1, b"60")?;
        return Some(with_fraction(text, end));
    }
    let clock = Clock {
        text: &text[..end],
        digits: "",
    };
    Some((clock, &text[end..]))
}

/// `HHMM`, `HHMMSS` or `HHMMSS.digits`, and what is behind it.
fn basic_clock(text: &str) -> Option<(Clock<'_>, &str)> {
    let bytes = text.as_bytes();
    let count = digits(bytes);
    let right = matches!(count, 4 | 6)
        && bytes[..2] <= b"24"[..]
        && bytes[2..4] <= b"59"[..]
        && (count == 4 || bytes[4..6] <= b"60"[..]);
    match (right, count) {
        (false, _) => None,
        (true, 6) => Some(with_fraction(text, count)),
        (true, _) => {
            let clock = Clock {
                text: &text[..count],
                digits: "",
            };
            Some((clock, &text[count..]))
        }
    }
}

/// The time up to `end`, and the digits of a fraction behind it.
fn with_fraction(text: &str, end: usize) -> (Clock<'_>, &str) {
    let fraction = match text[end..].strip_prefix('.') {
        Some(fraction) => digits(fraction.as_bytes()),
        None => 0,
    };
    let all = if fraction > 0 {
        end + 1 + fraction
    } else {
        end
    };
    let clock = Clock {
        text: &text[..all],
        digits: text[end..all].trim_start_matches('.').trim_end_matches('0'),
    };
    (clock, &text[all..])
}

/// An offset or the name of a time zone, with a blank before it or not, and what is behind it.
pub(super) fn zone(text: &str) -> Option<(Zone<'_>, &str)> {
    let bare = text.strip_prefix(' ').unwrap_or(text);
    let bytes = bare.as_bytes();
    match bytes.first() {
        None if text.is_empty() => return Some((Zone::None, text)),
        Some(b'+' | b'-') => {}
        Some(b'Z' | b'z') if bytes.len() == 1 || bytes[1] == b' ' => {
            return Some((Zone::Offset(&bare[..1]), &bare[1..]));
        }
        _ => {
            let end = bare.find(' ').unwrap_or(bare.len());
            let name = &bare[..end];
            let right = |b: u8| b.is_ascii_alphanumeric() || b"/_+-".contains(&b);
            return match name {
                "UTC" => Some((Zone::Offset("Z"), &bare[end..])),
                "BC" => Some((Zone::None, text)),
                _ if name.contains('/') && name.bytes().all(right) => {
                    Some((Zone::Named(name), &bare[end..]))
                }
                _ => None,
            };
        }
    }
    let mut end = 3;
    let pair = |at: usize| {
        bytes
            .get(at..at + 2)
            .is_some_and(|d| digits(d) == 2 && *d <= b"59"[..])
    };
    let hours = bytes
        .get(1..3)
        .filter(|d| digits(d) == 2 && *d <= b"15".as_slice());
    hours?;
    if digits(&bytes[1..]) == 4 && pair(3) {
        end = 5;
    } else {
        while bytes.get(end) == Some(&b':') && pair(end + 1) && end < 9 {
            end += 3;
        }
    }
    Some((Zone::Offset(&bare[..end]), &bare[end..]))
}
