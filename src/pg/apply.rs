//! Apply: one transaction that does exactly what the plan says, or nothing.

pub mod drift;
mod effects;
mod everywhere;
mod left_behind;
mod locked;
pub(in crate::pg) mod origin;
mod preconditions;
pub(in crate::pg) mod queued;
mod read_back;
pub(in crate::pg) mod record;
mod references;
mod sequences;
pub mod staged;
#[cfg(test)]
mod statements;
mod undone;
pub mod write;

use std::sync::Arc;

use serde::Serialize;

use crate::error::{Error, ErrorKind, Remedy, Result, sqlstate};
use crate::pg::ledger::Application;
use crate::pg::plan::snapshot::count_rows;
use crate::pg::{Event, OnProgress, Session, near, stamps};
use crate::plan::{Counts, DriftReport, Header, Kind};
use crate::planfile::Executable;
use crate::sql::Statement;
use crate::table::config::Stamp;

use locked::{Locked, lock_tables, name_others};
use origin::Origin;
use preconditions::{TakenBack, covers};
use staged::Staged;
use write::Context;

pub use everywhere::{is_seen_everywhere, unseen};
pub use left_behind::check_referred;
pub use locked::{Committed, Prepared};
pub use preconditions::{
    RolledBack, applied_before, check_target, is_target, not_in_part, still_in_effect,
};
pub use record::record_failure;
pub use undone::{check as check_undone, not_reloaded};

/// What an apply needs to know beside the plan.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who applies.
    pub actor: String,
    /// The schema of the loader's tables.
    pub loader_schema: String,
    /// Everything but the commit.
    pub dry_run: bool,
    /// The rolled back application of the plan that the approval covers too.
    pub again: Option<String>,
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
    /// Records that were left out.
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
    /// No row and no verdict of the queue would change: nothing was written.
    Nothing,
}

/// One attempt to apply the plan in `session`, up to its commit.
///
/// # Errors
/// Those of [`apply`](crate::ops::apply); with any of them nothing was written.
pub async fn attempt(
    session: Session,
    plan: &Arc<Executable>,
    options: &Options,
    on_progress: OnProgress<'_>,
) -> Result<Attempt> {
    let file = plan.plan();
    session.hide(file.mask());
    check_target(&session, &file.header.target, &options.loader_schema).await?;
    session.may_write()?;
    session
        .set_search_path(&file.header.target.search_path)
        .await?;
    let in_shards = file.header.is_in_shards();
    if in_shards {
        everywhere::settle_others(&session).await?;
    }
    let locked = Locked::begin(session, &file.hash).await?;
    let session = &locked.session;
    let planned = file.header.tables.iter();
    let names: Vec<String> = planned.map(|t| t.relation.to_string()).collect();
    let named = (names.as_slice(), options.loader_schema.as_str());
    let before = match applied_before(session, file).await {
        Ok(before) => before,
        Err(e) => return Err(name_others(session, named, e).await),
    };
    not_in_part(before.as_ref())?;
    match before {
        // Others may have taken its rows away: whoever names it means that, and its rows are compared as ever.
        Some(before)
            if before.in_effect()
                && options.again.as_ref() != Some(&before.application.application) =>
        {
            return Ok(Attempt::Already(before.application));
        }
        before if !options.dry_run => covers(options.again.as_deref(), before.as_ref())?,
        _ => {}
    }
    let taken_back = still_in_effect(session, file).await?;
    let tables = match staged::tables(session, file).await {
        Ok(tables) => tables,
        Err(e) => return Err(name_others(session, named, e).await),
    };
    for lock in lock_tables(&file.header, &tables) {
        if let Err(e) = session.run(&lock).await {
            return Err(name_others(session, named, e).await);
        }
    }
    if in_shards {
        everywhere::await_others(session).await?;
    }
    // What was read before the locks may have changed until they were there.
    let mut tables = staged::tables(session, file).await?;
    left_behind::find(session, file, &options.loader_schema, &mut tables).await?;
    on_progress(Event::phase("stage"));
    staged::stage(session, plan, &mut tables, on_progress).await?;
    // What a rollback restores was numbered by the sequence, or it was moved behind it then.
    let numbers: &[Staged] = match file.header.kind {
        Kind::Load => &tables,
        Kind::Rollback => &[],
    };
    sequences::check(session, numbers).await?;
    let application = uuid::Uuid::new_v4().to_string();
    let context = Context {
        session,
        origin: Origin {
            actor: &options.actor,
            batch_id: &file.header.batch_id,
            application: &application,
            plan_hash: &file.hash,
            loader_schema: &options.loader_schema,
        },
        on_progress,
    };
    match write(&context, plan, (&tables, numbers), &taken_back).await {
        Ok(Wrote::Everything) => {}
        Ok(Wrote::Nothing) => {
            let end = Statement::new("ending the transaction", "ROLLBACK");
            session.run(&end).await?;
            return Ok(Attempt::Nothing);
        }
        Err(e) => {
            let schema = &options.loader_schema;
            return Err(explain(locked, plan, (&tables, schema), e).await);
        }
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
            .run(&Statement::new("rolling the rehearsal back", "ROLLBACK"))
            .await?;
        return Ok(Attempt::Rehearsed(report));
    }
    sequences::advance(session, numbers).await?;
    Ok(Attempt::Ready(Box::new(Prepared {
        locked,
        loader_schema: options.loader_schema.clone(),
        in_shards,
        report,
    })))
}

