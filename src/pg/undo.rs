//! What applications wrote, from the audit log, beside what is there now.

mod audited;
mod compare;
mod covered;
mod dependents;
mod drift;
mod forbidden;
mod kept;
mod parents;
mod referrers;
mod retyped;
mod selected;
#[cfg(test)]
mod statements;
mod taken;

use crate::pg::own::Own;
use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::pg::Session;
use crate::pg::beside::Beside;
use crate::pg::ledger::{Application, UndoneRows};
use crate::pg::near;
use crate::pg::plan::trial;
use crate::plan::{AppliedChange, Counts, Fingerprint, Values};
use crate::planfile::order_key;
use crate::sql::{Literal, Qualified, Statement, Temporary, text_array};
use crate::table::target::Target;

pub use dependents::Dependent;
pub use selected::Selected;

/// One table of the applications that are taken back.
pub struct Undo<'a> {
    /// The table as it is now, with the configuration of the loads.
    pub target: &'a Target,
    /// What the applications did to it.
    pub written: &'a Written,
    loader_schema: &'a str,
    /// The applications that are taken back.
    applications: &'a [String],
    /// Which of their rows are undone already.
    undone: UndoneRows,
    /// Whether some of the rows that these changed are left out.
    is_selected: bool,
    /// Whether several of these changed one row.
    is_composed: bool,
    /// Columns that the images hold and the table has no more.
    gone: Vec<String>,
    /// Columns that the table has got since some of the applications.
    added: Vec<String>,
}

/// What applications did to a table, as the ledger has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// The columns that the loads wrote, beside key and stamps.
    pub columns: Vec<String>,
    /// The columns that triggers set, of its own or of other tables, as far as was seen.
    pub by_trigger: Vec<String>,
    /// The types of its columns then.
    pub types: BTreeMap<String, String>,
    /// The fingerprint of its schema then; empty where there were several, or it is not known.
    pub schema: String,
    /// How many rows of each kind.
    pub counts: Counts,
    /// How many rows the rollbacks changed that undid some of these.
    pub undone: u64,
}

/// One row that was changed, and is as it was left.
pub struct Undone {
    /// The audit log's name of it.
    pub record_id: String,
    /// The change as it was made.
    pub applied: AppliedChange,
    /// The natural key.
    pub key: Values,
    /// The digest of the row as it is now, where there is one.
    pub digest: Option<Fingerprint>,
    /// Whether the row was deleted in between and inserted again, which writes all its columns.
    pub renewed: bool,
}

impl<'a> Undo<'a> {
    /// Collects the changes of `applications` to one table that are not undone yet, all or those that are
    /// selected: the oldest image before and the newest after of each row. `later` are loads in effect that came
    /// after the first of them; `triggered` are columns that the table's triggers may have set again since, and all
    /// applications since.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database); [`Blocked`](crate::ErrorKind::Blocked) where the audit log is not complete.
    pub async fn collect(
        session: &Session,
        loader_schema: &'a str,
        target: &'a Target,
        written: &'a Written,
        (applications, undone, later): (&'a [String], &UndoneRows, &[&Application]),
        selected: Option<&Selected>,
        triggered: (&[String], &[Application]),
    ) -> Result<Undo<'a>> {
        let mut undo = Undo::described(loader_schema, target, written, applications);
        undo.undone = undone.of(applications);
        near::prepare(session, std::iter::once(target)).await?;
        session.run(&undo.create()).await?;
        let rows = session.execute(&undo.fill()).await?;
        let audited = session.count(&undo.count_audited()).await?;
        let written = written.counts.changes() + written.undone;
        if audited != written {
            return Err(Error::blocked(format!(
                "{}: the audit log has {audited} changes of this load and the ledger says {written}; without the complete \
                 log it cannot be taken back",
                undo.target.name
            )));
        }
        if let Some(selected) = selected {
            undo.is_selected = true;
            undo.select(session, selected).await?;
        }
        // Before it is joined: nobody else knows how many rows it has.
        session.run(&undo.analyze()).await?;
        // A row that was changed once has nothing in between.
        undo.is_composed = rows != audited;
        undo.find_gone_and_added(session).await?;
        if let Some(leave) = undo.leave_between() {
            session.run(&leave).await?;
        }
        if let Some(mark) = undo.mark_later(later, undone) {
            session.run(&mark).await?;
        }
        let (triggered, since) = triggered;
        if !triggered.is_empty()
            && let Some(follow) = undo.follow(triggered, since)
        {
            session.run(&follow).await?;
        }
        if !undo.is_defined_as_then() {
            trial::prepare(session).await?;
            undo.retype(session).await?;
        }
        Ok(undo)
    }

    /// Whether the table is defined as it was when it was loaded.
    fn is_defined_as_then(&self) -> bool {
        self.written.schema == self.target.table.fingerprint
    }

    /// The description of a table whose changes are not collected yet.
    pub(in crate::pg) fn described(
        loader_schema: &'a str,
        target: &'a Target,
        written: &'a Written,
        applications: &'a [String],
    ) -> Undo<'a> {
        Undo {
            target,
            written,
            loader_schema,
            applications,
            undone: UndoneRows::default(),
            is_selected: false,
            is_composed: false,
            gone: Vec::new(),
            added: Vec::new(),
        }
    }

    /// Forgets the changes.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn forget(&self, session: &Session) -> Result<()> {
        let sql = format!("DROP TABLE {}", self.temporary());
        session
            .run(&self.reading(sql, crate::sql::Values::default()))
            .await
    }

    fn doing(&self, what: &str) -> String {
        format!("{what} table {}", self.target.name)
    }

    /// The changes that are taken back.
    fn temporary(&self) -> Temporary {
        Temporary {
            what: "undo",
            number: self.target.place,
        }
    }

    /// The changes that are taken back beside the current rows.
    fn beside(&self) -> Beside<'_> {
        Beside::new(self.temporary(), self.target)
    }

    fn audit_log(&self) -> Qualified {
        Own::AuditLog.within(self.loader_schema)
    }

    /// What takes the columns that are not compared out of an image, as SQL behind it: those whose
    /// drift does not matter, and those that are gone.
    fn without_ignored(&self) -> String {
        let ignored = self.target.config.ignore_drift.iter().chain(&self.gone);
        let names: Vec<Literal<'_>> = ignored.map(|c| Literal(c)).collect();
        match names.is_empty() {
            true => String::new(),
            false => format!(" - {}", text_array(names)),
        }
    }

    /// What puts a row in the order of the natural key's text.
    pub fn order(&self, key: &Values) -> Vec<u8> {
        let names = self.target.config.natural_key.iter();
        order_key(names.map(|name| key.get(name)?.stored().ok()?))
    }

    fn reading(&self, sql: String, values: crate::sql::Values) -> Statement {
        Statement::with(self.doing("reading the audit log for"), sql, values)
    }
}
