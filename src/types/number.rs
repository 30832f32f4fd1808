//! Numbers.

use super::{Accepted, Read, Refused};

/// What a floating-point type surely keeps.
#[derive(Clone, Copy)]
pub struct Float {
    /// Decimal digits that survive in any number (`FLT_DIG`, `DBL_DIG`).
    digits: usize,
    single: bool,
}

/// `real`.
pub const SINGLE: Float = Float {
    digits: 6,
    single: true,
};
/// `double precision`.
pub const DOUBLE: Float = Float {
    digits: 15,
    single: false,
};

/// A number's parts as they stand there.
struct Parts<'a> {
    whole: &'a str,
    fraction: &'a str,
    exponent: Option<&'a str>,
}

/// Sign or none, digits with a point somewhere or none, exponent or none.
fn parts(text: &str) -> Option<Parts<'_>> {
    let bytes = text.as_bytes();
    let digits = |from: usize| {
        let rest = bytes.get(from..).unwrap_or_default();
        from + rest.iter().take_while(|b| b.is_ascii_digit()).count()
    };
    let start = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    let end = digits(start);
    let mut parts = Parts {
        whole: &text[start..end],
        fraction: "",
        exponent: None,
    };
    let mut at = end;
    if bytes.get(at) == Some(&b'.') {
        let end = digits(at + 1);
        parts.fraction = &text[at + 1..end];
        at = end;
    }
    if parts.whole.is_empty() && parts.fraction.is_empty() {
        return None;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let from = at + 1 + sign;
        let end = digits(from);
        parts.exponent = (end > from).then_some(&text[at + 1..end]);
        parts.exponent?;
        at = end;
    }
    (at == bytes.len()).then_some(parts)
}

/// What is no number, with how to write it where that is clear.
fn no_number(what: &str, text: &str) -> Refused {
    let decimals = text.split_once(',').map(|(_, decimals)| decimals);
    let comma = text.matches(',').count() == 1 && parts(&text.replace(',', ".")).is_some();
    let why = match decimals.filter(|_| comma) {
        // Where the setting is wrong, it makes a thousandth of the number.
        Some(d) if d.len() == 3 => format!(
            "not {what}; whether its comma stands between thousands or before decimals is not clear: write it without, \
             or, only if the delivery writes decimals so, set decimal_comma"
        ),
        Some(_) => format!("not {what}; a comma before the decimals is a setting: decimal_comma"),
        None => format!("not {what}"),
    };
    Refused::instead(why, respelled(text))
}

/// A number with currency sign or separators of thousands, without them; special numbers in the
/// case in which PostgreSQL prints them.
fn respelled(text: &str) -> Option<String> {
    let in_ascii: String = text.chars().filter_map(ascii).collect();
    if in_ascii != text && parts(&in_ascii).is_some() {
        return Some(in_ascii);
    }
    let text = in_ascii.as_str();
    match text.to_ascii_lowercase().as_str() {
        "nan" => return Some("NaN".into()),
        "inf" | "infinity" | "+inf" | "+infinity" => return Some("Infinity".into()),
        "-inf" | "-infinity" => return Some("-Infinity".into()),
        _ => {}
    }
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let rest = rest.strip_prefix('$').unwrap_or(rest);
    let (negative, rest) = match rest.strip_prefix('-') {
        Some(rest) if !negative => (true, rest),
        _ => (negative, rest),
    };
    if let Some(value) = radix(rest) {
        return Some(format!("{}{value}", if negative { "-" } else { "" }));
    }
    let (whole, fraction) = rest.split_once('.').unwrap_or((rest, ""));
    let groups: Vec<&str> = whole.split([',', '_', ' ']).collect();
    let are_thousands = groups.iter().skip(1).all(|g| g.len() == 3)
        && (1..=3).contains(&groups[0].len())
        // One comma and three digits may be decimals.
        && (!whole.contains(',') || groups.len() > 2 || rest.contains('.'));
    let plain = groups.concat();
    if groups.len() > 1 && !are_thousands || !plain.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let sign = if negative { "-" } else { "" };
    let point = if fraction.is_empty() { "" } else { "." };
    let spelled = format!("{sign}{plain}{point}{fraction}");
    (spelled != text && parts(&spelled).is_some()).then_some(spelled)
}

