//! Dates and times as `formats` says, in the notation of strftime.

use jiff::civil::{Date, DateTime, Time};
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::{Offset, TimeZone};

use super::Spelled;
use crate::types::time::{WHICH_MOMENT, named, offset_text, zone_at};
use crate::types::{Accepted, Kept, Kind, Read, Refused, Zoned};

impl Spelled {
    /// As one of the formats says; where two say different things, nobody knows which is meant.
    pub(super) fn formatted<'a>(&self, kind: &Kind, text: &str) -> Read<'a> {
        let mut readings = self.formats.iter().filter_map(|format| {
            let found = BrokenDownTime::parse(format, text).ok()?;
            Some((format, self.written(kind, &found, format, text)?))
        });
        let Some((format, first)) = readings.next() else {
            return Err(Refused::because(format!(
                "not as the setting formats says: {}",
                self.formats.join(", ")
            )));
        };
        let read = first?;
        match readings.find(|(_, other)| other.as_ref().is_ok_and(|o| o.text != read.text)) {
            None => Ok(read),
            Some((other, _)) => Err(Refused::because(format!(
                "read as one date or time by {format} and as another by {other}, both of the setting formats"
            ))),
        }
    }

    /// What was found, as PostgreSQL reads it; `None` where it is not enough.
    fn written<'a>(
        &self,
        kind: &Kind,
        found: &BrokenDownTime,
        format: &str,
        text: &str,
    ) -> Option<Read<'a>> {
        if !says_the_same(found, format, text) {
            return None;
        }
        let date = || found.to_date().ok();
        let time = || time_of(found);
        let spelled = match kind {
            Kind::Date => day(date()?),
            Kind::Time(Zoned::No, _) => clock(time()?),
            Kind::Time(Zoned::Yes, _) => {
                format!("{}{}", clock(time()?), offset_text(found.offset()?))
            }
            Kind::Timestamp(zoned, _) => {
                let day_alone = found.hour().is_none() && found.minute().is_none();
                let time = if day_alone { Time::midnight() } else { time()? };
                let moment = date()?.to_datetime(time);
                // What is no more than letters to a format is an offset to whoever reads it.
                let offset = match zoned {
                    Zoned::Yes => found.offset().or_else(|| offset_behind(format)),
                    Zoned::No => found.offset(),
                };
                match (zoned, offset, found.iana_time_zone(), &self.zone) {
                    (Zoned::No, None, None, _) => local(moment),
                    (Zoned::No, ..) => return None,
                    (Zoned::Yes, Some(offset), ..) => {
                        format!("{}{}", local(moment), offset_text(offset))
                    }
                    (Zoned::Yes, None, Some(name), _) => {
                        return Some(named(name).and_then(|zone| in_zone(moment, &zone)));
                    }
                    (Zoned::Yes, None, None, Some(zone)) => return Some(in_zone(moment, zone)),
                    (Zoned::Yes, None, None, None) => {
                        return Some(Err(Refused::because(WHICH_MOMENT)));
                    }
                }
            }
            _ => return None,
        };
        Some(kept_of(kind, spelled, says_more(kind, found)))
    }
}

/// A date or time of a workbook as the first of `formats` that can write all of it.
pub fn formatted(formats: &[String], moment: &str) -> Option<String> {
    let date = moment.parse::<DateTime>().map(BrokenDownTime::from);
    let parts = date.or_else(|_| moment.parse::<Time>().map(BrokenDownTime::from));
    let parts = parts.ok()?;
    let said = |parts: &BrokenDownTime| {
        let time = time_of(parts).unwrap_or_else(Time::midnight);
        (parts.to_date().ok(), time)
    };
    formats.iter().find_map(|format| {
        let written = parts.to_string(format).ok()?;
        let read = BrokenDownTime::parse(format, &written).ok()?;
        (said(&read) == said(&parts)).then_some(written)
    })
}

