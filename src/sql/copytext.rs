//! The text format of PostgreSQL's `COPY`: one row a line, fields between tabs.

use std::ops::Range;
use std::str::Utf8Error;

/// Appends one field to `out`, without the tab or line break that follows it; `None` is NULL (`\N`).
pub fn push_copy_text(out: &mut Vec<u8>, field: Option<&str>) {
    let Some(field) = field else {
        return out.extend_from_slice(br"\N");
    };
    let mut rest = field.as_bytes();
    // Without an early end, many bytes are looked at in one step; most fields are plain.
    let special = |found, byte: &u8| found | (*byte < b' ') | (*byte == b'\\');
    if !rest.iter().fold(false, special) {
        return out.extend_from_slice(rest);
    }
    while let Some(at) = rest.iter().position(|byte| letter(*byte).is_some()) {
        out.extend_from_slice(&rest[..at]);
        out.extend([b'\\', letter(rest[at]).unwrap_or(rest[at])]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

/// What follows the backslash by which `byte` is written, if it cannot stand for itself.
fn letter(byte: u8) -> Option<u8> {
    match byte {
        b'\\' => Some(b'\\'),
        b'\t' => Some(b't'),
        b'\n' => Some(b'n'),
        b'\r' => Some(b'r'),
        _ => None,
    }
}

/// The fields of one line of `COPY … TO STDOUT`. Reading the next line into the same row reuses its
/// memory.
#[derive(Clone, Debug, Default)]
pub struct CopyRow {
    text: String,
    /// Where in `text` each field is; `None` is NULL.
    fields: Vec<Option<Range<usize>>>,
}

impl CopyRow {
    /// Replaces the row by the fields of `line`, which may end in its line break.
    ///
    /// # Errors
    ///
    /// [`Utf8Error`] where `line` is not UTF-8; the row is then empty. A server whose
    /// `client_encoding` is UTF8 sends no such line.
    pub fn read(&mut self, line: &[u8]) -> Result<(), Utf8Error> {
        self.text.clear();
        self.fields.clear();
        let line = str::from_utf8(line.strip_suffix(b"\n").unwrap_or(line))?;
        self.text.reserve(line.len());
        let (mut start, mut copied, mut null) = (0, 0, false);
        for at in memchr::memchr2_iter(b'\t', b'\\', line.as_bytes()) {
            // What a backslash was before is copied already.
            if at < copied {
                continue;
            }
            self.text.push_str(&line[copied..at]);
            copied = at + 1;
            if line.as_bytes()[at] == b'\t' {
                self.fields.push((!null).then_some(start..self.text.len()));
                (start, null) = (self.text.len(), false);
                continue;
            }
            let rest = &line[copied..];
            let alone = start == self.text.len();
            if alone
                && rest.starts_with('N')
                && matches!(rest.as_bytes().get(1), None | Some(b'\t'))
            {
                null = true;
                copied += 1;
            } else if let Some(letter) = rest.chars().next() {
                self.text.push(unescaped(letter));
                copied += letter.len_utf8();
            }
        }
        self.text.push_str(&line[copied..]);
        self.fields.push((!null).then_some(start..self.text.len()));
        Ok(())
    }

    /// Number of fields.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether the row has no field, which is so before the first line only.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The field at `index`, counted from 0; `None` for NULL and behind the last field.
    pub fn get(&self, index: usize) -> Option<&str> {
        let range = self.fields.get(index)?.clone()?;
        self.text.get(range)
    }

    /// The fields in order.
    #[cfg(test)]
    pub fn iter(&self) -> impl Iterator<Item = Option<&str>> {
        (0..self.len()).map(|index| self.get(index))
    }
}

/// What stands for `letter` behind a backslash.
fn unescaped(letter: char) -> char {
    match letter {
        'b' => '\x08',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fields(line: &[u8]) -> Vec<Option<String>> {
        let mut row = CopyRow::default();
        row.read(line).unwrap();
        row.iter().map(|field| field.map(str::to_owned)).collect()
    }

    #[test]
    fn every_letter_is_undone() {
        let expect = "\x08\x0c\n\r\t\x0b\\N".to_owned();
        assert_eq!(fields(br"\b\f\n\r\t\v\\N"), [Some(expect)]);
    }

    #[test]
    fn null_and_empty_are_different() {
        assert_eq!(
            fields(b"\\N\t\t\\\\N\n"),
            [None, Some(String::new()), Some(r"\N".to_owned())]
        );
        assert_eq!(fields(b""), [Some(String::new())]);
        // Only the field as a whole is null.
        for (line, text) in [(r"a\N", "aN"), (r"\Na", "Na"), (r"\\\N", r"\N"), ("\\", "")] {
            assert_eq!(fields(line.as_bytes()), [Some(text.to_owned())], "{line}");
        }
        assert_eq!(fields(b"\\N\t\\N"), [None, None]);
    }

    #[test]
    fn a_row_is_used_again() {
        let mut row = CopyRow::default();
        row.read(b"a\tb\tc\n").unwrap();
        row.read(b"d\n").unwrap();
        assert_eq!((row.len(), row.get(0), row.get(1)), (1, Some("d"), None));
        assert!(row.read(b"\xff").is_err());
        assert!(row.is_empty());
    }

    #[test]
    fn a_lone_end_mark_is_data() {
        let mut line = Vec::new();
        push_copy_text(&mut line, Some(r"\."));
        assert_eq!(line, br"\\.");
    }

    proptest! {
        #[test]
        fn lines_survive(
            row in proptest::collection::vec(
                proptest::option::of(prop_oneof!["[\\\\\t\n\r\x08\x0b\x0cNntx.]*", "\\PC*"]), 1..6)
        ) {
            let mut line = Vec::new();
            for (i, field) in row.iter().enumerate() {
                if i > 0 {
                    line.push(b'\t');
                }
                push_copy_text(&mut line, field.as_deref());
            }
            prop_assert!(!line.contains(&b'\n') && !line.contains(&b'\r'));
            line.push(b'\n');
            prop_assert_eq!(fields(&line), row);
        }
    }
}
