//! What the loader puts beside rejected records, so that they can be delivered again, and reads there.

use std::sync::LazyLock;

use super::{Record, Value};
use crate::table::delivery::{Csv, Empty, Sign};

/// How the names of its fields begin.
pub const OURS: &str = "loader:";

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

/// The word for records that name rows to be deleted.
pub const DELETE: &str = "delete";

/// How such records are written as delimited values, whatever their table's own are like.
static DIALECT: LazyLock<Csv> = LazyLock::new(|| Csv {
    delimiter: Some(Sign::COMMA),
    empty: Empty::Quoted,
    ..Csv::default()
});

/// Their dialect, where delimited values that begin with `bytes` are rejected records.
pub(super) fn dialect(bytes: &[u8]) -> Option<&'static Csv> {
    let header = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    let ours = WHY.join(",");
    let is_it = header.windows(ours.len()).any(|w| w == ours.as_bytes());
    is_it.then(|| &*DIALECT)
}

/// What stands beside one record.
#[derive(Debug, Default)]
pub struct Ours {
    /// Whether there is anything: the record was rejected, and is delivered again.
    pub again: bool,
    /// Whose record it is.
    pub table: Option<String>,
    /// What it is for.
    pub op: Option<String>,
    /// When it was extracted.
    pub extracted: Option<String>,
    /// The fields that it gives, where others have further ones.
    given: Option<Vec<String>>,
    /// What should say that, and cannot be read.
    pub unreadable: Option<String>,
}

impl Ours {
    /// What stands beside `record`.
    pub fn of(record: &Record<'_>) -> Ours {
        let mut ours = Ours::default();
        let fields = record.fields.iter();
        for (name, value) in fields.filter(|(name, _)| name.starts_with(OURS)) {
            ours.again = true;
            let text = match value {
                Value::Cell(text) => Some((*text).to_owned()),
                Value::Json(raw) => serde_json::from_str(raw).ok(),
                _ => None,
            };
            match name.as_ref() {
                TABLE => ours.table = text,
                OP => ours.op = text,
                EXTRACTED_AT => ours.extracted = text,
                GIVEN => match text.as_deref().map(serde_json::from_str) {
                    Some(Ok(names)) => ours.given = Some(names),
                    Some(Err(_)) => ours.unreadable = text,
                    None => {}
                },
                _ => {}
            }
        }
        ours
    }

    /// Whether the record says nothing of a field, though there is a cell for it.
    pub fn leaves_out(&self, name: &str, value: &Value<'_>) -> bool {
        let given = self.given.as_ref();
        *value == Value::Blank && given.is_some_and(|names| names.iter().all(|n| n != name))
    }
}
