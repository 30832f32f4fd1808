//! Updates, each against the row version that was compared.

use super::order::Updates;
use super::{Context, THIS_VERSION, bits, writes};
use crate::error::Result;
use crate::pg::apply::staged::Staged;
use crate::pg::apply::staged::fate::Fate;
use crate::sql::{Ident, Literal, Statement, list};

impl Context<'_> {
    /// Writes the updates, in steps from 0 to `last`. Returns how many.
    pub(super) async fn update(&self, staged: &Staged, which: Updates, last: u32) -> Result<u64> {
        if staged.rows.update == 0 {
            return Ok(0);
        }
        self.begins("update", staged);
        let sets = match which {
            Updates::All => staged.column_sets(Fate::Update).cloned().collect(),
            _ => self.session.column(&staged.sets_of_updates(which)).await?,
        };
        let mut touched = 0;
        let stamps = staged.stamped(self.origin.actor, self.origin.batch_id)?;
        for step in 0..=last {
            let step = (last > 0).then_some(step);
            for update in staged.updates(&sets, which, step, &stamps)? {
                touched += self.session.execute(&update).await?;
            }
        }
        Ok(touched)
    }
}

impl Staged {
    /// The condition that version `b` is of these updates.
    fn only(which: Updates) -> String {
        match which {
            Updates::All => String::new(),
            _ => format!(" AND b._when IS NOT DISTINCT FROM {}", which.mark()),
        }
    }

    /// The different sets of columns that some updates write.
    pub(in crate::pg) fn sets_of_updates(&self, which: Updates) -> Statement {
        let sql = format!(
            "SELECT DISTINCT s._columns FROM {} s JOIN {} b ON b._n = s._n WHERE s._a = {update}{} ORDER BY 1",
            self.temporary(),
            self.versions(),
            Staged::only(which),
            update = Fate::Update,
        );
        Statement::new(
            format!("reading the plan for table {}", self.target.name),
            sql,
        )
    }

    /// The updates that write these sets of columns, of one step where there are several.
    pub(in crate::pg) fn updates(
        &self,
        sets: &[String],
        which: Updates,
        step: Option<u32>,
        stamps: &[(String, String)],
    ) -> Result<Vec<Statement>> {
        let step = step.map_or_else(String::new, |step| format!(" AND b._step = {step}"));
        let only = Staged::only(which) + &step;
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

    fn update(
        &self,
        sets: &[String],
        only: &str,
        stamps: &[(String, String)],
    ) -> Result<Statement> {
        let sets: Vec<Vec<bool>> = sets.iter().map(|set| bits(set)).collect();
        let mut assignments = Vec::new();
        for (i, column) in self.written()?.into_iter().enumerate() {
            let (name, cell) = (Ident(&column.name), column.staged());
            if sets.iter().all(|set| set[i]) {
                assignments.push(format!("{name} = s.{cell}"));
            } else if sets.iter().any(|set| set[i]) {
                let writes = writes("s", i);
                assignments.push(format!(
                    "{name} = CASE WHEN {writes} THEN s.{cell} ELSE t.{name} END"
                ));
            }
        }
        assignments.extend(
            stamps
                .iter()
                .map(|(name, value)| format!("{name} = {value}")),
        );
        let sql = format!(
            "UPDATE {} t SET {} FROM {} b JOIN {} s ON s._n = b._n AND s._a = {update}{only} WHERE {THIS_VERSION}",
            self.target.table.name,
            list(assignments),
            self.versions(),
            self.temporary(),
            update = Fate::Update,
        );
        Ok(Statement::new(
            format!("updating table {}", self.target.name),
            sql,
        ))
    }
}
