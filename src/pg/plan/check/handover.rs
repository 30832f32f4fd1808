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
        let mut indexes = self.unique.clone();
        for excludes in self.exclusions() {
            session.run(&self.fill_excluded(excludes)).await?;
            session.run(&self.analyze_excluded(excludes)).await?;
        }
        if !indexes.is_empty() {
            session.run(&self.analyze()).await?;
        }
        indexes.retain(|i| i.immediate);
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
        if self.excludes(index) {
            return self.handed_over_by(index);
        }
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

    /// As [`After::handed_over`], of an exclusion constraint: the table's own index finds what an update excludes.
    fn handed_over_by(&self, index: &UniqueIndex) -> Statement {
        self.checking(format!(
            "INSERT INTO pg_temp.loader_handovers (_t, taker, freer) SELECT {place}, a.n, x.{N} FROM (\
               SELECT a.n, a.phase, t.tid, t.tbl FROM ({after}) a JOIN {now} t ON {excluded} \
               WHERE a.tid IS NOT NULL AND a.counts OFFSET 0) a \
             JOIN {rows} x ON x.{ROW} = a.tid AND x.{TABLE} = a.tbl \
             WHERE NOT x.{NEW} AND x.{CHANGED} AND x.{COUNTS} AND {phase} = a.phase AND x.{N} <> a.n",
            place = self.target.place,
            after = self.values_after(index),
            now = self.values_now(index),
            excluded = index.equal("a", "t"),
            rows = self.temporary(),
            phase = phase_of("x"),
        ))
    }

    /// Whether it is an exclusion constraint.
    pub(super) fn excludes(&self, index: &UniqueIndex) -> bool {
        self.target.table.exclusions.contains(index)
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
