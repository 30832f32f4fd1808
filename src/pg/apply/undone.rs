//! A rollback takes back what it says: all changes of its applications, and nothing else.

use crate::error::{Error, Result};
use crate::pg::apply::origin::Origin;
use crate::pg::apply::staged::Staged;
use crate::pg::apply::write::Context;
use crate::plan::Header;
use crate::sql::{Literal, Statement, Values};
use crate::table::row::record_id;

const DOING: &str = "comparing the rollback with the audit log";

/// That the plan's entries are the rows which the applications changed that it takes back.
///
/// # Errors
/// [`PlanRefused`](crate::ErrorKind::PlanRefused) where they are not.
pub(super) async fn check(context: &Context<'_>, header: &Header, tables: &[Staged]) -> Result<()> {
    if header.undoes.is_empty() {
        return Ok(());
    }
    let (session, origin) = (context.session, &context.origin);
    let refused = |what: String| {
        Err(Error::plan_refused(format!(
            "the plan says that it takes back {}, and {what}: it was not made by the loader; make a new one",
            header.undoes.join(", ")
        )))
    };
    for staged in tables {
        let others = session
            .column(&staged.not_undone(origin, &header.undoes))
            .await?;
        if !others.is_empty() {
            let named: Vec<String> = others
                .iter()
                .map(|id| session.name_row(&staged.target.name, id))
                .collect();
            return refused(format!(
                "its entries for {} are not the rows that were changed there, for example {}",
                crate::text::escape(&staged.target.name),
                named.join(", ")
            ));
        }
    }
    let missing = session.column(&other_tables(origin, header)).await?;
    if missing.is_empty() {
        return Ok(());
    }
    refused(format!(
        "has nothing for tables that were changed: {}",
        crate::text::escape(&missing.join(", "))
    ))
}

/// The condition that a change in the audit log is one of a row by these applications.
fn of_rows(undoes: &[String], values: &mut Values) -> String {
    format!(
        "application = ANY ({}::uuid[]) AND operation IN ('INSERT', 'UPDATE', 'DELETE')",
        values.texts(undoes)
    )
}

/// Tables that the applications changed, and of which the plan says nothing.
pub(in crate::pg) fn other_tables(origin: &Origin<'_>, header: &Header) -> Statement {
    let mut values = Values::default();
    let sql = format!(
        "SELECT DISTINCT table_name FROM {} WHERE {} AND table_name <> ALL ({}) ORDER BY 1",
        origin.own_table("audit_log"),
        of_rows(&header.undoes, &mut values),
        values.texts(header.tables.iter().map(|t| &t.table)),
    );
    Statement::with(DOING, sql, values)
}

impl Staged {
    /// Some rows that the applications changed in effect and the plan has not, or that it has and they
    /// did not change: one that the first of them inserted and the last deleted was there neither before nor after.
    pub(in crate::pg) fn not_undone(&self, origin: &Origin<'_>, undoes: &[String]) -> Statement {
        let mut values = Values::default();
        let key = self.target.key_columns().into_iter();
        // One application changes a row once, and in effect.
        let (remains, each) = if undoes.len() == 1 {
            ("true", "")
        } else {
            (
                "pg_catalog.min(a.id) FILTER (WHERE a.old_values IS NULL) IS DISTINCT FROM pg_catalog.min(a.id) \
                 OR pg_catalog.max(a.id) FILTER (WHERE a.new_values IS NULL) IS DISTINCT FROM pg_catalog.max(a.id)",
                " GROUP BY a.record_id",
            )
        };
        let sql = format!(
            "WITH changed AS (SELECT a.record_id, {remains} AS remains \
               FROM {audit} a WHERE {ours} AND table_name = {table}{each}), \
             planned AS (SELECT {id} AS record_id FROM {staged} s) \
             SELECT coalesce(c.record_id, p.record_id) FROM (SELECT record_id FROM changed WHERE remains) c \
               FULL JOIN planned p ON p.record_id = c.record_id \
             WHERE c.record_id IS NULL OR p.record_id IS NULL ORDER BY 1 LIMIT 5",
            audit = origin.own_table("audit_log"),
            ours = of_rows(undoes, &mut values),
            table = Literal(&self.target.name),
            id = record_id(key.map(|c| c.staged_text("s"))),
            staged = self.temporary(),
        );
        Statement::with(DOING, sql, values)
    }
}
