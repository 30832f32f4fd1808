//! Updates, each against the row version that was compared.

use super::rows::RowWrite;
use super::{Context, TableWork, bits, writes};
use crate::error::Result;
use crate::pg::apply::staged::Staged;
use crate::pg::apply::staged::fate::Fate;
use crate::pg::order::{Which, Write};
use crate::sql::{Ident, Literal, Statement, list};

impl Context<'_> {
    /// Writes updates. `wrote` takes how many.
    pub(super) async fn update(
        &self,
        work: &mut TableWork<'_>,
        which: Which,
        wrote: &mut impl FnMut(u64),
    ) -> Result<()> {
        let staged = work.staged;
        if staged.rows.update == 0 {
            return Ok(());
        }
        self.begins("update", staged);
        let sets = match which {
            Which::All => staged.column_sets(Fate::Update).cloned().collect(),
            _ => self.session.column(&staged.sets_of_updates(which)).await?,
        };
        let mut touched = 0;
        let stamps = staged.stamped(self.origin.actor, self.origin.batch_id, false)?;
        for update in staged.updates(&sets, which, &stamps)? {
            touched += self.write_rows(&update).await?;
        }
        work.wrote(Write::Update, touched);
        wrote(touched);
        Ok(())
    }
}

impl Staged {
    /// The different sets of columns that updates write.
    pub(in crate::pg) fn sets_of_updates(&self, which: Which) -> Statement {
        let sql = format!(
            "SELECT DISTINCT s._columns FROM {} s WHERE s._a = {update}{} ORDER BY 1",
            self.temporary(),
            self.only(which),
            update = Fate::Update,
        );
        Statement::new(
            format!("reading the plan for table {}", self.target.name),
            sql,
        )
    }

    /// The updates that write these sets of columns.
    pub(in crate::pg) fn updates(
        &self,
        sets: &[String],
        which: Which,
        stamps: &[(String, String)],
    ) -> Result<Vec<RowWrite>> {
        let only = self.only(which);
        // A trigger on `UPDATE OF column` must fire for the rows that change that column, and for
        // no others: then each set of columns is a statement of its own.
        if self.target.table.column_triggers {
            return sets
                .iter()
                .map(|set| {
                    let only = format!("{only} AND s._columns = {}", Literal(set));
                    self.update(std::slice::from_ref(set), &only, stamps)
                })
                .collect();
        }
        match sets {
            [] => Ok(Vec::new()),
            sets => Ok(vec![self.update(sets, &only, stamps)?]),
        }
    }

    fn update(&self, sets: &[String], only: &str, stamps: &[(String, String)]) -> Result<RowWrite> {
        let sets: Vec<Vec<bool>> = sets.iter().map(|set| bits(set)).collect();
        let (mut assignments, mut cells) = (Vec::new(), Vec::new());
        for (i, column) in self.written()?.into_iter().enumerate() {
            let (name, cell) = (Ident(&column.name), column.staged());
            if sets.iter().all(|set| set[i]) {
                assignments.push(format!("{name} = s.{cell}"));
            } else if sets.iter().any(|set| set[i]) {
                let writes = writes("s", i);
                assignments.push(format!(
                    "{name} = CASE WHEN {writes} THEN s.{cell} ELSE t.{name} END"
                ));
            } else {
                continue;
            }
            cells.push((cell, column.base_type_sql.as_str()));
        }
        if sets.len() > 1 {
            cells.push(("_columns".to_owned(), "text"));
        }
        assignments.extend(
            stamps
                .iter()
                .map(|(name, value)| format!("{name} = {value}")),
        );
        let head = format!(
            "UPDATE {} t SET {} FROM",
            self.target.table.name,
            list(assignments)
        );
        let versions = format!(
            "{} b JOIN {} s ON s._n = b._n AND s._a = {update}{only}",
            self.versions(),
            self.temporary(),
            update = Fate::Update,
        );
        let doing = format!("updating table {}", self.target.name);
        Ok(self.write_rows(doing, head, (&versions, ""), cells))
    }
}
