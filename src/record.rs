//! Reads the bytes of one fragment into records.
//!
//! JSON comes as one record, as an envelope of one or of many, as an array of either, or as
//! NDJSON; delimited values in the dialect that is named. Records are handed on one at a time, so that memory is bounded
//! by the largest record and not by the object.

mod bound;
mod delimited;
mod json;
pub mod rejected;
mod signature;
pub mod value;
mod window;
pub mod workbook;

use std::borrow::Cow;
use std::fmt;
use std::io::{self, BufRead, Seek};
use std::ops::RangeInclusive;
use std::sync::LazyLock;

use crate::table::config::TableConfig;
use crate::table::delivery;
pub use bound::{Bound, Most, TooLarge};
use window::Buffered;

/// One field's value as it was delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Raw JSON text without surrounding white space.
    Json(&'a str),
    /// The text of a cell; an empty one where an empty cell, or one in quotes, is said to be a text.
    Cell(&'a str),
    /// A number or boolean of a workbook, as JSON would write it.
    Number(&'a str),
    /// A date or time of a workbook, as ISO 8601 writes it.
    Moment(&'a str),
    /// An empty cell: null, and where a new row needs a value, the column's default.
    Blank,
}

/// One record with its place in its object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Where it stands: its line (delimited values, NDJSON), its row (a workbook), else its number in
    /// the object; from 1.
    pub position: u64,
    /// Field names, each once, with their values, in the order of delivery.
    pub fields: Vec<(Cow<'a, str>, Value<'a>)>,
    /// When it was extracted, as the envelope that holds it alone says; what one of many says, stands in
    /// the summary of its object.
    pub extracted: Option<&'a str>,
    /// Whether it names a row that is to be deleted, as its envelope says.
    pub deletes: bool,
}

/// What an envelope says beside its records, as far as the loader uses it.
#[derive(Default, Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// The fragment's own id.
    pub fragment_id: Option<String>,
    /// The table that the fragment says it is for.
    pub table_name: Option<String>,
    /// The batch that the fragment says it belongs to.
    pub batch_id: Option<String>,
    /// When it was extracted from its source, as it says.
    pub extracted_at: Option<String>,
    /// What its records are for: `upsert` (or nothing) or `delete`.
    pub op: Option<String>,
}

impl Provenance {
    /// Whether its records name rows that are to be deleted.
    fn deletes(&self) -> Result<bool, String> {
        match self.op.as_deref() {
            None | Some("upsert") => Ok(false),
            Some(rejected::DELETE) => Ok(true),
            Some(other) => Err(format!(
                "the envelope's op is \"{}\", which is none of upsert, delete",
                crate::text::escape(other)
            )),
        }
    }
}

/// When records that stand behind each other in one object were extracted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extracted {
    /// Their numbers in the object, from 1.
    pub records: RangeInclusive<u64>,
    /// When, as their envelope says.
    pub at: String,
}

/// How the bytes of a fragment are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON or NDJSON; which of them, and which shape, the content says.
    Json,
    /// Delimited values; what stands between cells, the file's name says, or `tables.yaml`.
    Csv(delivery::Sign),
    /// An Excel workbook.
    Excel,
}

/// The names of the fields that say something of a table's records.
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a>(pub &'a [&'a str]);

impl Columns<'_> {
    /// Whether one of them is `name`.
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains(&name)
    }
}

/// The most fields of a record: no table has nearly as many columns.
const MOST_FIELDS: usize = 100_000;

/// What must be known to find the records in a fragment.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// How its bytes are written.
    pub format: Format,
    /// The columns of the table that it is for.
    pub columns: Columns<'a>,
    /// What `tables.yaml` says about envelopes. Without a word, an object with `data` or `records`
    /// is one where the table has no such column and no other of its fields is a column.
    pub envelope: Option<&'a delivery::Envelope>,
    /// Where it says that the records of JSON files stand.
    pub records: Option<&'a delivery::Records>,
    /// What it says about delimited values.
    pub csv: &'a delivery::Csv,
    /// What it says about workbooks.
    pub excel: &'a delivery::Excel,
    /// How much is read at most.
    pub most: Most,
}

/// Nothing said about delimited values and workbooks.
static UNSAID: LazyLock<(delivery::Csv, delivery::Excel)> = LazyLock::new(Default::default);

impl<'a> Delivery<'a> {
    /// As a table's configuration says.
    pub fn of(
        config: &'a TableConfig,
        format: Format,
        columns: Columns<'a>,
        most: Most,
    ) -> Delivery<'a> {
        Delivery {
            format,
            columns,
            envelope: config.envelope.as_ref(),
            records: config.records.as_ref(),
            csv: &config.csv,
            excel: &config.excel,
            most,
        }
    }
}

impl Delivery<'_> {
    /// In `format`, for a table of which nothing is known.
    pub fn new(format: Format) -> Self {
        Self {
            format,
            columns: Columns(&[]),
            envelope: None,
            records: None,
            csv: &UNSAID.0,
            excel: &UNSAID.1,
            most: Most::default(),
        }
    }
}

/// What an object held, known once it has been read to its end.
#[derive(Default, Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Number of records handed on.
    pub records: u64,
    /// What the envelope says, where the whole object is a single one.
    pub provenance: Provenance,
    /// Tables that envelopes named: at most the first two different ones, which is enough to
    /// find a disagreement.
    pub table_names: Vec<Named>,
    /// Batches that envelopes named: at most the first two different ones.
    pub batch_ids: Vec<Named>,
    /// What envelopes say that their records are for: at most the first two different words.
    pub ops: Vec<Named>,
    /// When the records of envelopes of many were extracted, which may stand behind them.
    pub extracted: Vec<Extracted>,
    /// Whether it was read as text of another encoding, and could be UTF-8 just as well.
    pub seems_utf8: bool,
}

