//! Deletes, and marks instead of them.

use super::rows::RowWrite;
use super::{Context, TableWork};
use crate::error::Result;
use crate::pg::apply::staged::Staged;
use crate::pg::apply::staged::fate::Fate;
use crate::pg::order::{Which, Write, Written};
use crate::sql::Ident;

impl Context<'_> {
    /// Deletes rows, or marks them. `wrote` takes how many.
    pub(super) async fn delete(
        &self,
        work: &mut TableWork<'_>,
        write: Write,
        which: Which,
        wrote: &mut impl FnMut(u64),
    ) -> Result<()> {
        let staged = work.staged;
        if !staged.writes(write) {
            return Ok(());
        }
        self.begins("delete", staged);
        let delete = if write == Write::Mark {
            let stamps = staged.stamped(self.origin.actor, self.origin.batch_id, false)?;
            staged.mark(which, &stamps)
        } else {
            Some(staged.delete(which))
        };
        if let Some(delete) = delete {
            let touched = self.write_rows(&delete).await?;
            work.wrote(write, touched);
            wrote(touched);
        }
        Ok(())
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
    pub(in crate::pg) fn delete(&self, which: Which) -> RowWrite {
        let head = format!("DELETE FROM {} t USING", self.target.table.name);
        let only = format!(" AND NOT s._soft{}", self.only(which));
        let which = (&*self.deletes(), &*only);
        self.write_rows(self.doing_delete(), head, which, Vec::new())
    }

    /// Marks the rows that are, where deletes of this table can.
    pub(in crate::pg) fn mark(
        &self,
        which: Which,
        stamps: &[(String, String)],
    ) -> Option<RowWrite> {
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
        let only = format!(" AND s._soft{}", self.only(which));
        let which = (&*self.deletes(), &*only);
        Some(self.write_rows(self.doing_delete(), head, which, Vec::new()))
    }
}