/// Minus signs, full-width forms and blanks that look like ASCII; what is not seen is nothing.
fn ascii(c: char) -> Option<char> {
    match c {
        '\u{2212}' | '\u{2010}'..='\u{2012}' | '\u{fe63}' => Some('-'),
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0),
        '\u{a0}' | '\u{2007}' | '\u{2009}' | '\u{202f}' => Some(' '),
        '\u{200b}'..='\u{200f}' | '\u{feff}' => None,
        other => Some(other),
    }
}

/// A number written with another base.
fn radix(text: &str) -> Option<u64> {
    let (prefix, digits) = text.split_at_checked(2)?;
    let radix = match prefix {
        "0x" | "0X" => 16,
        "0o" | "0O" => 8,
        "0b" | "0B" => 2,
        _ => return None,
    };
    u64::from_str_radix(digits, radix).ok()
}

/// A whole number; decimals that are all zero are none.
pub fn integer(text: &str) -> Read<'_> {
    let bytes = text.as_bytes();
    let start = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    if bytes.len() > start && bytes[start..].iter().all(u8::is_ascii_digit) {
        return Ok(Accepted::surely(text));
    }
    let Some(decimal) = parts(text).and_then(|_| Decimal::parse(text)) else {
        return Err(no_number("a whole number", text));
    };
    decimal.whole().map(Accepted::written).ok_or_else(|| {
        Refused::because(match decimal.last_place < 0 {
            true => "not a whole number: the column cannot keep the digits behind the point",
            false => "larger than any whole number that the column keeps",
        })
    })
}

/// The most decimals that `numeric` keeps without a scale.
const MOST_DECIMALS: i64 = 16_383;

/// A decimal number, or `NaN`, `Infinity`, `-Infinity`.
pub fn decimal(text: &str, scale: Option<i32>) -> Read<'_> {
    if is_special(text) {
        return Ok(Accepted::surely(text));
    }
    let parts = parts(text).ok_or_else(|| no_number("a number", text))?;
    let kept = i64::from(scale.unwrap_or(i32::MAX)).min(MOST_DECIMALS);
    if parts.exponent.is_none() && parts.fraction.len() as i64 <= kept {
        return Ok(Accepted::surely(text));
    }
    let surely = Decimal::parse(text).is_some_and(|d| d.last_place >= -kept);
    Ok(Accepted::kept_if(text, surely))
}

fn is_special(text: &str) -> bool {
    matches!(text, "NaN" | "Infinity" | "-Infinity")
}

/// A number for a floating-point column.
pub fn float(text: &str, float: Float) -> Read<'_> {
    if is_special(text) {
        return Ok(Accepted::surely(text));
    }
    let parts = parts(text).ok_or_else(|| no_number("a number", text))?;
    // Shorter than any number that is too large or too small to have all its digits.
    let surely = parts.exponent.is_none()
        && text.len() <= 25
        && parts.whole.len() + parts.fraction.len() <= float.digits;
    Ok(Accepted::kept_if(text, surely))
}

/// An amount without currency sign or separators of thousands.
pub fn money(text: &str) -> Read<'_> {
    match parts(text) {
        Some(parts) if parts.exponent.is_none() => {
            let kept = parts.fraction.trim_end_matches('0').len() <= 2;
            Ok(Accepted::kept_if(text, kept))
        }
        _ => Err(no_number(
            "an amount without currency sign or separators of thousands",
            text,
        )),
    }
}

/// Digits of a number that is at most `most`.
pub fn unsigned(text: &str, most: u64) -> Read<'_> {
    match is_unsigned(text, most) {
        true => Ok(Accepted::surely(text)),
        false => Err(Refused::because(format!(
            "not a number from 0 to {most} in plain digits"
        ))),
    }
}

/// A zero in front can mean another base.
fn is_unsigned(text: &str, most: u64) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'))
        && text.parse::<u64>().is_ok_and(|n| n <= most)
}

/// Whole numbers between blanks; without a sign and at most `most`, where that is said.
pub fn several(text: &str, most: Option<u64>) -> Read<'_> {
    let digits = |n: &str| {
        let n = n.strip_prefix('-').unwrap_or(n);
        !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())
    };
    let mut numbers = text.split_ascii_whitespace();
    let right = match most {
        None => numbers.all(digits),
        Some(most) => numbers.all(|n| is_unsigned(n, most)),
    };
    if right {
        Ok(Accepted::surely(text))
    } else {
        Err(Refused::because("not whole numbers between blanks"))
    }
}

