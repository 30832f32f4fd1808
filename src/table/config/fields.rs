//! What `tables.yaml` says of single fields, against what else it says of them.

use std::collections::BTreeMap;

use super::{Config, Stamp, TableConfig};
use crate::error::Result;
use crate::table::schema::Table;
use crate::table::target::allowed;

impl Config {
    /// That stamps fit the columns of the table.
    pub(super) fn check_stamps(&self, name: &str, own: &TableConfig, table: &Table) -> Result<()> {
        let mut followed = allowed(self.tables.values()).into_iter();
        let is_followed = followed.any(|followed| table.name.is_meant_by(&followed));
        for (column, stamp) in own.stamps() {
            let Some(found) = table.column(column) else {
                continue;
            };
            // A time is a text, too; a batch's id may be a number or a UUID.
            let (fits, what) = match stamp {
                Stamp::Now => (matches!(found.category, 'D' | 'S'), "the time"),
                Stamp::Actor => (found.category == 'S', "a text"),
                Stamp::BatchId => (!matches!(found.category, 'D' | 'A' | 'B'), "a text"),
                Stamp::Trigger if table.triggers.is_empty() && !is_followed => {
                    let what = format!("stamps: {name} has no trigger that could set {column}");
                    return Err(self.error(name, "stamps", column, &what));
                }
                Stamp::Trigger => (true, ""),
            };
            if !fits {
                let what = format!(
                    "stamps: {column} of {name} is {}, and what it would be set to is {what}",
                    found.type_sql
                );
                return Err(self.error(name, "stamps", column, &what));
            }
        }
        Ok(())
    }

    /// That what is said of single fields does not contradict itself.
    pub(super) fn check_fields(&self, name: &str, table: &TableConfig) -> Result<()> {
        for column in &table.insert_only_fields {
            let what = if table.immutable_fields.contains(column) {
                format!(
                    "{column} stands in both immutable_fields and insert_only_fields of {name}; a difference is a \
                     violation, or it is passed over"
                )
            } else if table.natural_key.contains(column) {
                format!(
                    "{column} is in the natural key of {name} and never changes; take it out of insert_only_fields"
                )
            } else {
                continue;
            };
            return Err(self.error(name, "insert_only_fields", column, &what));
        }
        let mut fields: BTreeMap<&String, &String> = BTreeMap::new();
        for (field, column) in &table.columns {
            if let Some(other) = fields.insert(column, field) {
                let what = format!(
                    "columns: {other} and {field} are both {column} of {name}; name one field"
                );
                return Err(self.error(name, "columns", field, &what));
            }
        }
        if table.records.is_some() && table.envelope.is_some() {
            let what = format!(
                "records and envelope of {name} both say where records stand; say one of them"
            );
            return Err(self.error(name, "records", "", &what));
        }
        Ok(())
    }
}
