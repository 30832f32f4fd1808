//! Dates and times, as ISO 8601 and RFC 3339 write them and as PostgreSQL prints them.

mod parse;

use std::fmt::Write;

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};

use super::{Accepted, Kept, Read, Refused, Zoned};
use parse::{clock, moment, zone};

/// A date, as far as it was read.
struct Date<'a> {
    year: &'a str,
    month: &'a str,
    day: &'a str,
}

/// A time of day: its text, and the digits behind the seconds without zeros at the end.
struct Clock<'a> {
    text: &'a str,
    digits: &'a str,
}

/// What stands behind a time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Zone<'a> {
    None,
    Offset(&'a str),
    Named(&'a str),
}

/// A date with a time or none.
struct Moment<'a> {
    date: Date<'a>,
    clock: Option<Clock<'a>>,
    zone: Zone<'a>,
    before_christ: bool,
    /// Whether it is written without `-` and `:`, which PostgreSQL would not read in all places.
    basic: bool,
}

/// A date; a time of day behind it only if it is midnight. `None` for what does not look like one.
pub fn date(text: &str) -> Option<Read<'_>> {
    if is_infinite(text) {
        return Some(Ok(Accepted::surely(text)));
    }
    let moment = moment(text)?;
    Some(match &moment.clock {
        None if moment.basic => Ok(Accepted::written(moment.date_text())),
        None => Ok(Accepted::surely(text)),
        Some(clock) if moment.zone == Zone::None && clock.is_midnight() => {
            Ok(Accepted::written(moment.date_text()))
        }
        Some(_) => Err(Refused::because(format!(
            "the column keeps no time of day{}; deliver the day that is meant",
            match moment.zone {
                Zone::None => "",
                _ => " and no offset",
            },
        ))),
    })
}

/// A time of day; `None` for what does not look like one.
pub fn time(text: &str, zoned: Zoned, places: usize) -> Option<Read<'_>> {
    let (clock, rest) = clock(text)?;
    let (zone, rest) = zone(rest)?;
    if !rest.is_empty() || clock.hour() == "24" && !clock.is_24() {
        return None;
    }
    if let Some(leap) = clock.leap() {
        return Some(Err(leap));
    }
    Some(match (zoned, zone) {
        (Zoned::No, Zone::None) | (Zoned::Yes, Zone::Offset(_)) => {
            Ok(Accepted::kept_if(text, clock.digits.len() <= places))
        }
        (Zoned::No, _) => Err(Refused::because(
            "the column keeps no offset, which would get lost",
        )),
        (Zoned::Yes, Zone::None) => Err(Refused::because(
            "without an offset it is not known which time is meant",
        )),
        (Zoned::Yes, Zone::Named(_)) => Err(Refused::because(
            "the offset of a time zone depends on the day; give the offset itself, as +01",
        )),
    })
}

/// A date with a time of day; `None` for what does not look like one. `local` is the time zone of
/// those without offset, where it is known.
pub fn timestamp<'a>(
    text: &'a str,
    zoned: Zoned,
    places: usize,
    local: Option<&TimeZone>,
) -> Option<Read<'a>> {
    if is_infinite(text) {
        return Some(Ok(Accepted::surely(text)));
    }
    let moment = moment(text)?;
    if let Some(refused) = moment.no_time_of_its_day(text) {
        return Some(Err(refused));
    }
    let spelled = match moment.spelled(zoned, local) {
        Ok(spelled) => spelled,
        Err(refused) => return Some(Err(refused)),
    };
    let kept = |clock: &Clock<'_>| clock.digits.len() <= places;
    let is_kept = moment.clock.as_ref().is_none_or(kept);
    let year = moment.date.year.parse().unwrap_or(LAST_YEAR);
    if !is_kept && !moment.before_christ && year >= LAST_YEAR {
        return Some(Err(Refused::instead(AT_THE_END, None)));
    }
    let mut accepted = Accepted::kept_if(text, is_kept);
    if let Some(spelled) = spelled {
        accepted.text = spelled.into();
    }
    if zoned == Zoned::Yes && moment.zone == Zone::None {
        accepted.kept = Kept::Otherwise;
    }
    Some(Ok(accepted))
}

