//! The validation queue's entries of a plan: they must be as the plan saw them, and are set to what
//! became of their records.

use crate::error::Result;
use crate::pg::apply::origin::Origin;
use crate::pg::apply::write::Context;
use crate::pg::own::Own;
use crate::pg::queue::IMAGE;
use crate::pg::{Session, ledger, must_be, queue};
use crate::plan::{Action, DriftColumn, DriftRow, DriftState, Header};
use crate::sql::{Statement, Values};

/// The plan's entries, each once.
const ENTRIES: &str = "(SELECT DISTINCT id, status, expect FROM pg_temp.loader_queue_entries) e";

/// Locks the entries that are as the plan saw them. Returns whether all are, and none came since that refuses the batch.
pub(super) async fn lock(session: &Session, header: &Header) -> Result<bool> {
    let planned = session.count(&count_entries()).await?;
    // Who applies a plan made without the queue need not be able to read it.
    if planned == 0 {
        return Ok(true);
    }
    let schema = &header.target.loader_schema;
    Ok(session.count(&lock_entries(schema)).await? == planned
        && session.rows(&name_drift(header)).await?.is_empty())
}

const DOING: &str = "comparing the validation queue with the plan";

pub(in crate::pg) fn count_entries() -> Statement {
    let sql = format!("SELECT pg_catalog.count(*) FROM {ENTRIES}");
    Statement::new(DOING, sql)
}

/// The condition that entry `q` of the queue is as the plan saw it.
fn as_seen() -> String {
    format!("q.status = e.status AND {} = e.expect", queue::digest("q"))
}

pub(in crate::pg) fn lock_entries(schema: &str) -> Statement {
    let sql = format!(
        "SELECT pg_catalog.count(*) FROM (SELECT q.id FROM {queue} q JOIN {ENTRIES} ON e.id = q.id AND {as_seen} \
         ORDER BY q.id FOR NO KEY UPDATE OF q) l",
        queue = Own::Queue.within(schema),
        as_seen = as_seen(),
    );
    Statement::new(DOING, sql)
}

/// The entries that are not as the plan saw them, and those that came since and refuse the batch.
pub(super) async fn drift(session: &Session, header: &Header) -> Result<Vec<DriftRow>> {
    if session.count(&count_entries()).await? == 0 {
        return Ok(Vec::new());
    }
    let rows = session.rows(&name_drift(header)).await?.into_iter();
    let rows = rows.map(|mut row| {
        let (planned, now) = (row.take(1), row.take(2));
        let state = match (&planned, &now) {
            (None, _) => DriftState::Appeared,
            (_, None) => DriftState::Vanished,
            _ => DriftState::Changed,
        };
        let status = DriftColumn {
            column: "status".into(),
            planned_from: Some(planned.clone()),
            now: now.clone(),
            planned_to: None,
        };
        let differs = state != DriftState::Vanished && planned != now;
        Ok(DriftRow {
            table: Own::Queue.name().into(),
            key: [("id".to_owned(), row.take(0).into())].into(),
            state,
            action: Some(Action::Update),
            columns: differs.then_some(status).into_iter().collect(),
            by: None,
        })
    });
    rows.collect()
}

pub(in crate::pg) fn name_drift(header: &Header) -> Statement {
    let schema = &header.target.loader_schema;
    let mut values = Values::default();
    let of_batch = format!("q.batch_id = {}", values.text(&header.batch_id));
    let (ours, loadable) = queue::loadable(schema, &of_batch);
    let sql = format!(
        "WITH {ours} SELECT e.id::text, e.status, q.status FROM {ENTRIES} \
           LEFT JOIN {queue} q ON q.id = e.id WHERE ({as_seen}) IS NOT TRUE \
         UNION ALL SELECT q.id::text, NULL, coalesce(q.status, 'null') FROM {queue} q WHERE {of_batch} AND {loadable} IS NOT TRUE \
           AND NOT EXISTS (SELECT FROM {ENTRIES} WHERE e.id = q.id) ORDER BY 1",
        queue = Own::Queue.within(schema),
        as_seen = as_seen(),
    );
    Statement::with(DOING, sql, values)
}