/// That a limit which is a part of a table's rows holds for the rows that it has now.
///
/// # Errors
/// [`PlanRefused`](crate::ErrorKind::PlanRefused) where it does not.
pub async fn check_limits(session: &Session, header: &Header) -> Result<()> {
    let limited = header.tables.iter();
    for planned in limited.filter(|t| t.config.limits.needs_rows()) {
        let rows = session.count(&count_rows(&planned.relation)).await?;
        if let Some(exceeded) = planned.exceeded_of(header.kind, rows).next() {
            return Err(Error::plan_refused(format!(
                "{}: {exceeded}; when the plan was made, the table had {} rows; make a new plan",
                crate::text::escape(&planned.table),
                planned.rows.unwrap_or_default()
            )));
        }
    }
    Ok(())
}

/// What an attempt wrote.
enum Wrote {
    /// All that the plan says.
    Everything,
    /// Nothing, for there is nothing to write.
    Nothing,
}

/// Verifies, writes, reads back, and writes audit log, ledger and queue.
async fn write(
    context: &Context<'_>,
    plan: &Arc<Executable>,
    (tables, numbers): (&[Staged], &[Staged]),
    taken_back: &TakenBack,
) -> Result<Wrote> {
    let (session, on_progress) = (context.session, context.on_progress);
    let header = &plan.plan().header;
    check_undone(
        session,
        context.origin.loader_schema,
        header,
        tables,
        taken_back,
    )
    .await?;
    let of = tables.len() as u64;
    on_progress(Event::Locking { tables: 0, of });
    let mut differs = !queued::lock(session, header).await?;
    for (tables, staged) in (1..).zip(tables) {
        on_progress(Event::phase_of("lock and compare", &staged.target.name));
        differs |= !context.compare_and_lock(staged).await?;
        on_progress(Event::Locking { tables, of });
    }
    if differs {
        return Err(drifted(session, plan, tables).await?);
    }
    not_reloaded(session, context.origin.loader_schema, tables, taken_back).await?;
    check_limits(session, header).await?;
    if queued::changes_nothing(context, header).await? {
        return Ok(Wrote::Nothing);
    }
    for staged in tables
        .iter()
        .filter(|t| t.rows.insert + t.rows.update + t.rows.mark > 0)
    {
        // A rollback sets none: it puts back what stood there.
        let stamps = staged
            .stamps
            .iter()
            .map(|(name, stamp)| (name.as_str(), *stamp));
        let actor = (Stamp::Actor, context.origin.actor);
        stamps::hold(session, &staged.target, stamps, actor).await?;
    }
    references::hold(session, tables).await?;
    references::check(session, plan, tables).await?;
    sequences::make_way(session, numbers).await?;
    references::number(session, tables).await?;
    effects::cascades::check(session, tables).await?;
    let before = effects::before(session, tables).await?;
    let defer = Statement::new("deferring constraints", "SET CONSTRAINTS ALL DEFERRED");
    session.run(&defer).await?;
    let changes = header.summary.changes();
    let mut written = 0;
    let mut wrote = |rows: u64| {
        written += rows;
        on_progress(Event::Writing {
            changes: written.min(changes),
            of: changes,
        });
    };
    wrote(0);
    let writes = async {
        let work = context.put_in_order(tables).await?;
        let in_shards = header.is_in_shards();
        if !in_shards {
            session.write_as_anybody().await?;
        }
        context.write(work, &mut wrote).await?;
        on_progress(Event::phase("check constraints"));
        on_progress(Event::Verifying { tables: 0, of });
        let doing = "checking deferred constraints";
        let check = Statement::new(doing, "SET CONSTRAINTS ALL IMMEDIATE");
        session.run(&check).await?;
        context.settle(tables).await?;
        if !in_shards {
            session.write_no_more().await?;
        }
        let targets = || tables.iter().map(|staged| &staged.target);
        near::forget(session, targets()).await?;
        references::check_again(session, plan, tables).await?;
        left_behind::check(session, tables).await?;
        for (tables, staged) in (1..).zip(tables) {
            on_progress(Event::phase_of("read back and audit", &staged.target.name));
            context.read_back(staged).await?;
            context.audit_deletes(staged).await?;
            on_progress(Event::Verifying { tables, of });
        }
        Ok(())
    };
    context.assume_cached(writes).await?;
    on_progress(Event::phase("write ledger and queue"));
    record::record(context, header, tables).await?;
    undone::is_restored(context, tables, taken_back).await?;
    let queue = queued::settle(context, header).await?;
    // Last of all: triggers on the loader's own tables have run too.
    effects::check_side_effects(context, tables, queue, &before).await?;
    if effects::is_followed(context).await? {
        for staged in tables {
            context.read_again(staged).await?;
        }
    }
    let origin = &context.origin;
    if crate::pg::ledger::committed(session, origin.loader_schema, origin.application).await? {
        return Ok(Wrote::Everything);
    }
    Err(Error::blocked(format!(
        "the entry that was just written to the ledger {}.loader_ledger is not there: a trigger of that table changes \
         or deletes it; nothing was written; drop the trigger",
        origin.loader_schema
    )))
}