/// The last year of a `timestamp` (PostgreSQL documentation, 8.5).
const LAST_YEAR: u32 = 294_276;
const AT_THE_END: &str =
    "the column keeps fewer digits, and rounded it could be later than the last moment there is";

const NO_OFFSET: &str = "the column keeps no offset, which would get lost; if it is to be dropped, say so in formats, \
                         for example \"%Y-%m-%dT%H:%M:%SZ\"";
/// Why a moment without offset is refused.
pub const WHICH_MOMENT: &str = "without an offset it is not known which moment is meant; add one, as +00 or Z, or set \
                            time_zone";

/// The time zone of that name in the time zone database.
///
/// # Errors
///
/// [`Refused`] where there is none.
pub fn named(name: &str) -> Result<TimeZone, Refused> {
    let known = name == "UTC" || name.contains('/');
    match TimeZone::get(name) {
        Ok(zone) if known => Ok(zone),
        _ => Err(Refused::quoting(format!(
            "{} is not a name of the time zone database, as Europe/Berlin or UTC",
            crate::text::escape(name)
        ))),
    }
}

/// How PostgreSQL reads an offset.
pub fn offset_text(offset: Offset) -> String {
    let seconds = offset.seconds();
    let (sign, all) = (if seconds < 0 { '-' } else { '+' }, seconds.unsigned_abs());
    let mut text = format!("{sign}{:02}", all / 3_600);
    if !all.is_multiple_of(3_600) {
        let _ = write!(text, ":{:02}", all / 60 % 60);
    }
    if !all.is_multiple_of(60) {
        let _ = write!(text, ":{:02}", all % 60);
    }
    text
}

/// The name of a time zone behind a blank, in which a local time came once: what its offset was is for the server to
/// say, whose time zones may reach further back than ours.
///
/// # Errors
///
/// [`Refused`] where clocks were put forward past that time, or back to it.
pub fn zone_at(zone: &TimeZone, local: DateTime) -> Result<String, Refused> {
    let name = || zone.iana_name().unwrap_or("its time zone");
    match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => Ok(match zone.iana_name() {
            Some(name) if zone.to_fixed_offset().is_err() => format!(" {name}"),
            _ => offset_text(offset),
        }),
        AmbiguousOffset::Gap { .. } => Err(Refused::quoting(format!(
            "there was no such time in {}, where clocks were put forward",
            name()
        ))),
        AmbiguousOffset::Fold { before, after } => Err(Refused::quoting(format!(
            "that time came twice in {}, where clocks were put back; give the offset, {} or {}",
            name(),
            offset_text(before),
            offset_text(after)
        ))),
    }
}

/// For 24:00, which is the beginning of the next day.
fn midnight(text: &str, date: &str) -> Refused {
    let next = date
        .parse::<jiff::civil::Date>()
        .and_then(|day| day.tomorrow());
    let at = text.find("24:00").map(|at| at + 5);
    let behind = at.and_then(|at| text.get(at..));
    let instead = match (next, behind) {
        (Ok(next), Some(behind)) => Some(format!("{next} 00:00{behind}")),
        _ => None,
    };
    Refused::instead("24:00 is 00:00 of the next day", instead)
}

fn is_infinite(text: &str) -> bool {
    matches!(text, "infinity" | "-infinity")
}

