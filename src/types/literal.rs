//! The text forms of arrays, ranges and composite values, taken apart and put together again.

use std::borrow::Cow;

/// A value inside another: where it stands, and its text; `None` is null or, of a range, no bound.
pub struct Part<'a> {
    /// Where its first byte stands, quotes included.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// Its text without quotes and escapes.
    pub text: Option<Cow<'a, str>>,
}

/// Reads a text from left to right.
pub struct Scan<'a> {
    text: &'a str,
    /// How far it has come.
    pub at: usize,
}

impl<'a> Scan<'a> {
    /// At the beginning of `text`.
    pub fn new(text: &'a str) -> Scan<'a> {
        Scan { text, at: 0 }
    }

    /// The byte that comes next.
    pub fn next(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Takes `byte`, if it comes next.
    pub fn take(&mut self, byte: u8) -> bool {
        let is = self.next() == Some(byte);
        self.at += usize::from(is);
        is
    }

    /// Passes over blanks.
    pub fn blanks(&mut self) {
        while self
            .next()
            .is_some_and(|b| b.is_ascii_whitespace() || b == 0x0b)
        {
            self.at += 1;
        }
    }

    /// The text up to one of `ends` outside of quotes. Quotes and backslashes are taken off; where
    /// `doubled`, two quotes inside of quotes are one. Says whether anything was quoted.
    ///
    /// `None` where a quote is not closed.
    pub fn part(&mut self, ends: &[u8], doubled: bool) -> Option<(Part<'a>, bool)> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut copied: Option<String> = None;
        let (mut from, mut quoted, mut inside) = (start, false, false);
        // The text between `from` and here is taken as it is.
        let mut take = |from: usize, to: usize| {
            copied
                .get_or_insert_default()
                .push_str(&self.text[from..to]);
        };
        loop {
            match bytes.get(self.at) {
                None if inside => return None,
                None => break,
                Some(b'"') => {
                    take(from, self.at);
                    let again = doubled && inside && bytes.get(self.at + 1) == Some(&b'"');
                    if again {
                        self.at += 1;
                    } else {
                        inside = !inside;
                        quoted = true;
                    }
                    from = self.at + usize::from(!again);
                    self.at += 1;
                }
                Some(b'\\') => {
                    take(from, self.at);
                    from = self.at + 1;
                    let escaped = self.text.get(from..)?.chars().next()?;
                    self.at = from + escaped.len_utf8();
                    quoted = true;
                }
                Some(byte) if !inside && ends.contains(byte) => break,
                Some(_) => self.at += 1,
            }
        }
        let text = match copied {
            None => Cow::Borrowed(&self.text[start..self.at]),
            Some(mut copied) => {
                copied.push_str(&self.text[from..self.at]);
                Cow::Owned(copied)
            }
        };
        let part = Part {
            start,
            end: self.at,
            text: Some(text),
        };
        Some((part, quoted))
    }
}

/// The elements of an array literal in order, whatever their dimensions; those are for PostgreSQL to
/// judge.
pub fn array(text: &str, delimiter: char) -> Option<Vec<Part<'_>>> {
    let delimiter = u8::try_from(delimiter).ok()?;
    let mut scan = Scan::new(text);
    if scan.next() == Some(b'[') {
        let bounds = text.find('=')?;
        let right = |b: &u8| b.is_ascii_digit() || b"[]:+- ".contains(b);
        if !text.as_bytes()[..bounds].iter().all(right) {
            return None;
        }
        scan.at = bounds + 1;
    }
    let (mut parts, mut depth) = (Vec::new(), 0_usize);
    // Whether a value must, may or must not come next.
    let mut closed = false;
    loop {
        scan.blanks();
        if scan.take(b'{') {
            if closed {
                return None;
            }
            depth += 1;
        } else if depth == 0 {
            return None;
        } else if scan.take(b'}') {
            depth -= 1;
            closed = true;
        } else if scan.take(delimiter) {
            closed = false;
        } else {
            let (mut part, quoted) = scan.part(&[delimiter, b'{', b'}'], false)?;
            if closed {
                return None;
            }
            if !quoted {
                let bare = part.text.take()?;
                let bare = bare
                    .trim_end_matches(|c: char| c.is_ascii_whitespace())
                    .to_owned();
                part.end = part.start + bare.len();
                part.text = (!bare.eq_ignore_ascii_case("null")).then_some(Cow::Owned(bare));
            }
            parts.push(part);
            closed = true;
        }
        if depth == 0 {
            scan.blanks();
            return scan.next().is_none().then_some(parts);
        }
    }
}

/// The bounds of a range literal; an empty range has none.
pub fn range(text: &str) -> Option<Vec<Part<'_>>> {
    let text_end = text
        .trim_end_matches(|c: char| c.is_ascii_whitespace())
        .len();
    let mut scan = Scan::new(&text[..text_end]);
    scan.blanks();
    if text[scan.at..text_end].eq_ignore_ascii_case("empty") {
        return Some(Vec::new());
    }
    let bounds = range_at(&mut scan)?;
    (scan.at == text_end).then_some(bounds.into())
}

fn range_at<'a>(scan: &mut Scan<'a>) -> Option<[Part<'a>; 2]> {
    if !(scan.take(b'[') || scan.take(b'(')) {
        return None;
    }
    let lower = bound(scan, b",")?;
    if !scan.take(b',') {
        return None;
    }
    let upper = bound(scan, b")],")?;
    (scan.take(b']') || scan.take(b')')).then_some([lower, upper])
}

fn bound<'a>(scan: &mut Scan<'a>, ends: &[u8]) -> Option<Part<'a>> {
    let (mut part, quoted) = scan.part(ends, true)?;
    if part.start == part.end && !quoted {
        part.text = None;
    }
    Some(part)
}

/// The bounds of all ranges of a multirange literal.
pub fn multirange(text: &str) -> Option<Vec<Part<'_>>> {
    let mut scan = Scan::new(text);
    let mut parts = Vec::new();
    scan.blanks();
    if !scan.take(b'{') {
        return None;
    }
    scan.blanks();
    while !scan.take(b'}') {
        if !parts.is_empty() && !scan.take(b',') {
            return None;
        }
        scan.blanks();
        const EMPTY: &str = "empty";
        let here = text.get(scan.at..scan.at + EMPTY.len());
        if here.is_some_and(|t| t.eq_ignore_ascii_case(EMPTY)) {
            scan.at += EMPTY.len();
            // It adds nothing, but a comma may follow it.
            parts.push(Part {
                start: scan.at,
                end: scan.at,
                text: None,
            });
        } else {
            parts.extend(range_at(&mut scan)?);
        }
        scan.blanks();
    }
    scan.blanks();
    scan.next().is_none().then_some(parts)
}

/// The fields of a composite literal; null where nothing stands.
pub fn composite(text: &str) -> Option<Vec<Part<'_>>> {
    let mut scan = Scan::new(text);
    scan.blanks();
    if !scan.take(b'(') {
        return None;
    }
    let mut parts = Vec::new();
    loop {
        parts.push(bound(&mut scan, b",)")?);
        if scan.take(b')') {
            scan.blanks();
            return scan.next().is_none().then_some(parts);
        }
        if !scan.take(b',') {
            return None;
        }
    }
}

/// `text` as it stands inside of quotes.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}
