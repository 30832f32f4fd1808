//! Updates that cannot be written with the others, for the sake of their references.

use super::{Context, THIS_VERSION, writes};
use crate::error::Result;
use crate::pg::apply::staged::Staged;
use crate::pg::apply::staged::fate::Fate;
use crate::sql::{Ident, Statement, all};
use crate::table::schema::ForeignKey;

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
        for statement in child.mark_updates(parent, which)? {
            marked += self.session.execute(&statement).await?;
        }
        Ok(marked)
    }
}

impl Staged {
    /// Marks the updates that have to come before deletes of `parent`, or after inserts into it.
    pub(in crate::pg) fn mark_updates(
        &self,
        parent: &Staged,
        which: Updates,
    ) -> Result<Vec<Statement>> {
        let keys = self.target.table.foreign_keys.iter();
        let mut statements = Vec::new();
        for key in keys.filter(|k| k.parent == parent.target.table.name) {
            if let Some(refers) = self.refers_to_written(parent, key, which)? {
                statements.push(self.mark_those(parent, &refers, which));
            }
        }
        Ok(statements)
    }

    /// The condition that staged row `s` of row `t` refers, by `key`, to what is deleted (row `p`)
    /// or inserted (staged row `ps`); `None` where no update can.
    fn refers_to_written(
        &self,
        parent: &Staged,
        key: &ForeignKey,
        which: Updates,
    ) -> Result<Option<String>> {
        let written = self.written()?;
        let sets = |c: &str| written.iter().position(|w| w.name == c);
        if !key.columns.iter().any(|c| sets(c).is_some()) {
            return Ok(None);
        }
        let mut equal = Vec::new();
        for (name, parent_name, equality) in key.pairs() {
            let now = format!("t.{}", Ident(name));
            let (left, right) = match which {
                Updates::Last => {
                    // What the database numbers by itself, nothing of this plan refers to.
                    let Some(staged) = parent.staged_column(parent_name) else {
                        return Ok(None);
                    };
                    let new = match sets(name) {
                        Some(i) => format!(
                            "CASE WHEN {} THEN s.{} ELSE {now} END",
                            writes("s", i),
                            written[i].staged()
                        ),
                        None => now,
                    };
                    (format!("ps.{staged}"), new)
                }
                _ => (format!("p.{}", Ident(parent_name)), now),
            };
            equal.push(equality.equal(left, right));
        }
        Ok(Some(all(equal)))
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
