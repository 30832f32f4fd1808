//! What an apply leaves beside the rows: ledger, `batch_load_log`, and the validation queue.

use crate::error::{Error, Result};
use crate::pg::Session;
use crate::pg::apply::write::Context;
use crate::plan::{Kind, LedgerTable};
use crate::planfile::PlanFile;
use crate::sql::ident::{Ident, Literal};

/// Ledger, `batch_load_log` and queue.
pub(super) async fn record(context: &Context<'_>, file: &PlanFile) -> Result<()> {
    let session = context.session;
    let header = &file.header;
    let schema = Ident(context.loader_schema);
    let (application, batch) = (Literal(context.application), Literal(context.batch_id));
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
    let undoes: Vec<String> = header
        .undoes
        .iter()
        .map(|u| Literal(u).to_string())
        .collect();
    let sql = format!(
        "INSERT INTO {schema}.loader_ledger (application, plan_hash, kind, batch_id, actor, applied_at, undoes, tables, records, rejected) \
         VALUES ({application}::uuid, {}, {}, {batch}, {}, pg_catalog.now(), ARRAY[{}]::uuid[], {}::jsonb, {}, {})",
        Literal(&file.hash),
        Literal(context.kind.word()),
        Literal(context.actor),
        undoes.join(", "),
        Literal(&tables),
        header.records,
        header.rejected
    );
    session.run("writing the ledger", &sql).await?;
    let status = if header.rejected > 0 {
        "partial"
    } else {
        "success"
    };
    for table in &header.tables {
        let sql = format!(
            "INSERT INTO {schema}.batch_load_log (batch_id, operation, table_name, records_affected, status, loaded_at, application) \
             VALUES ({batch}, {}, {}, {}, '{status}', pg_catalog.now(), {application}::uuid)",
            Literal(context.kind.word()),
            Literal(&table.table),
            table.counts.changes()
        );
        session.run("writing batch_load_log", &sql).await?;
    }
    match context.kind {
        Kind::Load => queue_loaded(context).await,
        Kind::Rollback => queue_restored(context, header.undoes.as_slice()).await,
    }
}

/// Entries of the plan's fragments become `loaded`, or `failed` where a record was left out.
async fn queue_loaded(context: &Context<'_>) -> Result<()> {
    let doing = "updating the validation queue";
    let entries = "SELECT pg_catalog.count(DISTINCT id) FROM pg_temp.loader_queue_entries";
    let planned = u64::try_from(context.session.number(doing, entries).await?).unwrap_or_default();
    if planned == 0 {
        return Ok(());
    }
    let (application, batch) = (Literal(context.application), Literal(context.batch_id));
    let states = format!(
        "SELECT e.id, CASE WHEN r.message IS NULL THEN 'loaded' ELSE 'failed' END AS status, \
           CASE WHEN r.message IS NULL THEN pg_catalog.now() END AS loaded_at, \
           r.message AS error_message, {application}::uuid AS application \
         FROM (SELECT DISTINCT id, object FROM pg_temp.loader_queue_entries) e \
         LEFT JOIN (SELECT object, pg_catalog.min(message) || CASE WHEN pg_catalog.count(*) > 1 \
             THEN ' and ' || pg_catalog.count(*) - 1 || ' more' ELSE '' END AS message \
           FROM pg_temp.loader_rejected GROUP BY object) r ON r.object = e.object",
    );
    let changed = set_queue(context, doing, &states, &format!("q.batch_id = {batch}")).await?;
    if changed == planned {
        return Ok(());
    }
    Err(Error::blocked(format!(
        "{} of the batch's entries in the validation queue are gone since the plan was made; nothing was written; \
         make a new plan",
        planned.saturating_sub(changed)
    )))
}

/// Entries that the undone applications set are again as they were before.
async fn queue_restored(context: &Context<'_>, undoes: &[String]) -> Result<()> {
    let ids: Vec<String> = undoes.iter().map(|u| Literal(u).to_string()).collect();
    let ids = format!("ARRAY[{}]::uuid[]", ids.join(", "));
    let states = format!(
        "SELECT DISTINCT ON (a.record_id) a.record_id::bigint AS id, a.old_values ->> 'status' AS status, \
           (a.old_values ->> 'loaded_at')::timestamptz AS loaded_at, a.old_values ->> 'error_message' AS error_message, \
           (a.old_values ->> 'application')::uuid AS application \
         FROM {}.audit_log a WHERE a.application = ANY ({ids}) AND a.operation = 'QUEUE' \
         ORDER BY a.record_id, a.id",
        Ident(context.loader_schema),
    );
    // What somebody else set since is theirs.
    let ours = format!(
        "(q.application = ANY ({ids}) OR n.application IS NOT NULL AND q.application IS NULL)"
    );
    set_queue(context, "restoring the validation queue", &states, &ours)
        .await
        .map(drop)
}

/// Sets queue entries to the rows of `states` (`id`, `status`, `loaded_at`, `error_message`,
/// `application`) and keeps what stood before in the audit log.
async fn set_queue(context: &Context<'_>, doing: &str, states: &str, only: &str) -> Result<u64> {
    let image = |alias: &str| {
        format!(
            "pg_catalog.jsonb_build_object('status', {alias}.status, 'loaded_at', {alias}.loaded_at, \
             'error_message', {alias}.error_message, 'application', {alias}.application)"
        )
    };
    let sql = format!(
        "WITH n AS MATERIALIZED ({states}), old AS MATERIALIZED (\
           SELECT q.id, n.status AS new_status, n.loaded_at AS new_loaded_at, n.error_message AS new_error, \
             n.application AS new_application, {} AS before FROM {schema}.validation_queue q JOIN n ON n.id = q.id \
           WHERE {only} FOR NO KEY UPDATE OF q), \
         done AS (UPDATE {schema}.validation_queue q SET status = o.new_status, loaded_at = o.new_loaded_at, \
           error_message = o.new_error, application = o.new_application FROM old o WHERE q.id = o.id \
           RETURNING q.id, o.before, {} AS after) \
         INSERT INTO {schema}.audit_log (table_name, operation, record_id, old_values, new_values, batch_id, \
           changed_by, changed_at, application, plan_hash) \
         SELECT 'validation_queue', 'QUEUE', id::text, before, after, {}, {}, pg_catalog.now(), {}::uuid, {} \
         FROM done ORDER BY id",
        image("q"),
        image("q"),
        Literal(context.batch_id),
        Literal(context.actor),
        Literal(context.application),
        Literal(context.plan_hash),
        schema = Ident(context.loader_schema),
    );
    context.session.execute(doing, &sql).await
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
    let sql = format!(
        "INSERT INTO {}.batch_load_log (batch_id, operation, table_name, records_affected, status, error_message, loaded_at) \
         VALUES ({}, {}, 'all', 0, 'failed', {}, pg_catalog.now())",
        Ident(schema),
        Literal(batch_id),
        Literal(kind.word()),
        Literal(reason)
    );
    session
        .run("recording the failure in batch_load_log", &sql)
        .await
}
