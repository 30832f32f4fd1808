//! Rows that would refer to rows which are marked as deleted: nothing forbids that, and a reviewer
//! should know.

use super::{After, CHANGED, COUNTS, NEW, REFERS, parents_by};
use crate::error::Result;
use crate::pg::Session;
use crate::sql::{Ident, Qualified, Statement};
use crate::table::mark::Mark;
use crate::table::schema::ForeignKey;

/// Of each of these tables by number, how many of its rows would refer to marked rows of which table.
/// `marks` are the tables that mark deleted rows, each with its column and how that marks them.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database).
pub async fn to_marked_rows(
    session: &Session,
    all: &[After<'_>],
    marks: &[(Qualified, String, Mark)],
) -> Result<Vec<(usize, String)>> {
    let mut notes = Vec::new();
    for after in all {
        for key in after.target.foreign_keys() {
            let Some((parent, column, mark)) =
                marks.iter().find(|(table, ..)| *table == key.parent)
            else {
                continue;
            };
            let parent = after.target.other(parent);
            let note = match session
                .count(&after.to_marked(key, all, (column, *mark)))
                .await?
            {
                0 => continue,
                1 => format!("1 record refers to a row of {parent} that is marked as deleted"),
                n => format!("{n} records refer to rows of {parent} that are marked as deleted"),
            };
            notes.push((after.target.place, note));
        }
    }
    Ok(notes)
}

impl After<'_> {
    /// How many rows would begin to refer to a row that is marked when this plan is applied: one that is and that it does
    /// not bring back, or one that it marks itself.
    fn to_marked(
        &self,
        key: &ForeignKey,
        others: &[After<'_>],
        (column, mark): (&str, Mark),
    ) -> Statement {
        let refers = key.refers("p", "a");
        let marked = mark.deleted(&format!("p.{}", Ident(column)));
        let there = format!(
            "EXISTS (SELECT FROM {} p WHERE {refers} AND {marked})",
            key.parent_rows
        );
        let becomes = parents_by(key, others).fold(there, |marked_now, p| {
            let of_plan = format!("{} p WHERE {refers} AND p.{CHANGED} AND p.{COUNTS}", p.temporary());
            format!(
                "({marked_now} AND NOT EXISTS (SELECT FROM {of_plan}) OR EXISTS (SELECT FROM {of_plan} AND {marked}))"
            )
        });
        self.checking(format!(
            "SELECT pg_catalog.count(*) FROM {after} a WHERE a.{CHANGED} AND a.{COUNTS} AND (a.{NEW} OR a.{REFERS}) \
             AND {becomes}",
            after = self.temporary(),
        ))
    }
}