impl Moment<'_> {
    /// What PostgreSQL would store as a time of the next minute or day.
    fn no_time_of_its_day(&self, text: &str) -> Option<Refused> {
        let clock = self.clock.as_ref()?;
        match clock.hour() {
            "24" => Some(midnight(text, &self.date_text())),
            _ => clock.leap(),
        }
    }

    /// How PostgreSQL is given it, where it would not read it as it is written.
    fn spelled(&self, zoned: Zoned, local: Option<&TimeZone>) -> Result<Option<String>, Refused> {
        match (zoned, self.zone, local) {
            (Zoned::No, Zone::None, _) => Ok(self.basic.then(|| self.with_offset(""))),
            (Zoned::No, ..) => Err(Refused::because(NO_OFFSET)),
            (Zoned::Yes, Zone::Offset(offset), _) => {
                Ok(self.basic.then(|| self.with_offset(offset)))
            }
            (Zoned::Yes, Zone::Named(name), _) => self.in_zone(&named(name)?).map(Some),
            (Zoned::Yes, Zone::None, Some(zone)) => self.in_zone(zone).map(Some),
            (Zoned::Yes, Zone::None, None) => Err(Refused::because(WHICH_MOMENT)),
        }
    }

    fn era(&self) -> &'static str {
        if self.before_christ { " BC" } else { "" }
    }

    fn date_text(&self) -> String {
        let Date { year, month, day } = &self.date;
        format!("{year}-{month}-{day}{}", self.era())
    }

    fn with_offset(&self, offset: &str) -> String {
        let Date { year, month, day } = &self.date;
        let clock = match &self.clock {
            None => "00:00:00".to_owned(),
            Some(clock) if !clock.text.contains(':') => {
                let (hours, rest) = clock.text.split_at(2);
                let (minutes, rest) = rest.split_at(2);
                let seconds = if rest.is_empty() { "00" } else { rest };
                format!("{hours}:{minutes}:{seconds}")
            }
            Some(clock) => clock.text.to_owned(),
        };
        format!("{year}-{month}-{day} {clock}{offset}{}", self.era())
    }

    /// The same in `zone`.
    fn in_zone(&self, zone: &TimeZone) -> Result<String, Refused> {
        if let Ok(fixed) = zone.to_fixed_offset() {
            return Ok(self.with_offset(&offset_text(fixed)));
        }
        let local = self.local().ok_or_else(|| {
            Refused::because(
                "the offset that a time zone has in that year is not known, or there is no such day; give the offset",
            )
        })?;
        Ok(self.with_offset(&zone_at(zone, local)?))
    }

    /// As a local time of whole seconds; `None` where there is no such day, or it is too far away.
    fn local(&self) -> Option<DateTime> {
        let year: i16 = self.date.year.parse().ok()?;
        let year = if self.before_christ { 1 - year } else { year };
        let (hour, minute, second) = match &self.clock {
            None => ("0", "0", "0"),
            Some(clock) => clock.parts(),
        };
        let number = |t: &str| t.parse::<i8>().ok();
        DateTime::new(
            year,
            number(self.date.month)?,
            number(self.date.day)?,
            number(hour)?,
            number(minute)?,
            number(second)?,
            0,
        )
        .ok()
    }
}

impl<'a> Clock<'a> {
    fn hour(&self) -> &'a str {
        &self.text[..2]
    }

    /// Hour, minute and whole second.
    fn parts(&self) -> (&'a str, &'a str, &'a str) {
        let skip = usize::from(self.text.contains(':'));
        let minute = &self.text[2 + skip..4 + skip];
        let second = self.text.get(4 + 2 * skip..6 + 2 * skip).unwrap_or("0");
        (self.hour(), minute, second)
    }

    fn is_midnight(&self) -> bool {
        self.text.bytes().all(|b| matches!(b, b'0' | b':' | b'.'))
    }

    fn is_24(&self) -> bool {
        self.text[2..]
            .bytes()
            .all(|b| matches!(b, b'0' | b':' | b'.'))
    }

    fn leap(&self) -> Option<Refused> {
        (self.parts().2 == "60").then(|| {
            Refused::because("a second 60 would be stored as the first of the next minute")
        })
    }
}
