//! Values that a delivery spells otherwise, as `tables.yaml` says.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::spelling::{Encoding, Epoch, Spelling};
use super::time::{named, offset_at, offset_text};
use super::{Accepted, Kept, Kind, Read, Refused, Zoned};

/// How one column's values are spelled.
#[derive(Clone, Debug, Default)]
pub struct Spelled {
    formats: Vec<String>,
    /// The time zone of times without offset.
    pub(super) zone: Option<TimeZone>,
    epoch: Option<Epoch>,
    decimal_comma: bool,
    bytes: Option<Encoding>,
    trues: Vec<String>,
    falses: Vec<String>,
    /// Whether any of it is set beside the time zone.
    set: bool,
}

/// Nothing is spelled otherwise.
pub static PLAIN: Spelled = Spelled {
    formats: Vec::new(),
    zone: None,
    epoch: None,
    decimal_comma: false,
    bytes: None,
    trues: Vec::new(),
    falses: Vec::new(),
    set: false,
};

impl Spelled {
    /// As `spelling` says.
    ///
    /// # Errors
    ///
    /// The setting and what is wrong with it.
    pub fn new(spelling: &Spelling) -> Result<Spelled, (&'static str, String)> {
        let zone = match &spelling.time_zone {
            None => None,
            Some(name) => Some(named(name).map_err(|e| ("time_zone", e.message()))?),
        };
        for format in spelling.formats.iter().flatten() {
            is_format(format).map_err(|why| ("formats", why))?;
        }
        let mut trues = spelling.true_words.iter().flatten();
        let falses = || spelling.false_words.iter().flatten();
        if let Some(word) = trues.find(|word| falses().any(|other| other == *word)) {
            return Err(("true_words", format!("{word} stands in false_words, too")));
        }
        let spelled = Spelled {
            formats: spelling.formats.clone().unwrap_or_default(),
            zone,
            epoch: spelling.epoch,
            decimal_comma: spelling.decimal_comma == Some(true),
            bytes: spelling.bytes,
            trues: spelling.true_words.clone().unwrap_or_default(),
            falses: spelling.false_words.clone().unwrap_or_default(),
            set: false,
        };
        let set = !spelled.formats.is_empty()
            || spelled.epoch.is_some()
            || spelled.decimal_comma
            || spelled.bytes.is_some()
            || !(spelled.trues.is_empty() && spelled.falses.is_empty());
        Ok(Spelled { set, ..spelled })
    }

    /// The same for what JSON itself spells: numbers have their own form there. What a number means
    /// in a column of dates or booleans is said as ever.
    #[must_use]
    pub fn of_json(&self) -> Spelled {
        Spelled {
            decimal_comma: false,
            bytes: None,
            ..self.clone()
        }
    }

    /// The same for dates and times of workbooks, which have one form there.
    #[must_use]
    pub fn of_workbook(&self) -> Spelled {
        Spelled {
            zone: self.zone.clone(),
            ..Spelled::default()
        }
    }

    /// Reads `text` as this says for values of `kind`; `None` where it says nothing about them.
    pub(super) fn read<'a>(&self, kind: &Kind, text: &'a str) -> Option<Read<'a>> {
        if !self.set {
            return None;
        }
        let words = !(self.trues.is_empty() && self.falses.is_empty());
        let infinite = matches!(text, "infinity" | "-infinity");
        match kind {
            Kind::Boolean if words => Some(self.boolean(text)),
            Kind::Bytes => Some(bytes(text, self.bytes?)),
            Kind::Decimal(_) | Kind::Single | Kind::Double | Kind::Money | Kind::Integer
                if self.decimal_comma =>
            {
                Some(decimal(kind, text))
            }
            Kind::Timestamp(zoned, _) if self.epoch.is_some() && is_count(text) => {
                let counted = self.counted(text, *zoned);
                let formatted = (!self.formats.is_empty()).then(|| self.formatted(kind, text));
                match (&counted, formatted) {
                    (Ok(counted), Some(Ok(other))) if counted.text != other.text => {
                        Some(Err(Refused::because(
                            "read as one date or time by the setting epoch and as another by formats",
                        )))
                    }
                    (_, _) => Some(counted),
                }
            }
            Kind::Date | Kind::Time(..) | Kind::Timestamp(..)
                if !self.formats.is_empty() && !infinite =>
            {
                Some(self.formatted(kind, text))
            }
            _ => None,
        }
    }

    fn boolean<'a>(&self, text: &str) -> Read<'a> {
        let is = |words: &[String], word: &str| words.iter().any(|w| w == text) || text == word;
        let (is_true, is_false) = (is(&self.trues, "true"), is(&self.falses, "false"));
        if is_true && is_false {
            Err(Refused::because(
                "a word for true and for false, as true_words and false_words are",
            ))
        } else if is_true {
            Ok(Accepted::written("true".into()))
        } else if is_false {
            Ok(Accepted::written("false".into()))
        } else {
            let words: Vec<&str> = self
                .trues
                .iter()
                .chain(&self.falses)
                .map(String::as_str)
                .collect();
            Err(Refused::because(format!(
                "not one of the words for true and false: {}",
                words.join(", ")
            )))
        }
    }

    /// Seconds or milliseconds since 1970.
    fn counted<'a>(&self, text: &str, zoned: Zoned) -> Read<'a> {
        let far = || Refused::because("too many seconds from 1970");
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let shift = if self.epoch == Some(Epoch::Milliseconds) {
            3
        } else {
            0
        };
        // As digits of billionths, so that none gets lost.
        let places = 9 - shift;
        if fraction.trim_end_matches('0').len() > places {
            return Err(Refused::because("more digits than a time has"));
        }
        let digits = fraction.get(..places).unwrap_or(fraction);
        let nanos = format!("{whole}{digits:0<places$}");
        let nanos: i128 = nanos.parse().map_err(|_| far())?;
        let moment = Timestamp::from_nanosecond(nanos).map_err(|_| far())?;
        let written = match (zoned, &self.zone) {
            (Zoned::Yes, _) => format!("{}+00", local(TimeZone::UTC.to_datetime(moment))),
            (Zoned::No, Some(zone)) => local(zone.to_datetime(moment)),
            (Zoned::No, None) => {
                return Err(Refused::because(
                    "the column keeps no offset: set the time_zone in which its times are",
                ));
            }
        };
        Ok(Accepted {
            kept: Kept::Otherwise,
            ..Accepted::written(written)
        })
    }

    /// As one of the formats says; where two say different things, nobody knows which is meant.
    fn formatted<'a>(&self, kind: &Kind, text: &str) -> Read<'a> {
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
        // Formats with four digits of a year would take two for a year of the first century.
        if let Some(year) = found.year()
            && !format.contains("%y")
            && !format.contains("%D")
            && !text.contains(&format!("{year:04}"))
        {
            return None;
        }
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
                match (zoned, found.offset(), found.iana_time_zone(), &self.zone) {
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
                        return Some(Err(Refused::because(super::time::WHICH_MOMENT)));
                    }
                }
            }
            _ => return None,
        };
        Some(kept_of(kind, spelled, says_more(kind, found)))
    }
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
    if let (Some(moment), Some(name), Some(offset)) = (date, zone, found.offset()) {
        let moment = moment.to_datetime(time.unwrap_or_else(Time::midnight));
        let ambiguous = TimeZone::get(name).map(|zone| zone.to_ambiguous_timestamp(moment));
        let is_possible = ambiguous.is_ok_and(|a| match a.offset() {
            AmbiguousOffset::Unambiguous { offset: only } => only == offset,
            AmbiguousOffset::Fold { before, after } => before == offset || after == offset,
            AmbiguousOffset::Gap { .. } => false,
        });
        if !is_possible {
            return false;
        }
    }
    meant.set_iana_time_zone(zone.map(str::to_owned));
    meant.set_offset(found.offset());
    let has_fraction = format.contains(['f', 'N']);
    let written = meant.to_string(format);
    written.is_ok_and(|written| parts(&written, has_fraction) == parts(text, has_fraction))
}

