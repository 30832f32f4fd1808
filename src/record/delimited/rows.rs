//! Rows of cells, strictly: what has no clear meaning is an error with its line.

use std::ops::Range;

use super::Fault;
use crate::record::window::Window;
use crate::record::{MOST_FIELDS, TooLarge};
use crate::table::delivery::{Quote, Sign};

/// The signs that have a meaning.
pub(super) struct Signs {
    pub(super) delimiter: Sign,
    pub(super) quote: Quote,
    pub(super) escape: Option<Sign>,
}

/// One row, with a buffer that is used again.
#[derive(Default)]
pub(super) struct Row {
    /// Where it begins, counted from 1.
    pub(super) line: u64,
    text: Vec<u8>,
    cells: Vec<Cell>,
}

struct Cell {
    text: Range<usize>,
    quoted: bool,
}

impl Row {
    /// Its cells, each with whether it was quoted; or the number of the first that is not UTF-8.
    pub(super) fn cells(&self) -> Result<impl ExactSizeIterator<Item = (&str, bool)>, usize> {
        let text = str::from_utf8(&self.text);
        let is_text = |cell: &Cell| match text {
            // What ends in one cell and goes on in the next is no character of either.
            Ok(text) => text.is_char_boundary(cell.text.end),
            Err(error) => cell.text.end <= error.valid_up_to(),
        };
        if let Some(cell) = self.cells.iter().position(|cell| !is_text(cell)) {
            return Err(cell);
        }
        let text = text.unwrap_or_default();
        let cells = self.cells.iter();
        Ok(cells.map(|cell| (&text[cell.text.clone()], cell.quoted)))
    }

    pub(super) fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether nothing stands in any of its cells, not even quotes.
    pub(super) fn is_blank(&self) -> bool {
        self.text.is_empty() && !self.cells.iter().any(|cell| cell.quoted)
    }

    fn clear(&mut self, line: u64) {
        self.line = line;
        self.text.clear();
        self.cells.clear();
    }

    fn end_cell(&mut self, start: usize, quoted: bool) {
        let text = start..self.text.len();
        self.cells.push(Cell { text, quoted });
    }
}

/// What stands behind a cell.
#[derive(PartialEq)]
enum Behind {
    Cell,
    RowEnd,
}

/// The rows in a window.
pub(super) struct Rows<W> {
    window: W,
    signs: Signs,
    /// Line of the window's start, counted from 1.
    line: u64,
    /// The most bytes of a row.
    most: u64,
}

impl<W: Window> Rows<W> {
    pub(super) fn new(window: W, signs: Signs, most: u64) -> Self {
        Self {
            window,
            signs,
            line: 1,
            most,
        }
    }

    /// That the row does not grow beyond what is allowed.
    fn bound(&self, row: &Row) -> Result<(), Fault> {
        if row.text.len() as u64 > self.most {
            return Err(Fault::Read(TooLarge::record(self.most).into()));
        }
        if row.cells.len() > MOST_FIELDS {
            return Err(self.fault(format!("a row of more than {MOST_FIELDS} cells")));
        }
        Ok(())
    }

    /// The first bytes of the text, as many as there are up to `count`.
    pub(super) fn beginning(&mut self, count: usize) -> Result<&[u8], Fault> {
        while self.window.bytes().len() < count && self.window.grow()? {}
        let bytes = self.window.bytes();
        Ok(&bytes[..bytes.len().min(count)])
    }

    /// Leaves `count` bytes of the first line out.
    pub(super) fn drop(&mut self, count: usize) {
        self.window.consume(count);
    }

    /// Passes over one line, whatever stands in it; false where there is none.
    pub(super) fn skip_line(&mut self) -> Result<bool, Fault> {
        let mut any = false;
        loop {
            let bytes = self.window.bytes();
            any |= !bytes.is_empty();
            if let Some(end) = memchr::memchr(b'\n', bytes) {
                self.window.consume(end + 1);
                self.line += 1;
                return Ok(true);
            }
            let all = bytes.len();
            self.window.consume(all);
            if !self.window.grow()? {
                return Ok(any);
            }
        }
    }

    /// Whether the rest begins with `start`.
    pub(super) fn starts_with(&mut self, start: &[u8]) -> Result<bool, Fault> {
        Ok(self.beginning(start.len())? == start)
    }

    /// Reads the next row that is not an empty line; false behind the last one.
    pub(super) fn next(&mut self, row: &mut Row) -> Result<bool, Fault> {
        loop {
            match self.byte(0)? {
                None => return Ok(false),
                Some(b'\n') => self.leave(1),
                Some(b'\r') if self.byte(1)? == Some(b'\n') => self.leave(2),
                Some(_) => break,
            }
        }
        row.clear(self.line);
        while self.cell(row)? == Behind::Cell {}
        Ok(true)
    }

    /// Reads the cell at the start of the window, and what ends it.
    fn cell(&mut self, row: &mut Row) -> Result<Behind, Fault> {
        let first = self.byte(0)?;
        match self.signs.quote {
            Quote::Sign(quote) if first == Some(quote.byte()) => self.quoted(row, quote.byte()),
            _ => self.plain(row),
        }
    }

