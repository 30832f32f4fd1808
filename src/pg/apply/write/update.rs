//! Updates, each against the row version that was compared.

use super::rows::Write;
use super::{Context, Work, bits, writes};
use crate::error::Result;
use crate::pg::apply::staged::Staged;
use crate::pg::apply::staged::fate::Fate;
use crate::pg::phase::Phase;
use crate::sql::{Ident, Literal, Statement, list};

impl Context<'_> {
    /// Writes the updates of `phase`, or all of them, in steps. `wrote` takes how many.
    pub(super) async fn update(
        &self,
        work: &mut Work<'_>,
        phase: Option<Phase>,
        wrote: &mut impl FnMut(u64),
    ) -> Result<()> {
        let (staged, last) = (work.staged, work.steps);
        if staged.rows.update == 0 {
            return Ok(());
        }
        self.begins("update", staged);
        let sets = match phase {
            None => staged.column_sets(Fate::Update).cloned().collect(),
            Some(phase) => self.session.column(&staged.sets_of_updates(phase)).await?,
        };
        let mut touched = 0;
        let stamps = staged.stamped(self.origin.actor, self.origin.batch_id, false)?;
        for step in 0..=last {
            let step = (last > 0).then_some(step);
            for update in staged.updates(&sets, phase, step, &stamps)? {
                touched += self.write_rows(&update).await?;
            }
        }
        work.updated += touched;
        wrote(touched);
        Ok(())
    }
}

impl Staged {
    /// The condition that version `b` is of the updates of `phase`.
    fn only(phase: Option<Phase>) -> String {
        phase.map_or_else(String::new, |phase| {
            format!(" AND coalesce(b._when, {}) = {phase}", Phase::Update)
        })
    }

    /// The different sets of columns that some updates write.
    pub(in crate::pg) fn sets_of_updates(&self, phase: Phase) -> Statement {
        let sql = format!(
            "SELECT DISTINCT s._columns FROM {} s JOIN {} b ON b._n = s._n WHERE s._a = {update}{} ORDER BY 1",
            self.temporary(),
            self.versions(),
            Staged::only(Some(phase)),
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
        phase: Option<Phase>,
        step: Option<u32>,
        stamps: &[(String, String)],
    ) -> Result<Vec<Write>> {
        let step = step.map_or_else(String::new, |step| format!(" AND b._step = {step}"));
        let only = Staged::only(phase) + &step;
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

    fn update(&self, sets: &[String], only: &str, stamps: &[(String, String)]) -> Result<Write> {
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
