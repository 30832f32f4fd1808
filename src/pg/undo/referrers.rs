//! Rows that refer to what taking a load back would delete.

use super::Undo;
use crate::error::Result;
use crate::pg::{Session, referred};
use crate::sql::{Literal, Statement, Values, any};
use crate::table::row::keys_equal;
use crate::table::schema::ForeignKey;
use crate::table::target::Target;

/// At most so many rows of each foreign key are named.
const NAMED: usize = 100;

impl Undo<'_> {
    /// Rows that refer to a row which taking this back would delete, and which are not taken back
    /// themselves: named as `table key` with the constraint.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn referrers(&self, session: &Session, all: &[Undo<'_>]) -> Result<Vec<String>> {
        if self.target.mark().is_some() {
            return Ok(Vec::new()); // a marked row can still be referred to
        }
        let mut named = Vec::new();
        for key in &self.target.table.referrers {
            // Without the right to read the referring table, the foreign key itself has to speak.
            if session.holds(&can_read_child(key)).await? {
                let child = all.iter().find(|u| u.target.table.name == key.child);
                let found = session.column(&self.referring(key, child)).await?;
                for id in found {
                    named.push(self.name_referrer(session, key, child, id).await?);
                }
            }
        }
        Ok(named)
    }

    async fn name_referrer(
        &self,
        session: &Session,
        key: &ForeignKey,
        child: Option<&Undo<'_>>,
        id: String,
    ) -> Result<String> {
        let marked = if child.is_some_and(|c| c.target.mark().is_some()) {
            ", and deletes from that table are only marked: give both tables soft_delete, or neither"
        } else {
            ""
        };
        let row = match child {
            Some(child) => {
                let Target {
                    name,
                    table,
                    config,
                    lookups,
                    ..
                } = child.target;
                referred::name_row(session, name, (table, config, lookups), &id).await?
            }
            None => id, // its place, not its key
        };
        Ok(format!(
            "{} {row} refers to a row of {} that would be deleted ({}){marked}",
            crate::text::escape(&key.child.name),
            crate::text::escape(&self.target.name),
            crate::text::escape(&key.name)
        ))
    }

    /// The rows that refer to what would be deleted; `child` is their table, where it is taken back
    /// too.
    pub(in crate::pg) fn referring(&self, key: &ForeignKey, child: Option<&Undo<'_>>) -> Statement {
        let (name, spared) = match child {
            None => ("c.ctid::text".to_owned(), String::new()),
            Some(child) => (
                child.target.record_id("c"),
                format!(" AND NOT {}", child.lets_go(key)),
            ),
        };
        let sql = format!(
            "SELECT {name} FROM {found} JOIN {child} c ON {refers} WHERE s.before IS NULL{spared} LIMIT {NAMED}",
            found = self.beside().found(),
            child = key.child,
            refers = key.refers("t", "c"),
        );
        Statement::new(doing(key), sql)
    }

    /// The condition that taking this back makes row `c` refer to something else, or deletes it.
    fn lets_go(&self, key: &ForeignKey) -> String {
        let columns = key
            .columns
            .iter()
            .filter_map(|c| self.target.table.column(c));
        let other = any(columns.map(|c| {
            let before = format!("s2.before ->> {}", Literal(&c.name));
            format!("{before} IS DISTINCT FROM {}", c.text("c"))
        }));
        let lets_go = if self.target.mark().is_some() {
            // A row that is only marked goes on referring.
            format!("s2.before IS NOT NULL AND {other}")
        } else {
            format!("s2.before IS NULL OR {other}")
        };
        let same = keys_equal(&self.target.key(), "s2", "c");
        format!(
            "EXISTS (SELECT FROM {} s2 WHERE {same} AND ({lets_go}))",
            self.temporary()
        )
    }
}

fn doing(key: &ForeignKey) -> String {
    format!(
        "looking for rows of {} that refer to what would be deleted",
        key.child
    )
}

fn can_read_child(key: &ForeignKey) -> Statement {
    let mut values = Values::default();
    let sql = format!(
        "SELECT pg_catalog.has_schema_privilege({}, 'USAGE') \
           AND pg_catalog.has_table_privilege({}::pg_catalog.oid, 'SELECT')",
        values.text(&key.child.schema),
        key.child_oid
    );
    Statement::with(doing(key), sql, values)
}
