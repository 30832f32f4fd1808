//! What an apply leaves beside the rows: ledger, `batch_load_log`, and the validation queue.

use crate::error::{Error, Result};
use crate::pg::Session;
use crate::pg::apply::origin::Origin;
use crate::pg::apply::write::Context;
use crate::pg::must_be;
use crate::plan::{Header, Kind, LedgerTable, TablePlan};
use crate::sql::{Ident, Statement, Values};

/// Writes ledger, `batch_load_log` and queue. Returns how many entries of the queue were set.
pub(super) async fn record(context: &Context<'_>, header: &Header) -> Result<u64> {
    let (session, origin) = (context.session, &context.origin);
    let write_one = async |statement: Statement| {
        must_be(statement.doing(), 1, session.execute(&statement).await?)
    };
    write_one(enter_in_ledger(origin, header)?).await?;
    for table in &header.tables {
        write_one(log_table(origin, header, table)).await?;
    }
    let settled = settle_queue(context).await?;
    if header.undoes.is_empty() {
        return Ok(settled);
    }
    let restore = restore_queue(origin, &header.undoes);
    Ok(settled + session.execute(&restore).await?)
}

pub(in crate::pg) fn enter_in_ledger(origin: &Origin<'_>, header: &Header) -> Result<Statement> {
    let tables: Vec<LedgerTable> = header
        .tables
        .iter()
        .map(|t| LedgerTable {
            table: t.table.clone(),
            config: t.config.clone(),
            columns: t.columns.clone(),
            counts: t.counts,
        })
        .collect();
    let tables = serde_json::to_string(&tables)
        .map_err(|e| Error::local("writing the ledger").caused_by(e))?;
    let mut values = Values::default();
    let sql = format!(
        "INSERT INTO {ledger} (application, plan_hash, kind, batch_id, actor, applied_at, undoes, tables, records, rejected) \
         VALUES ({}::uuid, {}, {}, {}, {}, pg_catalog.now(), {}::uuid[], {}::jsonb, {}, {})",
        values.text(origin.application),
        values.text(origin.plan_hash),
        values.text(header.kind.word()),
        values.text(origin.batch_id),
        values.text(origin.actor),
        values.texts(&header.undoes),
        values.text(tables),
        header.records,
        header.rejected,
        ledger = origin.own_table("loader_ledger"),
    );
    Ok(Statement::with("writing the ledger", sql, values))
}

pub(in crate::pg) fn log_table(
    origin: &Origin<'_>,
    header: &Header,
    table: &TablePlan,
) -> Statement {
    let status = match header.rejected {
        0 => "success",
        _ => "partial",
    };
    let mut values = Values::default();
    let sql = format!(
        "INSERT INTO {log} (batch_id, operation, table_name, records_affected, status, loaded_at, application) \
         VALUES ({}, {}, {}, {}, '{status}', pg_catalog.now(), {}::uuid)",
        values.text(origin.batch_id),
        values.text(header.kind.word()),
        values.text(&table.table),
        table.counts.changes(),
        values.text(origin.application),
        log = origin.own_table("batch_load_log"),
    );
    Statement::with("writing batch_load_log", sql, values)
}

/// Entries of the plan's fragments become `loaded`, or `failed` where a record was left out. Returns
/// how many.
async fn settle_queue(context: &Context<'_>) -> Result<u64> {
    let planned = context.session.count(&count_queue_entries()).await?;
    if planned == 0 {
        return Ok(0);
    }
    let settled = context
        .session
        .execute(&update_queue(&context.origin))
        .await?;
    if settled == planned {
        return Ok(settled);
    }
    Err(Error::blocked(format!(
        "{} of the batch's entries in the validation queue are gone since the plan was made; nothing was written; \
         make a new plan",
        planned.saturating_sub(settled)
    )))
}

const UPDATING: &str = "updating the validation queue";

pub(in crate::pg) fn count_queue_entries() -> Statement {
    let sql = "SELECT pg_catalog.count(DISTINCT id) FROM pg_temp.loader_queue_entries";
    Statement::new(UPDATING, sql)
}

