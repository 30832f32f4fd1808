//! Bytes, bits and UUIDs.

use std::fmt::Write;

use super::{Accepted, Read, Refused};

/// `\x` and pairs of hexadecimal digits.
pub fn bytea(text: &str) -> Read<'_> {
    if let Some(digits) = text.strip_prefix("\\x")
        && digits.len().is_multiple_of(2)
        && digits.bytes().all(|b| b.is_ascii_hexdigit())
    {
        return Ok(Accepted::surely(text));
    }
    let bare = text.strip_prefix("0x").or(text.strip_prefix("0X"));
    let why = match bare.filter(|d| is_hex(d)) {
        Some(digits) => {
            return Err(Refused::instead(NO_BYTES, Some(format!("\\x{digits}"))));
        }
        None if text.starts_with("\\x") => "not pairs of hexadecimal digits behind \\x",
        None => NO_BYTES,
    };
    Err(Refused::instead(why, escaped(text)))
}

const NO_BYTES: &str = "not bytes as \\x and hexadecimal digits; base64 and bare hexadecimal digits are a setting: bytes";

fn is_hex(digits: &str) -> bool {
    digits.len().is_multiple_of(2) && digits.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The bytes of PostgreSQL's escape format, where a text surely is in it.
fn escaped(text: &str) -> Option<String> {
    if !text.contains('\\') || text.starts_with("\\x") {
        return None;
    }
    let mut out = "\\x".to_owned();
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let (byte, length) = match (first, behind) {
            (b'\\', [b'\\', ..]) => (b'\\', 2),
            (b'\\', digits) => {
                let digits = digits.get(..3)?;
                let value = u32::from_str_radix(str::from_utf8(digits).ok()?, 8).ok()?;
                (u8::try_from(value).ok()?, 4)
            }
            (byte, _) => (*byte, 1),
        };
        let _ = write!(out, "{byte:02x}");
        rest = &rest[length..];
    }
    Some(out)
}

/// Digits 0 and 1.
pub fn bits(text: &str) -> Read<'_> {
    if text.bytes().all(|b| matches!(b, b'0' | b'1')) {
        return Ok(Accepted::surely(text));
    }
    let instead = match text.split_at_checked(1) {
        Some(("b" | "B", digits)) if digits.bytes().all(|b| matches!(b, b'0' | b'1')) => {
            Some(digits.to_owned())
        }
        Some(("x" | "X", digits)) => digits
            .chars()
            .map(|c| c.to_digit(16).map(|d| format!("{d:04b}")))
            .collect(),
        _ => None,
    };
    Err(Refused::instead("not bits as 0 and 1", instead))
}

/// 32 hexadecimal digits in either case, in one piece or with hyphens behind 8, 12, 16 and 20 of
/// them, in braces or not.
pub fn uuid(text: &str) -> Read<'_> {
    let inner = text
        .strip_prefix('{')
        .and_then(|t| t.strip_suffix('}'))
        .unwrap_or(text);
    let bytes = inner.as_bytes();
    let digits = |range: &[u8]| range.iter().all(u8::is_ascii_hexdigit);
    let right = match bytes.len() {
        32 => digits(bytes),
        36 => {
            [8, 13, 18, 23].iter().all(|at| bytes[*at] == b'-')
                && digits(&bytes[..8])
                && digits(&bytes[9..13])
                && digits(&bytes[14..18])
                && digits(&bytes[19..23])
                && digits(&bytes[24..])
        }
        _ => false,
    };
    if right {
        return Ok(Accepted::surely(text));
    }
    let bare: String = inner
        .trim_start_matches("urn:uuid:")
        .chars()
        .filter(|c| *c != '-')
        .collect();
    let instead = (bare.len() == 32 && digits(bare.as_bytes())).then(|| {
        let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|r| &bare[r]);
        parts.join("-").to_ascii_lowercase()
    });
    Err(Refused::instead("not a UUID", instead))
}
