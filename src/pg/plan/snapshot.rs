//! One snapshot of the database, which nothing can change: all that planning holds.

use crate::error::{Error, Result};
use crate::pg::Session;
use crate::pg::beside::Found;
use crate::sql::{Qualified, Statement, list};
use crate::table::target::Target;

/// A snapshot, and the session that holds it.
pub struct Snapshot<'a> {
    /// The session that holds it.
    pub session: &'a Session,
}

impl<'a> Snapshot<'a> {
    /// Begins it. The tables are locked against rewriting first: a snapshot taken before somebody's
    /// `ALTER … TYPE` or `TRUNCATE` could see an empty table.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn begin(session: &'a Session, tables: &[&Qualified]) -> Result<Snapshot<'a>> {
        let doing = "beginning a snapshot";
        let begin = Statement::new(doing, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
        session.run(&begin).await?;
        session.pin_everywhere().await?;
        if !tables.is_empty() {
            session.run(&lock(tables)).await?;
        }
        session.stays(doing).await?;
        Ok(Snapshot { session })
    }

    /// Ends it.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn end(self) -> Result<()> {
        let end = Statement::new("ending the snapshot", "ROLLBACK");
        self.session.run(&end).await
    }

    /// How many rows a table has.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn rows(&self, target: &Target) -> Result<u64> {
        self.session.count(&count_rows(&target.table.name)).await
    }

    /// That rows of a table can be deleted and put back: a row of a table that inherits from it would come
    /// back to this one, and without what it has beside it.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config), [`Database`](crate::ErrorKind::Database).
    pub async fn deletes_of(&self, target: &Target) -> Result<()> {
        if target.mark().is_none() && self.session.holds(&has_heirs(target)).await? {
            return Err(Error::config(format!(
                "other tables inherit from table {}, so that a rollback could not put back a row as it was which this \
                 batch deletes; deliver deletes for the inheriting tables by their own names",
                target.name
            )));
        }
        Ok(())
    }

    /// How many rows a natural key can find: one at most where a unique index says so, and no other table
    /// inherits from this one without it.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn finds(&self, target: &Target) -> Result<Found> {
        let index = target.table.key_index(&target.config.natural_key);
        let is_partial = index.is_none_or(|i| i.predicate.is_some());
        Ok(
            if is_partial || self.session.holds(&has_heirs(target)).await? {
                Found::Rows
            } else {
                Found::OneRow
            },
        )
    }
}

/// How many rows a table has.
pub(in crate::pg) fn count_rows(table: &Qualified) -> Statement {
    let doing = format!("counting the rows of {table}");
    Statement::new(doing, format!("SELECT pg_catalog.count(*) FROM {table}"))
}

fn lock(tables: &[&Qualified]) -> Statement {
    let mut names: Vec<String> = tables.iter().map(ToString::to_string).collect();
    names.sort();
    names.dedup();
    let sql = format!("LOCK TABLE {} IN ACCESS SHARE MODE", list(names));
    Statement::new("locking the tables against rewriting", sql)
}

/// Whether other tables inherit from this one, and are no partitions of it.
fn has_heirs(target: &Target) -> Statement {
    let table = &target.table;
    let sql = format!(
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhparent \
         WHERE c.oid = {} AND c.relkind = 'r')",
        table.oid
    );
    Statement::new(
        format!("reading the definition of table {}", table.name),
        sql,
    )
}
