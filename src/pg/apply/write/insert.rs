//! Inserts.

use super::{Context, Work, bits};
use crate::error::Result;
use crate::pg::apply::staged::Staged;
use crate::pg::apply::staged::fate::Fate;
use crate::pg::phase::Phase;
use crate::sql::{Ident, Literal, Statement, list};
use crate::table::schema::{Column, Identity};

impl Context<'_> {
    /// Inserts the new rows of `phase`, or all of them, in one statement, so that references among them
    /// hold. `wrote` takes how many.
    pub(super) async fn insert(
        &self,
        work: &mut Work<'_>,
        phase: Option<Phase>,
        wrote: &mut impl FnMut(u64),
    ) -> Result<()> {
        let staged = work.staged;
        if staged.rows.insert == 0 {
            return Ok(());
        }
        self.begins("insert", staged);
        let stamps = staged.stamped(self.origin.actor, self.origin.batch_id)?;
        let insert = staged.insert(phase, &stamps)?;
        let touched = match staged.column_sets(Fate::Insert).count() {
            1 => self.session.execute(&insert).await?,
            _ => self.session.count(&insert).await?,
        };
        work.inserted += touched;
        wrote(touched);
        Ok(())
    }
}

impl Staged {
    /// Inserts the new rows of `phase`, or all; where they give several sets of columns, it counts them too.
    pub(in crate::pg) fn insert(
        &self,
        phase: Option<Phase>,
        stamps: &[(String, String)],
    ) -> Result<Statement> {
        let of_phase = phase.map_or_else(String::new, |phase| self.inserted_in(phase));
        let sets: Vec<&String> = self.column_sets(Fate::Insert).collect();
        let written = self.written()?;
        let sql = if let [set] = sets.as_slice() {
            self.insert_set(&written, set, &of_phase, stamps)
        } else {
            let parts = sets.iter().enumerate().map(|(i, set)| {
                let only = format!("{of_phase} AND s._columns = {}", Literal(set));
                let insert = self.insert_set(&written, set, &only, stamps);
                format!("i{i} AS ({insert} RETURNING 1)")
            });
            let counts = (0..sets.len()).map(|i| format!("(SELECT pg_catalog.count(*) FROM i{i})"));
            let counts: Vec<String> = counts.collect();
            format!("WITH {} SELECT {}", list(parts), counts.join(" + "))
        };
        let doing = format!("inserting into table {}", self.target.name);
        Ok(Statement::new(doing, sql))
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
        // A plan that names such a column restores a row.
        let restores = columns.iter().any(|c| c.identity == Identity::Always);
        let overriding = if restores {
            "OVERRIDING SYSTEM VALUE "
        } else {
            ""
        };
        let names = columns.iter().map(|c| Ident(&c.name).to_string());
        let values = columns.iter().map(|c| format!("s.{}", c.staged()));
        format!(
            "INSERT INTO {} ({}) {overriding}SELECT {} FROM {} s WHERE s._a = {insert}{only} ORDER BY s._n",
            self.target.table.name,
            list(names.chain(stamps.iter().map(|(name, _)| name.clone()))),
            list(values.chain(stamps.iter().map(|(_, value)| value.clone()))),
            self.temporary(),
            insert = Fate::Insert,
        )
    }
}
