//! What the tables must hold, computed without the loader: the README's table over plain strings.

use std::collections::BTreeMap;

/// A row or a record: column to value; a column that is not there was not given.
pub type Row = BTreeMap<String, Option<String>>;

/// How one table treats records.
#[derive(Debug, Clone)]
pub struct Rules {
    pub key: Vec<&'static str>,
    pub immutable: Vec<&'static str>,
    pub strategy: &'static str,
    pub resolution: &'static str,
    pub on_immutable: &'static str,
}

/// What becomes of one record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Insert,
    Update,
    Skip(&'static str),
    Violation,
}

/// One table: key to row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Model {
    pub rows: BTreeMap<Vec<String>, Row>,
}

impl Rules {
    /// The key of a record.
    pub fn key_of(&self, record: &Row) -> Vec<String> {
        let value = |k: &&str| record[*k].clone().unwrap();
        self.key.iter().map(value).collect()
    }
}

impl Model {
    /// Does with one record what the rules say. Absent fields of an insert come from `defaults`.
    pub fn take(&mut self, rules: &Rules, record: &Row, defaults: &Row) -> Outcome {
        let key = rules.key_of(record);
        let Some(row) = self.rows.get_mut(&key) else {
            if rules.strategy == "update_only" {
                return Outcome::Skip("missing");
            }
            let mut row = defaults.clone();
            row.extend(record.clone());
            self.rows.insert(key, row);
            return Outcome::Insert;
        };
        if rules.strategy == "insert_only" {
            return Outcome::Skip("exists");
        }
        if rules.resolution == "skip" {
            return Outcome::Skip("conflict");
        }
        let mut changed = row.clone();
        for (column, value) in record {
            let immutable = rules.immutable.contains(&column.as_str());
            let ignored_null = value.is_none() && (immutable || rules.resolution == "merge");
            if rules.key.contains(&column.as_str()) || ignored_null || row[column] == *value {
                continue;
            }
            if immutable && rules.on_immutable == "keep" {
                continue;
            }
            if immutable {
                return Outcome::Violation;
            }
            changed.insert(column.clone(), value.clone());
        }
        if changed == *row {
            return Outcome::Skip("unchanged");
        }
        *row = changed;
        Outcome::Update
    }

    /// The rows as [`super::World::rows`] prints these columns.
    pub fn lines(&self, columns: &[&str]) -> Vec<String> {
        let cell = |row: &Row, c: &str| row[c].clone().unwrap_or_else(|| "∅".into());
        let line = |row: &Row| {
            let cells: Vec<String> = columns.iter().map(|c| cell(row, c)).collect();
            cells.join("|")
        };
        let mut lines: Vec<String> = self.rows.values().map(line).collect();
        lines.sort();
        lines
    }
}

/// A record from pairs; `None` is null.
pub fn record(fields: &[(&str, Option<&str>)]) -> Row {
    let field = |(c, v): &(&str, Option<&str>)| ((*c).to_owned(), v.map(str::to_owned));
    fields.iter().map(field).collect()
}

/// The JSON object of a record, all values as strings.
pub fn json(record: &Row) -> serde_json::Value {
    serde_json::json!(record)
}
