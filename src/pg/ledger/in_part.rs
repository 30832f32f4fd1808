//! Rows that are undone while the rest of their application is not: a rollback in part says of which
//! applications, its rows in the audit log say which.

use crate::pg::own::Own;
use std::collections::BTreeMap;

use super::Application;
use crate::error::Result;
use crate::pg::Session;
use crate::pg::audit::ON_ROWS;
use crate::sql::{Qualified, Statement, Values, all};

/// Which rollbacks undid some rows of which applications, where both are in effect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UndoneRows {
    by: Vec<String>,
    of: Vec<String>,
}

impl UndoneRows {
    /// Those that `all` tell of, of applications that are not taken back as a whole.
    pub fn new(all: &[Application]) -> UndoneRows {
        let mut rows = UndoneRows::default();
        for application in all.iter().filter(|a| a.undone_by.is_none()) {
            for by in &application.undone_in_part_by {
                rows.add(by, &application.application);
            }
        }
        rows
    }

    /// Adds that `by` undid some rows of `of`.
    pub(in crate::pg) fn add(&mut self, by: &str, of: &str) {
        self.by.push(by.to_owned());
        self.of.push(of.to_owned());
    }

    /// Those of these applications.
    #[must_use]
    pub fn of(&self, applications: &[String]) -> UndoneRows {
        let mut rows = UndoneRows::default();
        let pairs = self.by.iter().zip(&self.of);
        for (by, of) in pairs.filter(|(_, of)| applications.contains(of)) {
            rows.add(by, of);
        }
        rows
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by.is_empty()
    }

    /// The rollbacks.
    pub fn by(&self) -> &[String] {
        &self.by
    }

    /// The condition that the change in row `a` of the audit log is not undone by one of these.
    pub(in crate::pg) fn remains(
        &self,
        audit_log: &Qualified,
        values: &mut Values,
    ) -> Option<String> {
        (!self.is_empty()).then(|| format!("NOT {}", self.undone(audit_log, values)))
    }

    /// How many rows of each of `applications` are still to be undone: all, or those of a table whose
    /// names the query `listed` gives.
    pub(in crate::pg) fn count_remaining(
        &self,
        audit_log: &Qualified,
        applications: &[String],
        of_table: Option<(&str, &str)>,
        mut values: Values,
    ) -> Statement {
        let mut conditions = vec![
            format!(
                "a.application = ANY ({}::uuid[])",
                values.texts(applications)
            ),
            format!("a.{ON_ROWS}"),
        ];
        conditions.extend(self.remains(audit_log, &mut values));
        if let Some((table, listed)) = of_table {
            conditions.push(format!("a.table_name = {}", values.text(table)));
            conditions.push(format!("a.record_id IN ({listed})"));
        }
        let sql = format!(
            "SELECT a.application::text, pg_catalog.count(*)::text FROM {audit_log} a WHERE {} GROUP BY 1",
            all(conditions)
        );
        Statement::with("reading the audit log", sql, values).at_once()
    }

    fn undone(&self, audit_log: &Qualified, values: &mut Values) -> String {
        format!(
            "EXISTS (SELECT FROM ROWS FROM (pg_catalog.unnest({by}::uuid[]), pg_catalog.unnest({of}::uuid[])) p(by_application, of_application) \
               JOIN {audit_log} u ON u.application = p.by_application AND u.application = ANY ({by}::uuid[]) AND u.{ON_ROWS} \
             WHERE p.of_application = a.application AND u.table_name = a.table_name AND u.record_id = a.record_id)",
            by = values.texts(&self.by),
            of = values.texts(&self.of)
        )
    }

    /// How many rows of each of `applications` are still to be undone.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn remaining(
        &self,
        session: &Session,
        schema: &str,
        applications: &[String],
    ) -> Result<BTreeMap<String, u64>> {
        let audit_log = Own::AuditLog.within(schema);
        let of_all = self.of(applications);
        let count = of_all.count_remaining(&audit_log, applications, None, Values::default());
        counts(session, &count).await
    }

    /// How many rows of each application and table they undid.
    pub(in crate::pg) fn count(&self, schema: &str) -> Statement {
        let audit_log = Own::AuditLog.within(schema);
        let mut values = Values::default();
        let sql = format!(
            "SELECT a.application::text, a.table_name, pg_catalog.count(*)::text FROM {audit_log} a \
             WHERE a.application = ANY ({}::uuid[]) AND a.{ON_ROWS} AND {} GROUP BY 1, 2",
            values.texts(&self.of),
            self.undone(&audit_log, &mut values)
        );
        Statement::with("reading the audit log", sql, values).at_once()
    }
}

/// The numbers by application that a query gives.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database).
pub async fn counts(session: &Session, query: &Statement) -> Result<BTreeMap<String, u64>> {
    let rows = session.rows(query).await?.into_iter();
    let rows = rows.map(|row| Ok((row.text(0)?.to_owned(), row.parsed(1)?)));
    rows.collect()
}
