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
    // The section for positive numbers counts: the first, or one behind such as are under a condition, as `[=0]"";d.m.y`.
    let mut rest = code;
    loop {
        let section = Section::first(rest);
        match section.behind {
            Some(behind) if section.is_conditional && section.kind == Kind::Number => rest = behind,
            _ => return section.kind,
        }
    }
}

/// A part of a format that is for some numbers.
struct Section<'a> {
    kind: Kind,
    is_conditional: bool,
    /// The sections behind it.
    behind: Option<&'a str>,
}

impl Section<'_> {
    fn first(code: &str) -> Section<'_> {
        let mut chars = code.chars();
        let mut section = Section {
            kind: Kind::Number,
            is_conditional: false,
            behind: None,
        };
        // Scientific, fractions and digits make it a number, whatever letters follow.
        let mut is_number = false;
        let mut is_elapsed = false;
        while let Some(c) = chars.next() {
            match c {
                '"' => drop(chars.by_ref().find(|c| *c == '"')),
                '\\' | '_' | '*' => drop(chars.next()),
                '[' => {
                    let inside: String = chars.by_ref().take_while(|c| *c != ']').collect();
                    let elapsed = |sign| {
                        !inside.is_empty() && inside.chars().all(|c| c.eq_ignore_ascii_case(&sign))
                    };
                    is_elapsed |= !is_number && ['h', 'm', 's'].into_iter().any(elapsed);
                    section.is_conditional |= inside.starts_with(['<', '>', '=']);
                }
                ';' => {
                    section.behind = Some(chars.as_str());
                    break;
                }
                'G' | 'g' if chars.as_str().to_ascii_lowercase().starts_with("eneral") => {
                    is_number = true;
                }
                // An era is part of a date.
                'y' | 'Y' | 'm' | 'M' | 'd' | 'D' | 'h' | 'H' | 's' | 'S' | 'g' | 'G' => {
                    section.kind = Kind::Moment;
                }
                '#' | '?' => is_number = true,
                _ => {}
            }
        }
        section.kind = match section.kind {
            _ if is_elapsed => Kind::Elapsed,
            _ if is_number => Kind::Number,
            kind => kind,
        };
        section
    }
}

/// Microseconds of a day.
const DAY: f64 = 86_400_000_000.0;

/// By how many microseconds a time may miss what it means: the distance of the doubles that count the days of our
/// time is 0.63, and differences of such have as much.
const NOISE: f64 = 0.65;

/// The time of a day, in microseconds, that a fraction of it means: the roundest that what programs write of it can
/// stand for. Some write 15 digits (as LibreOffice does) or 16 (as libraries of Python do), the last of which may be cut
/// off, others all that a double has.
fn microseconds(days: f64, number: &str) -> f64 {
    let exact = (days - days.floor()) * DAY;
    let mantissa = number.split(['e', 'E']).next().unwrap_or_default();
    let digits = mantissa.chars().filter(char::is_ascii_digit);
    let digits = digits.skip_while(|d| *d == '0').count();
    let first = days.log10().floor();
    let cut = match digits {
        _ if days <= 0.0 => 0.0,
        ..=15 => 10_f64.powf(first - 14.0) * DAY,
        16 => 10_f64.powf(first - 15.0) * DAY,
        _ => 0.0,
    };
    let near = [1_000_000.0, 1_000.0].map(|unit: f64| (exact / unit).round() * unit);
    let meant = near.into_iter().find(|n| (n - exact).abs() <= NOISE + cut);
    meant.unwrap_or_else(|| exact.round())
}

/// What the number of a cell may be; it is not repeated, as it may be a sensitive value.
const NO_DATE: &str = "the cell is formatted as a date, and its number is no date of a workbook";

/// The text of the moment or time that `number` is, or why it is none.
pub(super) fn text(number: &str, kind: Kind, from_1904: bool) -> Result<String, String> {
    let days: f64 = number
        .parse()
        .map_err(|_| "the cell is formatted as a date, and holds no number".to_owned())?;
    if !(0.0..3_000_000.0).contains(&days) {
        return Err(NO_DATE.to_owned());
    }
    let (mut whole, mut rest) = (days.floor(), microseconds(days, number));
    if rest >= DAY {
        (whole, rest) = (whole + 1.0, 0.0);
    }
    // Both are within what was checked above.
    let (whole, rest) = (whole as i64, SignedDuration::from_micros(rest as i64));
    if kind == Kind::Elapsed || days < 1.0 {
        // What is rounded up to the end of its day is 24:00:00.
        let seconds = rest.as_secs() + whole * 86_400;
        let clock = clock(seconds, rest.subsec_micros());
        return Ok(clock);
    }
    let time = clock(rest.as_secs(), rest.subsec_micros());
    let day = day(whole, from_1904).ok_or_else(|| NO_DATE.to_owned())?;
    if rest.is_zero() {
        return Ok(day.to_string());
    }
    Ok(format!("{day}T{time}"))
}

