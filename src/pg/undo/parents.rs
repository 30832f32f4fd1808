//! Rows that would refer to nothing when they are as they were before.

use super::Undo;
use crate::error::{Error, Remedy, Result};
use crate::pg::Session;
use crate::pg::privileges::may_read;
use crate::sql::{Ident, Literal, Statement, all as every, any, list};
use crate::table::schema::{Column, ForeignKey};

const DOING: &str = "looking for the rows to which rows would refer of";

/// At most so many rows are named.
const NAMED: usize = 5;

impl Undo<'_> {
    /// That the rows to which rows would refer again are there, or come back with them: `all` are the tables that are
    /// taken back. Of tables that may not be read, the foreign key itself has to speak.
    ///
    /// # Errors
    /// [`Blocked`](crate::ErrorKind::Blocked) naming rows, [`Database`](crate::ErrorKind::Database).
    pub async fn parents(&self, session: &Session, all: &[Undo<'_>]) -> Result<()> {
        let counts = &self.written.counts;
        if counts.update + counts.delete == 0 {
            return Ok(()); // nothing is put back
        }
        for key in self.target.foreign_keys() {
            let Some(again) = self.refer_again(key) else {
                continue;
            };
            if !session
                .holds(&may_read(self.doing(DOING), [&key.parent]))
                .await?
            {
                continue;
            }
            key.near_parents(&again).bring(session).await?;
            let lost = session.column(&self.orphans(key, &again, all)).await?;
            if !lost.is_empty() {
                let name = &self.target.name;
                let named = lost.iter().map(|id| session.name_row(name, id));
                let named: Vec<String> = named.collect();
                let why = format!(
                    "refer to rows of {} that are gone since ({})",
                    self.target.other(&key.parent),
                    key.name
                );
                let then = "take back with them, or before, what removed those";
                return Err(self.cannot_come_back(&why, &named, then));
            }
        }
        Ok(())
    }

    /// The error for rows that would be as they were before, where something does not let them; `then` is what to do.
    pub(super) fn cannot_come_back(&self, why: &str, named: &[String], then: &str) -> Error {
        let name = &self.target.name;
        let said = format!("{name}: as these rows were before, they {why}: ");
        Error::blocked(format!(
            "{}{}; {then}",
            crate::text::escape(&said),
            named.join(", ")
        ))
        .with_remedy(Remedy::History)
    }

    /// Whether a column may stay as others, or triggers, set it since.
    pub(super) fn may_stay(&self, column: &Column) -> bool {
        let config = &self.target.config;
        config.is_stamp(&column.name)
            || config.ignore_drift.contains(&column.name)
            || self.written.by_trigger.contains(&column.name)
    }

    /// For `FROM`: the rows `a` that get other values in the columns of a foreign key, with these; `None` where that
    /// cannot be said, because what is put back is not all that decides.
    pub(in crate::pg) fn refer_again(&self, key: &ForeignKey) -> Option<String> {
        let columns: Option<Vec<&Column>> = (key.columns.iter())
            .map(|c| {
                let column = self.target.table.column(c)?;
                (!column.generated && !self.may_stay(column)).then_some(column)
            })
            .collect();
        let columns = columns.filter(|_| key.only.is_none())?;
        let before = |c: &Column| format!("s.before ->> {}", Literal(&c.name));
        let typed = columns.iter().map(|c| {
            let value = c.of_image("s.before");
            format!("{value} AS {}", Ident(&c.name))
        });
        let given = columns
            .iter()
            .map(|c| format!("({}) IS NOT NULL", before(c)));
        let other = columns.iter().map(|c| {
            let after = format!("s.after ->> {}", Literal(&c.name));
            format!("({}) IS DISTINCT FROM ({after})", before(c))
        });
        Some(format!(
            "(SELECT s.record_id, {} FROM {} s WHERE {} AND {}) a",
            list(typed),
            self.temporary(),
            every(given),
            any(other),
        ))
    }

    /// Some of the rows `a` of `again` whose parents are neither there nor come back.
    pub(in crate::pg) fn orphans(
        &self,
        key: &ForeignKey,
        again: &str,
        all: &[Undo<'_>],
    ) -> Statement {
        let come_back = (all.iter())
            .filter(|parent| parent.target.table.shares_rows(key.parent_oid))
            .filter_map(|parent| parent.come_back(key))
            .map(|back| format!(" AND NOT EXISTS (SELECT FROM {back})"));
        let sql = format!(
            "SELECT a.record_id FROM {again} WHERE NOT EXISTS (SELECT FROM {parents} p WHERE {refers}){come_back} \
             ORDER BY a.record_id COLLATE \"C\" LIMIT {NAMED}",
            parents = key.parent_rows,
            refers = key.refers("p", "a"),
            come_back = come_back.collect::<String>(),
        );
        Statement::new(self.doing(DOING), sql)
    }

    /// For `FROM`, with its condition: the rows `p` of this table that have, as they were before, what rows `a` refer to.
    fn come_back(&self, key: &ForeignKey) -> Option<String> {
        let (mut values, mut same) = (Vec::new(), Vec::new());
        for (child, of_parent, equality) in key.pairs() {
            let column = self.target.table.column(of_parent)?;
            let value = column.of_image("s.before");
            let (parent, child) = (Ident(of_parent), Ident(child));
            values.push(format!("{value} AS {parent}"));
            same.push(equality.equal(format!("p.{parent}"), format!("a.{child}")));
        }
        Some(format!(
            "(SELECT {} FROM {} s WHERE s.before IS NOT NULL) p WHERE {}",
            list(values),
            self.temporary(),
            every(same)
        ))
    }
}
