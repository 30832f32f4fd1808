//! The audit log: what happened to rows, newest first.

use crate::error::Result;
use crate::pg::Session;
use crate::pg::own::Own;
use crate::sql::{Statement, Values, all};

/// The operations on rows, as SQL behind a row's alias; the log has those of the queue too.
pub(in crate::pg) const ON_ROWS: &str = "operation IN ('INSERT', 'UPDATE', 'DELETE')";

/// Which rows of the audit log; absent ones do not matter.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter<'a> {
    /// The batch.
    pub batch_id: Option<&'a str>,
    /// The application's id.
    pub application: Option<&'a str>,
    /// The table.
    pub table: Option<&'a str>,
    /// The natural key as one text, in any of these spellings.
    pub record_ids: &'a [String],
}

/// One row of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// When, in UTC.
    pub changed_at: String,
    /// By whom.
    pub changed_by: String,
    /// `INSERT`, `UPDATE`, `DELETE` or `QUEUE`.
    pub operation: String,
    /// The table.
    pub table: String,
    /// The natural key as one text.
    pub record_id: String,
    /// The batch.
    pub batch_id: String,
    /// The application.
    pub application: Option<String>,
    /// Where it came from.
    pub origin: Option<String>,
    /// When that was extracted from its source, in UTC.
    pub extracted_at: Option<String>,
    /// The row before, as JSON.
    pub before: Option<String>,
    /// The row after, as JSON.
    pub after: Option<String>,
}

/// The newest `limit` rows that match. What another program wrote may lack columns: they are empty.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database).
pub async fn rows(
    session: &Session,
    schema: &str,
    filter: Filter<'_>,
    limit: u64,
) -> Result<Vec<AuditRow>> {
    let rows = session.rows(&list(schema, filter, limit)).await?;
    let rows = rows.into_iter().map(|mut row| {
        let mut text = |i| row.take(i).unwrap_or_default();
        AuditRow {
            changed_at: text(0),
            changed_by: text(1),
            operation: text(2),
            table: text(3),
            record_id: text(4),
            batch_id: text(5),
            application: row.take(6),
            origin: row.take(7),
            extracted_at: row.take(8),
            before: row.take(9),
            after: row.take(10),
        }
    });
    Ok(rows.collect())
}

pub(in crate::pg) fn list(schema: &str, filter: Filter<'_>, limit: u64) -> Statement {
    let mut values = Values::default();
    let conditions = [
        ("batch_id", filter.batch_id),
        ("application::text", filter.application),
        ("table_name", filter.table),
    ];
    let mut conditions: Vec<String> = conditions
        .into_iter()
        .filter_map(|(column, value)| Some(format!("{column} = {}", values.text(value?))))
        .collect();
    if !filter.record_ids.is_empty() {
        conditions.push(format!(
            "record_id = ANY ({})",
            values.texts(filter.record_ids)
        ));
    }
    let only = all(conditions);
    let sql = format!(
        "SELECT changed_at::text, changed_by, operation, table_name, record_id, batch_id, application::text, origin, extracted_at::text, \
         old_values::text, new_values::text FROM {} WHERE {only} ORDER BY id DESC LIMIT {limit}",
        Own::AuditLog.within(schema)
    );
    Statement::with("reading the audit log", sql, values)
}

/// Who made the change of the audit log's row `alias`, and when, as SQL.
pub(in crate::pg) fn who(alias: &str) -> String {
    format!(
        "coalesce({alias}.changed_by, '?') || ' at ' || coalesce({alias}.changed_at::text, '?')"
    )
}