/// The error that says which rows are not as planned.
async fn drifted(session: &Session, plan: &Arc<Executable>, tables: &[Staged]) -> Result<Error> {
    Ok(match drift::drift(session, plan, tables).await? {
        Some(report) => report.into(),
        // A row was deleted and inserted again while its lock was waited for.
        None => Error::database("rows changed while they were being compared").transient(),
    })
}

/// A write that met a row which appeared meanwhile is drift: the plan's tables are compared again
/// outside the failed transaction.
async fn explain(
    locked: Locked,
    plan: &Arc<Executable>,
    (tables, schema): (&[Staged], &str),
    e: Error,
) -> Error {
    if e.kind() == ErrorKind::Locked {
        let names: Vec<String> = tables
            .iter()
            .map(|t| t.target.table.name.to_string())
            .collect();
        return name_others(&locked.session, (&names, schema), e).await;
    }
    let session = locked.session;
    let header = &plan.plan().header;
    // The plan's rows referred to rows that were there, and others were not.
    if e.code() == Some(sqlstate::FOREIGN_KEY_VIOLATION) && header.kind == Kind::Load {
        if tables.iter().any(|t| !t.target.lookups.is_empty())
            && let Ok(Some(report)) = drift_again(&session, plan, schema).await
        {
            return report.into();
        }
        let mut targets = tables.iter().map(|t| &t.target);
        if let Some(advice) = targets.find_map(|t| stamps::refers_to_nobody(t, &e)) {
            return e.with_kind(ErrorKind::Config).and(advice);
        }
        return e.with_kind(ErrorKind::Drift).and(
            ": a row to which the plan's rows refer is gone since the plan was made, or a row has come that refers to one \
             which it deletes; nothing was written; make a new plan and have it reviewed",
        );
    }
    if e.code() == Some(sqlstate::FOREIGN_KEY_VIOLATION) {
        if let Some(came) = referred_again(&session, plan, schema).await {
            return came;
        }
        return e.with_kind(ErrorKind::Blocked).and(
            ": a row that is put back refers to one that is not there, or others refer to a row that would go or to a value that would change; nothing was \
             written; roll back those rows too, or settle with whoever has changed them",
        );
    }
    let rolls_back = header.kind == Kind::Rollback;
    if matches!(
        e.code(),
        Some(sqlstate::NOT_NULL_VIOLATION | sqlstate::CHECK_VIOLATION)
    ) {
        if !rolls_back {
            return e.with_kind(ErrorKind::Blocked).and(
                ": when the plan was made nothing stood against it: that rule has come since (or a partition has gone), or it \
                 looks at more than its row, or a trigger set something; nothing was written; make a new plan, and where that \
                 ends in the same way, mend the records or the rule",
            );
        }
        return e.with_kind(ErrorKind::Blocked).and(
            ": what a row held before is not allowed any more, as a constraint or NOT NULL has come since or was never asked of \
             the rows that were there (NOT VALID); nothing was written; have it dropped until the row is mended, or take back \
             only other rows (--table, --key)",
        );
    }
    if !matches!(
        e.code(),
        Some(sqlstate::UNIQUE_VIOLATION | sqlstate::EXCLUSION_VIOLATION)
    ) {
        return e;
    }
    let marks = tables.iter().any(|t| t.rows.mark > 0);
    match drift_again(&session, plan, schema).await {
        Ok(Some(report)) => report.into(),
        // One load cannot have done that, but several in turn can.
        _ if header.taken_back().len() > 1 => e
            .with_kind(ErrorKind::Blocked)
            .and(": between these loads, rows took over values of a unique key from each other")
            .with_remedy(Remedy::OneByOne),
        _ if marks && rolls_back => e.with_kind(ErrorKind::Blocked).and(
            ": rows that are only marked as deleted (soft_delete) keep what must be unique; a unique index of the rows that \
             are not marked would allow this",
        ),
        _ if rolls_back => e.with_kind(ErrorKind::Blocked).and(
            ": a row has a value that must be unique, and that a row which is put back had before; nothing was written; where \
             that row is not taken back, take it back, too, or have it give the value up; where it is, it gives the value up \
             only behind this one: have the key deferrable until then (UNIQUE (…) DEFERRABLE)",
        ),
        // A trigger may have given the value.
        _ if header.kind == Kind::Load
            && tables.iter().all(|t| t.target.table.triggers.is_empty()) =>
        {
            let numbers = |t: &Staged| t.target.table.columns.iter().any(|c| c.sequence.is_some());
            e.with_kind(ErrorKind::Drift).and(if tables.iter().any(numbers) {
                ": another row has taken a value that must be unique, since the plan was made, or a sequence that numbers new \
                 rows is behind the numbers that are there; nothing was written; move such a sequence forward (setval), or \
                 make a new plan and have it reviewed"
            } else {
                ": another row has taken a value that must be unique, since the plan was made; nothing was written; make a \
                 new plan and have it reviewed"
            })
        }
        _ => e,
    }
}

