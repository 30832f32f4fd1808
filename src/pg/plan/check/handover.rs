//! Updates that take a unique value which another update gives up: which of them can be written after
//! it, as `pg::apply` does.

use super::order::phase_of;
use super::{After, CHANGED, COUNTS, N, NEW, ROW, TABLE, WHEN};
use crate::error::Result;
use crate::pg::Session;
use crate::pg::apply::write::handover::{find_steps, next_step};
use crate::sql::{Ident, Statement, all};
use crate::table::schema::UniqueIndex;

/// Who takes what from whom, and in which step where there is one; in a circle there is none.
pub(super) const CREATE: &str =
    "CREATE TEMPORARY TABLE loader_handovers (_t int, taker bigint, freer bigint, step int)";

impl After<'_> {
    /// Finds what updates of the table hand over, and in which step.
    pub(super) async fn hand_over(&self, session: &Session) -> Result<()> {
        let mut found = 0;
        let indexes = self.unique.iter().copied().filter(|i| i.is_handed_over());
        let indexes: Vec<&UniqueIndex> = indexes.collect();
        if !indexes.is_empty() {
            session.run(&self.analyze()).await?;
        }
        for index in indexes {
            if let Some(statement) = self.handed_over(index) {
                found += session.execute(&statement).await?;
            }
        }
        let analyze = self.checking("ANALYZE pg_temp.loader_handovers".to_owned());
        let steps = find_steps(session, found, &analyze, |step| self.next_step(step));
        steps.await.map(drop)
    }

    /// Without statistics the planner takes the rows for few, and looks at all of them for each.
    fn analyze(&self) -> Statement {
        self.checking(format!("ANALYZE {}", self.temporary()))
    }

    pub(in crate::pg) fn handed_over(&self, index: &UniqueIndex) -> Option<Statement> {
        let table = &self.target.table;
        let mut equal = Vec::new();
        for (number, equality) in index.columns.iter().zip(&index.equality) {
            let name = Ident(&table.column_by_number(*number)?.name);
            equal.push(equality.equal(format_args!("t.{name}"), format_args!("a.{name}")));
        }
        // All rows of a phase would be joined with all, were the values that they give up not there yet.
        Some(self.checking(format!(
            "INSERT INTO pg_temp.loader_handovers (_t, taker, freer) SELECT {place}, a.{N}, t.{N} FROM {rows} a JOIN (\
               SELECT b.{N}, b.{WHEN}, t.* FROM {rows} b JOIN {table} t ON t.ctid = b.{ROW} AND t.tableoid = b.{TABLE} \
               WHERE NOT b.{NEW} AND b.{CHANGED} AND b.{COUNTS} AND {gives} OFFSET 0) t ON {equal} AND {same_phase} \
             WHERE a.{N} <> t.{N} AND NOT a.{NEW} AND a.{CHANGED} AND a.{COUNTS}",
            place = self.target.place,
            rows = self.temporary(),
            table = table.rows,
            same_phase = format_args!("{} = {}", phase_of("a"), phase_of("t")),
            equal = all(equal),
            gives = index.contains(&table.rows, "t"),
        )))
    }

    pub(in crate::pg) fn next_step(&self, step: u32) -> Statement {
        let of = format!("(h._t = {})", self.target.place);
        self.checking(next_step(
            "pg_temp.loader_handovers",
            &format!(" AND {of}"),
            step,
        ))
    }

    /// The condition that `b` gives up what `a` takes before that is written.
    pub(super) fn is_handed_over(&self) -> String {
        format!(
            "EXISTS (SELECT FROM pg_temp.loader_handovers h WHERE h._t = {} AND h.taker = a.n AND h.freer = b.n \
             AND h.step IS NOT NULL)",
            self.target.place
        )
    }
}
