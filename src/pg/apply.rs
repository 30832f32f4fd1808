//! Apply: one transaction that does exactly what the plan says, or nothing (DESIGN, Apply protocol).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::ledger::{self, Application};
use super::planned::{self, Planned};
use super::write::{Context, Updates, must_be};
use super::{Backend, Phase, Phases, Session, Told};
use crate::error::{Error, Result};
use crate::ident::{Ident, Literal};
use crate::plan::{Counts, Kind, LedgerTable, Target};
use crate::planfile::{Executable, PlanFile};

/// What an apply needs to know beside the plan.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who applies.
    pub actor: String,
    /// The schema of the loader's tables.
    pub loader_schema: String,
    /// Everything but the commit.
    pub dry_run: bool,
}

/// What one apply did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The application's id.
    pub application: String,
    /// The plan's hash.
    pub plan_hash: String,
    /// The batch.
    pub batch_id: String,
    /// Rows written, by table in plan order.
    pub tables: Vec<(String, Counts)>,
    /// Violations whose records were left out.
    pub rejected: u64,
}

/// How an attempt came up to its commit.
pub enum Attempt {
    /// Everything is written and checked, and waits for its commit.
    Ready(Box<Prepared>),
    /// The plan was applied before.
    Already(Application),
    /// Everything but the commit was done, and rolled back.
    Rehearsed(Report),
}

/// A transaction that has done everything but its commit. Dropping it rolls back.
pub struct Prepared {
    locked: Locked,
    loader_schema: String,
    /// What it did.
    pub report: Report,
}

/// How a commit ended.
pub enum Committed {
    /// It happened, and the ledger says so.
    Yes,
    /// It did not happen.
    No(Error),
    /// Its answer did not come; the ledger has to be asked.
    Unanswered(Error),
}

impl Prepared {
    /// The server process that commits.
    pub fn backend(&self) -> &Backend {
        &self.locked.session.backend
    }

    /// Commits, and looks into the ledger: the server answers ROLLBACK as readily as COMMIT.
    pub async fn commit(self) -> (Report, Committed) {
        let committed = match self.locked.commit().await {
            Err(e) => Committed::Unanswered(e),
            Ok(session) => {
                match ledger::committed(&session, &self.loader_schema, &self.report.application)
                    .await
                {
                    Ok(true) => Committed::Yes,
                    Ok(false) => Committed::No(Error::Database {
                        message: "committing: the server rolled the transaction back".into(),
                        code: None,
                        transient: true,
                    }),
                    Err(e) => Committed::Unanswered(e),
                }
            }
        };
        (self.report, committed)
    }
}

/// A transaction that holds the plan's lock and the database's. Dropping it rolls back with the
/// connection.
struct Locked {
    session: Session,
}

impl Locked {
    async fn begin(session: Session, plan_hash: &str) -> Result<Locked> {
        let doing = "beginning the transaction";
        session
            .run(
                doing,
                "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; \
                 SELECT pg_catalog.set_config('synchronous_commit', \
                   CASE pg_catalog.current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' \
                   ELSE 'on' END, true)",
            )
            .await?;
        for (what, key) in [
            ("this plan", ledger::plan_lock(plan_hash)),
            ("this database", ledger::DATABASE_LOCK.to_string()),
        ] {
            let sql = format!("SELECT pg_catalog.pg_advisory_xact_lock({key})");
            match session
                .run(&format!("waiting for the loader's lock on {what}"), &sql)
                .await
            {
                Ok(()) => {}
                Err(Error::Locked(message)) => {
                    return Err(Error::Locked(format!(
                        "{message}: another apply is running{}; try again when it is done, or wait longer with --lock-timeout",
                        holder(&session, &key).await
                    )));
                }
                Err(e) => return Err(e),
            }
        }
        Ok(Locked { session })
    }

    /// Commits, as a message of its own.
    async fn commit(self) -> Result<Session> {
        self.session.run("committing", "COMMIT").await?;
        Ok(self.session)
    }
}

