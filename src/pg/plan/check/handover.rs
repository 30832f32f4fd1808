//! Updates that take a unique value which another update gives up: which of them can be written after
//! it, as `pg::apply` does.

use super::order::phase_of;
use super::{After, CHANGED, COUNTS, N, NEW, ROW, TABLE};
use crate::error::Result;
use crate::pg::Session;
use crate::pg::apply::write::handover::{find_steps, next_step};
use crate::sql::Statement;
use crate::table::schema::UniqueIndex;

/// Who takes what from whom, and in which step where there is one; in a circle there is none.
pub(super) const CREATE: &str =
    "CREATE TEMPORARY TABLE loader_handovers (_t int, taker bigint, freer bigint, step int)";

impl After<'_> {
    /// Finds what updates of the table hand over, and in which step.
    pub(super) async fn hand_over(&self, session: &Session) -> Result<()> {
        let mut found = 0;
        let indexes = self.unique.iter().copied().filter(|i| i.immediate);
        let indexes: Vec<&UniqueIndex> = indexes.collect();
        if !indexes.is_empty() {
            session.run(&self.analyze()).await?;
        }
        for index in indexes {
            found += session.execute(&self.handed_over(index)).await?;
        }
        let analyze = self.checking("ANALYZE pg_temp.loader_handovers".to_owned());
        let steps = find_steps(session, found, &analyze, |step| self.next_step(step));
        steps.await.map(drop)
    }

    /// Without statistics the planner takes the rows for few, and looks at all of them for each.
    fn analyze(&self) -> Statement {
        self.checking(format!("ANALYZE {}", self.temporary()))
    }

    /// Notes which update takes what of an index another gives up.
    pub(in crate::pg) fn handed_over(&self, index: &UniqueIndex) -> Statement {
        // All rows of a phase would be joined with all, were the values that they give up not there yet.
        self.checking(format!(
            "INSERT INTO pg_temp.loader_handovers (_t, taker, freer) SELECT {place}, a.n, f.n FROM ({after}) a JOIN (\
               SELECT b.n, b.phase, t.* FROM (SELECT x.{N} AS n, {phase} AS phase, x.{TABLE} AS of, x.{ROW} AS row FROM {rows} x \
                 WHERE NOT x.{NEW} AND x.{CHANGED} AND x.{COUNTS}) b JOIN {now} t ON t.tid = b.row AND t.tbl = b.of OFFSET 0) f \
               ON {equal} AND a.phase = f.phase \
             WHERE a.n <> f.n AND a.tid IS NOT NULL AND a.counts",
            place = self.target.place,
            after = self.values_after(index),
            phase = phase_of("x"),
            rows = self.temporary(),
            now = self.values_now(index),
            equal = index.equal("a", "f"),
        ))
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
