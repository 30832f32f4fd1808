//! Deletes, and marks instead of them.

use super::Context;
use super::rows::Write;
use crate::error::Result;
use crate::pg::apply::staged::Staged;
use crate::pg::apply::staged::fate::Fate;
use crate::pg::must_write;
use crate::sql::Ident;

impl Context<'_> {
    /// Deletes, or marks, the rows that the plan deletes.
    pub(super) async fn delete(&self, staged: &Staged) -> Result<()> {
        if staged.rows.delete == 0 {
            return Ok(());
        }
        self.begins("delete", staged);
        let mut touched = self.write_rows(&staged.delete()).await?;
        let stamps = staged.stamped(self.origin.actor, self.origin.batch_id, false)?;
        if let Some(mark) = staged.mark(&stamps) {
            touched += self.write_rows(&mark).await?;
        }
        must_write(&staged.doing_delete(), staged.rows.delete, touched)
    }
}

impl Staged {
    fn doing_delete(&self) -> String {
        format!("deleting from table {}", self.target.name)
    }

    /// For `FROM`: versions `b` and staged rows `s` of all deletes.
    pub(in crate::pg::apply) fn deletes(&self) -> String {
        let (versions, staged) = (self.versions(), self.temporary());
        format!(
            "{versions} b JOIN {staged} s ON s._n = b._n AND s._a = {}",
            Fate::Delete
        )
    }

    /// Deletes the rows that are not only marked.
    pub(in crate::pg) fn delete(&self) -> Write {
        let head = format!("DELETE FROM {} t USING", self.target.table.name);
        let which = (&*self.deletes(), " AND NOT s._soft");
        self.write_rows(self.doing_delete(), head, which, Vec::new())
    }

    /// Marks the rows that are, where deletes of this table can.
    pub(in crate::pg) fn mark(&self, stamps: &[(String, String)]) -> Option<Write> {
        let (column, mark) = self.target.marks()?;
        let (column, now) = (Ident(&column.name), mark.now());
        let stamps = stamps
            .iter()
            .filter(|(name, _)| *name != column.to_string());
        let stamps: String = stamps
            .map(|(name, value)| format!(", {name} = {value}"))
            .collect();
        let table = &self.target.table.name;
        let head = format!("UPDATE {table} t SET {column} = {now}{stamps} FROM");
        let which = (&*self.deletes(), " AND s._soft");
        Some(self.write_rows(self.doing_delete(), head, which, Vec::new()))
    }
}
