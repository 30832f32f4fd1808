//! What the loader puts beside rejected records, so that they can be delivered again, and reads there.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::value::RawValue;

use super::{Record, Value};
use crate::table::delivery::{Csv, Empty, Sign};

/// Whether a field is one of ours.
fn is_ours(name: &str) -> bool {
    const OTHERS: [&str; 7] = [TABLE, OP, EXTRACTED_AT, GIVEN, EMPTY, JSON, CELLS];
    name.starts_with("loader:") && (WHY.contains(&name) || OTHERS.contains(&name))
}

/// Where a record stands, and why it is not loaded: fields of every one, behind its own.
pub const WHY: [&str; 4] = [
    "loader:object",
    "loader:position",
    "loader:rule",
    "loader:reason",
];

/// In a file with records of several tables: whose it is.
pub const TABLE: &str = "loader:table";

/// What its records are for, where that is not to be brought: `delete`.
pub const OP: &str = "loader:op";

/// When it was extracted, where its envelope says that.
pub const EXTRACTED_AT: &str = "loader:extracted_at";

/// In delimited values, of records with different fields: which of them a record gives, as a JSON array.
/// Other cells are empty because it does not.
pub const GIVEN: &str = "loader:given";

/// In delimited values: what its empty cells stand for that are not simply empty, as a JSON object with null or an
/// empty text for each. A program that saves the file does not keep the quotes of an empty text.
pub const EMPTY: &str = "loader:empty";

/// In delimited values: which of its cells are JSON, of which the text of a cell would be something else; as a JSON
/// array.
pub const JSON: &str = "loader:json";

/// In JSON: which of its nulls are empty cells, and which of its texts are those of cells, where JSON's own would be
/// something else; as an array.
pub const CELLS: &str = "loader:cells";

/// The word for records that name rows to be deleted.
pub const DELETE: &str = "delete";

/// How such records are written as delimited values, and saved again by other programs, whatever their table's own are
/// like. Quotes around an empty cell say nothing: some programs put them around every cell.
static DIALECTS: LazyLock<[Csv; 3]> = LazyLock::new(|| {
    [Sign::COMMA, Sign::SEMICOLON, Sign::TAB].map(|delimiter| Csv {
        delimiter: Some(delimiter),
        empty: Empty::Null,
        ..Csv::default()
    })
});

/// Their dialect, where delimited values that begin with `bytes` are rejected records.
pub(super) fn dialect(bytes: &[u8]) -> Option<&'static Csv> {
    let header = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    let bare: Vec<u8> = header.iter().copied().filter(|b| *b != b'"').collect();
    DIALECTS.iter().find(|csv| {
        let delimiter = csv
            .delimiter
            .map(|sign| char::from(sign.byte()).to_string());
        let ours = WHY.join(&delimiter.unwrap_or_default());
        bare.windows(ours.len()).any(|w| w == ours.as_bytes())
    })
}

/// What stands beside one record.
#[derive(Debug, Default)]
pub struct Ours {
    /// Whether there is anything: the record was rejected, and is delivered again.
    pub again: bool,
    /// Whose record it is.
    pub table: Option<String>,
    /// Whether it names a row to be deleted.
    pub deletes: bool,
    /// When it was extracted.
    pub extracted: Option<String>,
    /// The fields that it gives, where others have further ones.
    given: Option<Vec<String>>,
    /// What its empty cells are.
    empty: BTreeMap<String, Value<'static>>,
    /// Its cells that are JSON.
    json: Vec<String>,
    /// Its fields in JSON that are cells, with their text; empty ones have none.
    cells: BTreeMap<String, Option<String>>,
    /// What is said beside it and cannot be read, with what it should be.
    pub unreadable: Vec<(&'static str, String, &'static str)>,
}

/// Why what stands beside a record cannot be read.
const NAMES: &str = "not a JSON array of names";
const EMPTIES: &str = "not a JSON object with null or \"\" for each field";
const ONLY_DELETE: &str = "it can only be delete";

