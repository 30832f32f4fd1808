//! Records in an Excel workbook (`.xlsx`): the rows of one sheet under its header.
//!
//! A cell's value is taken as the file has it: numbers with every digit, whatever format shows them,
//! and dates by their format. What has no clear value is an error that names the cell.

mod package;
mod serial;
mod sheet;
mod xml;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Seek};

use self::package::Package;
use self::sheet::{Cell, Merged, Sheet, Sort};
use super::{Delivery, Malformed, ReadError, Record, Summary, Value};

/// Why a workbook could not be read on.
#[derive(Debug)]
enum Fault {
    Malformed(String),
    Read(io::Error),
}

impl Fault {
    fn new(message: impl Into<String>) -> Self {
        Self::Malformed(message.into())
    }
}

impl<E> From<Fault> for ReadError<E> {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Read(error) => Self::Read(error),
            Fault::Malformed(message) => Self::Malformed(Malformed {
                position: None,
                line: None,
                column: None,
                message,
            }),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

/// A cell's name: `B17` for column 1 and row 17.
pub fn cell_name(column: usize, row: u64) -> String {
    let mut letters = Vec::new();
    let mut left = column + 1;
    while left > 0 {
        left -= 1;
        letters.push(b'A' + u8::try_from(left % 26).unwrap_or_default());
        left /= 26;
    }
    letters.reverse();
    format!("{}{row}", String::from_utf8_lossy(&letters))
}

/// The names of the columns, by their places.
type Header = BTreeMap<usize, String>;

/// Reads every row of the sheet that `tables.yaml` names, or of the only one.
pub(super) fn read<E>(
    reader: impl Read + Seek,
    delivery: &Delivery<'_>,
    sink: &mut dyn FnMut(Record<'_>) -> Result<(), E>,
) -> Result<Summary, ReadError<E>> {
    let excel = delivery.excel;
    let mut package = Package::open(reader, delivery.most)?;
    let about = package.about()?;
    let part = package.sheet(&about, excel.sheet.as_deref())?;
    let mut summary = Summary::default();
    let mut sheet = Sheet::open(package.part(&part)?, &about, delivery.most);
    let mut header = None;
    if !excel.header.is_empty() {
        header = Some(excel.header.iter().cloned().enumerate().collect());
    }
    let mut first = u64::MAX;
    let mut cells = Vec::new();
    while let Some(row) = sheet.next(&mut cells)? {
        if row <= excel.skip || cells.is_empty() {
            continue;
        }
        first = first.min(row);
        let Some(header) = &header else {
            header = Some(names(row, &cells)?);
            continue;
        };
        let fields = fields(header, row, &cells)?;
        let record = Record {
            position: row,
            fields,
            extracted: None,
            deletes: false,
        };
        sink(record).map_err(ReadError::Sink)?;
        summary.records += 1;
    }
    check_merged(sheet.merged(), first)?;
    Ok(summary)
}

/// The names of the sheets that have cells; none of what is no workbook.
pub fn sheets(bytes: &[u8]) -> Vec<String> {
    let most = super::Most::default();
    let about = Package::open(io::Cursor::new(bytes), most).and_then(|mut p| p.about());
    about.map_or_else(|_| Vec::new(), |about| about.names())
}

/// The header that these cells are.
fn names(row: u64, cells: &[Cell]) -> Result<Header, Fault> {
    let mut seen = HashMap::new();
    for cell in cells {
        if let Some(before) = seen.insert(&cell.text, cell.column) {
            // Where there is no header, it would be a value.
            return Err(Fault::new(format!(
                "{} and {} of the header have the same name",
                cell_name(before, row),
                cell_name(cell.column, row),
            )));
        }
    }
    let named = cells.iter().map(|cell| (cell.column, cell.text.clone()));
    Ok(named.collect())
}

/// The cells of a row under the names of `header`; a column without a cell there is null.
fn fields<'r>(
    header: &'r Header,
    row: u64,
    cells: &'r [Cell],
) -> Result<Vec<(Cow<'r, str>, Value<'r>)>, Fault> {
    if let Some(cell) = cells.iter().find(|cell| !header.contains_key(&cell.column)) {
        return Err(Fault::new(format!(
            "{}: a value stands in a column without a name in the header",
            cell_name(cell.column, row)
        )));
    }
    let mut cells = cells.iter().peekable();
    let fields = header.iter().map(|(column, name)| {
        let cell = cells.next_if(|cell| cell.column == *column);
        let value = cell.map_or(Value::Blank, |cell| match cell.sort {
            Sort::Text => Value::Cell(&cell.text),
            Sort::Number => Value::Number(&cell.text),
            Sort::Moment => Value::Moment(&cell.text),
        });
        (Cow::Borrowed(name.as_str()), value)
    });
    let fields: Vec<_> = fields.collect();
    if fields.iter().all(
        |(name, value)| matches!(value, Value::Cell(text) | Value::Number(text) if text == name),
    ) {
        return Err(Fault::new(format!(
            "row {row}: the header again; were sheets put together?"
        )));
    }
    Ok(fields)
}

/// Only the first of merged cells has their value: of which records it is, nobody says.
fn check_merged(merged: &[Merged], first: u64) -> Result<(), Fault> {
    match merged.iter().find(|merged| merged.last_row >= first) {
        None => Ok(()),
        Some(merged) => Err(Fault::new(format!(
            "the cells {} are merged, and only the first has a value; unmerge them, and repeat the value where it is meant",
            merged.reference
        ))),
    }
}

#[cfg(test)]
mod tests;
