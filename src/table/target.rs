//! A table of a batch or plan, with all that belongs together about it.

use super::config::TableConfig;
use super::schema::{Column, Equality, Table};

/// A table of a batch or plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its name as configured.
    pub name: String,
    /// As found in the database.
    pub table: Table,
    /// Its configuration in effect.
    pub config: TableConfig,
    /// Its place in the order of dependency, which tells its temporary tables from the others'.
    pub place: usize,
}

impl Target {
    /// The natural key's columns, with the equality that decides about them.
    pub fn key(&self) -> Vec<(&Column, Equality)> {
        self.table.key(&self.config.natural_key)
    }

    /// The natural key's columns.
    pub fn key_columns(&self) -> Vec<&Column> {
        self.key().into_iter().map(|(column, _)| column).collect()
    }

    /// The natural key of row `alias` as one text, as SQL.
    pub fn record_id(&self, alias: &str) -> String {
        self.table.record_id(&self.config.natural_key, alias)
    }

    /// The columns of the natural key in a staging table, as SQL.
    pub fn staged_key(&self) -> String {
        self.table.staged_key(&self.config.natural_key)
    }

    /// The column that marks deleted rows, where deletes only mark them.
    pub fn mark(&self) -> Option<&str> {
        self.config.soft_delete.column()
    }

    /// Whether it refers to `parent` by a foreign key.
    pub fn refers_to(&self, parent: &Target) -> bool {
        let mut keys = self.table.foreign_keys.iter();
        keys.any(|key| key.parent == parent.table.name)
    }
}