/// Sets the entries to what became of their records, or what an undone application set to what stood
/// before. Returns how many.
pub(super) async fn settle(context: &Context<'_>, header: &Header) -> Result<u64> {
    let (session, origin) = (context.session, &context.origin);
    let planned = session.count(&count_entries()).await?;
    let mut settled = 0;
    if planned > 0 {
        let update = update(origin);
        settled = session.execute(&update).await?;
        must_be(update.doing(), planned, settled)?;
    }
    if header.undoes.is_empty() {
        return Ok(settled);
    }
    // This rollback is in the ledger by now.
    let all = ledger::applications(session, origin.loader_schema, None).await?;
    let undone = all.into_iter().filter(|a| a.undone_by.is_some());
    let undone: Vec<String> = undone.map(|a| a.application).collect();
    let undone = (&*header.undoes, &*undone);
    let ours = session.count(&lock_ours(origin, undone)).await?;
    let restore = restore(origin, undone);
    let restored = session.execute(&restore).await?;
    must_be(restore.doing(), ours, restored)?;
    Ok(settled + restored)
}

/// Whether the plan leaves everything as it is, the queue's verdicts too: then there is nothing that
/// anybody could look up or take back.
pub(super) async fn changes_nothing(context: &Context<'_>, header: &Header) -> Result<bool> {
    if header.summary.changes() > 0 || !header.undoes.is_empty() {
        return Ok(false);
    }
    // Who applies a plan made without the queue need not be able to read it.
    let session = context.session;
    if session.count(&count_entries()).await? == 0 {
        return Ok(true);
    }
    Ok(session.count(&count_unsettled(&context.origin)).await? == 0)
}

/// How many entries of the plan's fragments say otherwise than after an apply.
pub(in crate::pg) fn count_unsettled(origin: &Origin<'_>) -> Statement {
    let mut values = Values::default();
    let sql = format!(
        "SELECT pg_catalog.count(*) FROM ({}) n LEFT JOIN {} q ON q.id = n.id \
         WHERE (q.status, q.error_message) IS DISTINCT FROM (n.status, n.error_message)",
        verdicts(origin, &mut values),
        origin.own(Own::Queue)
    );
    Statement::with("looking at the validation queue", sql, values)
}

/// Entries of the plan's fragments become `loaded`, `failed` where a record was left out for what is wrong
/// about it, or `skipped` where all were left out by name.
pub(in crate::pg) fn update(origin: &Origin<'_>) -> Statement {
    let mut values = Values::default();
    let states = verdicts(origin, &mut values);
    let doing = "updating the validation queue";
    set(origin, doing, &states, "true", values)
}

/// What becomes of the entries of the plan's fragments.
fn verdicts(origin: &Origin<'_>, values: &mut Values) -> String {
    format!(
        "SELECT e.id, r.status, CASE r.status WHEN 'loaded' THEN pg_catalog.now() END AS loaded_at, \
           r.message AS error_message, {}::uuid AS application \
         FROM (SELECT DISTINCT id, object, records FROM pg_temp.loader_queue_entries) e, \
         LATERAL (SELECT CASE WHEN pg_catalog.bool_or(r.failed) THEN 'failed' \
             WHEN pg_catalog.count(*) > 0 AND pg_catalog.count(*) = e.records THEN 'skipped' ELSE 'loaded' END AS status, \
             pg_catalog.min(r.message) || CASE WHEN pg_catalog.count(*) > 1 \
             THEN ' and ' || pg_catalog.count(*) - 1 || ' more' ELSE '' END AS message \
           FROM pg_temp.loader_rejected r WHERE r.object = e.object) r",
        values.text(origin.application)
    )
}

/// Sets the entries that the applications set which are undone now to what stood before.
pub(in crate::pg) fn restore(origin: &Origin<'_>, undone: Undone<'_>) -> Statement {
    let mut values = Values::default();
    let states = before(origin, undone, &mut values);
    set(origin, RESTORING, &states, &ours(), values)
}