/// The offset that a format has at its end as it is written, such as `Z`, and not as a directive.
fn offset_behind(format: &str) -> Option<Offset> {
    let last = format.rfind('%')?;
    let directive = format[last + 1..].find(|c: char| c.is_ascii_alphabetic())?;
    let behind = format[last + 1 + directive + 1..].trim();
    if ["z", "utc", "gmt"].contains(&behind.to_ascii_lowercase().as_str()) {
        return Some(Offset::UTC);
    }
    let offset = |format| BrokenDownTime::parse(format, behind).ok()?.offset();
    let has_sign = behind.starts_with(['+', '-']);
    has_sign.then(|| offset("%:::z").or_else(|| offset("%z")))?
}

/// The time of day, where it is said: without an hour it would be midnight.
fn time_of(found: &BrokenDownTime) -> Option<Time> {
    found.hour().and_then(|_| found.to_time().ok())
}

/// Whether what was found, written by `format`, is `text` again but for zeros and blanks: else a number has fewer digits
/// than its place, so that nobody knows where it ends, or one part of the text contradicts another.
fn says_the_same(found: &BrokenDownTime, format: &str, text: &str) -> bool {
    let (date, time) = (found.to_date().ok(), time_of(found));
    let mut meant = match (date, time) {
        (Some(date), Some(time)) => BrokenDownTime::from(date.to_datetime(time)),
        (Some(date), None) => BrokenDownTime::from(date),
        (None, Some(time)) => BrokenDownTime::from(time),
        (None, None) => return false,
    };
    let zone = found.iana_time_zone();
    if let (Some(date), Some(name), Some(offset)) = (date, zone, found.offset()) {
        let moment = date.to_datetime(time.unwrap_or_else(Time::midnight));
        let there = named(name).ok().zip(offset.to_timestamp(moment).ok());
        if there.is_none_or(|(zone, moment)| zone.to_offset(moment) != offset) {
            return false;
        }
    }
    meant.set_iana_time_zone(zone.map(str::to_owned));
    meant.set_offset(found.offset());
    let Ok(written) = meant.to_string(format) else {
        return false;
    };
    let (written, text) = (parts(&written), parts(text));
    // Formats with four digits of a year would take two for a year of the first century.
    let four_digits = !format.contains("%y") && !format.contains("%D");
    if let (Some(year), true) = (found.year(), four_digits) {
        let year = format!("{year:04}");
        let mut pairs = written.iter().zip(&text);
        if !pairs.all(|(written, text)| !written.contains(&year) || text.contains(&year)) {
            return false;
        }
    }
    let decimals = point_of_decimals(format);
    bare(written, decimals) == bare(text, decimals)
}