fn clock(seconds: i64, micros: i32) -> String {
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let fraction = match micros {
        0 => String::new(),
        _ if micros % 1_000 == 0 => format!(".{:03}", micros / 1_000),
        _ => format!(".{micros:06}"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_what_was_written_to_the_microsecond() {
        for (number, kind, told) in [
            (
                "45306.999999999985",
                Kind::Moment,
                "2024-01-15T23:59:59.999999",
            ),
            (
                "45306.99999999537",
                Kind::Moment,
                "2024-01-15T23:59:59.999600",
            ),
            (
                "45306.604422725184",
                Kind::Moment,
                "2024-01-15T14:30:22.123456",
            ),
            (
                "45306.00000000463",
                Kind::Moment,
                "2024-01-15T00:00:00.000400",
            ),
            // What a double, 15 digits, and a difference of two moments have of whole seconds.
            ("45306.604421296295", Kind::Moment, "2024-01-15T14:30:22"),
            ("45306.6044212963", Kind::Moment, "2024-01-15T14:30:22"),
            ("45306.9999884259", Kind::Moment, "2024-01-15T23:59:59"),
            ("0.10442129629518604", Kind::Elapsed, "02:30:22"),
            ("0.604421296296296", Kind::Moment, "14:30:22"),
            (
                "45306.604422724",
                Kind::Moment,
                "2024-01-15T14:30:22.123353",
            ),
            ("0.0123456", Kind::Moment, "00:17:46.659840"),
            ("0.999999999", Kind::Moment, "23:59:59.999914"),
            ("0", Kind::Moment, "00:00:00"),
            ("1.5", Kind::Elapsed, "36:00:00"),
            ("4.5306E4", Kind::Moment, "2024-01-15"),
        ] {
            let found = text(number, kind, false);
            assert_eq!(found.as_deref(), Ok(told), "{number}");
        }
        // All that Excel, LibreOffice and libraries of Python can write of each second, and of each millisecond of one hour.
        let written = |at: f64| [format!("{at}"), format!("{at:.10}"), format!("{at:.11}")];
        for second in 0..86_400_u32 {
            let told = format!(
                "2024-01-15T{:02}:{:02}:{:02}",
                second / 3600,
                second / 60 % 60,
                second % 60
            );
            let told = if second == 0 { "2024-01-15" } else { &told };
            for number in written(45306.0 + f64::from(second) / 86_400.0) {
                let found = text(&number, Kind::Moment, false);
                assert_eq!(found.as_deref(), Ok(told), "{number}");
            }
        }
        for milli in (0..3_600_000_u32).step_by(37) {
            let [number, ..] = written(45306.0 + f64::from(milli) / 86_400_000.0);
            let found = text(&number, Kind::Moment, false).unwrap();
            let fraction = found.split_once('.').map_or("000", |(_, f)| f);
            assert_eq!(fraction, format!("{:03}", milli % 1_000), "{number}");
        }
    }

    #[test]
    fn eras_are_of_dates_and_general_is_a_number() {
        for (code, kind) in [
            ("[$-411]ggge\"年\"m\"月\"d\"日\";@", Kind::Moment),
            ("[$-411]ge.m.d", Kind::Moment),
            ("[$-411]ggge\"年\"", Kind::Moment),
            ("[$-404]e/m/d", Kind::Moment),
            ("General", Kind::Number),
            ("GENERAL\"d\"", Kind::Number),
            ("[$-411]General", Kind::Number),
            ("0.00E+00", Kind::Number),
            ("#,##0", Kind::Number),
            ("[h]:mm", Kind::Elapsed),
            ("[=0]\"\";dd.mm.yyyy", Kind::Moment),
            ("[Red][=0]0;[<1]hh:mm;dd.mm.yyyy", Kind::Moment),
            ("[=0]General;[h]:mm", Kind::Elapsed),
            ("[>=1000]#,##0;0.00", Kind::Number),
            ("0;dd.mm.yyyy", Kind::Number),
            ("dd.mm.yyyy;;", Kind::Moment),
        ] {
            assert!(custom(code) == kind, "{code}");
        }
    }
}
