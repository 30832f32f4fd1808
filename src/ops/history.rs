//! What happened: applications, and the changes of rows.

use serde::Serialize;

use crate::error::Result;
use crate::pg::ledger::{self, Application};
use crate::pg::{Session, Timeouts};
use crate::plan::Values;
use crate::plan::masking::Mask;
use crate::sql::ident::{Ident, Literal};
use crate::table::config::Config;

/// The applications of a batch, or all, newest first.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database); [`Config`](crate::ErrorKind::Config) where `loader migrate` was not run.
pub async fn history(
    database: &crate::pg::Database,
    timeouts: Timeouts,
    loader_schema: &str,
    batch_id: Option<&str>,
) -> Result<Vec<Application>> {
    let session = Session::open(database, timeouts).await?;
    session.target(loader_schema).await?;
    ledger::applications(&session, loader_schema, batch_id).await
}

/// Which changes are asked for; all that is given must match.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Of this batch.
    pub batch_id: Option<String>,
    /// Of this application.
    pub application: Option<String>,
    /// Of this table.
    pub table: Option<String>,
    /// Of the row with this natural key: its value, or a JSON array of several.
    pub key: Option<String>,
    /// At most so many, the newest.
    pub limit: u64,
    /// What is called sensitive, beside what was when the changes were made.
    pub config: Option<Config>,
}

/// One change of one row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// When, in UTC.
    pub changed_at: String,
    /// Who.
    pub changed_by: String,
    /// `INSERT`, `UPDATE`, `DELETE`, or `QUEUE` for the validation queue.
    pub operation: String,
    /// The table.
    pub table: String,
    /// The row's natural key.
    pub key: String,
    /// The batch.
    pub batch_id: String,
    /// The application.
    pub application: Option<String>,
    /// The object and position it came from, or what it took back.
    pub origin: Option<String>,
    /// The application that took it back, where one did.
    pub undone_by: Option<String>,
    /// The row before.
    pub before: Option<Values>,
    /// The row after.
    pub after: Option<Values>,
}

/// The changes that match, newest first, sensitive values masked.
///
/// # Errors
/// As [`history`].
pub async fn audit(
    database: &crate::pg::Database,
    timeouts: Timeouts,
    loader_schema: &str,
    filter: &AuditFilter,
) -> Result<Vec<Change>> {
    let session = Session::open(database, timeouts).await?;
    session.target(loader_schema).await?;
    let conditions: Vec<String> = [
        ("batch_id", &filter.batch_id),
        ("application::text", &filter.application),
        ("table_name", &filter.table),
        ("record_id", &filter.key),
    ]
    .iter()
    .filter_map(|(column, value)| Some(format!("{column} = {}", Literal(value.as_deref()?))))
    .collect();
    let only = if conditions.is_empty() {
        String::new()
    } else {
        format!("WHERE {}", conditions.join(" AND "))
    };
    let sql = format!(
        "SELECT changed_at, changed_by, operation, table_name, record_id, batch_id, application, origin, \
         old_values, new_values FROM {}.audit_log {only} ORDER BY id DESC LIMIT {}",
        Ident(loader_schema),
        filter.limit
    );
    let rows = session.texts("reading the audit log", &sql).await?;
    let applications = ledger::applications(&session, loader_schema, None).await?;
    let mask = mask(&applications, filter.config.as_ref());
    let image = |table: &Option<String>, json: &Option<String>| -> Option<Values> {
        let object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(json.as_deref()?).ok()?;
        let text = |v: serde_json::Value| match v {
            serde_json::Value::Null => None,
            serde_json::Value::String(s) => Some(s),
            other => Some(other.to_string()),
        };
        let mut values = object.into_iter().map(|(k, v)| (k, text(v))).collect();
        mask.key(table.as_deref()?, &mut values);
        Some(values)
    };
    Ok(rows
        .into_iter()
        .map(|mut r| Change {
            changed_at: r[0].take().unwrap_or_default(),
            changed_by: r[1].take().unwrap_or_default(),
            operation: r[2].take().unwrap_or_default(),
            before: image(&r[3], &r[8]),
            after: image(&r[3], &r[9]),
            key: mask.record_id(
                r[3].as_deref().unwrap_or_default(),
                r[4].as_deref().unwrap_or_default(),
            ),
            table: r[3].take().unwrap_or_default(),
            batch_id: r[5].take().unwrap_or_default(),
            undone_by: applications
                .iter()
                .find(|a| Some(&a.application) == r[6].as_ref())
                .and_then(|a| a.undone_by.clone()),
            application: r[6].take(),
            origin: r[7].take(),
        })
        .collect())
}

/// Hides what any application of a table, or `config`, calls sensitive.
fn mask(applications: &[Application], config: Option<&Config>) -> Mask {
    let key = uuid::Uuid::new_v4();
    let mut mask = Mask::new(key.as_bytes(), []);
    for table in applications.iter().flat_map(|a| &a.tables) {
        mask.add(&table.table, &table.config);
    }
    for (table, config) in config.iter().flat_map(|c| &c.tables) {
        mask.add(table, config);
    }
    mask
}