/// A table, a batch or an operation named by an envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The name as given.
    pub name: String,
    /// Position of the first record in the envelope that gave it.
    pub position: u64,
}

/// An envelope that names another table, batch or operation than the path of its object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disagreement {
    /// Position of the first record in that envelope.
    pub position: u64,
    /// `table_name`, `batch_id` or `op`.
    pub field: &'static str,
    /// What the envelope says.
    pub named: String,
    /// What the path says.
    pub path: String,
}

/// A place in an object that could not be read, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Number of the record that was being read, from 1, where its line does not say it.
    pub position: Option<u64>,
    /// Line, counted from 1.
    pub line: Option<u64>,
    /// Column in bytes, counted from 1.
    pub column: Option<u64>,
    /// What is wrong there.
    pub message: String,
}

/// Why reading an object stopped; `E` is the sink's own error.
#[derive(Debug, thiserror::Error)]
pub enum ReadError<E> {
    /// The object is not what its extension says, or not a shape of records.
    #[error("{0}")]
    Malformed(Malformed),
    /// The reader failed.
    #[error("reading failed: {0}")]
    Read(#[from] io::Error),
    /// The sink refused a record.
    #[error("{0}")]
    Sink(E),
}

/// Hands each record in `reader` to `sink` and returns what the object held.
///
/// An object without a record (no bytes, only white space, an empty array, a lone CSV header) is
/// no error: the summary counts 0 records.
///
/// # Errors
///
/// [`ReadError::Malformed`] with line and column for content that is not in its format, is cut off,
/// repeats a field name or is no shape of records; [`ReadError::Read`] where `reader` fails;
/// [`ReadError::Sink`] with the first error of `sink`. Records before the error have been handed on.
pub fn read_records<E>(
    reader: impl BufRead + Seek,
    delivery: &Delivery<'_>,
    sink: &mut dyn FnMut(Record<'_>) -> Result<(), E>,
) -> Result<Summary, ReadError<E>> {
    match delivery.format {
        Format::Json => {
            let window = Buffered::new(reader, delivery.most.record);
            json::read(window, delivery, sink)
        }
        Format::Csv(delimiter) => delimited::read(reader, delimiter, delivery, sink),
        Format::Excel => workbook::read(reader, delivery, sink),
    }
}

/// [`read_records`] for bytes in memory: nothing is copied on the way to `sink`.
///
/// # Errors
///
/// As [`read_records`].
pub fn read_records_slice<E>(
    bytes: &[u8],
    delivery: &Delivery<'_>,
    sink: &mut dyn FnMut(Record<'_>) -> Result<(), E>,
) -> Result<Summary, ReadError<E>> {
    match delivery.format {
        Format::Json => json::read(bytes, delivery, sink),
        Format::Csv(delimiter) => delimited::read(bytes, delimiter, delivery, sink),
        Format::Excel => workbook::read(io::Cursor::new(bytes), delivery, sink),
    }
}

impl Summary {
    /// The first envelope that names another table or batch than the path, if any, or another operation
    /// where the path says one.
    pub fn disagreement(&self, table: &str, batch: &str, op: Option<&str>) -> Option<Disagreement> {
        let other = |field, given: &[Named], path: &str| {
            let named = given.iter().find(|named| named.name != path)?;
            Some(Disagreement {
                position: named.position,
                field,
                named: named.name.clone(),
                path: path.to_owned(),
            })
        };
        other("table_name", &self.table_names, table)
            .or_else(|| other("batch_id", &self.batch_ids, batch))
            .or_else(|| other("op", &self.ops, op?))
    }

    /// Takes when an envelope's records were extracted.
    fn extracted(&mut self, records: RangeInclusive<u64>, at: &str) {
        match self.extracted.last_mut() {
            Some(last) if last.at == at && last.records.end() + 1 == *records.start() => {
                last.records = *last.records.start()..=*records.end();
            }
            _ => self.extracted.push(Extracted {
                records,
                at: at.to_owned(),
            }),
        }
    }

    fn note(&mut self, said: &Provenance, position: u64) {
        for (known, name) in [
            (&mut self.table_names, &said.table_name),
            (&mut self.batch_ids, &said.batch_id),
            (&mut self.ops, &said.op),
        ] {
            if let Some(name) = name
                && known.len() < 2
                && known.iter().all(|named| named.name != *name)
            {
                known.push(Named {
                    name: name.clone(),
                    position,
                });
            }
        }
    }
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            position,
            field,
            named,
            path,
        } = self;
        write!(
            f,
            "record {position}: its envelope's {field} is {named:?}, but its path says {path:?}"
        )
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = [
            ("record", self.position),
            ("line", self.line),
            ("column", self.column),
        ];
        let mut before = "";
        for (name, number) in places {
            if let Some(number) = number {
                write!(f, "{before}{name} {number}")?;
                before = ", ";
            }
        }
        if !before.is_empty() {
            f.write_str(": ")?;
        }
        f.write_str(&self.message)
    }
}

impl<E> From<Malformed> for ReadError<E> {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

#[cfg(test)]
mod tests;
