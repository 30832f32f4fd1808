//! What loads did because of rows that would be deleted, or to these rows later: it has to be undone
//! before.

use super::Undo;
use super::referrers::{Going, can_read_child, doing};
use crate::error::Result;
use crate::pg::Session;
use crate::pg::audit::ON_ROWS;
use crate::pg::ledger::{self, Application, UndoneRows};
use crate::sql::{Literal, Statement, Values, all, any, list};
use crate::table::schema::ForeignKey;
use crate::table::target::Target;

/// Loads, and which of their rows are undone already.
pub type Loads<'a> = (&'a [String], &'a UndoneRows);

/// A change of a row by an application, by their names in the audit log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dependent {
    /// The row.
    pub record_id: String,
    /// The application.
    pub application: String,
}

impl Undo<'_> {
    /// What `loads` changed in the rows that are undone after the first of the applications did.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn changed_later(
        &self,
        session: &Session,
        loads: Loads<'_>,
    ) -> Result<Vec<Dependent>> {
        dependents(session, &self.find_changed_later(loads)).await
    }

    /// The changes by `loads` that made rows of `child` refer to rows which would be deleted, and
    /// what they did to those rows later. Rows are passed over that refer to them for another reason.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn referring_later(
        &self,
        session: &Session,
        key: &ForeignKey,
        child: &Target,
        all: &[Undo<'_>],
        loads: Loads<'_>,
    ) -> Result<Vec<Dependent>> {
        if !session.holds(&can_read_child(key)).await? {
            return Ok(Vec::new());
        }
        self.near_children(session, key, Going::Deleted).await?;
        dependents(session, &self.find_referring_later(key, child, all, loads)).await
    }

    pub(in crate::pg) fn find_changed_later(&self, loads: Loads<'_>) -> Statement {
        let mut values = Values::default();
        let sql = format!(
            "SELECT DISTINCT a.record_id, a.application::text FROM {undo} s JOIN {audit} a ON a.record_id = s.record_id \
             WHERE {of} AND a.id > s.first",
            undo = self.temporary(),
            audit = self.audit_log(),
            of = self.remaining(&self.target.name, loads, &mut values),
        );
        self.reading(sql, values).at_once()
    }

    /// Marks the rows that `loads` changed after the first of the applications did, even where they left them as
    /// these had.
    pub(in crate::pg) fn mark_later(
        &self,
        loads: &[&Application],
        undone: &UndoneRows,
    ) -> Option<Statement> {
        let mut values = Values::default();
        let changes = ledger::changes(loads, self.target, &self.audit_log(), undone, &mut values)?;
        let sql = format!(
            "UPDATE {undo} s SET later = true FROM ({changes}) a WHERE a.record_id = s.record_id AND a.id > s.first",
            undo = self.temporary(),
        );
        Some(self.reading(sql, values).at_once())
    }

    pub(in crate::pg) fn find_referring_later(
        &self,
        key: &ForeignKey,
        child: &Target,
        all: &[Undo<'_>],
        loads: Loads<'_>,
    ) -> Statement {
        let mut values = Values::default();
        let columns = || key.columns.iter().filter_map(|c| child.table.column(c));
        let now: Vec<String> = columns()
            .enumerate()
            .map(|(n, c)| format!("{} AS v{n}", c.text("c")))
            .collect();
        let made = any(columns().enumerate().map(|(n, c)| {
            format!(
                "(a.old_values ->> {}) IS DISTINCT FROM d.v{n}",
                Literal(&c.name)
            )
        }));
        let selected = [vec![format!("{} AS record_id", child.record_id("c"))], now].concat();
        let sql = format!(
            "WITH d AS (SELECT DISTINCT {selected} FROM {referring}), \
             changes AS (SELECT a.record_id, a.application, a.id, \
                 pg_catalog.max(a.id) FILTER (WHERE a.old_values IS NULL OR {made}) OVER (PARTITION BY a.record_id) AS made \
               FROM d JOIN {audit} a ON a.record_id = d.record_id WHERE {of}) \
             SELECT DISTINCT c.record_id, c.application::text FROM changes c WHERE c.id >= c.made",
            selected = list(selected),
            referring = self.still_referring(key, all, Going::Deleted),
            audit = self.audit_log(),
            of = self.remaining(&child.name, loads, &mut values),
        );
        Statement::with(doing(key), sql, values).at_once()
    }

    /// The condition that audit row `a` is a change of the table by one of `loads`, and not undone.
    fn remaining(&self, table: &str, loads: Loads<'_>, values: &mut Values) -> String {
        let of = format!(
            "a.application = ANY ({}::uuid[]) AND a.table_name = {} AND a.{}",
            values.texts(loads.0),
            values.text(table),
            ON_ROWS
        );
        let remains = loads.1.remains(&self.audit_log(), values);
        all([of].into_iter().chain(remains))
    }
}

async fn dependents(session: &Session, find: &Statement) -> Result<Vec<Dependent>> {
    let rows = session.rows(find).await?.into_iter();
    let rows = rows.map(|row| {
        Ok(Dependent {
            record_id: row.text(0)?.to_owned(),
            application: row.text(1)?.to_owned(),
        })
    });
    rows.collect()
}
