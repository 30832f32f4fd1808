//! Rows by name: what numbers in keys and images refer to, as far as it is there and may be read.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Result;
use crate::pg::privileges::may_read;
use crate::pg::{Session, catalog, near};
use crate::plan::{Value, Values};
use crate::sql::{Literal, Statement, Values as Bound, text_array};
use crate::table::config::TableConfig;
use crate::table::lookup::{Lookup, Lookups};
use crate::table::schema::Table;

/// Of each column that is looked up, the rows to which its numbers refer.
#[derive(Debug, Clone, Default)]
pub struct Referred(BTreeMap<String, BTreeMap<String, Value>>);

/// What is looked up for a table, to name rows; nothing where that cannot be known any more.
pub async fn lookups(session: &Session, config: &TableConfig, table: &Table) -> Lookups {
    if config.references.is_empty() {
        return Lookups::default();
    }
    let Ok(found) = catalog::parents(session, config).await else {
        return Lookups::default();
    };
    let parents = found.into_iter().map(|(name, t)| (name, (t, None)));
    Lookups::new(table, &config.references, &parents.collect()).unwrap_or_default()
}

impl Referred {
    /// The rows to which `numbers` (column to those in it) refer now. What is gone, or must not be read,
    /// has no name.
    pub async fn find(
        session: &Session,
        table: &Table,
        lookups: &Lookups,
        numbers: &BTreeMap<String, BTreeSet<String>>,
    ) -> Referred {
        let mut found = BTreeMap::new();
        for lookup in lookups.answers() {
            let column = &table.columns[lookup.of].name;
            // A number that means a row only together with others does not name one.
            let Some(numbers) = numbers.get(column).filter(|_| lookup.beside.is_empty()) else {
                continue;
            };
            let relations = lookups.all.iter().map(|lookup| &lookup.relation);
            let may_be_read = may_read("asking for privileges", relations);
            // A statement that fails would end the transaction in which it is asked.
            if !session.holds(&may_be_read).await.unwrap_or(false) {
                continue;
            }
            if bring(session, lookups, lookup, numbers).await.is_err() {
                continue;
            }
            if let Ok(rows) = session.rows(&named(lookups, lookup, numbers)).await {
                let rows = rows.into_iter().filter_map(|mut row| {
                    let json = row.take(1)?;
                    Some((row.take(0)?, serde_json::from_str(&json).ok()?))
                });
                found.insert(column.clone(), rows.collect());
            }
        }
        Referred(found)
    }

    /// The row to which a number in a column refers.
    pub fn row(&self, column: &str, number: &str) -> Option<&Value> {
        self.0.get(column)?.get(number)
    }

    /// Puts the rows to which numbers in a key refer in their place.
    pub fn put(&self, key: &mut Values) {
        for (column, value) in key {
            if let Value::Text(number) = value
                && let Some(row) = self.row(column, number)
            {
                *value = row.clone();
            }
        }
    }
}

/// Collects the numbers that a key has in columns which are looked up.
pub fn collect(
    table: &Table,
    lookups: &Lookups,
    key: &Values,
    numbers: &mut BTreeMap<String, BTreeSet<String>>,
) {
    for lookup in lookups.answers() {
        let column = &table.columns[lookup.of].name;
        if let Some(Value::Text(number)) = key.get(column) {
            let of_column = numbers.entry(column.clone()).or_default();
            of_column.insert(number.clone());
        }
    }
}

/// The natural key of a row of the audit log as values; `None` where it is not one of these columns.
pub fn key_of(natural_key: &[String], record_id: &str) -> Option<Values> {
    let parts: Vec<Option<String>> = match natural_key {
        [_] => vec![Some(record_id.to_owned())],
        _ => serde_json::from_str(record_id).ok()?,
    };
    (parts.len() == natural_key.len()).then(|| {
        let parts = parts.into_iter().map(Value::from);
        natural_key.iter().cloned().zip(parts).collect()
    })
}

/// Copies the rows with these numbers, where they are in shards.
async fn bring(
    session: &Session,
    lookups: &Lookups,
    lookup: &Lookup,
    numbers: &BTreeSet<String>,
) -> Result<()> {
    let numbers = numbers.iter().map(|n| Literal(n).to_string());
    let keys = format!(
        "SELECT x.n::{} AS n FROM pg_catalog.unnest({}) x(n)",
        lookup.target.base_type_sql,
        text_array(numbers)
    );
    near::prepare_names(session, lookups).await?;
    near::bring(session, &lookups.near_numbers(lookup, keys)).await
}

fn named(lookups: &Lookups, lookup: &Lookup, numbers: &BTreeSet<String>) -> Statement {
    let mut values = Bound::default();
    let number = format!("(x.n)::{}", lookup.target.base_type_sql);
    let sql = format!(
        "SELECT x.n, {}::text FROM pg_catalog.unnest({}) x(n)",
        lookups.named_json(lookup, &number, "x"),
        values.texts(numbers),
    );
    let doing = format!("looking up rows of {} by their numbers", lookup.table);
    Statement::with(doing, sql, values)
}
