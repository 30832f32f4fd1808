//! What an apply leaves beside the rows: ledger and `batch_load_log`.

use crate::pg::own::Own;
use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::pg::Session;
use crate::pg::apply::origin::Origin;
use crate::pg::apply::staged::Staged;
use crate::pg::apply::write::Context;
use crate::pg::must_be;
use crate::plan::masking::SIGN;
use crate::plan::{Header, Kind, LedgerTable};
use crate::sql::{Statement, Values};
use crate::table::config::TableConfig;

/// Writes ledger and `batch_load_log`.
pub(super) async fn record(
    context: &Context<'_>,
    header: &Header,
    tables: &[Staged],
) -> Result<()> {
    let (session, origin) = (context.session, &context.origin);
    let write_one = async |statement: Statement| {
        must_be(statement.doing(), 1, session.execute(&statement).await?)
    };
    let mut by_trigger = BTreeMap::new();
    for staged in tables {
        let columns = context.changed_by_triggers(staged).await?;
        by_trigger.insert(staged.target.name.as_str(), columns);
    }
    write_one(enter_in_ledger(origin, header, tables, &by_trigger)?).await?;
    for table in &header.tables {
        let status = match table.rejected {
            0 if header.undoes_in_part.is_empty() => "success",
            _ => "partial",
        };
        let (kind, changes) = (header.kind, table.counts.changes());
        write_one(log_table(origin, kind, status, &table.table, changes)).await?;
    }
    Ok(())
}

pub(in crate::pg) fn enter_in_ledger(
    origin: &Origin<'_>,
    header: &Header,
    tables: &[Staged],
    by_trigger: &BTreeMap<&str, Vec<String>>,
) -> Result<Statement> {
    let types = |table: &str| -> BTreeMap<String, String> {
        let of_table = tables.iter().filter(|t| t.target.name == table);
        let columns = of_table.flat_map(|t| &t.target.table.columns);
        columns
            .map(|c| (c.name.clone(), c.base_type_sql.clone()))
            .collect()
    };
    let fragments = |table: &str| {
        let staged = tables.iter().find(|t| t.target.name == table);
        staged.map_or(0, |t| t.fragments)
    };
    let tables: Vec<LedgerTable> = header
        .tables
        .iter()
        .map(|t| LedgerTable {
            table: t.table.clone(),
            relation: t.relation.clone(),
            schema: t.schema.clone(),
            config: TableConfig {
                limits: (t.own_limits.unwrap_or(t.config.limits)).of_rollback(t.config.limits),
                ..known(&t.config)
            },
            columns: t.columns.clone(),
            by_trigger: by_trigger
                .get(t.table.as_str())
                .cloned()
                .unwrap_or_default(),
            types: types(&t.table),
            counts: t.counts,
            rejected: t.rejected,
            left_out: t.skips.left_out,
            fragments: fragments(&t.table),
        })
        .collect();
    let tables = serde_json::to_string(&tables)
        .map_err(|e| Error::local("writing the ledger").caused_by(e))?;
    let mut values = Values::default();
    let sql = format!(
        "INSERT INTO {ledger} (application, plan_hash, kind, batch_id, actor, applied_at, undoes, undoes_in_part, tables, records, rejected) \
         VALUES ({}::uuid, {}, {}, {}, {}, pg_catalog.now(), {}::uuid[], nullif({}::uuid[], '{{}}'), {}::jsonb, {}, {})",
        values.text(origin.application),
        values.text(origin.plan_hash),
        values.text(header.kind.word()),
        values.text(origin.batch_id),
        values.text(origin.actor),
        values.texts(&header.undoes),
        values.texts(&header.undoes_in_part),
        values.text(tables),
        header.records,
        header.rejected,
        ledger = origin.own(Own::Ledger),
    );
    Ok(Statement::with("writing the ledger", sql, values))
}

pub(in crate::pg) fn log_table(
    origin: &Origin<'_>,
    kind: Kind,
    status: &str,
    table: &str,
    changes: u64,
) -> Statement {
    let mut values = Values::default();
    let sql = format!(
        "INSERT INTO {log} (batch_id, operation, table_name, records_affected, status, loaded_at, application) \
         VALUES ({}, {}, {}, {changes}, {}, pg_catalog.now(), {}::uuid)",
        values.text(origin.batch_id),
        values.text(kind.word()),
        values.text(table),
        values.text(status),
        values.text(origin.application),
        log = origin.own(Own::LoadLog),
    );
    Statement::with("writing batch_load_log", sql, values)
}

/// Leaves a `failed` row in `batch_load_log`. It is written after the rollback, on its own.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database).
pub async fn record_failure(
    session: &Session,
    schema: &str,
    kind: Kind,
    batch_id: &str,
    reason: &str,
) -> Result<()> {
    let log = log_failure(schema, kind, batch_id, reason);
    must_be(log.doing(), 1, session.execute(&log).await?)
}

pub(in crate::pg) fn log_failure(
    schema: &str,
    kind: Kind,
    batch_id: &str,
    reason: &str,
) -> Statement {
    let mut values = Values::default();
    let sql = format!(
        "INSERT INTO {} (batch_id, operation, table_name, records_affected, status, error_message, loaded_at) \
         VALUES ({}, {}, 'all', 0, 'failed', {}, pg_catalog.now())",
        Own::LoadLog.within(schema),
        values.text(batch_id),
        values.text(kind.word()),
        values.text(reason)
    );
    Statement::with("recording the failure in batch_load_log", sql, values)
}

/// A configuration as the ledger has it, which people see.
fn known(config: &TableConfig) -> TableConfig {
    let mut config = config.clone();
    config.hide_scope(|_| SIGN.to_owned());
    config
}
