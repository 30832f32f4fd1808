//! Inserts.

use super::{Context, TableWork, bits, writes};
use crate::error::Result;
use crate::pg::apply::staged::Staged;
use crate::pg::apply::staged::fate::Fate;
use crate::pg::order::{Which, Write};
use crate::sql::{Ident, Literal, Statement, list};
use crate::table::schema::{Column, Identity};

/// An insert of new rows.
pub(in crate::pg) enum Insert {
    /// Of those that give one set of columns.
    One(Statement),
    /// Of those that give several; it returns how many.
    Several(Statement),
}

impl Context<'_> {
    /// Inserts new rows in one statement, so that references among them hold. `wrote` takes how many.
    pub(super) async fn insert(
        &self,
        work: &mut TableWork<'_>,
        which: Which,
        wrote: &mut impl FnMut(u64),
    ) -> Result<()> {
        let staged = work.staged;
        if staged.rows.insert == 0 {
            return Ok(());
        }
        self.begins("insert", staged);
        let stamps = staged.stamped(self.origin.actor, self.origin.batch_id, true)?;
        let touched = match staged.insert(which, work.in_order, &stamps)? {
            Insert::One(insert) => self.session.execute(&insert).await?,
            Insert::Several(insert) => self.session.count(&insert).await?,
        };
        work.wrote(Write::Insert, touched);
        wrote(touched);
        Ok(())
    }
}

impl Staged {
    /// The insert of new rows; `in_order` is whether it has to be one for all sets of columns.
    pub(in crate::pg) fn insert(
        &self,
        which: Which,
        in_order: bool,
        stamps: &[(String, String)],
    ) -> Result<Insert> {
        let only = self.only(which);
        let sets: Vec<&String> = self.column_sets(Fate::Insert).collect();
        let written = self.written()?;
        let doing = format!("inserting into table {}", self.target.name);
        if let [set] = sets.as_slice() {
            let sql = self.insert_set(&written, set, &only, stamps);
            return Ok(Insert::One(Statement::new(doing, sql)));
        }
        if in_order || self.target.table.kind.is_far() {
            let sql = self.insert_filled(&written, &sets, &only, stamps);
            return Ok(Insert::One(Statement::new(doing, sql)));
        }
        let of_set = |set: &&String| {
            let only = format!("{only} AND s._columns = {}", Literal(set));
            self.insert_set(&written, set, &only, stamps)
        };
        let parts = sets.iter().enumerate();
        let parts = parts.map(|(i, set)| format!("i{i} AS ({} RETURNING 1)", of_set(set)));
        let counts = (0..sets.len()).map(|i| format!("(SELECT pg_catalog.count(*) FROM i{i})"));
        let counts: Vec<String> = counts.collect();
        let sql = format!("WITH {} SELECT {}", list(parts), counts.join(" + "));
        Ok(Insert::Several(Statement::new(doing, sql)))
    }

    /// The insert of the rows that give one set of columns.
    fn insert_set(
        &self,
        written: &[&Column],
        set: &str,
        only: &str,
        stamps: &[(String, String)],
    ) -> String {
        let given = bits(set);
        let given = written.iter().zip(given).filter(|(_, given)| *given);
        let mut columns = self.target.key_columns();
        columns.extend(given.map(|(c, _)| *c).filter(|c| !c.generated));
        let cells = columns
            .into_iter()
            .map(|c| (c, format!("s.{}", c.staged())));
        self.insert_of(cells.collect(), only, stamps)
    }

    /// The insert of rows that give several sets of columns by one statement for all: in the order of their numbers,
    /// or into a table in shards, where they could not refer to each other else. What the database gives by itself is
    /// filled in.
    fn insert_filled(
        &self,
        written: &[&Column],
        sets: &[&String],
        only: &str,
        stamps: &[(String, String)],
    ) -> String {
        let sets: Vec<Vec<bool>> = sets.iter().map(|set| bits(set)).collect();
        let key = self.target.key_columns().into_iter();
        let mut cells: Vec<(&Column, String)> =
            key.map(|c| (c, format!("s.{}", c.staged()))).collect();
        for (i, column) in written.iter().enumerate() {
            if column.generated || !sets.iter().any(|set| set[i]) {
                continue;
            }
            let given = format!("s.{}", column.staged());
            let cell = if sets.iter().all(|set| set[i]) {
                given
            } else {
                let own = column.by_database().unwrap_or_else(|| "NULL".into());
                format!("CASE WHEN {} THEN {given} ELSE {own} END", writes("s", i))
            };
            cells.push((column, cell));
        }
        self.insert_of(cells, only, stamps)
    }

    /// The insert of these values, by column.
    fn insert_of(
        &self,
        cells: Vec<(&Column, String)>,
        only: &str,
        stamps: &[(String, String)],
    ) -> String {
        // A plan that names such a column restores a row.
        let restores = cells.iter().any(|(c, _)| c.identity == Identity::Always);
        let overriding = if restores {
            "OVERRIDING SYSTEM VALUE "
        } else {
            ""
        };
        let (columns, values): (Vec<&Column>, Vec<String>) = cells.into_iter().unzip();
        let names = columns.iter().map(|c| Ident(&c.name).to_string());
        format!(
            "INSERT INTO {} ({}) {overriding}SELECT {} FROM {} s WHERE s._a = {insert}{only} ORDER BY s._n",
            self.target.table.name,
            list(names.chain(stamps.iter().map(|(name, _)| name.clone()))),
            list(
                values
                    .into_iter()
                    .chain(stamps.iter().map(|(_, value)| value.clone()))
            ),
            self.temporary(),
            insert = Fate::Insert,
        )
    }
}
