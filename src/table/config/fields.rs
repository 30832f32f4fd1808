//! What `tables.yaml` says of single fields, against what else it says of them.

use std::collections::BTreeMap;

use super::{Config, TableConfig};
use crate::error::Result;

impl Config {
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
