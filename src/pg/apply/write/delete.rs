//! Deletes, and marks instead of them.

use super::{Context, THIS_VERSION};
use crate::error::Result;
use crate::pg::apply::staged::Staged;
use crate::pg::apply::staged::fate::Fate;
use crate::pg::must_be;
use crate::sql::{Ident, Statement};

impl Context<'_> {
    /// Deletes, or marks, the rows that the plan deletes.
    pub(super) async fn delete(&self, staged: &Staged) -> Result<()> {
        if staged.rows.delete == 0 {
            return Ok(());
        }
        self.begins("delete", staged);
        let delete = staged.delete();
        let mut touched = self.session.execute(&delete).await?;
        let stamps = staged.stamped(self.origin.actor, self.origin.batch_id)?;
        if let Some(mark) = staged.mark(&stamps) {
            touched += self.session.execute(&mark).await?;
        }
        must_be(delete.doing(), staged.rows.delete, touched)
    }
}

impl Staged {
    fn deleting(&self, sql: String) -> Statement {
        Statement::new(format!("deleting from table {}", self.target.name), sql)
    }

    /// For `FROM`: versions `b` and staged rows `s` of all deletes.
    fn deletes(&self) -> String {
        let (versions, staged) = (self.versions(), self.temporary());
        format!(
            "{versions} b JOIN {staged} s ON s._n = b._n AND s._a = {}",
            Fate::Delete
        )
    }

    /// Deletes the rows that are not only marked.
    pub(in crate::pg) fn delete(&self) -> Statement {
        let (table, deletes) = (&self.target.table.name, self.deletes());
        self.deleting(format!(
            "DELETE FROM {table} t USING {deletes} WHERE {THIS_VERSION} AND NOT s._soft"
        ))
    }

    /// Marks the rows that are, where deletes of this table can.
    pub(in crate::pg) fn mark(&self, stamps: &[(String, String)]) -> Option<Statement> {
        let (column, mark) = self.target.marks()?;
        let (column, now) = (Ident(&column.name), mark.now());
        let (table, deletes) = (&self.target.table.name, self.deletes());
        let stamps = stamps
            .iter()
            .filter(|(name, _)| *name != column.to_string());
        let stamps: String = stamps
            .map(|(name, value)| format!(", {name} = {value}"))
            .collect();
        Some(self.deleting(format!(
            "UPDATE {table} t SET {column} = {now}{stamps} FROM {deletes} WHERE {THIS_VERSION} AND s._soft"
        )))
    }
}
