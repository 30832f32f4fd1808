//! Arrays, ranges and composite values: what each value inside them is, however deep.

use std::borrow::Cow;

use super::literal::{self, Part};
use super::{Accepted, Kept, Kind, Read, Refused, Spelled};

/// An array literal.
pub fn array<'a>(text: &'a str, element: &Kind, delimiter: char, by: &Spelled) -> Read<'a> {
    if is_hollow(text) {
        return Err(Refused::because(
            "arrays that hold nothing, of which PostgreSQL keeps one at most; the empty array is {}",
        ));
    }
    // The database judges the literal itself.
    if matches!(element, Kind::Text(None) | Kind::Json) {
        return Ok(Accepted::surely(text));
    }
    let parts = literal::array(text, delimiter)
        .ok_or_else(|| Refused::because(format!("not an array as {{1{delimiter}2}}")))?;
    all(text, &parts, by, |_| Some(element))
}

/// Whether an array holds arrays and no element.
fn is_hollow(text: &str) -> bool {
    let braces = |c: char| "{},; ".contains(c);
    text.starts_with('{') && text.matches('{').nth(1).is_some() && text.chars().all(braces)
}

/// A range literal.
pub fn range<'a>(text: &'a str, bound: &Kind, by: &Spelled) -> Read<'a> {
    let parts =
        literal::range(text).ok_or_else(|| Refused::because("not a range as [1,2) or empty"))?;
    let mut accepted = all(text, &parts, by, |_| Some(bound))?;
    if may_be_empty(text, &parts) {
        accepted.kept = accepted.kept.max(Kept::Unless);
    }
    Ok(accepted)
}

/// Whether a range that names bounds may hold nothing: then it is stored as `empty`. Whether two bounds are one value, or
/// neighbours, is for the database to say.
fn may_be_empty(text: &str, parts: &[Part<'_>]) -> bool {
    let text = text.trim_ascii();
    let is_closed = text.starts_with('[') && text.ends_with(']');
    !is_closed && parts.len() == 2 && parts.iter().all(|bound| bound.text.is_some())
}

/// A multirange literal.
pub fn multirange<'a>(text: &'a str, bound: &Kind, by: &Spelled) -> Read<'a> {
    let parts = literal::multirange(text)
        .ok_or_else(|| Refused::because("not a multirange as {[1,2),[5,6)}"))?;
    let mut accepted = all(text, &parts, by, |_| Some(bound))?;
    // Ranges that meet are stored as one, and those that hold nothing not at all.
    accepted.kept = accepted.kept.max(Kept::Unless);
    Ok(accepted)
}

/// A composite literal.
pub fn composite<'a>(text: &'a str, fields: &[Kind], by: &Spelled) -> Read<'a> {
    let parts = literal::composite(text)
        .ok_or_else(|| Refused::because("not a composite value as (1,\"two\",)"))?;
    if parts.len() != fields.len() {
        let (has, given) = (fields.len(), parts.len());
        let empty = has == 0 && given == 1 && parts[0].text.is_none();
        if !empty {
            return Err(Refused::because(format!(
                "a composite value of {given} fields, and the type has {has}"
            )));
        }
    }
    all(text, &parts, by, |i| fields.get(i))
}

/// Reads each part as the kind that `of` names, and puts those that are spelled otherwise in their
/// places.
fn all<'a, 'k>(
    text: &'a str,
    parts: &[Part<'_>],
    by: &Spelled,
    of: impl Fn(usize) -> Option<&'k Kind>,
) -> Read<'a> {
    let mut kept = Kept::Surely;
    let mut written = String::new();
    let mut copied = 0;
    for (i, part) in parts.iter().enumerate() {
        let (Some(value), Some(kind)) = (&part.text, of(i)) else {
            continue;
        };
        let read = kind.read_by(value, by).map_err(|refused| Refused {
            why: format!("{}: {}", crate::text::escape(value), refused.why).into(),
            quotes: true,
            instead: refused.instead,
        })?;
        kept = kept.max(read.kept);
        if read.text != *value {
            written += &text[copied..part.start];
            written += &literal::quoted(&read.text);
            copied = part.end;
        }
    }
    let text = match copied {
        0 => Cow::Borrowed(text),
        _ => Cow::Owned(written + &text[copied..]),
    };
    Ok(Accepted { text, kept })
}

/// Whether each part of `given` is kept by the one of `stored` in its place.
fn each_keeps<'k>(
    given: Option<Vec<Part<'_>>>,
    stored: Option<Vec<Part<'_>>>,
    of: impl Fn(usize) -> Option<&'k Kind>,
) -> bool {
    let (Some(given), Some(stored)) = (given, stored) else {
        return false;
    };
    let keeps =
        |(i, (given, stored)): (usize, (&Part<'_>, &Part<'_>))| match (&given.text, &stored.text) {
            (Some(given), Some(stored)) => of(i).is_some_and(|kind| kind.keeps(given, stored)),
            (given, stored) => given.is_none() && stored.is_none(),
        };
    given.len() == stored.len() && given.iter().zip(&stored).enumerate().all(keeps)
}

/// Whether the array `stored` keeps all that `given` says.
pub fn array_keeps(given: &str, stored: &str, element: &Kind, delimiter: char) -> bool {
    let (given, stored) = (
        literal::array(given, delimiter),
        literal::array(stored, delimiter),
    );
    each_keeps(given, stored, |_| Some(element))
}

/// As [`array_keeps`], for ranges. Bounds that are stored as others, such as `(1,` as `[2,`, are
/// kept: only types that surely keep theirs have them.
pub fn range_keeps(given: &str, stored: &str, bound: &Kind) -> bool {
    each_keeps(literal::range(given), literal::range(stored), |_| {
        Some(bound)
    })
}

/// As [`array_keeps`], for multiranges.
pub fn multirange_keeps(given: &str, stored: &str, bound: &Kind) -> bool {
    let (given, stored) = (literal::multirange(given), literal::multirange(stored));
    each_keeps(given, stored, |_| Some(bound))
}

/// As [`array_keeps`], for composite values.
pub fn composite_keeps(given: &str, stored: &str, fields: &[Kind]) -> bool {
    let (given, stored) = (literal::composite(given), literal::composite(stored));
    each_keeps(given, stored, |i| fields.get(i))
}
