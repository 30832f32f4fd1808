//! Rows that records name by a key, as the plan says them.

use super::Comparison;
use crate::error::{Error, Result};
use crate::plan::{NewRow, ReferredRow, Value, Values, Violation, ViolationKind, What};
use crate::sql::copytext::CopyRow;
use crate::table::lookup::{Lookup, Origin};

/// What was looked up for a column.
pub(super) struct LookedUp<'c> {
    pub(super) column: &'c str,
    /// The row that the record names.
    pub(super) value: Option<Value>,
    /// The row to which its row refers until then, where that changes or the row goes.
    pub(super) old: Option<Value>,
}

fn read_back(e: serde_json::Error) -> Error {
    Error::local("reading back what was looked up").caused_by(e)
}

/// Whether a row is named by all of its key: one with null in it is found by none, and only its number means it.
fn has_whole_key(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Referred(row) => row.key.values().all(has_whole_key),
        _ => true,
    }
}

impl Comparison<'_> {
    /// What was looked up for a record, and the rows to which its row refers.
    pub(super) fn looked_up(&self, line: &CopyRow) -> Result<Vec<LookedUp<'_>>> {
        let target = self.stage.target;
        let mut at = self.before_lookups();
        let mut found = Vec::new();
        for lookup in target.lookups.answers() {
            let column = target.table.columns[lookup.of].name.as_str();
            let new = line.get(at);
            at += 1;
            let there = self.there(lookup, line, &mut at);
            let old = line.get(at).map(|json| self.as_planned(json)).transpose()?;
            let old = old.filter(has_whole_key);
            at += 1;
            let value = match new {
                Some(key) => Some(Value::New(Box::new(NewRow {
                    table: lookup.table.clone(),
                    key: serde_json::from_str(key).map_err(read_back)?,
                }))),
                None => there.map(|row| Value::Referred(Box::new(row))),
            };
            found.push(LookedUp { column, value, old });
        }
        Ok(found)
    }

    /// The row that was found in the database, if one was; `at` goes behind what tells of it.
    fn there(&self, lookup: &Lookup, line: &CopyRow, at: &mut usize) -> Option<ReferredRow> {
        let stored = line.get(*at);
        *at += 1;
        let mut key = Values::new();
        for part in &lookup.by {
            let value = match part.from {
                Origin::Field(_) => {
                    let text = line.get(*at);
                    *at += 1;
                    text.into()
                }
                Origin::Lookup(inner) => {
                    let inner = &self.stage.target.lookups.all[inner];
                    let row = self.there(inner, line, at);
                    row.map_or(Value::Null, |row| Value::Referred(Box::new(row)))
                }
            };
            key.insert(part.column.name.clone(), value);
        }
        Some(ReferredRow {
            stored: stored?.to_owned(),
            table: lookup.table.clone(),
            key,
        })
    }

    /// A value of a column that is looked up, as the database makes it for the plan.
    pub(super) fn as_planned(&self, json: &str) -> Result<Value> {
        serde_json::from_str(json).map_err(read_back)
    }
}

impl LookedUp<'_> {
    /// Puts rows by name in place of their numbers: that of a new one only the staging tables have.
    pub(super) fn put(&self, what: Option<&mut What>, violations: &mut [Violation]) {
        let replace = |known: &mut Value, by: &Option<Value>| {
            if let Some(value) = by {
                *known = value.clone();
            }
        };
        match what {
            Some(What::Insert { values }) => {
                if let Some(known) = values.get_mut(self.column) {
                    replace(known, &self.value);
                }
            }
            Some(What::Update { set, .. }) => {
                if let Some((old, new)) = set.get_mut(self.column) {
                    replace(old, &self.old);
                    replace(new, &self.value);
                }
            }
            Some(What::Delete { values, .. }) => {
                if let Some(known) = values.get_mut(self.column) {
                    replace(known, &self.old);
                }
            }
            _ => {}
        }
        let words = |value: &Option<Value>| Some(value.as_ref()?.words()?.into_owned());
        for violation in violations {
            let about = violation.field.as_deref() == Some(self.column);
            if about && violation.kind == ViolationKind::ImmutableField {
                violation.given = words(&self.value).or(violation.given.take());
                violation.existing = words(&self.old).or(violation.existing.take());
            }
        }
    }
}
