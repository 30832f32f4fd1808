//! A table of a batch or plan, with all that belongs together about it.

use std::collections::BTreeSet;

use super::config::TableConfig;
use super::lookup::Lookups;
use super::mark::Mark;
use super::schema::{Column, Equality, ForeignKey, Table};
use crate::sql::Qualified;

/// What keeps others from bringing a second row with a natural key while a plan is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// A unique index.
    Index,
    /// Nothing in the database: apply locks the table against all others that write to it.
    Lock,
    /// Nothing: rows in shards are not locked one by one, so that apply locks the table in any case.
    Shards,
}

/// A table of a batch or plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its name as configured.
    pub name: String,
    /// As found in the database.
    pub table: Table,
    /// Its configuration in effect.
    pub config: TableConfig,
    /// What is looked up for its records.
    pub lookups: Lookups,
    /// Its place in the order of dependency, which tells its temporary tables from the others'.
    pub place: usize,
    /// Whether writing tables may change its rows beside what is planned for them, by a trigger or a foreign
    /// key, as `allow_side_effects` says.
    pub is_followed: bool,
    /// References of other tables to it that no foreign key holds, as if one did.
    pub referred: Vec<ForeignKey>,
}

/// The tables that these configurations allow to be changed beside what is planned, as they name them.
pub fn allowed<'c>(configs: impl IntoIterator<Item = &'c TableConfig>) -> BTreeSet<String> {
    let all = configs.into_iter().flat_map(|c| &c.allow_side_effects);
    all.cloned().collect()
}

impl Target {
    /// A table to which no other refers without a foreign key, and whose rows nothing changes beside what is planned,
    /// as far as is known yet.
    pub fn new(
        name: String,
        table: Table,
        mut config: TableConfig,
        lookups: Lookups,
        place: usize,
    ) -> Target {
        // What is computed from what may drift, drifts with it.
        let computed = table.computed_from(&config.ignore_drift);
        config.ignore_drift.extend(computed);
        Target {
            name,
            table,
            config,
            lookups,
            place,
            is_followed: false,
            referred: Vec::new(),
        }
    }

    /// Notes whether it is one of the tables that are named by `allowed`.
    pub fn may_follow(&mut self, allowed: &BTreeSet<String>) {
        let name = &self.table.name;
        self.is_followed = allowed.iter().any(|allowed| name.is_meant_by(allowed));
    }

    /// Whether triggers or foreign keys may change its rows beside what is written.
    pub fn may_be_set(&self) -> bool {
        !self.table.triggers.is_empty() || self.is_followed
    }

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

    /// Whether loads may delete rows of it: without a limit that allows it, none does.
    pub fn may_lose_rows(&self) -> bool {
        self.config.limits.delete.is_some() && self.mark().is_none()
    }

    /// That column, and how it marks them.
    pub fn marks(&self) -> Option<(&Column, Mark)> {
        let column = self.table.column(self.mark()?)?;
        Some((column, Mark::of(column).ok()?))
    }

    /// Whether records may bring a value for this column that is not loaded.
    pub fn is_ignored(&self, column: &Column) -> bool {
        self.config.ignore_fields.contains(&column.name)
    }

    /// Its foreign keys, and its references that none of them holds.
    pub fn foreign_keys(&self) -> impl Iterator<Item = &ForeignKey> {
        self.table.foreign_keys.iter().chain(&self.lookups.loose)
    }

    /// The foreign keys of others that refer to it, and their references that none of them holds.
    pub fn referrers(&self) -> impl Iterator<Item = &ForeignKey> {
        self.table.referrers.iter().chain(&self.referred)
    }

    /// Another table for people: without its schema where that is this one's own and goes without saying here too,
    /// so that tables of one name are told apart.
    pub fn other(&self, other: &Qualified) -> String {
        let own = &self.table.name;
        if other.schema == own.schema && self.name == own.name {
            other.name.clone()
        } else {
            other.configured()
        }
    }

    /// Those of its foreign keys by which it can refer to rows of `parent`.
    pub fn keys_to<'k>(&'k self, parent: &'k Target) -> impl Iterator<Item = &'k ForeignKey> {
        let keys = self.foreign_keys();
        keys.filter(|key| parent.table.shares_rows(key.parent_oid))
    }

    /// Whether it refers to `parent`.
    pub fn refers_to(&self, parent: &Target) -> bool {
        self.keys_to(parent).next().is_some()
    }

    /// What keeps others from bringing a second row with a natural key.
    pub fn guard(&self) -> Guard {
        if self.table.kind.is_far() {
            return Guard::Shards;
        }
        let index = self.table.key_index(&self.config.natural_key);
        match index.map(|index| index.predicate.as_deref()) {
            Some(None) => Guard::Index,
            Some(Some(predicate)) if self.is_live(predicate) => Guard::Index,
            _ => Guard::Lock,
        }
    }

    /// Whether a condition, as the database prints it, is that a row is not marked as deleted.
    pub fn is_live(&self, condition: &str) -> bool {
        self.marks()
            .is_some_and(|(column, mark)| mark.is_life(column, condition))
    }
}