/// A date and time as its numbers without zeros before them, its words and its signs, without blanks; `has_fraction`
/// says that a number behind a point may be decimals, in which zeros at the end say nothing.
fn parts(text: &str, has_fraction: bool) -> Vec<String> {
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
    for i in 0..parts.len() {
        let is_decimals = has_fraction && i > 0 && matches!(&*parts[i - 1], "." | ",");
        if parts[i].starts_with(|c: char| c.is_ascii_digit()) {
            parts[i] = match is_decimals {
                true => parts[i].trim_end_matches('0').to_owned(),
                false => parts[i].trim_start_matches('0').to_owned(),
            };
            if is_decimals && parts[i].is_empty() {
                parts[i - 1].clear();
            }
        }
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

/// A local time with the offset that it has in `zone`.
fn in_zone<'a>(moment: DateTime, zone: &TimeZone) -> Read<'a> {
    let offset = offset_at(zone, moment)?;
    Ok(Accepted {
        kept: Kept::Otherwise,
        ..Accepted::written(format!("{}{}", local(moment), offset_text(offset)))
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

fn local(moment: DateTime) -> String {
    format!("{} {}", day(moment.date()), clock(moment.time()))
}

/// Digits, with a sign and a point or without.
fn is_count(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole = whole.strip_prefix('-').unwrap_or(whole);
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    !whole.is_empty() && digits(whole) && digits(fraction)
}

/// A number with a comma before its decimals.
fn decimal<'a>(kind: &Kind, text: &str) -> Read<'a> {
    if text.contains('.') {
        return Err(Refused::because(
            "a point in it, where decimal_comma says that a comma stands before the decimals",
        ));
    }
    let spelled = text.replacen(',', ".", 1);
    let read = kind.read(&spelled).map_err(|refused| Refused {
        instead: refused.instead.map(|instead| instead.replace('.', ",")),
        ..refused
    })?;
    Ok(Accepted {
        text: read.text.into_owned().into(),
        kept: read.kept,
    })
}

fn bytes<'a>(text: &str, encoding: Encoding) -> Read<'a> {
    let decoded = match encoding {
        Encoding::Base64 => STANDARD.decode(text).ok(),
        Encoding::Hex => {
            let pairs = text.as_bytes().chunks(2);
            let byte = |pair: &[u8]| {
                let right = pair.len() == 2 && pair.iter().all(u8::is_ascii_hexdigit);
                let pair = right.then(|| str::from_utf8(pair).ok())??;
                u8::from_str_radix(pair, 16).ok()
            };
            pairs.map(byte).collect()
        }
    };
    match decoded {
        Some(bytes) => Ok(Accepted::written(format!("\\x{}", hex(&bytes)))),
        None => Err(Refused::because(match encoding {
            Encoding::Base64 => "not base64, as the setting bytes says",
            Encoding::Hex => "not pairs of hexadecimal digits, as the setting bytes says",
        })),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// That a date and time written by `format` can be read by it.
fn is_format(format: &str) -> Result<(), String> {
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