/// Who holds an advisory lock, as far as can be seen.
async fn holder(session: &Session, key: &str) -> String {
    let sql = format!(
        "ROLLBACK; SELECT a.pid::text || ', user ' || coalesce(a.usename, '?') || ', since ' || coalesce(a.xact_start::text, '?') \
         FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
         WHERE l.locktype = 'advisory' AND l.granted AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) \
         AND l.classid = (({key})::bigint >> 32)::bit(32)::bigint::oid AND l.objid = (({key})::bigint)::bit(32)::bigint::oid LIMIT 1"
    );
    match session.texts("asking who holds the lock", &sql).await {
        Ok(rows) => rows
            .into_iter()
            .flatten()
            .flatten()
            .next()
            .map(|who| format!(" (process {who})"))
            .unwrap_or_default(),
        Err(_) => String::new(),
    }
}

/// The same error, with who else is at work on the tables. Ends the transaction.
async fn name_others(session: &Session, tables: &[String], e: Error) -> Error {
    let Error::Locked(message) = e else { return e };
    let names: Vec<String> = tables
        .iter()
        .map(|name| Literal(name).to_string())
        .collect();
    let sql = format!(
        "ROLLBACK; SELECT 'process ' || a.pid || ', user ' || coalesce(a.usename, '?') || \
           coalesce(', ' || nullif(a.application_name, ''), '') || coalesce(', since ' || a.xact_start::text, '') \
         FROM pg_catalog.pg_stat_activity a WHERE a.pid <> pg_catalog.pg_backend_pid() AND EXISTS (\
           SELECT FROM pg_catalog.pg_locks l WHERE l.pid = a.pid AND l.granted AND l.locktype = 'relation' \
           AND l.mode <> 'AccessShareLock' AND l.database = (SELECT oid FROM pg_catalog.pg_database \
             WHERE datname = pg_catalog.current_database()) \
           AND coalesce(pg_catalog.pg_partition_root(l.relation), l.relation) IN (\
             SELECT pg_catalog.to_regclass(u.name) FROM pg_catalog.unnest(ARRAY[{}]::pg_catalog.text[]) u(name))) \
         ORDER BY a.xact_start LIMIT 3",
        names.join(", ")
    );
    let others = session.texts("asking who else is at work", &sql).await;
    let others: Vec<String> = others
        .unwrap_or_default()
        .into_iter()
        .flatten()
        .flatten()
        .map(|who| crate::render::escape(&who))
        .collect();
    if others.is_empty() {
        return Error::Locked(message);
    }
    Error::Locked(format!(
        "{message}: also at work on the plan's tables: {}; try again when they are done, or wait longer with --lock-timeout",
        others.join("; ")
    ))
}

/// One attempt to apply the plan in `session`, up to its commit.
///
/// # Errors
/// Every refusal of SPEC §7; with any error nothing was written.
pub async fn attempt(
    session: Session,
    plan: &Arc<Executable>,
    options: &Options,
    told: Told<'_>,
    phases: Phases<'_>,
) -> Result<Attempt> {
    let file = plan.plan();
    session.hide(file.mask());
    check_target(&session, &file.header.target, &options.loader_schema).await?;
    session
        .set_search_path(&file.header.target.search_path)
        .await?;
    let locked = Locked::begin(session, &file.hash).await?;
    let session = &locked.session;
    if let Some(before) = applied_before(session, file).await? {
        return Ok(Attempt::Already(before));
    }
    still_in_effect(session, file).await?;
    let mut names: Vec<String> = Vec::new();
    let mut tables = match planned::tables(session, file).await {
        Ok(tables) => tables,
        Err(e) => {
            let named: Vec<String> = file
                .header
                .tables
                .iter()
                .map(|t| Ident(&t.table).to_string())
                .collect();
            return Err(name_others(session, &named, e).await);
        }
    };
    names.extend(tables.iter().map(|t| t.table.name.to_string()));
    names.sort();
    if !names.is_empty() {
        let sql = format!("LOCK TABLE {} IN ROW EXCLUSIVE MODE", names.join(", "));
        let doing = "locking the plan's tables against changes of their definition";
        if let Err(e) = session.run(doing, &sql).await {
            return Err(name_others(session, &names, e).await);
        }
        // What was read before the lock may have changed until it was there.
        tables = planned::tables(session, file).await?;
    }
    phases("stage", None);
    planned::stage(session, plan, &mut tables, told).await?;
    let application = uuid::Uuid::new_v4().to_string();
    let context = Context {
        session,
        actor: &options.actor,
        batch_id: &file.header.batch_id,
        kind: file.header.kind,
        application: &application,
        plan_hash: &file.hash,
        loader_schema: &options.loader_schema,
        phases,
    };
    match write(&context, plan, &tables, told).await {
        Ok(()) => {}
        Err(e) => return Err(explain(locked, plan, &tables, e).await),
    }
    let report = Report {
        application,
        plan_hash: file.hash.clone(),
        batch_id: file.header.batch_id.clone(),
        tables: file
            .header
            .tables
            .iter()
            .map(|t| (t.table.clone(), t.counts))
            .collect(),
        rejected: file.header.rejected,
    };
    if options.dry_run {
        session
            .run("rolling the rehearsal back", "ROLLBACK")
            .await?;
        return Ok(Attempt::Rehearsed(report));
    }
    Ok(Attempt::Ready(Box::new(Prepared {
        locked,
        loader_schema: options.loader_schema.clone(),
        report,
    })))
}