/// Locks the entries that the undone applications set and nobody since, and counts them.
pub(in crate::pg) fn lock_ours(origin: &Origin<'_>, undone: Undone<'_>) -> Statement {
    let mut values = Values::default();
    let sql = format!(
        "SELECT pg_catalog.count(*) FROM (SELECT FROM {} q JOIN ({}) n ON n.id = q.id WHERE {} \
         FOR NO KEY UPDATE OF q) x",
        origin.own(Own::Queue),
        before(origin, undone, &mut values),
        ours(),
    );
    Statement::with(RESTORING, sql, values)
}

const RESTORING: &str = "restoring the validation queue";

/// The condition that an entry is as the undone applications left it: what somebody else set since is
/// theirs.
fn ours() -> String {
    format!("{IMAGE} = n.left_as")
}

/// The applications that are undone now, and those that are undone already.
type Undone<'a> = (&'a [String], &'a [String]);

/// What stood in the entries before applications set them that are undone `now`, and what these left. What stood
/// before may be what another application left that is undone `already`: then, what stood before that.
fn before(origin: &Origin<'_>, (now, already): Undone<'_>, values: &mut Values) -> String {
    let audit = origin.own(Own::AuditLog);
    let of_undone = format!(
        "FROM {audit} WHERE application = ANY ({now}::uuid[]) AND operation = 'QUEUE' ORDER BY record_id",
        now = values.texts(now),
    );
    format!(
        "WITH RECURSIVE stood (record_id, old_values, id) AS (\
           (SELECT DISTINCT ON (record_id) record_id, old_values, id {of_undone}, id) \
           UNION ALL SELECT a.record_id, a.old_values, a.id FROM stood s JOIN {audit} a \
             ON a.application = (s.old_values ->> 'application')::uuid AND a.record_id = s.record_id AND a.id < s.id \
             AND a.operation = 'QUEUE' AND a.application = ANY ({already}::uuid[])) \
         SELECT f.record_id::bigint AS id, f.old_values ->> 'status' AS status, \
           (f.old_values ->> 'loaded_at')::timestamptz AS loaded_at, f.old_values ->> 'error_message' AS error_message, \
           (f.old_values ->> 'application')::uuid AS application, l.new_values AS left_as \
         FROM (SELECT DISTINCT ON (record_id) record_id, old_values FROM stood ORDER BY record_id, id) f \
         JOIN (SELECT DISTINCT ON (record_id) record_id, new_values {of_undone}, id DESC) l ON l.record_id = f.record_id",
        already = values.texts(already),
    )
}

/// What the audit log keeps of entry `q`.
/// Sets queue entries to the rows of `states` (`id`, `status`, `loaded_at`, `error_message`,
/// `application`) and keeps what stood before in the audit log.
pub(in crate::pg) fn set(
    origin: &Origin<'_>,
    doing: &str,
    states: &str,
    only: &str,
    mut values: Values,
) -> Statement {
    let sql = format!(
        "WITH n AS MATERIALIZED ({states}), old AS MATERIALIZED (\
           SELECT q.id, n.status AS new_status, n.loaded_at AS new_loaded_at, n.error_message AS new_error, \
             n.application AS new_application, {IMAGE} AS before FROM {queue} q JOIN n ON n.id = q.id \
           WHERE {only} FOR NO KEY UPDATE OF q), \
         done AS (UPDATE {queue} q SET status = o.new_status, loaded_at = o.new_loaded_at, \
           error_message = o.new_error, application = o.new_application FROM old o WHERE q.id = o.id \
           RETURNING q.id, o.before, {IMAGE} AS after) \
         {insert} SELECT '{name}', 'QUEUE', id::text, before, after, {origin}, NULL, NULL FROM done ORDER BY id",
        queue = origin.own(Own::Queue),
        name = Own::Queue.name(),
        insert = origin.insert_audit(),
        origin = origin.columns(&mut values),
    );
    Statement::with(doing, sql, values)
}
