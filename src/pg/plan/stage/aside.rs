//! Records that are set aside before anything is asked about them: they have no row to be, take no key
//! from others, and nothing else about them matters.

use bytes::Bytes;

use super::Stage;
use crate::error::Result;
use crate::pg::Session;
use crate::plan::ViolationKind;
use crate::plan::incoming::Finding;
use crate::sql::{Ident, Literal, Statement, Temporary, list};
use crate::table::row::keys_equal;

impl Stage<'_> {
    /// The condition that record `alias` is not set aside; `None` where none is. Those are that lack what their
    /// table requires, or are left out by name.
    pub fn is_for_its_row(&self, alias: &str) -> Option<String> {
        let mut conditions = Vec::new();
        if !self.target.config.required_fields.is_empty() {
            let begins = Finding::begins(ViolationKind::RequiredField);
            conditions.push(format!(
                "coalesce(pg_catalog.strpos({alias}._findings, {}) > 0, false)",
                Literal(&begins)
            ));
        }
        if self.leaves_out {
            conditions.push(format!("{alias}._left_out IS NOT NULL"));
        }
        (!conditions.is_empty()).then(|| format!("NOT ({})", conditions.join(" OR ")))
    }

    fn left_out(&self) -> Temporary {
        self.named("left_out")
    }

    /// Sets aside the records with the keys in these COPY lines: their number, what is said of them, the key.
    /// Returns the numbers of those that no record has.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn leave_out(&mut self, session: &Session, lines: Bytes) -> Result<Vec<String>> {
        self.leaves_out = true;
        session.run(&self.create_left_out()).await?;
        session.copy_in(&self.copy_left_out(), lines).await?;
        session.run(&self.set_left_out()).await?;
        session.column(&self.left_out_of_nothing()).await
    }

    /// Sets aside the records at the places in these COPY lines: object, position, what is said of them. Returns
    /// how many there are.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn leave_out_at(&mut self, session: &Session, lines: Bytes) -> Result<u64> {
        self.leaves_out = true;
        session.run(&self.create_left_out_places()).await?;
        session.copy_in(&self.copy_left_out_places(), lines).await?;
        session.execute(&self.set_left_out_at()).await
    }

    /// Takes the keys of rows that stay though the delivery, which is complete, does not bring them: what is
    /// said of them, the key.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn keep(&mut self, session: &Session, lines: Bytes) -> Result<()> {
        self.leaves_out = true;
        session.run(&self.create_kept()).await?;
        session.copy_in(&self.copy_kept(), lines).await
    }

    /// Sets aside the rows that stay, of those that were staged as records of the object number `object`.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn set_kept(&self, session: &Session, object: usize) -> Result<()> {
        session.run(&self.set_left_out_of(object)).await
    }

    fn left_out_places(&self) -> Temporary {
        self.named("left_out_places")
    }

    fn kept(&self) -> Temporary {
        self.named("kept")
    }

    pub(in crate::pg) fn create_left_out_places(&self) -> Statement {
        self.leaving_out(format!(
            "CREATE TEMPORARY TABLE {} (object int, position bigint, why text)",
            self.left_out_places().bare()
        ))
    }

    pub(in crate::pg) fn copy_left_out_places(&self) -> Statement {
        self.leaving_out(format!("COPY {} FROM STDIN", self.left_out_places()))
    }

    pub(in crate::pg) fn set_left_out_at(&self) -> Statement {
        self.leaving_out(format!(
            "UPDATE {} s SET _left_out = l.why FROM {} l WHERE s._object = l.object AND s._position = l.position",
            self.temporary(),
            self.left_out_places()
        ))
    }

    pub(in crate::pg) fn create_kept(&self) -> Statement {
        let key = self.target.key_columns().into_iter();
        self.leaving_out(format!(
            "CREATE TEMPORARY TABLE {} (\"loader why\" text, {})",
            self.kept().bare(),
            list(key.map(|c| c.defined_as(Ident(&c.name))))
        ))
    }

    pub(in crate::pg) fn copy_kept(&self) -> Statement {
        self.leaving_out(format!("COPY {} FROM STDIN", self.kept()))
    }

    pub(in crate::pg) fn set_left_out_of(&self, object: usize) -> Statement {
        self.leaving_out(format!(
            "UPDATE {} s SET _left_out = l.\"loader why\" FROM {} l WHERE s._object = {object} AND {}",
            self.temporary(),
            self.kept(),
            keys_equal(&self.target.key(), "s", "l")
        ))
    }

    fn leaving_out(&self, sql: String) -> Statement {
        Statement::new(self.doing("leaving out"), sql)
    }

    pub(in crate::pg) fn create_left_out(&self) -> Statement {
        let key = self.target.key_columns().into_iter();
        self.leaving_out(format!(
            "CREATE TEMPORARY TABLE {} (\"loader line\" bigint, \"loader why\" text, {})",
            self.left_out().bare(),
            list(key.map(|c| c.defined_as(Ident(&c.name))))
        ))
    }

    pub(in crate::pg) fn copy_left_out(&self) -> Statement {
        self.leaving_out(format!("COPY {} FROM STDIN", self.left_out()))
    }

    pub(in crate::pg) fn set_left_out(&self) -> Statement {
        self.leaving_out(format!(
            "UPDATE {} s SET _left_out = l.\"loader why\" FROM {} l WHERE {}",
            self.temporary(),
            self.left_out(),
            keys_equal(&self.target.key(), "s", "l")
        ))
    }

    pub(in crate::pg) fn left_out_of_nothing(&self) -> Statement {
        self.leaving_out(format!(
            "SELECT l.\"loader line\"::text FROM {} l WHERE NOT EXISTS (SELECT FROM {} s WHERE {}) ORDER BY l.\"loader line\"",
            self.left_out(),
            self.temporary(),
            keys_equal(&self.target.key(), "s", "l")
        ))
    }
}