/// Whether the plan is for this database.
///
/// # Errors
/// [`Error::PlanRefused`] saying what differs.
pub async fn check_target(session: &Session, target: &Target, loader_schema: &str) -> Result<()> {
    let here = session.target(loader_schema).await?;
    let differs = [
        ("database", &target.database, &here.database),
        ("server", &target.identity, &here.identity),
        ("lineage", &target.lineage, &here.lineage),
        (
            "schema of the loader's tables",
            &target.loader_schema,
            &here.loader_schema,
        ),
    ];
    match differs.iter().find(|(_, planned, found)| planned != found) {
        None => Ok(()),
        Some((what, planned, found)) => Err(Error::PlanRefused(format!(
            "the plan was made for another database: its {what} is {planned}, and this one's is {found}; \
             connect to the database that it was made for, or make a plan for this one"
        ))),
    }
}

/// The latest application of this plan, if it is not undone.
///
/// # Errors
/// [`Error::Database`].
pub async fn applied_before(session: &Session, file: &PlanFile) -> Result<Option<Application>> {
    let schema = &file.header.target.loader_schema;
    let all = ledger::applications(session, schema, Some(&file.header.batch_id)).await?;
    let latest = all.into_iter().find(|a| a.plan_hash == file.hash);
    Ok(latest.filter(|a| a.undone_by.is_none()))
}

/// What a rollback takes back must not have been taken back by another.
///
/// # Errors
/// [`Error::PlanRefused`] where it was; [`Error::Database`].
pub async fn still_in_effect(session: &Session, file: &PlanFile) -> Result<()> {
    let header = &file.header;
    if header.undoes.is_empty() {
        return Ok(());
    }
    let schema = &header.target.loader_schema;
    let all = ledger::applications(session, schema, Some(&header.batch_id)).await?;
    for id in &header.undoes {
        match all.iter().find(|a| a.application == *id) {
            Some(Application {
                undone_by: None, ..
            }) => {}
            Some(Application {
                undone_by: Some(by),
                ..
            }) => {
                return Err(Error::PlanRefused(format!(
                    "the application {id}, which this rollback would take back, was taken back already (by {by})"
                )));
            }
            None => {
                return Err(Error::PlanRefused(format!(
                    "the application {id}, which this rollback would take back, is not in the ledger"
                )));
            }
        }
    }
    Ok(())
}

/// Verifies, writes, reads back, and writes audit log, ledger and queue.
async fn write(
    context: &Context<'_>,
    plan: &Arc<Executable>,
    tables: &[Planned],
    told: Told<'_>,
) -> Result<()> {
    let session = context.session;
    let of = tables.len() as u64;
    told(Phase::Locking, 0, of);
    let mut drifted = false;
    for (i, planned) in tables.iter().enumerate() {
        (context.phases)("lock and compare", Some(&planned.name));
        let locked = context.lock(planned).await?;
        drifted |= locked != planned.staged.update + planned.staged.delete;
        drifted |= planned.count_drift(session, "'i', 's', 'p', 'm'").await? > 0;
        told(Phase::Locking, i as u64 + 1, of);
    }
    if drifted {
        return Err(drift(session, plan, tables).await?);
    }
    let before = touched(session).await?;
    session
        .run("deferring constraints", "SET CONSTRAINTS ALL DEFERRED")
        .await?;
    let changes = plan.plan().header.summary.changes();
    let mut written = 0;
    let mut wrote = |rows: u64| {
        written += rows;
        told(Phase::Writing, written.min(changes), changes);
    };
    wrote(0);
    let updated = write_rows(context, tables, &mut wrote).await?;
    for (planned, updated) in tables.iter().zip(updated) {
        let doing = format!("updating table {}", planned.name);
        must_be(&doing, planned.staged.update, updated)?;
    }
    (context.phases)("check constraints", None);
    told(Phase::Verifying, 0, of);
    session
        .run(
            "checking deferred constraints",
            "SET CONSTRAINTS ALL IMMEDIATE",
        )
        .await?;
    check_side_effects(session, tables, &before).await?;
    for (i, planned) in tables.iter().enumerate() {
        (context.phases)("read back and audit", Some(&planned.name));
        context.read_back(planned).await?;
        context.audit_deletes(planned).await?;
        told(Phase::Verifying, i as u64 + 1, of);
    }
    (context.phases)("write ledger and queue", None);
    record(context, plan.plan()).await
}

