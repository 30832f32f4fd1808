//! What entries say beside values: which columns stay as they are; and of rows by name: of their own, to which
//! others refer, and of those to which they do.

use serde_json::{Map, Value as Json};

use super::Staged;
use crate::error::{Error, Result};
use crate::plan::{Entry, ReferredRow, Value, Values, What};
use crate::table::reference::{By, Reference};

/// What is staged of the names in one table's entries.
pub(super) struct Named {
    table: String,
    /// Whether triggers may change its rows.
    may_be_set: bool,
    /// Whether other new rows may refer to its new rows.
    is_referred: bool,
    /// The columns whose numbers are drawn, by their place among those that are written.
    pub(super) drawn: Vec<usize>,
    /// The columns that are looked up.
    references: Vec<(String, Reference)>,
}

impl Named {
    pub(super) fn new(staged: &Staged) -> Named {
        let columns = &staged.target.table.columns;
        let config = &staged.target.config;
        let is_drawn = |c: &&String| !config.references.contains_key(*c);
        let written = |c: &String| staged.columns.iter().position(|w| w == c);
        let references = staged.lookups().filter_map(|lookup| {
            let column = &columns[lookup.of].name;
            let reference = config.references.get(column)?;
            Some((column.clone(), reference.clone()))
        });
        Named {
            table: staged.target.name.clone(),
            may_be_set: staged.target.may_be_set(),
            is_referred: !staged.numbers.is_empty(),
            drawn: (staged.numbers.iter().filter(is_drawn))
                .filter_map(written)
                .collect(),
            references: references.collect(),
        }
    }

    /// What is staged of these, in the order of `Staged::more_columns`.
    pub(super) fn of(&self, entry: &Entry) -> Result<Vec<Option<String>>> {
        self.check(entry)?;
        let mut cells = Vec::new();
        if self.may_be_set {
            let stays = Some(entry.what.stays()).filter(|stays| !stays.is_empty());
            cells.push(stays.map(json).transpose()?);
        }
        if self.is_referred {
            let is_new = matches!(entry.what, What::Insert { .. });
            cells.push(is_new.then(|| identity(&entry.key)));
        }
        for (column, _) in &self.references {
            let (mut new, mut there) = (None, None);
            match value(entry, column) {
                Some(Value::New(row)) => new = Some(identity(&row.key)),
                Some(Value::Referred(row)) => there = Some(json(&row.key)?),
                _ => {}
            }
            let until = match &entry.what {
                What::Update { set, .. } => set.get(column).map(|(old, _)| old),
                What::Delete { values, .. } => values.get(column).or(entry.key.get(column)),
                _ => None,
            };
            let until = until.filter(|old| is_named(old)).map(json).transpose()?;
            cells.extend([new, there, until]);
        }
        Ok(cells)
    }

    /// That rows are named only where the plan's configuration says that they are looked up, and so.
    fn check(&self, entry: &Entry) -> Result<()> {
        let none = Values::new();
        // What a row holds has its number.
        let held = match &entry.what {
            What::Update { revives, .. } => revives.as_ref().unwrap_or(&none),
            _ => &none,
        };
        if let Some((column, _)) = held.iter().find(|(_, v)| is_named(v)) {
            return Err(self.refused(column));
        }
        let (values, set) = match &entry.what {
            What::Insert { values } | What::Delete { values, .. } => (values, None),
            What::Update { set, .. } => (&none, Some(set)),
            What::Skip(_) | What::Violation(_) => (&none, None),
        };
        let set = set.into_iter().flatten();
        let set = set.flat_map(|(c, (old, new))| [(c, old), (c, new)]);
        let all = entry.key.iter().chain(values).chain(set);
        for (column, value) in all.filter(|(_, v)| is_named(v)) {
            let mut references = self.references.iter();
            let reference = references.find(|(c, _)| c == column);
            let fits = reference.is_some_and(|(_, reference)| match value {
                Value::New(row) => row.table == reference.table,
                Value::Referred(row) => is_by(reference, row),
                _ => true,
            });
            if !fits {
                return Err(self.refused(column));
            }
        }
        Ok(())
    }

    fn refused(&self, column: &str) -> Error {
        Error::plan_refused(format!(
            "the plan names a row to which {}.{column} refers otherwise than the configuration in it says that it is \
             looked up; it was not made by the loader; make a new plan",
            self.table
        ))
    }
}

fn json(what: &(impl serde::Serialize + ?Sized)) -> Result<String> {
    serde_json::to_string(what).map_err(|e| Error::local("staging the plan").caused_by(e))
}

fn is_named(value: &Value) -> bool {
    matches!(value, Value::New(_) | Value::Referred(_))
}

/// Whether a row was looked up as `reference` says.
fn is_by(reference: &Reference, row: &ReferredRow) -> bool {
    row.table == reference.table
        && row.key.len() == reference.by.len()
        && reference
            .by
            .iter()
            .all(|(column, by)| match (by, row.key.get(column)) {
                (By::Field(_), Some(Value::Text(_))) => true,
                (By::Reference(inner), Some(Value::Referred(row))) => is_by(inner, row),
                _ => false,
            })
}

/// The value that a column has when the entry is done.
fn value<'e>(entry: &'e Entry, column: &str) -> Option<&'e Value> {
    let beside_key = match &entry.what {
        What::Insert { values } => values.get(column),
        What::Update { set, .. } => set.get(column).map(|(_, new)| new),
        What::Delete { .. } => return None,
        _ => None,
    };
    entry.key.get(column).or(beside_key)
}

/// A natural key as one text: that of an entry, and that by which others name its row.
fn identity(key: &Values) -> String {
    fn json(value: &Value) -> Json {
        match value.stored() {
            Ok(text) => text.into(),
            Err(row) => {
                Json::from_iter([("new", row.table.clone().into()), ("key", all(&row.key))])
            }
        }
    }
    fn all(key: &Values) -> Json {
        let pairs = key
            .iter()
            .map(|(column, value)| (column.clone(), json(value)));
        Json::Object(Map::from_iter(pairs))
    }
    all(key).to_string()
}
