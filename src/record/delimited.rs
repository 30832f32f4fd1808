//! Records in delimited values, in the dialect that `tables.yaml` names.

mod decode;
mod rows;

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashMap;
use std::io::{self, BufRead, BufReader};

use self::decode::Decoded;
use self::rows::{Row, Rows, Signs};
use super::signature::{ENOUGH, Signature};
use super::window::{Buffered, Window};
use super::{Delivery, Malformed, ReadError, Record, Summary, Value, rejected};
use crate::table::delivery::{Csv, Empty, Sign};

/// Why rows could not be read on.
enum Fault {
    /// In this line.
    Malformed(u64, String),
    Read(io::Error),
}

impl Fault {
    fn at(line: u64, message: String) -> Self {
        Self::Malformed(line, message)
    }

    fn of<E>(self) -> ReadError<E> {
        match self {
            Self::Read(error) => ReadError::Read(error),
            Self::Malformed(line, message) => ReadError::Malformed(Malformed {
                position: None,
                line: Some(line),
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

/// Reads every row in `reader`.
pub(super) fn read<E>(
    mut reader: impl BufRead,
    delimiter: Sign,
    delivery: &Delivery<'_>,
    sink: &mut dyn FnMut(Record<'_>) -> Result<(), E>,
) -> Result<Summary, ReadError<E>> {
    let csv = rejected::dialect(reader.fill_buf()?).unwrap_or(delivery.csv);
    let delivery = &Delivery { csv, ..*delivery };
    match csv.encoding {
        Some(encoding) if encoding.0 != encoding_rs::UTF_8 => {
            let seems_utf8 = Cell::new(false);
            let decoded = BufReader::new(Decoded::new(reader, encoding.0, &seems_utf8));
            let window = Buffered::new(decoded, delivery.most.record);
            let mut summary = read_rows(window, delimiter, delivery, sink)?;
            summary.seems_utf8 = seems_utf8.get();
            Ok(summary)
        }
        _ => read_rows(
            Buffered::new(reader, delivery.most.record),
            delimiter,
            delivery,
            sink,
        ),
    }
}

fn read_rows<E>(
    window: impl Window,
    delimiter: Sign,
    delivery: &Delivery<'_>,
    sink: &mut dyn FnMut(Record<'_>) -> Result<(), E>,
) -> Result<Summary, ReadError<E>> {
    let csv = delivery.csv;
    let signs = Signs {
        delimiter: csv.delimiter.unwrap_or(delimiter),
        quote: csv.quote,
        escape: csv.escape,
    };
    let delimiter = signs.delimiter;
    let mut rows = Rows::new(window, signs, delivery.most.record);
    begin(&mut rows, csv).map_err(Fault::of)?;
    let mut row = Row::default();
    let mut summary = Summary::default();
    let header = match header(&mut rows, &mut row, delimiter, delivery) {
        Ok(Some(header)) => header,
        Ok(None) => return Ok(summary),
        Err(fault) => return Err(fault.of()),
    };
    loop {
        let more = next(&mut rows, &mut row, csv).map_err(Fault::of)?;
        if !more {
            return Ok(summary);
        }
        // Below the last row, spreadsheet programs save such.
        if row.len() > 1 && row.is_blank() && csv.empty != Empty::Text {
            continue;
        }
        let fields = fields(&header, &row, csv).map_err(Fault::of)?;
        let position = row.line;
        sink(Record {
            position,
            fields,
            extracted: None,
            deletes: false,
        })
        .map_err(ReadError::Sink)?;
        summary.records += 1;
    }
}

/// Passes over what stands before the header, and refuses what is no such text at all.
fn begin(rows: &mut Rows<impl Window>, csv: &Csv) -> Result<(), Fault> {
    let beginning = rows.beginning(ENOUGH)?;
    if let Some(found) = Signature::of(beginning) {
        let encoding = match found {
            Signature::Utf16Le => "; say `csv: {encoding: utf-16le}` for this table in tables.yaml",
            Signature::Utf16Be => "; say `csv: {encoding: utf-16be}` for this table in tables.yaml",
            Signature::Gzip | Signature::Zip => "",
        };
        return Err(Fault::at(1, format!("{}{encoding}", found.message())));
    }
    if beginning.starts_with(b"\xef\xbb\xbf") {
        rows.drop(3);
    }
    for _ in 0..csv.skip {
        rows.skip_line()?;
    }
    Ok(())
}

/// Reads the next row that is no comment; false behind the last one.
fn next(rows: &mut Rows<impl Window>, row: &mut Row, csv: &Csv) -> Result<bool, Fault> {
    if let Some(comment) = &csv.comment {
        while rows.starts_with(comment.as_bytes())? && rows.skip_line()? {}
    }
    rows.next(row)
}

/// The columns of a file.
struct Header {
    /// Their names; of one without a name, nothing may stand in it.
    names: Vec<String>,
    /// The line in which they stand.
    line: u64,
}

/// The columns; `None` where there is no row.
fn header(
    rows: &mut Rows<impl Window>,
    row: &mut Row,
    delimiter: Sign,
    delivery: &Delivery<'_>,
) -> Result<Option<Header>, Fault> {
    let csv = delivery.csv;
    if !csv.header.is_empty() {
        let names = csv.header.clone();
        return Ok(Some(Header { names, line: 0 }));
    }
    if !next(rows, row, csv)? {
        return Ok(None);
    }
    let names: Vec<String> = texts(row)?.map(|(name, _)| name.to_owned()).collect();
    let mut seen = HashMap::new();
    for (n, name) in (1..).zip(&names).filter(|(_, name)| !name.is_empty()) {
        let problem = if name.contains('\0') {
            "U+0000 in a name".to_owned()
        } else if let Some(before) = seen.insert(name, n) {
            // Where there is no header, it would be a value.
            format!(
                "columns {before} and {n} of the header have the same name; where the file has no header, `csv: {{header: [\
                     …]}}` for this table in tables.yaml names its columns"
            )
        } else {
            continue;
        };
        return Err(Fault::at(row.line, problem));
    }
    if names.iter().all(String::is_empty) {
        return Err(Fault::at(row.line, NO_NAME.to_owned()));
    }
    if let [name] = names.as_slice()
        && !delivery.columns.contains(name)
        && let Some(other) = [',', ';', '\t', '|']
            .into_iter()
            .find(|c| *c != char::from(delimiter.byte()) && name.contains(*c))
    {
        let message = format!(
            "the header is one cell, in which {other:?} stands; where that stands between cells, say `csv: {{delimiter: {other:?}}}` \
             for this table in tables.yaml"
        );
        return Err(Fault::at(row.line, message));
    }
    Ok(Some(Header {
        names,
        line: row.line,
    }))
}

const NO_NAME: &str = "a column of the header has no name, and values stand in it; where lines stand above the header, `csv: \
    {skip: 1}` for this table in tables.yaml says how many; where the column numbers the rows, as pandas and R write it, `csv: \
    {skip: 1, header: [row, …]}` names all of them, and `ignore_fields: [row]` drops it";

/// The cells of `row` under the names of `header`.
fn fields<'r>(
    header: &'r Header,
    row: &'r Row,
    csv: &Csv,
) -> Result<Vec<(Cow<'r, str>, Value<'r>)>, Fault> {
    let names = &header.names;
    if row.len() != names.len() {
        let advice = if csv.skip == 0 && names.len() == 1 {
            "; where lines stand above the header, `csv: {skip: 1}` for this table in tables.yaml says how many"
        } else {
            ""
        };
        return Err(Fault::at(
            row.line,
            format!(
                "a row of {} cells under a header of {}{advice}",
                row.len(),
                names.len()
            ),
        ));
    }
    let mut fields = Vec::with_capacity(names.len());
    for (name, (cell, quoted)) in names.iter().zip(texts(row)?) {
        if !name.is_empty() {
            fields.push((Cow::Borrowed(name.as_str()), value(cell, quoted, csv.empty)));
        } else if !cell.is_empty() {
            return Err(Fault::at(header.line, NO_NAME.to_owned()));
        }
    }
    let is_header = |(name, value): &(Cow<'_, str>, Value<'_>)| *value == Value::Cell(name);
    if fields.iter().all(is_header) {
        let message = "the header again; were files put together, or has a file whose columns tables.yaml names \
                       (`csv: {header: …}`) a header?";
        return Err(Fault::at(row.line, message.to_owned()));
    }
    Ok(fields)
}

fn value(cell: &str, quoted: bool, empty: Empty) -> Value<'_> {
    if !cell.is_empty() {
        return Value::Cell(cell);
    }
    match empty {
        Empty::Text => Value::Cell(""),
        Empty::Quoted if quoted => Value::Cell(""),
        Empty::Null | Empty::Quoted => Value::Blank,
    }
}

fn texts(row: &Row) -> Result<impl ExactSizeIterator<Item = (&str, bool)>, Fault> {
    row.cells().map_err(|cell| {
        Fault::at(
            row.line,
            format!(
                "cell {} is not UTF-8; in another encoding, say which: `csv: {{encoding: latin-1}}` for this table in \
                 tables.yaml",
                cell + 1
            ),
        )
    })
}

#[cfg(test)]
mod tests;