/// Writes table by table, so that constraints which cannot be deferred hold after each statement:
/// deletes from the last table to the first, each before the table's updates, which may take what
/// the deleted rows held; inserts from the first table to the last, each after the table's updates,
/// which may free what the new rows hold. Updates whose reference that does not suit come before
/// or after all of it. Returns how many rows of each table were updated.
async fn write_rows(
    context: &Context<'_>,
    tables: &[Planned],
    wrote: &mut impl FnMut(u64),
) -> Result<Vec<u64>> {
    let has_deletes = tables.iter().any(|t| t.staged.delete > 0);
    for (i, child) in tables.iter().enumerate() {
        for (j, parent) in tables.iter().enumerate() {
            if parent.staged.delete > 0 && j >= i {
                context.order(child, parent, Updates::First).await?;
            }
            if parent.staged.insert > 0 && (j >= i || has_deletes) {
                context.order(child, parent, Updates::Last).await?;
            }
        }
    }
    let mut updated = vec![0; tables.len()];
    if has_deletes {
        for (i, planned) in tables.iter().enumerate() {
            let rows = context.update(planned, Updates::First).await?;
            updated[i] += rows;
            wrote(rows);
        }
        for (i, planned) in tables.iter().enumerate().rev() {
            context.delete(planned).await?;
            let rows = context.update(planned, Updates::Others).await?;
            updated[i] += rows;
            wrote(planned.staged.delete + rows);
        }
    }
    for (i, planned) in tables.iter().enumerate() {
        if !has_deletes {
            updated[i] += context.update(planned, Updates::Others).await?;
            wrote(updated[i]);
        }
        context.insert(planned).await?;
        wrote(planned.staged.insert);
    }
    for (i, planned) in tables.iter().enumerate() {
        let rows = context.update(planned, Updates::Last).await?;
        updated[i] += rows;
        wrote(rows);
    }
    Ok(updated)
}

/// The error that says which rows are not as planned.
async fn drift(session: &Session, plan: &Arc<Executable>, tables: &[Planned]) -> Result<Error> {
    Ok(match planned::drift(session, plan, tables).await? {
        Some(report) => Error::Drift(Box::new(report)),
        // A row was deleted and inserted again while its lock was waited for.
        None => Error::Database {
            message: "rows changed while they were being compared".into(),
            code: None,
            transient: true,
        },
    })
}

/// A write that met a row which appeared meanwhile is drift: the plan's tables are compared again
/// outside the failed transaction.
async fn explain(locked: Locked, plan: &Arc<Executable>, tables: &[Planned], e: Error) -> Error {
    if matches!(e, Error::Locked(_)) {
        let names: Vec<String> = tables.iter().map(|t| t.table.name.to_string()).collect();
        return name_others(&locked.session, &names, e).await;
    }
    let appeared = matches!(&e, Error::Database { code: Some(code), .. } if code == "23505");
    if !appeared {
        return e;
    }
    let session = locked.session;
    let again = async {
        session.run("rolling back", "ROLLBACK").await?;
        let mut tables = planned::tables(&session, plan.plan()).await?;
        planned::stage(&session, plan, &mut tables, &|_, _, _| ()).await?;
        planned::drift(&session, plan, &tables).await
    };
    let _ = tables;
    match (again.await, e) {
        (Ok(Some(report)), _) => Error::Drift(Box::new(report)),
        // One load cannot have done that, but several in turn can.
        (
            _,
            Error::Database {
                message,
                code,
                transient,
            },
        ) if plan.plan().header.undoes.len() > 1 => Error::Database {
            message: format!(
                "{message}: between these loads, rows took over values of a unique key from each other; \
                     take the loads back one by one with --application, newest first (see `loader history`)"
            ),
            code,
            transient,
        },
        (_, e) => e,
    }
}