/// Stages a plan, with all that is asked about its tables.
///
/// # Errors
/// [`PlanRefused`](crate::ErrorKind::PlanRefused), [`Database`](crate::ErrorKind::Database).
pub async fn stage_all(
    session: &Session,
    plan: &Arc<Executable>,
    loader_schema: &str,
    on_progress: OnProgress<'_>,
) -> Result<Vec<Staged>> {
    let mut tables = staged::tables(session, plan.plan()).await?;
    left_behind::find(session, plan.plan(), loader_schema, &mut tables).await?;
    staged::stage(session, plan, &mut tables, on_progress).await?;
    Ok(tables)
}

/// What `check` would say of rows that refer to those which the plan deletes, outside the transaction that failed.
async fn referred_again(session: &Session, plan: &Arc<Executable>, schema: &str) -> Option<Error> {
    let tables = stage_again(session, plan, schema).await.ok()?;
    let referred = check_referred(session, &tables).await;
    referred.err().filter(|e| e.kind() == ErrorKind::Drift)
}

/// What is no longer as the plan says, outside the transaction that failed.
async fn drift_again(
    session: &Session,
    plan: &Arc<Executable>,
    schema: &str,
) -> Result<Option<DriftReport>> {
    let tables = stage_again(session, plan, schema).await?;
    drift::drift(session, plan, &tables).await
}

/// Ends the transaction that failed, and stages the plan anew.
async fn stage_again(
    session: &Session,
    plan: &Arc<Executable>,
    schema: &str,
) -> Result<Vec<Staged>> {
    let end = Statement::new("rolling back", "ROLLBACK");
    session.run(&end).await?;
    stage_all(session, plan, schema, &|_| ()).await
}