impl Ours {
    /// What stands beside `record`.
    pub fn of(record: &Record<'_>) -> Ours {
        let mut ours = Ours::default();
        let mut cells: Vec<String> = Vec::new();
        let fields = record.fields.iter();
        for (name, value) in fields.filter(|(name, _)| is_ours(name)) {
            ours.again = true;
            let text = match value {
                Value::Cell(text) => Some((*text).to_owned()),
                Value::Json("null") => None,
                Value::Json(raw) => Some(serde_json::from_str(raw).unwrap_or((*raw).to_owned())),
                _ => None,
            };
            let Some(text) = text else { continue };
            let unreadable = match name.as_ref() {
                TABLE => {
                    ours.table = Some(text);
                    continue;
                }
                EXTRACTED_AT => {
                    ours.extracted = Some(text);
                    continue;
                }
                OP if text == DELETE => {
                    ours.deletes = true;
                    continue;
                }
                OP => (OP, text, ONLY_DELETE),
                GIVEN => match serde_json::from_str(&text) {
                    Ok(names) => {
                        ours.given = Some(names);
                        continue;
                    }
                    Err(_) => (GIVEN, text, NAMES),
                },
                JSON => match serde_json::from_str(&text) {
                    Ok(names) => {
                        ours.json = names;
                        continue;
                    }
                    Err(_) => (JSON, text, NAMES),
                },
                CELLS => match serde_json::from_str(&text) {
                    Ok(names) => {
                        cells = names;
                        continue;
                    }
                    Err(_) => (CELLS, text, NAMES),
                },
                EMPTY => match empties(&text) {
                    Some(meant) => {
                        ours.empty.extend(meant);
                        continue;
                    }
                    None => (EMPTY, text, EMPTIES),
                },
                _ => continue,
            };
            ours.unreadable.push(unreadable);
        }
        for name in cells {
            let given = record.fields.iter().find(|(of, _)| *of == name);
            if let Some((_, Value::Json(raw))) = given
                && let Ok(text) = serde_json::from_str(raw)
            {
                ours.cells.insert(name, text);
            }
        }
        ours
    }

    /// The fields of `record` that are its own, with the values that they were delivered with first.
    pub fn own<'r>(
        &'r self,
        record: &'r Record<'_>,
    ) -> impl Iterator<Item = (&'r Cow<'r, str>, Value<'r>)> {
        // Of nearly all records there is nothing to be asked.
        let again = self.again;
        let is_own =
            move |name: &str, value| !again || !is_ours(name) && !self.leaves_out(name, value);
        let own = record.fields.iter();
        let own = own.filter(move |(name, value)| is_own(name, value));
        own.map(move |(name, value)| match again {
            true => (name, self.meant(name, value)),
            false => (name, *value),
        })
    }

    /// What a field's value is, where it is not what it seems.
    fn meant<'v>(&'v self, name: &str, value: &Value<'v>) -> Value<'v> {
        match (*value, self.cells.get(name)) {
            (Value::Blank, _) => self.empty.get(name).copied().unwrap_or(*value),
            (Value::Cell(text), _) if self.json.iter().any(|n| n == name) && is_no_text(text) => {
                Value::Json(text)
            }
            (Value::Json(_), Some(Some(text))) => Value::Cell(text),
            (Value::Json(_), Some(None)) => Value::Blank,
            _ => *value,
        }
    }

    /// Whether the record says nothing of a field, though there is a cell for it.
    fn leaves_out(&self, name: &str, value: &Value<'_>) -> bool {
        let given = self.given.as_ref();
        *value == Value::Blank && given.is_some_and(|names| names.iter().all(|n| n != name))
    }
}

/// Whether the text of a cell is JSON still, and no text that somebody has put in its place.
fn is_no_text(text: &str) -> bool {
    let is_json = serde_json::from_str::<&RawValue>(text).is_ok_and(|raw| raw.get() == text);
    is_json && text != "null" && serde_json::from_str::<String>(text).is_err()
}

/// What the empty cells are that `text` names.
fn empties(text: &str) -> Option<Vec<(String, Value<'static>)>> {
    let named: BTreeMap<String, Option<String>> = serde_json::from_str(text).ok()?;
    let named = named
        .into_iter()
        .map(|(name, value)| match value.as_deref() {
            None => Some((name, Value::Json("null"))),
            Some("") => Some((name, Value::Cell(""))),
            Some(_) => None,
        });
    named.collect()
}
