//! What triggers of the plan's other tables changed in rows that a rollback had written already.
//!
//! A rollback writes what a counter was, and the triggers that keep it count what else is taken back, too. When everything
//! is written, such columns get once more what the plan says. What a table's own triggers set again is left to them.

use super::{Context, writes};
use crate::error::Result;
use crate::pg::apply::read_back::{WRITTEN_NOW, prints_alike};
use crate::pg::apply::staged::Staged;
use crate::pg::apply::staged::fate::STORED;
use crate::sql::{Ident, Statement, all, any, list};
use crate::table::schema::Column;

impl Context<'_> {
    /// Writes once more what triggers of other tables changed: of the last table first, whose triggers may change others.
    pub(in crate::pg::apply) async fn settle(&self, tables: &[Staged]) -> Result<()> {
        for staged in tables.iter().rev() {
            if let Some(settle) = staged.settle()? {
                self.begins("update", staged);
                self.session.execute(&settle).await?;
            }
        }
        Ok(())
    }
}

impl Staged {
    /// `None` where triggers of other tables change nothing that the plan writes.
    pub(in crate::pg) fn settle(&self) -> Result<Option<Statement>> {
        let target = &self.target;
        let written = self.written()?.into_iter().enumerate();
        let counted = |(_, c): &(usize, &Column)| !c.generated && self.triggered.contains(&c.name);
        let counted: Vec<(usize, &Column)> = written.filter(counted).collect();
        if !target.is_followed || target.table.kind.is_far() || counted.is_empty() {
            return Ok(None);
        }
        let assignments = counted.iter().map(|(i, c)| {
            let (name, cell) = (Ident(&c.name), c.staged());
            let writes = writes("s", *i);
            format!("{name} = CASE WHEN {writes} THEN s.{cell} ELSE t.{name} END")
        });
        let differs = counted.iter().map(|(i, c)| {
            let alike = prints_alike(&c.stored("t"), &format!("s.{}", c.staged()));
            format!("{} AND NOT {alike}", writes("s", *i))
        });
        let live = target.mark().map(|_| self.beside().live().to_string());
        let this = [self.beside().keys_equal(), WRITTEN_NOW.to_owned()];
        let sql = format!(
            "UPDATE {} t SET {} FROM {} s WHERE s._a IN ({STORED}) AND {} AND ({})",
            target.table.name,
            list(assignments),
            self.temporary(),
            all(this.into_iter().chain(live)),
            any(differs),
        );
        let doing = format!(
            "putting back what triggers changed in table {}",
            target.name
        );
        Ok(Some(Statement::new(doing, sql)))
    }
}
