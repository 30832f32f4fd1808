//! Updates that cannot be written with the others, for the sake of their references.

use super::{Context, THIS_VERSION};
use crate::error::Result;
use crate::pg::apply::staged::Staged;
use crate::pg::apply::staged::fate::Fate;
use crate::sql::{Ident, Statement, all};
use crate::table::schema::{Column, ForeignKey};

/// Which updates to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pg) enum Updates {
    /// Those that cease to refer to a row which is deleted later.
    First,
    /// Those that begin to refer to a row which is inserted later.
    Last,
    /// All others.
    Others,
    /// All, where none is first or last.
    All,
}

impl Updates {
    /// How they are marked among the row versions; null of those that are not first or last.
    pub(super) fn mark(self) -> &'static str {
        match self {
            Updates::First => "'f'",
            Updates::Last => "'l'",
            Updates::Others | Updates::All => "NULL",
        }
    }
}

impl Context<'_> {
    /// Marks the updates that come first or last. Returns how many of each table do.
    pub(super) async fn find_moved(
        &self,
        tables: &[Staged],
        has_deletes: bool,
    ) -> Result<Vec<u64>> {
        let mut moved = vec![0; tables.len()];
        for (i, child) in tables.iter().enumerate() {
            for (j, parent) in tables.iter().enumerate() {
                if parent.rows.delete > 0 && j >= i {
                    moved[i] += self.mark(child, parent, Updates::First).await?;
                }
                if parent.rows.insert > 0 && (j >= i || has_deletes) {
                    moved[i] += self.mark(child, parent, Updates::Last).await?;
                }
            }
        }
        Ok(moved)
    }

    async fn mark(&self, child: &Staged, parent: &Staged, which: Updates) -> Result<u64> {
        let mut marked = 0;
        for statement in child.mark_updates(parent, which) {
            marked += self.session.execute(&statement).await?;
        }
        Ok(marked)
    }
}

impl Staged {
    /// Marks the updates that have to come before deletes of `parent`, or after inserts into it.
    pub(in crate::pg) fn mark_updates(&self, parent: &Staged, which: Updates) -> Vec<Statement> {
        let keys = self.target.foreign_keys();
        let keys = keys.filter(|k| k.parent == parent.target.table.name);
        let refers = keys.filter_map(|key| self.refers_to_written(parent, key, which));
        refers
            .map(|refers| self.mark_those(parent, &refers, which))
            .collect()
    }

    /// The condition that staged row `s` of row `t` refers, by `key`, to what is deleted (row `p`)
    /// or inserted (staged row `ps`); `None` where no update can.
    fn refers_to_written(
        &self,
        parent: &Staged,
        key: &ForeignKey,
        which: Updates,
    ) -> Option<String> {
        let columns = key.columns.iter().map(|c| self.target.table.column(c));
        let columns: Vec<&Column> = columns.collect::<Option<_>>()?;
        if !columns.iter().any(|c| self.may_change(c)) {
            return None;
        }
        let mut equal = Vec::new();
        for ((name, parent_name, equality), column) in key.pairs().zip(columns) {
            let (left, right) = match which {
                Updates::Last => (parent.inserted(parent_name)?, self.after(column)),
                _ => (
                    format!("p.{}", Ident(parent_name)),
                    format!("t.{}", Ident(name)),
                ),
            };
            equal.push(equality.equal(left, right));
        }
        Some(all(equal))
    }

    fn mark_those(&self, parent: &Staged, refers: &str, which: Updates) -> Statement {
        let (fate, found) = match which {
            Updates::Last => (Fate::Insert, String::new()),
            _ => (
                Fate::Delete,
                format!(
                    " JOIN {} pb ON pb._n = ps._n JOIN {} p ON p.tableoid = pb._table AND p.ctid = pb._tid",
                    parent.versions(),
                    parent.target.table.name
                ),
            ),
        };
        let sql = format!(
            "UPDATE {versions} SET _when = {mark} WHERE _when IS NULL AND _n IN (\
               SELECT s._n FROM {staged} s JOIN {versions} b ON b._n = s._n \
               JOIN {table} t ON {THIS_VERSION}, {parents} ps{found} \
               WHERE s._a = {update} AND ps._a = {fate} AND {refers})",
            versions = self.versions(),
            mark = which.mark(),
            staged = self.temporary(),
            table = self.target.table.name,
            parents = parent.temporary(),
            update = Fate::Update,
        );
        Statement::new(
            format!("ordering the updates of table {}", self.target.name),
            sql,
        )
    }
}
