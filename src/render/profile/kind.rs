//! How one value becomes another: by which factor, by how much, by what exchange.

use jiff::civil::{Date, DateTime};

/// How one value becomes another of the same kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A number times a power of ten: the same digits with the point elsewhere.
    PowerOfTen(i32),
    /// The same number with the other sign.
    Sign,
    /// A date or time so many seconds later; earlier where negative.
    Shift(i64),
    /// A date whose day and month were exchanged.
    Exchanged,
    /// A text with other letters' case only.
    Case,
    /// A text with other white space only.
    Space,
}

/// One day in seconds.
const DAY: i64 = 86_400;

/// How `old` becomes `new`, where it is in one of these ways. Texts are as PostgreSQL prints them.
pub fn kind(old: &str, new: &str) -> Option<Kind> {
    if let (Some(a), Some(b)) = (Number::read(old), Number::read(new)) {
        if a.digits != b.digits || a.digits.is_empty() {
            return None;
        }
        return match (a.negative == b.negative, b.exponent - a.exponent) {
            (true, 0) => None,
            (true, power) => Some(Kind::PowerOfTen(power)),
            (false, 0) => Some(Kind::Sign),
            (false, _) => None,
        };
    }
    if let (Some(a), Some(b)) = (time(old), time(new)) {
        let (d, e) = (a.date(), b.date());
        let exchanged = d.year() == e.year()
            && a.time() == b.time()
            && (d.month(), d.day()) == (e.day(), e.month())
            && d.month() != d.day();
        if exchanged {
            return Some(Kind::Exchanged);
        }
        let seconds = b.duration_since(a).as_secs();
        return (seconds != 0).then_some(Kind::Shift(seconds));
    }
    if old == new {
        None
    } else if old.to_lowercase() == new.to_lowercase() {
        Some(Kind::Case)
    } else if old.split_whitespace().eq(new.split_whitespace()) {
        Some(Kind::Space)
    } else {
        None
    }
}

/// A number in a form in which those with the same digits are told.
struct Number {
    negative: bool,
    /// Without the point, and without zeros at both ends; empty for zero.
    digits: String,
    /// The power of ten of the last of the digits.
    exponent: i32,
}

/// A number as it is written.
struct Written<'t> {
    negative: bool,
    whole: &'t str,
    decimals: &'t str,
    power: i32,
}

impl Written<'_> {
    fn read(text: &str) -> Option<Written<'_>> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let is_digit = |b: &u8| b.is_ascii_digit();
        if !rest.as_bytes().first().is_some_and(is_digit) {
            return None;
        }
        let (mantissa, power) = match rest.split_once('e') {
            Some((mantissa, power)) => (mantissa, power.parse::<i32>().ok()?),
            None => (rest, 0),
        };
        let (whole, decimals) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let is_plain = |part: &str| part.as_bytes().iter().all(is_digit);
        (is_plain(whole) && is_plain(decimals) && mantissa.len() <= 400).then_some(Written {
            negative,
            whole,
            decimals,
            power,
        })
    }
}

impl Number {
    fn read(text: &str) -> Option<Number> {
        let Written {
            negative,
            whole,
            decimals,
            power,
        } = Written::read(text)?;
        let all = format!("{whole}{decimals}");
        let digits = all.trim_start_matches('0');
        let significant = digits.trim_end_matches('0');
        let zeros = i32::try_from(digits.len() - significant.len()).ok()?;
        let decimals = i32::try_from(decimals.len()).ok()?;
        Some(Number {
            negative,
            digits: significant.to_owned(),
            exponent: power.checked_add(zeros)?.checked_sub(decimals)?,
        })
    }
}

/// A number as a floating-point one, to see how large it is.
pub fn number(text: &str) -> Option<f64> {
    Written::read(text)?;
    text.parse().ok().filter(|n: &f64| n.is_finite())
}

/// A date, or a time with its date; all offsets are those of UTC in a plan.
pub fn time(text: &str) -> Option<DateTime> {
    let text = text.strip_suffix("+00").unwrap_or(text);
    let dated = text.as_bytes().get(4) == Some(&b'-') && text.len() >= 10 && text.len() <= 26;
    if !dated {
        return None;
    }
    match text.len() {
        10 => text.parse::<Date>().ok().map(|d| d.at(0, 0, 0, 0)),
        _ => text.parse::<DateTime>().ok(),
    }
}

impl Kind {
    /// In words, behind a number of rows: `one day earlier`, `tenfold`.
    pub fn words(&self) -> String {
        match self {
            Kind::PowerOfTen(1) => "tenfold".into(),
            Kind::PowerOfTen(-1) => "a tenth".into(),
            Kind::PowerOfTen(2) => "a hundredfold".into(),
            Kind::PowerOfTen(-2) => "a hundredth".into(),
            Kind::PowerOfTen(3) => "a thousandfold".into(),
            Kind::PowerOfTen(-3) => "a thousandth".into(),
            Kind::PowerOfTen(n) => format!("times 10^{n}"),
            Kind::Sign => "with the other sign".into(),
            Kind::Shift(seconds) => shifted(*seconds),
            Kind::Exchanged => "with day and month exchanged".into(),
            Kind::Case => "in upper and lower case only".into(),
            Kind::Space => "in white space only".into(),
        }
    }
}

fn shifted(seconds: i64) -> String {
    let way = if seconds < 0 { "earlier" } else { "later" };
    let n = seconds.unsigned_abs();
    let day = DAY.unsigned_abs();
    let (n, unit) = match n {
        _ if n.is_multiple_of(day) => (n / day, "day"),
        _ if n.is_multiple_of(3_600) => (n / 3_600, "hour"),
        _ if n.is_multiple_of(60) => (n / 60, "minute"),
        _ => (n, "second"),
    };
    match n {
        1 => format!("one {unit} {way}"),
        n => format!("{n} {unit}s {way}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_is_told() {
        for (old, new, way) in [
            ("7.2", "72", "tenfold"),
            ("72.0", "7.20", "a tenth"),
            ("1.5e300", "1.5e303", "a thousandfold"),
            ("5", "-5", "with the other sign"),
            ("2024-03-02", "2024-03-01", "one day earlier"),
            ("2024-03-01", "2024-03-15", "14 days later"),
            ("2024-03-02", "2024-02-03", "with day and month exchanged"),
            (
                "2024-03-02 10:00:00+00",
                "2024-03-02 11:00:00+00",
                "one hour later",
            ),
            (
                "2024-03-02 10:00:00",
                "2024-03-02 10:00:30",
                "30 seconds later",
            ),
            ("Ada", "ADA", "in upper and lower case only"),
            ("a  b", "a b", "in white space only"),
        ] {
            let found = kind(old, new).map(|k| k.words());
            assert_eq!(found.as_deref(), Some(way), "{old} {new}");
        }
        for (old, new) in [
            ("7.2", "73"),
            ("5", "5.0"),
            ("0", "0.0"),
            ("5", "-50"),
            ("x", "y"),
            ("1", "x"),
            ("2024-13-02", "2024-03-02"),
        ] {
            assert_eq!(kind(old, new), None, "{old} {new}");
        }
    }
}
