//! Commands that CI systems take from a job's log: `##[…]` and `##vso[…]` (Azure, and GitHub's first
//! form), `##teamcity[…]`, wherever they stand; `::…` where a line begins with it (GitHub). What row data
//! says must never become one, or whoever delivers a batch gives orders to the job that holds the secrets.

use std::borrow::Cow;
use std::io::Write;

/// Whether `rest` begins with a command that counts anywhere in a line.
pub(super) fn begins(rest: &str) -> bool {
    rest.strip_prefix("##").is_some_and(|rest| {
        let name = rest.trim_start_matches(|c: char| c.is_ascii_alphabetic());
        name.starts_with('[')
    })
}

/// Text that is printed as it is, in which no line is or holds a command.
pub fn inert(text: &str) -> Cow<'_, str> {
    let at_start = |line: &str| line.trim_start().starts_with("::");
    if !text.contains("##") && !text.lines().any(at_start) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for line in text.split_inclusive('\n') {
        let mut rest = line;
        if at_start(line) {
            let body = line.trim_start();
            out.push_str(&line[..line.len() - body.len()]);
            out.push_str("\\u{3a}");
            rest = &body[1..];
        }
        for (i, c) in rest.char_indices() {
            if c == '#' && begins(&rest[i..]) {
                out.push_str("\\u{23}");
            } else {
                out.push(c);
            }
        }
    }
    Cow::Owned(out)
}

/// Writes JSON in which no two `#` stand beside each other: the second is escaped, and it says the
/// same. (Outside of strings JSON has none, and its lines never begin with `:`.)
#[derive(Debug)]
pub struct InertJson<W> {
    out: W,
    /// Whether the last byte was a `#`.
    hash: bool,
}

impl<W: Write> InertJson<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> InertJson<W> {
        InertJson { out, hash: false }
    }
}

impl<W: Write> Write for InertJson<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut written = 0;
        while written < bytes.len() {
            let rest = &bytes[written..];
            if self.hash && rest[0] == b'#' {
                self.out.write_all(b"\\u0023")?;
                written += 1;
                continue;
            }
            // Up to and with the next `#`.
            let end = memchr::memchr(b'#', rest).map_or(rest.len(), |at| at + 1);
            self.out.write_all(&rest[..end])?;
            self.hash = rest[end - 1] == b'#';
            written += end;
        }
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_a_command_is_not_one() {
        for (text, expect) in [
            (
                "plain # text ## and ::1 inside",
                "plain # text ## and ::1 inside",
            ),
            ("##vso[task.setvariable]x", "\\u{23}#vso[task.setvariable]x"),
            ("a ##[error]b", "a \\u{23}#[error]b"),
            ("###[group]", "#\\u{23}#[group]"),
            ("x\n  ##teamcity[message]", "x\n  \\u{23}#teamcity[message]"),
            ("::set-env::", "\\u{3a}:set-env::"),
            ("a\n  ::add-mask::b\n", "a\n  \\u{3a}:add-mask::b\n"),
            (" \u{2003}::x", " \u{2003}\\u{3a}:x"),
        ] {
            assert_eq!(inert(text), expect, "{text}");
            assert_eq!(inert(&inert(text)), expect, "{text}");
        }
    }

    #[test]
    fn json_says_the_same_without_two_hashes_in_a_row() {
        let value = "##vso[x] ### #a# ##";
        let json = serde_json::to_string(value).unwrap();
        // However it comes in pieces.
        for size in 1..json.len() {
            let mut out = Vec::new();
            let mut writer = InertJson::new(&mut out);
            for piece in json.as_bytes().chunks(size) {
                writer.write_all(piece).unwrap();
            }
            let text = String::from_utf8(out).unwrap();
            assert!(!text.contains("##"), "{text}");
            assert_eq!(serde_json::from_str::<String>(&text).unwrap(), value);
        }
    }
}
