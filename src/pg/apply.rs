//! Apply: one transaction that does exactly what the plan says, or nothing (DESIGN, Apply protocol).

pub mod drift;
mod effects;
mod record;
pub mod staged;
pub mod write;

pub use record::record_failure;

use std::sync::Arc;

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::pg::apply::staged::Planned;
use crate::pg::apply::write::{Context, Updates, must_be};
use crate::pg::ledger::{self, Application};
use crate::pg::{Backend, Phase, Session, Step, Told};
use crate::plan::{Counts, TargetDatabase};
use crate::planfile::{Executable, PlanFile};
use crate::sql::ident::{Ident, Literal};

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
                    Ok(false) => Committed::No(
                        Error::database("committing: the server rolled the transaction back")
                            .transient(),
                    ),
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
                Err(e) if e.kind() == ErrorKind::Locked => {
                    return Err(e.and(format_args!(
                        ": another apply is running{}; try again when it is done, or wait longer with --lock-timeout",
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
    if e.kind() != ErrorKind::Locked {
        return e;
    }
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
        .map(|who| crate::text::escape(&who))
        .collect();
    if others.is_empty() {
        return e;
    }
    e.and(format_args!(
        ": also at work on the plan's tables: {}; try again when they are done, or wait longer with --lock-timeout",
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
    let mut tables = match staged::tables(session, file).await {
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
        tables = staged::tables(session, file).await?;
    }
    told(Step::Begins("stage", None));
    staged::stage(session, plan, &mut tables, told).await?;
    let application = uuid::Uuid::new_v4().to_string();
    let context = Context {
        session,
        actor: &options.actor,
        batch_id: &file.header.batch_id,
        kind: file.header.kind,
        application: &application,
        plan_hash: &file.hash,
        loader_schema: &options.loader_schema,
        told,
    };
    match write(&context, plan, &tables).await {
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
/// [`PlanRefused`](crate::ErrorKind::PlanRefused) saying what differs.
pub async fn check_target(
    session: &Session,
    target: &TargetDatabase,
    loader_schema: &str,
) -> Result<()> {
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
        Some((what, planned, found)) => Err(Error::plan_refused(format!(
            "the plan was made for another database: its {what} is {planned}, and this one's is {found}; \
             connect to the database that it was made for, or make a plan for this one"
        ))),
    }
}

/// The latest application of this plan, if it is not undone.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database).
pub async fn applied_before(session: &Session, file: &PlanFile) -> Result<Option<Application>> {
    let schema = &file.header.target.loader_schema;
    let all = ledger::applications(session, schema, Some(&file.header.batch_id)).await?;
    let latest = all.into_iter().find(|a| a.plan_hash == file.hash);
    Ok(latest.filter(|a| a.undone_by.is_none()))
}

/// What a rollback takes back must not have been taken back by another.
///
/// # Errors
/// [`PlanRefused`](crate::ErrorKind::PlanRefused) where it was; [`Database`](crate::ErrorKind::Database).
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
                return Err(Error::plan_refused(format!(
                    "the application {id}, which this rollback would take back, was taken back already (by {by})"
                )));
            }
            None => {
                return Err(Error::plan_refused(format!(
                    "the application {id}, which this rollback would take back, is not in the ledger"
                )));
            }
        }
    }
    Ok(())
}

/// Verifies, writes, reads back, and writes audit log, ledger and queue.
async fn write(context: &Context<'_>, plan: &Arc<Executable>, tables: &[Planned]) -> Result<()> {
    let (session, told) = (context.session, context.told);
    let of = tables.len() as u64;
    told(Step::Done(Phase::Locking, 0, of));
    let mut differs = false;
    for (i, planned) in tables.iter().enumerate() {
        told(Step::Begins("lock and compare", Some(&planned.name)));
        differs |= !context.compare_and_lock(planned).await?;
        told(Step::Done(Phase::Locking, i as u64 + 1, of));
    }
    if differs {
        return Err(drifted(session, plan, tables).await?);
    }
    let before = effects::touched(session).await?;
    session
        .run("deferring constraints", "SET CONSTRAINTS ALL DEFERRED")
        .await?;
    let changes = plan.plan().header.summary.changes();
    let mut written = 0;
    let mut wrote = |rows: u64| {
        written += rows;
        told(Step::Done(Phase::Writing, written.min(changes), changes));
    };
    wrote(0);
    context.just_read(true).await?;
    let updated = write_rows(context, tables, &mut wrote).await?;
    context.just_read(false).await?;
    for (planned, updated) in tables.iter().zip(updated) {
        let doing = format!("updating table {}", planned.name);
        must_be(&doing, planned.staged.update, updated)?;
    }
    told(Step::Begins("check constraints", None));
    told(Step::Done(Phase::Verifying, 0, of));
    session
        .run(
            "checking deferred constraints",
            "SET CONSTRAINTS ALL IMMEDIATE",
        )
        .await?;
    effects::check_side_effects(session, tables, &before).await?;
    for (i, planned) in tables.iter().enumerate() {
        told(Step::Begins("read back and audit", Some(&planned.name)));
        context.read_back(planned).await?;
        context.audit_deletes(planned).await?;
        told(Step::Done(Phase::Verifying, i as u64 + 1, of));
    }
    told(Step::Begins("write ledger and queue", None));
    record::record(context, plan.plan()).await
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
    let mut marked = vec![0; tables.len()];
    for (i, child) in tables.iter().enumerate() {
        for (j, parent) in tables.iter().enumerate() {
            if parent.staged.delete > 0 && j >= i {
                marked[i] += context.order(child, parent, Updates::First).await?;
            }
            if parent.staged.insert > 0 && (j >= i || has_deletes) {
                marked[i] += context.order(child, parent, Updates::Last).await?;
            }
        }
    }
    let others = |i: usize| match marked[i] {
        0 => Updates::All,
        _ => Updates::Others,
    };
    let is_marked = |(i, _): &(usize, &Planned)| marked[*i] > 0;
    let mut updated = vec![0; tables.len()];
    if has_deletes {
        for (i, planned) in tables.iter().enumerate().filter(is_marked) {
            let rows = context.update(planned, Updates::First).await?;
            updated[i] += rows;
            wrote(rows);
        }
        for (i, planned) in tables.iter().enumerate().rev() {
            context.delete(planned).await?;
            let rows = context.update(planned, others(i)).await?;
            updated[i] += rows;
            wrote(planned.staged.delete + rows);
        }
    }
    for (i, planned) in tables.iter().enumerate() {
        if !has_deletes {
            updated[i] += context.update(planned, others(i)).await?;
            wrote(updated[i]);
        }
        context.insert(planned).await?;
        wrote(planned.staged.insert);
    }
    for (i, planned) in tables.iter().enumerate().filter(is_marked) {
        let rows = context.update(planned, Updates::Last).await?;
        updated[i] += rows;
        wrote(rows);
    }
    Ok(updated)
}

/// The error that says which rows are not as planned.
async fn drifted(session: &Session, plan: &Arc<Executable>, tables: &[Planned]) -> Result<Error> {
    Ok(match drift::drift(session, plan, tables).await? {
        Some(report) => report.into(),
        // A row was deleted and inserted again while its lock was waited for.
        None => Error::database("rows changed while they were being compared").transient(),
    })
}

/// A write that met a row which appeared meanwhile is drift: the plan's tables are compared again
/// outside the failed transaction.
async fn explain(locked: Locked, plan: &Arc<Executable>, tables: &[Planned], e: Error) -> Error {
    if e.kind() == ErrorKind::Locked {
        let names: Vec<String> = tables.iter().map(|t| t.table.name.to_string()).collect();
        return name_others(&locked.session, &names, e).await;
    }
    if e.code() != Some("23505") {
        return e;
    }
    let session = locked.session;
    let again = async {
        session.run("rolling back", "ROLLBACK").await?;
        let mut tables = staged::tables(&session, plan.plan()).await?;
        staged::stage(&session, plan, &mut tables, &|_| ()).await?;
        drift::drift(&session, plan, &tables).await
    };
    let _ = tables;
    match again.await {
        Ok(Some(report)) => report.into(),
        // One load cannot have done that, but several in turn can.
        _ if plan.plan().header.undoes.len() > 1 => e.and(
            ": between these loads, rows took over values of a unique key from each other; take the loads back one \
             by one with --application, newest first (see `loader history`)",
        ),
        _ => e,
    }
}
