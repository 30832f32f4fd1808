//! When each row would be written, as `pg::apply` does: see [`order`].

use super::{After, CHANGED, COUNTS, GOES, N, ROW, TABLE, TURN, VALID, WRITE};
use crate::error::Result;
use crate::pg::Session;
use crate::pg::order::{self, MOST_TURNS, Wait, Write, Written};
use crate::sql::{Ident, Statement, list};
use crate::table::schema::{Column, UniqueIndex};
use crate::table::target::Target;

/// Later than all that is written.
pub(super) const NEVER: i64 = i64::MAX;
/// More than there are tables, of which each has its moments in a turn.
const MOMENTS: i64 = 1 << 24;

/// Finds out when each row would be written.
pub(super) async fn find(session: &Session, all: &[After<'_>]) -> Result<()> {
    let waits = Wait::all(all);
    for after in all {
        let mut strict = waits.iter().filter(|wait| wait.is_strict());
        let is_asked = strict.any(|wait| wait.concerns(after.target.place));
        if after.unique.is_empty() && !is_asked {
            continue;
        }
        for excludes in after.exclusions() {
            session.run(&after.fill_excluded(excludes)).await?;
            session.run(&after.analyze_excluded(excludes)).await?;
        }
        session.run(&after.analyze()).await?;
    }
    if order::find(session, waits, false).await?.is_empty() {
        return Ok(());
    }
    for after in all {
        session.run(&after.set_turns()).await?;
    }
    Ok(())
}

impl Written for After<'_> {
    fn target(&self) -> &Target {
        self.target
    }

    fn writes(&self, write: Write) -> bool {
        match write {
            Write::Update | Write::Insert => self.stage.brings,
            Write::Delete => self.stage.deletes && self.target.mark().is_none(),
            Write::Mark => self.stage.deletes && self.target.mark().is_some(),
        }
    }

    fn may_change(&self, column: &Column) -> bool {
        self.moves(&column.name)
    }

    fn unique(&self) -> Vec<&UniqueIndex> {
        self.unique.clone()
    }

    fn places(&self, write: Write) -> String {
        format!(
            "SELECT a.{N} AS n, a.{TABLE} AS tbl, a.{ROW} AS tid FROM {}",
            self.of(write)
        )
    }

    fn after(&self, write: Write, columns: &[&Column]) -> Option<String> {
        let columns = columns.iter().map(|c| format!("a.{}", Ident(&c.name)));
        Some(format!(
            "SELECT a.{N}, {} FROM {}",
            list(columns),
            self.of(write)
        ))
    }

    fn held_after(&self, write: Write, index: &UniqueIndex) -> Option<String> {
        Some(format!(
            "SELECT a.* FROM ({}) a WHERE a.write = {write} AND a.counts",
            self.values_after(index)
        ))
    }
}

impl After<'_> {
    /// For `FROM`, with its condition: rows `a` that are written so.
    fn of(&self, write: Write) -> String {
        let is_written = match write {
            Write::Delete => format!("a.{GOES} AND a.{VALID}"),
            _ => format!("a.{CHANGED} AND a.{COUNTS}"),
        };
        format!(
            "{} a WHERE a.{WRITE} = {write} AND {is_written}",
            self.temporary()
        )
    }

    /// Without statistics the planner takes the rows for few, and looks at all of them for each.
    fn analyze(&self) -> Statement {
        self.checking(format!("ANALYZE {}", self.temporary()))
    }

    pub(in crate::pg) fn set_turns(&self) -> Statement {
        self.checking(format!(
            "UPDATE {} a SET {TURN} = m.turn FROM pg_temp.loader_moved m WHERE m.t = {} AND m.n = a.{N}",
            self.temporary(),
            self.target.place
        ))
    }

    /// A number that is greater the later row `alias` of this table is written; [`NEVER`] where it cannot be put in order.
    pub(super) fn moment(&self, alias: &str) -> String {
        let moments = Write::ALL.map(|write| {
            let moment = write.moment(self.target.place);
            format!("WHEN {write} THEN {moment}")
        });
        format!(
            "CASE {alias}.{TURN} WHEN 0 THEN {NEVER} \
             ELSE coalesce({alias}.{TURN}, {last}) * {MOMENTS}::bigint + CASE {alias}.{WRITE} {moments} END END",
            last = MOST_TURNS + 1,
            moments = moments.join(" "),
        )
    }
}