/// How many points and commas a format has before the one of its decimals; `None` where it has none.
fn point_of_decimals(format: &str) -> Option<usize> {
    let mut points = 0;
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        match c {
            '.' | ',' => points += 1,
            '%' => {
                let mut has_point = false;
                for c in chars.by_ref() {
                    match c {
                        '.' => has_point = true,
                        'f' | 'N' if has_point => return Some(points),
                        'f' | 'N' => return points.checked_sub(1),
                        _ if c.is_ascii_alphabetic() || c == '%' => break,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    None
}

/// A date and time as its numbers, its words and its signs, without blanks.
fn parts(text: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut before = ' ';
    for c in text.chars().flat_map(char::to_lowercase) {
        match parts.last_mut() {
            Some(part) if c.is_ascii_digit() && before.is_ascii_digit() => part.push(c),
            _ if c.is_whitespace() => {}
            _ => parts.push(c.into()),
        }
        before = c;
    }
    parts
}

/// The same, its numbers without zeros before them; the one behind the point that is so many points into it is decimals,
/// in which zeros at the end say nothing.
fn bare(mut parts: Vec<String>, decimals: Option<usize>) -> Vec<String> {
    let has_fraction = decimals.is_some();
    let (mut points, mut none) = (0, None);
    for i in 0..parts.len() {
        let is_decimals = i > 0 && matches!(&*parts[i - 1], "." | ",") && {
            points += 1;
            decimals == Some(points - 1)
        };
        if parts[i].starts_with(|c: char| c.is_ascii_digit()) {
            parts[i] = match is_decimals {
                true => parts[i].trim_end_matches('0').to_owned(),
                false => parts[i].trim_start_matches('0').to_owned(),
            };
            if is_decimals && parts[i].is_empty() {
                none = Some(i);
            }
        }
    }
    if let Some(i) = none {
        parts.drain(i - 1..=i);
    }
    // Minutes of an offset that are none.
    while let [.., colon, zero] = parts.as_slice()
        && colon == ":"
        && zero.is_empty()
    {
        parts.truncate(parts.len() - 2);
    }
    if has_fraction {
        parts.retain(|part| !part.is_empty());
    }
    parts
}

/// Whether a delivery says more than a column of this kind keeps: the time of a day, or the day.
fn says_more(kind: &Kind, found: &BrokenDownTime) -> bool {
    let zoned = found.offset().is_some() || found.iana_time_zone().is_some();
    match kind {
        Kind::Date => zoned || time_of(found).is_some_and(|time| time != Time::midnight()),
        Kind::Time(Zoned::No, _) => zoned || found.to_date().is_ok(),
        Kind::Time(Zoned::Yes, _) => found.to_date().is_ok(),
        _ => false,
    }
}

/// What was spelled otherwise, which has the digits that its type keeps, or more.
fn kept_of<'a>(kind: &Kind, spelled: String, says_more: bool) -> Read<'a> {
    let kept = kind.read(&spelled)?.kept;
    let kept = if says_more { Kept::Otherwise } else { kept };
    Ok(Accepted {
        kept,
        ..Accepted::written(spelled)
    })
}

/// A local time in `zone`.
fn in_zone<'a>(moment: DateTime, zone: &TimeZone) -> Read<'a> {
    let zone = zone_at(zone, moment)?;
    Ok(Accepted {
        kept: Kept::Otherwise,
        ..Accepted::written(format!("{}{zone}", local(moment)))
    })
}

fn day(date: Date) -> String {
    format!("{:04}-{:02}-{:02}", date.year(), date.month(), date.day())
}

fn clock(time: Time) -> String {
    let (hour, minute, second) = (time.hour(), time.minute(), time.second());
    let whole = format!("{hour:02}:{minute:02}:{second:02}");
    match time.subsec_nanosecond() {
        0 => whole,
        nanos => format!("{whole}.{nanos:09}")
            .trim_end_matches('0')
            .to_owned(),
    }
}

pub(super) fn local(moment: DateTime) -> String {
    format!("{} {}", day(moment.date()), clock(moment.time()))
}

/// That a date and time written by `format` can be read by it.
pub(super) fn is_format(format: &str) -> Result<(), String> {
    let sample = jiff::civil::date(2024, 11, 25).at(13, 45, 59, 0);
    let sample = TimeZone::UTC
        .to_zoned_datetime(sample)
        .map_err(|e| e.to_string())?;
    let sample = BrokenDownTime::from(&sample);
    let written = sample
        .to_string(format)
        .map_err(|e| format!("{format}: {e}"))?;
    let read = BrokenDownTime::parse(format, &written).map_err(|e| format!("{format}: {e}"))?;
    let (date, time) = (read.to_date().ok(), time_of(&read));
    if date.is_none() && time.is_none() {
        return Err(format!(
            "{format} says neither which day nor which time of day is meant"
        ));
    }
    let other_day = date.is_some_and(|date| Some(date) != sample.to_date().ok());
    let other_hour = time.is_some_and(|time| Some(time.hour()) != sample.hour());
    if other_day || other_hour {
        return Err(format!(
            "{format} does not say all of a day or an hour: {written}, which it writes, is read as another"
        ));
    }
    Ok(())
}
