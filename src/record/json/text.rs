//! JSON text in a window: where names and values begin and end.
//!
//! Values are checked and delimited by `serde_json`, which does this without recursion; only the
//! braces, commas and colons around them are ours.

use std::io;
use std::ops::Range;

use serde_json::value::RawValue;

use crate::record::signature::{ENOUGH, Signature};
use crate::record::window::Window;
use crate::record::{Malformed, ReadError};

/// A text that is read from its start, by offsets into the window.
pub(super) struct Text<W> {
    window: W,
    /// Line breaks before the window.
    lines: u64,
    /// Bytes before the window in its first line.
    columns: u64,
    /// The record that is being read, for messages.
    pub(super) record: Option<u64>,
}

/// Why the text could not be read on.
pub(super) enum Fault {
    Malformed(Malformed),
    Read(io::Error),
}

/// What is wrong at a byte of a text.
pub(super) struct Wrong {
    pub(super) at: usize,
    pub(super) message: String,
}

impl<E> From<Fault> for ReadError<E> {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Malformed(malformed) => Self::Malformed(malformed),
            Fault::Read(error) => Self::Read(error),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

impl<W: Window> Text<W> {
    /// The text in `window` after its byte order mark, if it has one.
    pub(super) fn new(mut window: W) -> Result<Self, Fault> {
        const MARK: &[u8] = b"\xef\xbb\xbf";
        while window.bytes().len() < ENOUGH && window.grow()? {}
        let found = Signature::of(&window.bytes()[..window.bytes().len().min(ENOUGH)]);
        if window.bytes().starts_with(MARK) {
            window.consume(MARK.len());
        }
        let text = Self {
            window,
            lines: 0,
            columns: 0,
            record: None,
        };
        match found {
            None => Ok(text),
            Some(found) => Err(text.fault(0, found.message())),
        }
    }

    /// Line of the window's start, counted from 1.
    pub(super) fn line(&self) -> u64 {
        self.lines + 1
    }

    /// Consumes white space and returns the byte after it, `None` at the end of the text.
    pub(super) fn next(&mut self) -> io::Result<Option<u8>> {
        loop {
            let bytes = self.window.bytes();
            let space = bytes.iter().position(|byte| !is_space(*byte));
            let next = space.map(|at| bytes[at]);
            self.consume(space.unwrap_or(self.window.bytes().len()));
            if next.is_some() || !self.window.grow()? {
                return Ok(next);
            }
        }
    }

    /// Moves `at` over white space and returns the byte there, `None` at the end of the text.
    fn peek(&mut self, at: &mut usize) -> io::Result<Option<u8>> {
        loop {
            let rest = &self.window.bytes()[*at..];
            if let Some(space) = rest.iter().position(|byte| !is_space(*byte)) {
                *at += space;
                return Ok(Some(rest[space]));
            }
            *at += rest.len();
            if !self.window.grow()? {
                return Ok(None);
            }
        }
    }

    /// Moves `at` from a field's end to the next field's value, and returns where its name is, with
    /// the quotes; `None` and `at` behind the brace where the object ends.
    pub(super) fn name(
        &mut self,
        at: &mut usize,
        first: bool,
    ) -> Result<Option<Range<usize>>, Fault> {
        let mut next = self.peek(at)?;
        if next == Some(b'}') {
            *at += 1;
            return Ok(None);
        }
        if !first {
            if next != Some(b',') {
                return Err(self.unexpected(*at, "`,` or `}` after the field"));
            }
            *at += 1;
            next = self.peek(at)?;
        }
        if next != Some(b'"') {
            return Err(self.unexpected(*at, "a field name in double quotes"));
        }
        let name = *at..self.value(*at)?;
        *at = name.end;
        if self.peek(at)? != Some(b':') {
            return Err(self.unexpected(*at, "`:` after the field name"));
        }
        *at += 1;
        self.peek(at)?;
        Ok(Some(name))
    }

    /// Checks the value at `at`, but for its UTF-8, and returns where it ends.
    pub(super) fn value(&mut self, at: usize) -> Result<usize, Fault> {
        loop {
            let rest = &self.window.bytes()[at..];
            if let Some(length) = plain_string(rest) {
                return Ok(at + length);
            }
            let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<&RawValue>();
            let (value, end) = (values.next(), values.byte_offset());
            // What touches the end of the window may go on behind it.
            let (touches, fault) = match value {
                Some(Ok(_)) => (end == rest.len(), None),
                Some(Err(error)) => {
                    let wrong = wrong(rest, &error);
                    (wrong.at + 1 >= rest.len(), Some(wrong))
                }
                None => {
                    let message = CUT_OFF.to_owned();
                    (true, Some(Wrong { at: 0, message }))
                }
            };
            if touches && self.window.grow()? {
                continue;
            }
            return match fault {
                None => Ok(at + end),
                Some(wrong) => Err(self.no_value(at + wrong.at, wrong.message)),
            };
        }
    }