type Touched = BTreeMap<String, [i64; 3]>;

/// Rows inserted, updated and deleted so far by this transaction, by table; partitions count for
/// the table they are of.
async fn touched(session: &Session) -> Result<Touched> {
    let sql = "SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname), \
         pg_catalog.sum(s.n_tup_ins), pg_catalog.sum(s.n_tup_upd), pg_catalog.sum(s.n_tup_del) \
         FROM pg_catalog.pg_stat_xact_user_tables s \
         JOIN pg_catalog.pg_class c ON c.oid = coalesce(pg_catalog.pg_partition_root(s.relid), s.relid) \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.oid <> pg_catalog.pg_my_temp_schema() \
         GROUP BY 1 HAVING pg_catalog.sum(s.n_tup_ins + s.n_tup_upd + s.n_tup_del) > 0";
    let rows = session.texts("counting the rows touched", sql).await?;
    let number = |v: &Option<String>| v.as_deref().and_then(|v| v.parse().ok()).unwrap_or(0);
    Ok(rows
        .into_iter()
        .filter_map(|r| Some((r[0].clone()?, [number(&r[1]), number(&r[2]), number(&r[3])])))
        .collect())
}

/// Rows that nobody planned must not be touched.
async fn check_side_effects(session: &Session, tables: &[Planned], before: &Touched) -> Result<()> {
    let sql = |t: &Planned| {
        format!(
            "SELECT pg_catalog.quote_ident({}) || '.' || pg_catalog.quote_ident({})",
            Literal(&t.table.name.schema),
            Literal(&t.table.name.name)
        )
    };
    let mut planned: BTreeMap<String, [i64; 3]> = BTreeMap::new();
    let mut allowed: Vec<&str> = Vec::new();
    for t in tables {
        let name = session.texts("counting the rows touched", &sql(t)).await?;
        let name = name
            .into_iter()
            .flatten()
            .flatten()
            .next()
            .unwrap_or_default();
        let soft = match t.config.soft_delete.column() {
            Some(_) => soft_deletes(session, t).await?,
            None => 0,
        };
        let n = |v: u64| i64::try_from(v).unwrap_or(i64::MAX);
        let sum = planned.entry(name).or_default();
        sum[0] += n(t.staged.insert);
        sum[1] += n(t.staged.update) + soft;
        sum[2] += n(t.staged.delete) - soft;
        allowed.extend(t.config.allow_side_effects.iter().map(String::as_str));
    }
    let after = touched(session).await?;
    for (name, counts) in after {
        let was = before.get(&name).copied().unwrap_or_default();
        let now = [counts[0] - was[0], counts[1] - was[1], counts[2] - was[2]];
        let meant = planned.get(&name).copied().unwrap_or_default();
        // An update that moves a row to another partition counts as a delete and an insert.
        let moved = (now[0] - meant[0]).min(now[2] - meant[2]).max(0);
        if [now[0] - moved, now[1] + moved, now[2] - moved] == meant || now == meant {
            continue;
        }
        let bare = name.rsplit('.').next().unwrap_or(&name).trim_matches('"');
        if allowed.iter().any(|a| *a == name || *a == bare) {
            continue;
        }
        let extra = (0..3).map(|i| (now[i] - meant[i]).abs()).sum::<i64>();
        return Err(Error::Blocked(format!(
            "applying this plan would also change {extra} row{} of table {name} that the plan does not mention \
             (a trigger or a foreign key's ON DELETE or ON UPDATE action): nothing was written; \
             if that is meant, add {bare} to allow_side_effects in tables.yaml and make a new plan",
            if extra == 1 { "" } else { "s" }
        )));
    }
    Ok(())
}

async fn soft_deletes(session: &Session, t: &Planned) -> Result<i64> {
    let sql = format!(
        "SELECT pg_catalog.count(*) FROM {} s WHERE s._a = 'd' AND s._soft",
        t.sql_name()
    );
    session.number("counting the rows touched", &sql).await
}

/// Ledger, `batch_load_log` and queue.
async fn record(context: &Context<'_>, file: &PlanFile) -> Result<()> {
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
        .map_err(|e| Error::Io(format!("writing the ledger: {e}")))?;
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
    Err(Error::Blocked(format!(
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
/// [`Error::Database`].
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