/// `(block,row)`.
pub fn place(text: &str) -> Read<'_> {
    let inside = text.strip_prefix('(').and_then(|t| t.strip_suffix(')'));
    match inside.and_then(|t| t.split_once(',')) {
        Some((block, row)) if is_unsigned(block, 0xffff_ffff) && is_unsigned(row, 0xffff) => {
            Ok(Accepted::surely(text))
        }
        _ => Err(Refused::because("not a place as (block,row)")),
    }
}

/// Two hexadecimal numbers with `/` between.
pub fn log_position(text: &str) -> Read<'_> {
    let hex = |t: &str| (1..=8).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_hexdigit());
    match text.split_once('/') {
        Some((high, low)) if hex(high) && hex(low) => Ok(Accepted::surely(text)),
        _ => Err(Refused::because("not a log position as 16/B374D848")),
    }
}

/// Whether two decimal numbers are one; PostgreSQL prints money with sign and separators.
pub fn equal(given: &str, stored: &str) -> bool {
    let plain = |text: &str| Decimal::parse(&text.replace(['$', ','], ""));
    plain(given).is_some_and(|given| plain(stored) == Some(given))
}

/// Whether `stored`, written with as many digits as `given` has, is `given`: then `given` says
/// nothing that is not stored.
pub fn is_nearest(given: &str, stored: &str, float: Float) -> bool {
    /// The digits of the longest double, 5e-324 for example, in full.
    const MOST: usize = 1_100;
    let Some(decimal) = Decimal::parse(given) else {
        return false;
    };
    let places = decimal.digits.len().saturating_sub(1);
    if places > MOST {
        return false;
    }
    let written = match float.single {
        true => stored.parse::<f32>().map(|f| format!("{f:.places$e}")),
        false => stored.parse::<f64>().map(|f| format!("{f:.places$e}")),
    };
    written.is_ok_and(|written| Decimal::parse(&written) == Some(decimal))
}

/// A number without its exponent; `None` of what is none, and of one of more than thirty places on either side of its
/// point that the exponent says.
pub fn in_full(text: &str) -> Option<String> {
    const MOST: i64 = 30;
    let decimal = Decimal::parse(text)?;
    let places = decimal.last_place;
    if !(-MOST..=MOST).contains(&places) {
        return None;
    }
    let sign = if decimal.negative { "-" } else { "" };
    let (zeros, width) = (places.max(0) as usize, (1 - places).max(1) as usize);
    let digits = format!("{}{}", decimal.digits, "0".repeat(zeros));
    let digits = format!("{digits:0>width$}");
    let (whole, fraction) = digits.split_at(digits.len() - (width - 1));
    Some(match fraction {
        "" => format!("{sign}{whole}"),
        fraction => format!("{sign}{whole}.{fraction}"),
    })
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
        let text = text.trim_ascii();
        let parts = parts(text)?;
        let exponent: i64 = parts.exponent.map_or(Some(0), |e| e.parse().ok())?;
        let all = [parts.whole, parts.fraction].concat();
        let kept = all.trim_end_matches('0');
        let dropped = all.len() - kept.len();
        let digits = kept.trim_start_matches('0').to_owned();
        let last_place = exponent
            .checked_sub(parts.fraction.len() as i64)?
            .checked_add(dropped as i64)?;
        Some(Decimal {
            negative: text.starts_with('-') && !digits.is_empty(),
            last_place: if digits.is_empty() { 0 } else { last_place },
            digits,
        })
    }

    /// Its digits in full, where it is a whole number that some integer type can hold.
    fn whole(&self) -> Option<String> {
        const LONGEST: i64 = 19;
        let zeros = usize::try_from(self.last_place).ok()?;
        if self.digits.is_empty() {
            return Some("0".into());
        }
        if self.last_place + self.digits.len() as i64 > LONGEST {
            return None;
        }
        let sign = if self.negative { "-" } else { "" };
        Some(format!("{sign}{}{}", self.digits, "0".repeat(zeros)))
    }
}
