//! Values that a delivery spells otherwise, as `tables.yaml` says.

mod formats;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::borrow::Cow;

pub use self::formats::formatted;
use self::formats::{is_format, local};
use super::number;
use super::spelling::{Encoding, Epoch, Spelling};
use super::time::{self, named};
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
        let lists = [
            ("null_words", &spelling.null_words),
            ("true_words", &spelling.true_words),
            ("false_words", &spelling.false_words),
        ];
        for (i, (name, words)) in lists.iter().enumerate() {
            for (other, others) in &lists[i + 1..] {
                let both = |word: &&String| others.iter().flatten().any(|o| o == *word);
                if let Some(word) = words.iter().flatten().find(both) {
                    return Err((*name, format!("{word} stands in {other}, too")));
                }
            }
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
            Kind::Timestamp(zoned, _)
                if self.epoch.is_some()
                    && let Some(count) = count(text) =>
            {
                let counted = self.counted(&count, *zoned);
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
            Kind::Date
                if self.epoch.is_some()
                    && self.formats.is_empty()
                    && let Some(count) = count(text) =>
            {
                let day = self.counted_day(&count);
                match (time::date(text), day) {
                    // Digits may be a day as 20240131.
                    (Some(Ok(_)), Ok(_)) => Some(Err(Refused::because(
                        "read as one date by the setting epoch and as another by its digits",
                    ))),
                    (Some(Ok(_)), Err(_)) => None,
                    (_, day) => Some(day),
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

    /// The day of which a count since 1970 is the midnight: in the time zone of the delivery, or else in UTC.
    fn counted_day<'a>(&self, text: &str) -> Read<'a> {
        let zone = self.zone.clone().or(Some(TimeZone::UTC));
        let by_zone = Spelled {
            zone,
            ..self.clone()
        };
        let moment = by_zone.counted(text, Zoned::No)?;
        match moment.text.strip_suffix(" 00:00:00") {
            Some(day) => Ok(Accepted {
                kept: Kept::Otherwise,
                ..Accepted::written(day.to_owned())
            }),
            None => Err(Refused::because(
                "the column keeps no time of day, and this is no midnight (in UTC, or in the time_zone that is set)",
            )),
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
            (Zoned::No, Some(zone)) if nanos < 0 && zone.to_fixed_offset().is_err() => {
                // Of that time the server may know other offsets, and cannot be asked.
                return Err(Refused::because(
                    "before 1970 it is not surely known what time it was in the zone; give the time itself",
                ));
            }
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
}

/// A number as digits, with a sign and a point or without; `None` of what is none.
fn count(text: &str) -> Option<Cow<'_, str>> {
    if text.contains(['e', 'E']) {
        return number::in_full(text).map(Cow::Owned);
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole = whole.strip_prefix('-').unwrap_or(whole);
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    let is_count = !whole.is_empty() && digits(whole) && digits(fraction);
    is_count.then_some(Cow::Borrowed(text))
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