    /// Whether the byte at `at` is `byte`.
    pub(super) fn starts(&self, at: usize, byte: u8) -> bool {
        self.window.bytes().get(at) == Some(&byte)
    }

    /// The text at `range`, whose ends `value` has found.
    pub(super) fn utf8(&self, range: Range<usize>) -> Result<&str, Fault> {
        let start = range.start;
        str::from_utf8(&self.window.bytes()[range])
            .map_err(|error| self.fault(start + error.valid_up_to(), "invalid UTF-8"))
    }

    /// Drops the first `count` bytes of the window.
    pub(super) fn consume(&mut self, count: usize) {
        (self.lines, self.columns) = self.place(count);
        self.window.consume(count);
    }

    /// Line breaks before `at`, and bytes before it in its line.
    fn place(&self, at: usize) -> (u64, u64) {
        let before = &self.window.bytes()[..at];
        let count = memchr::memchr_iter(b'\n', before).count() as u64;
        match memchr::memrchr(b'\n', before) {
            None => (self.lines, self.columns + at as u64),
            Some(last) => (self.lines + count, (at - last - 1) as u64),
        }
    }

    /// The fault that `message` is wrong at `at`.
    pub(super) fn fault(&self, at: usize, message: impl Into<String>) -> Fault {
        let (lines, columns) = self.place(at);
        Fault::Malformed(Malformed {
            position: self.record,
            line: Some(lines + 1),
            column: Some(columns + 1),
            message: message.into(),
        })
    }

    /// The fault that `message` is wrong at `at`, or that a word stands there that is no JSON.
    fn no_value(&mut self, at: usize, message: String) -> Fault {
        while self.window.bytes().len() < at + 10 && self.window.grow().unwrap_or(false) {}
        let rest = &self.window.bytes()[at.saturating_sub(1)..];
        for word in ["NaN", "-Infinity", "Infinity"] {
            let found = rest.starts_with(word.as_bytes());
            if found
                || rest
                    .get(1..)
                    .is_some_and(|rest| rest.starts_with(word.as_bytes()))
            {
                let at = if found { at.saturating_sub(1) } else { at };
                return self.fault(
                    at,
                    format!("{word} is no JSON; write the text \"{word}\", or null"),
                );
            }
        }
        self.fault(at, message)
    }

    /// The fault that is `wrong` in `part`, a text in the window.
    pub(super) fn fault_in(&self, part: &str, wrong: Wrong) -> Fault {
        let start = part.as_ptr().addr() - self.window.bytes().as_ptr().addr();
        self.fault(start + wrong.at, wrong.message)
    }

    /// The fault that something else than `wanted` is at `at`.
    pub(super) fn unexpected(&mut self, at: usize, wanted: &str) -> Fault {
        // Enough to name what is there; a reader that fails here fails the reading anyway.
        while self.window.bytes().len() < at + 5 && self.window.grow().unwrap_or(false) {}
        let rest = &self.window.bytes()[at..];
        let found = match rest.first() {
            None => return self.fault(at, format!("{CUT_OFF}: expected {wanted}")),
            Some(b'"') => "a string".to_owned(),
            Some(b'0'..=b'9' | b'-') => "a number".to_owned(),
            Some(b'[') => "an array".to_owned(),
            Some(b'{') => "an object".to_owned(),
            Some(_) if rest.starts_with(b"null") => "null".to_owned(),
            Some(_) if rest.starts_with(b"true") || rest.starts_with(b"false") => {
                "a boolean".to_owned()
            }
            Some(_) => match String::from_utf8_lossy(&rest[..rest.len().min(4)])
                .chars()
                .next()
            {
                None | Some(char::REPLACEMENT_CHARACTER) => "bytes that are not UTF-8".to_owned(),
                Some(found) => format!("{found:?}"),
            },
        };
        self.fault(at, format!("expected {wanted}, found {found}"))
    }
}

const CUT_OFF: &str = "the text ends too early";

/// Length of the string at the start of `text`, where it is all in view and has no escape: most
/// values are such, and setting up a parser for each costs more than reading it.
fn plain_string(text: &[u8]) -> Option<usize> {
    let inside = text.strip_prefix(b"\"")?;
    let end = inside
        .iter()
        .position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
    (inside[end] == b'"').then_some(end + 2)
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\t' | b'\r')
}

/// The error of reading `text` without its place in words.
pub(super) fn wrong(text: &[u8], error: &serde_json::Error) -> Wrong {
    let breaks = error.line().saturating_sub(1);
    let lines = text.split_inclusive(|byte| *byte == b'\n').take(breaks);
    let end = lines.map(<[u8]>::len).sum::<usize>() + error.column();
    let message = error.to_string();
    let message = match message.rsplit_once(" at line ") {
        _ if error.is_eof() => CUT_OFF.to_owned(),
        Some((message, _)) => message.to_owned(),
        None => message,
    };
    Wrong {
        at: end.saturating_sub(1),
        message,
    }
}