pub(in crate::pg) fn update_queue(origin: &Origin<'_>) -> Statement {
    let mut values = Values::default();
    let states = format!(
        "SELECT e.id, CASE WHEN r.message IS NULL THEN 'loaded' ELSE 'failed' END AS status, \
           CASE WHEN r.message IS NULL THEN pg_catalog.now() END AS loaded_at, \
           r.message AS error_message, {}::uuid AS application \
         FROM (SELECT DISTINCT id, object FROM pg_temp.loader_queue_entries) e \
         LEFT JOIN (SELECT object, pg_catalog.min(message) || CASE WHEN pg_catalog.count(*) > 1 \
             THEN ' and ' || pg_catalog.count(*) - 1 || ' more' ELSE '' END AS message \
           FROM pg_temp.loader_rejected GROUP BY object) r ON r.object = e.object",
        values.text(origin.application)
    );
    let of_batch = format!("q.batch_id = {}", values.text(origin.batch_id));
    set_queue(origin, UPDATING, &states, &of_batch, values)
}

/// Sets the entries that the undone applications set to what stood before.
pub(in crate::pg) fn restore_queue(origin: &Origin<'_>, undoes: &[String]) -> Statement {
    let mut values = Values::default();
    let undone = format!("ANY ({}::uuid[])", values.texts(undoes));
    let states = format!(
        "SELECT DISTINCT ON (a.record_id) a.record_id::bigint AS id, a.old_values ->> 'status' AS status, \
           (a.old_values ->> 'loaded_at')::timestamptz AS loaded_at, a.old_values ->> 'error_message' AS error_message, \
           (a.old_values ->> 'application')::uuid AS application \
         FROM {audit} a WHERE a.application = {undone} AND a.operation = 'QUEUE' \
         ORDER BY a.record_id, a.id",
        audit = origin.own_table("audit_log"),
    );
    // What somebody else set since is theirs.
    let ours = format!(
        "(q.application = {undone} OR n.application IS NOT NULL AND q.application IS NULL)"
    );
    set_queue(
        origin,
        "restoring the validation queue",
        &states,
        &ours,
        values,
    )
}

/// Sets queue entries to the rows of `states` (`id`, `status`, `loaded_at`, `error_message`,
/// `application`) and keeps what stood before in the audit log.
fn set_queue(
    origin: &Origin<'_>,
    doing: &str,
    states: &str,
    only: &str,
    mut values: Values,
) -> Statement {
    let image = "pg_catalog.jsonb_build_object('status', q.status, 'loaded_at', q.loaded_at, \
                 'error_message', q.error_message, 'application', q.application)";
    let sql = format!(
        "WITH n AS MATERIALIZED ({states}), old AS MATERIALIZED (\
           SELECT q.id, n.status AS new_status, n.loaded_at AS new_loaded_at, n.error_message AS new_error, \
             n.application AS new_application, {image} AS before FROM {queue} q JOIN n ON n.id = q.id \
           WHERE {only} FOR NO KEY UPDATE OF q), \
         done AS (UPDATE {queue} q SET status = o.new_status, loaded_at = o.new_loaded_at, \
           error_message = o.new_error, application = o.new_application FROM old o WHERE q.id = o.id \
           RETURNING q.id, o.before, {image} AS after) \
         {insert} SELECT 'validation_queue', 'QUEUE', id::text, before, after, {origin}, NULL FROM done ORDER BY id",
        queue = origin.own_table("validation_queue"),
        insert = origin.insert_audit(),
        origin = origin.columns(&mut values),
    );
    Statement::with(doing, sql, values)
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
    let mut values = Values::default();
    let sql = format!(
        "INSERT INTO {}.batch_load_log (batch_id, operation, table_name, records_affected, status, error_message, loaded_at) \
         VALUES ({}, {}, 'all', 0, 'failed', {}, pg_catalog.now())",
        Ident(schema),
        values.text(batch_id),
        values.text(kind.word()),
        values.text(reason)
    );
    let failed = Statement::with("recording the failure in batch_load_log", sql, values);
    session.run(&failed).await
}