    fn plain(&mut self, row: &mut Row) -> Result<Behind, Fault> {
        let delimiter = self.signs.delimiter.byte();
        let start = row.text.len();
        let mut at = 0;
        let end = loop {
            match memchr::memchr3(delimiter, b'\n', b'\r', &self.window.bytes()[at..]) {
                Some(found) => break at + found,
                None => at = self.window.bytes().len(),
            }
            if !self.window.grow()? {
                break at;
            }
        };
        row.text.extend_from_slice(&self.window.bytes()[..end]);
        self.bound(row)?;
        if let Quote::Sign(quote) = self.signs.quote
            && row.text[start..].trim_ascii_start().first() == Some(&quote.byte())
        {
            return Err(self.fault(format!(
                "a blank before the quote of cell {}; take it away, or quote the whole cell",
                row.cells.len() + 1
            )));
        }
        row.end_cell(start, false);
        let Some(behind) = self.behind(end)? else {
            return Err(self.fault(format!(
                "a carriage return within cell {} that ends no line; put the cell in quotes, or end lines by LF or CRLF",
                row.cells.len()
            )));
        };
        Ok(behind)
    }

    fn quoted(&mut self, row: &mut Row, quote: u8) -> Result<Behind, Fault> {
        let (opened, start) = (self.line, row.text.len());
        let escape = self.signs.escape.map_or(quote, Sign::byte);
        self.window.consume(1);
        loop {
            let bytes = self.window.bytes();
            let found = memchr::memchr2(quote, escape, bytes);
            let length = found.unwrap_or(bytes.len());
            row.text.extend_from_slice(&bytes[..length]);
            self.bound(row)?;
            let Some(found) = found else {
                self.leave(length);
                if self.window.grow()? {
                    continue;
                }
                return Err(Fault::at(
                    opened,
                    format!(
                        "a quote opens cell {} in this line and is never closed; where quotes are as good as letters, \
                         say `csv: {{quote: false}}` for this table in tables.yaml",
                        row.cells.len() + 1
                    ),
                ));
            };
            let (sign, next) = (bytes[found], self.byte(found + 1)?);
            self.leave(found);
            let escaped = match next {
                Some(next) if next == quote => true,
                Some(next) if sign != quote => {
                    if next.is_ascii_alphanumeric() || next < b' ' {
                        return Err(self.fault(format!(
                            "behind {:?} in cell {} stands {:?}: only quotes and other signs can be escaped",
                            char::from(escape),
                            row.cells.len() + 1,
                            char::from(next)
                        )));
                    }
                    true
                }
                None if sign != quote => false,
                _ => {
                    row.end_cell(start, true);
                    if let Some(behind) = self.behind(1)? {
                        return Ok(behind);
                    }
                    return Err(self.behind_quote(row, opened));
                }
            };
            if escaped {
                // All bytes of the character behind it follow as they are.
                row.text.extend(next);
                self.leave(2);
            } else {
                row.text.push(sign);
                self.leave(1);
            }
        }
    }

    /// That something stands behind the closing quote of the last cell in `row`.
    fn behind_quote(&self, row: &Row, opened: u64) -> Fault {
        let number = row.cells.len();
        let cell = row.cells.last().map_or(0..0, |cell| cell.text.clone());
        let text = &row.text[cell];
        let advice = if text.ends_with(b"\\") && self.signs.escape.is_none() {
            "where a backslash stands before quotes within cells, say `csv: {escape: \"\\\\\"}` for this table in tables.yaml"
        } else {
            "a quote within a quoted cell is doubled; where quotes are as good as letters, say `csv: {quote: false}` \
             for this table in tables.yaml"
        };
        let behind = String::from_utf8_lossy(&self.window.bytes()[1..])
            .chars()
            .next();
        let begins = match opened {
            line if line == self.line => String::new(),
            line => format!(", which begins in line {line},"),
        };
        self.fault(format!(
            "behind the closing quote of cell {number}{begins} stands {:?}, and neither {:?} nor the end of the line; {advice}",
            behind.unwrap_or_default(),
            char::from(self.signs.delimiter.byte())
        ))
    }

    /// What stands at `at`, where it is a delimiter or an end, which is left behind.
    fn behind(&mut self, at: usize) -> Result<Option<Behind>, Fault> {
        let (behind, length) = match self.byte(at)? {
            None => (Behind::RowEnd, 0),
            Some(b'\n') => (Behind::RowEnd, 1),
            Some(b'\r') if matches!(self.byte(at + 1)?, Some(b'\n')) => (Behind::RowEnd, 2),
            Some(byte) if byte == self.signs.delimiter.byte() => (Behind::Cell, 1),
            Some(_) => return Ok(None),
        };
        self.leave(at + length);
        Ok(Some(behind))
    }

    fn byte(&mut self, at: usize) -> Result<Option<u8>, Fault> {
        while self.window.bytes().len() <= at {
            if !self.window.grow()? {
                return Ok(None);
            }
        }
        Ok(self.window.bytes().get(at).copied())
    }

    fn leave(&mut self, count: usize) {
        let lines = memchr::memchr_iter(b'\n', &self.window.bytes()[..count]).count();
        self.line += lines as u64;
        self.window.consume(count);
    }

    fn fault(&self, message: String) -> Fault {
        Fault::at(self.line, message)
    }
}
