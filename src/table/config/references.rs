//! What `tables.yaml` says of references, checked against the tables that are found.

use std::collections::BTreeMap;

use super::TableConfig;
use super::checked::Config;
use crate::error::Result;
use crate::table::lookup::{Lookups, Wrong};
use crate::table::reference::Reference;
use crate::table::schema::Table;

impl Config {
    /// What is looked up for the records of `table`, whose configuration in effect is `config`, in the
    /// tables `found` by the names that references have for them.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) with line and column.
    pub(crate) fn lookups(
        &self,
        name: &str,
        table: &Table,
        config: &TableConfig,
        found: BTreeMap<String, Table>,
    ) -> Result<Lookups> {
        let parents = found.into_iter().map(|(parent, table)| {
            let configured = self.tables.get(&parent);
            let mark = configured.and_then(|c| c.soft_delete.column());
            let mark = mark.map(str::to_owned);
            (parent, (table, mark))
        });
        let wrong = |(word, what): Wrong| self.error(name, "references", &word, &what);
        let lookups = Lookups::new(table, &config.references, &parents.collect());
        let lookups = lookups.map_err(wrong)?;
        for lookup in lookups.answers() {
            let column = &table.columns[lookup.of].name;
            if lookup.relation == table.name && config.natural_key.contains(column) {
                let what = format!(
                    "references: {column} refers to its own table and is in the natural key of {name}: whether a row \
                     is there could not be told before the rows to which it refers are"
                );
                return Err(self.error(name, "references", column, &what));
            }
        }
        Ok(lookups)
    }

    /// What is looked up tells the key by which it is, and that of the row: where these are sensitive, it
    /// is too.
    pub(super) fn hide_references(&mut self) {
        loop {
            let known = self.tables.clone();
            let is_sensitive = |table: &str, column: &str| {
                let table = known.get(table);
                table.is_some_and(|t| t.sensitive.iter().any(|c| c == column))
            };
            let tells = |reference: &Reference| {
                let mut tables = reference
                    .tables()
                    .into_iter()
                    .filter_map(|t| known.get_key_value(t));
                reference.any(&is_sensitive)
                    || tables.any(|(name, t)| t.natural_key.iter().any(|c| is_sensitive(name, c)))
            };
            let mut more = false;
            for table in self.tables.values_mut() {
                let told = table.references.iter();
                let told = told.filter(|(c, r)| !table.sensitive.contains(c) && tells(r));
                let told: Vec<String> = told.map(|(column, _)| column.clone()).collect();
                more |= !told.is_empty();
                table.sensitive.extend(told);
            }
            if !more {
                return;
            }
        }
    }
}
