//! Records in comma-separated values with a header.

use std::borrow::Cow;
use std::collections::HashSet;
use std::io::Read;

use csv::{ErrorKind, ReaderBuilder, StringRecord};

use super::{Malformed, ReadError, Record, Summary, Value};

/// A row put behind the text: where it does not come out as the last row, a quoted cell before it
/// was never closed, which the `csv` crate lets pass.
const END: &str = "\0";

/// Reads every row in `reader`.
pub(super) fn read<E>(
    reader: impl Read,
    sink: &mut dyn FnMut(Record<'_>) -> Result<(), E>,
) -> Result<Summary, ReadError<E>> {
    let mut rows = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(reader.chain(b"\n".as_slice()).chain(END.as_bytes()));
    let mut summary = Summary::default();
    let mut header = StringRecord::new();
    let mut row = StringRecord::new();
    if !next(&mut rows, &mut header, None)? {
        return Ok(summary);
    }
    check_header(&header)?;
    while next(&mut rows, &mut row, Some(summary.records))? {
        if row.len() != header.len() {
            let message = format!(
                "a row of {} cells under a header of {}",
                row.len(),
                header.len()
            );
            return Err(malformed(&row, Some(summary.records), message).into());
        }
        let fields = header.iter().zip(&row);
        let record = Record {
            position: summary.records,
            fields: fields
                .map(|(name, cell)| (Cow::Borrowed(name), value(cell)))
                .collect(),
        };
        sink(record).map_err(ReadError::Sink)?;
        summary.records += 1;
    }
    Ok(summary)
}

fn value(cell: &str) -> Value<'_> {
    if cell.is_empty() {
        Value::Json("null")
    } else {
        Value::Cell(cell)
    }
}

fn check_header(header: &StringRecord) -> Result<(), Malformed> {
    let mut seen = HashSet::new();
    for name in header {
        let problem = if name.is_empty() {
            "a column of the header has no name".to_owned()
        } else if name.contains('\0') {
            "U+0000 in a name".to_owned()
        } else if !seen.insert(name) {
            format!("the header names {name:?} twice")
        } else {
            continue;
        };
        return Err(malformed(header, None, problem));
    }
    Ok(())
}

/// Reads the next row; false behind the last one.
fn next<E>(
    rows: &mut csv::Reader<impl Read>,
    row: &mut StringRecord,
    position: Option<u64>,
) -> Result<bool, ReadError<E>> {
    let found = rows
        .read_record(row)
        .map_err(|error| describe(error, position))?;
    if found
        && row
            .iter()
            .next_back()
            .is_some_and(|cell| cell.ends_with("\n\0"))
    {
        let message = "a quoted cell that is not closed before the end";
        return Err(malformed(row, position, message.to_owned()).into());
    }
    if !found || row.len() != 1 || &row[0] != END {
        return Ok(found);
    }
    let mut behind = StringRecord::new();
    match rows.read_record(&mut behind) {
        Ok(false) => Ok(false),
        Ok(true) => Err(malformed(row, position, "U+0000 alone in a row".to_owned()).into()),
        Err(error) => Err(describe(error, position)),
    }
}

fn describe<E>(error: csv::Error, position: Option<u64>) -> ReadError<E> {
    let line = error.position().map(csv::Position::line);
    let message = match error.into_kind() {
        ErrorKind::Io(error) => return ReadError::Read(error),
        ErrorKind::Utf8 { err, .. } => format!("invalid UTF-8 in cell {}", err.field() + 1),
        _ => "not CSV".to_owned(),
    };
    ReadError::Malformed(Malformed {
        position,
        line,
        column: None,
        message,
    })
}

fn malformed(row: &StringRecord, position: Option<u64>, message: String) -> Malformed {
    let line = row.position().map(csv::Position::line);
    Malformed {
        position,
        line,
        column: None,
        message,
    }
}
