//! Applying: attempts until it is known what happened.

use std::sync::Arc;

use super::retry::{backoff, pause, retry};
use super::{Event, OnProgress};
use crate::error::{Error, ErrorKind, Remedy, Result, sqlstate};
use crate::pg::apply::{self, Attempt, Committed, Options, Report, drift, staged};
use crate::pg::ledger::{self, Application, Latest};
use crate::pg::{Backend, Database, Session, Timeouts};
use crate::plan::DriftReport;
use crate::planfile::Executable;

/// What is to be applied, and how.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ApplyRequest {
    /// The database.
    pub database: Database,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// The schema of the loader's tables.
    pub loader_schema: String,
    /// Who applies.
    pub actor: String,
    /// Everything but the commit.
    pub dry_run: bool,
    /// The application of this plan that was rolled back, where the approval covers that it is applied
    /// again; without it such a plan is refused.
    pub again: Option<String>,
    /// How often to repeat after a transient failure.
    pub max_retries: u32,
    /// The most records that a plan may have been made from.
    pub max_records: u64,
}

/// How an apply ended well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// Everything was written.
    Done(Report),
    /// It had been written before; nothing was done.
    Already(Application),
    /// Everything was tried and rolled back.
    Rehearsed(Report),
    /// Everything was written on this server, and the standbys that the server has to wait for did not
    /// confirm it.
    Unreplicated(Report),
    /// There was nothing to write: no row and no verdict of the queue would change.
    Nothing,
}

impl ApplyRequest {
    /// An apply as the command line does it where nothing else is said: for good, and tried three
    /// times more after a failure that may pass.
    pub fn new(database: Database, actor: impl Into<String>) -> ApplyRequest {
        ApplyRequest {
            database,
            timeouts: Timeouts::default(),
            loader_schema: "public".into(),
            actor: actor.into(),
            dry_run: false,
            again: None,
            max_retries: 3,
            max_records: 10_000,
        }
    }

    fn options(&self) -> Options {
        Options {
            actor: self.actor.clone(),
            loader_schema: self.loader_schema.clone(),
            dry_run: self.dry_run,
            again: self.again.clone(),
        }
    }
}

/// Applies the plan: exactly, or not at all. When `stop` is done before the commit, it rolls back.
///
/// # Errors
/// [`Drift`](crate::ErrorKind::Drift), [`Blocked`](crate::ErrorKind::Blocked), [`PlanRefused`](crate::ErrorKind::PlanRefused),
/// [`NotApproved`](crate::ErrorKind::NotApproved), [`Locked`](crate::ErrorKind::Locked),
/// [`Interrupted`](crate::ErrorKind::Interrupted), [`Database`](crate::ErrorKind::Database): nothing was written;
/// [`Unknown`](crate::ErrorKind::Unknown): it cannot be known yet.
pub async fn apply(
    plan: &Arc<Executable>,
    request: &ApplyRequest,
    stop: impl Future<Output = ()>,
    events: OnProgress<'_>,
) -> Result<Applied> {
    let header = &plan.plan().header;
    if header.records > request.max_records {
        return Err(Error::blocked(format!(
            "the plan was made from {} records, and at most {} are allowed",
            header.records, request.max_records
        ))
        .with_remedy(Remedy::MoreRecords));
    }
    let mut tries = 0;
    let mut stop = std::pin::pin!(stop);
    let stopped = || {
        Error::new(
            ErrorKind::Interrupted,
            "stopped by a signal before the commit: rolled back",
        )
    };
    let error = loop {
        // Until the commit is sent a signal may stop it; after that only the answer counts.
        let ended = tokio::select! {
            biased;
            () = &mut stop => break stopped(),
            ended = attempt(plan, request, events) => ended,
        };
        let error = match ended {
            Ok(Attempt::Already(before)) => return Ok(Applied::Already(before)),
            Ok(Attempt::Rehearsed(report)) => return Ok(Applied::Rehearsed(report)),
            Ok(Attempt::Nothing) => return Ok(Applied::Nothing),
            Ok(Attempt::Ready(prepared)) => {
                let backend = prepared.backend().clone();
                events(Event::phase("commit"));
                events(Event::Committing);
                let (report, mut committed) = prepared.commit().await;
                if let Committed::Unanswered(e) = committed {
                    committed = resolve(plan, request, &report, &backend, e).await;
                }
                match committed {
                    Committed::Yes => return Ok(Applied::Done(report)),
                    Committed::Unreplicated => return Ok(Applied::Unreplicated(report)),
                    Committed::Unseen => return Err(apply::unseen()),
                    Committed::No(e) => e,
                    Committed::Unanswered(e) => return Err(e),
                }
            }
            Err(e) => e,
        };
        if !error.is_transient() || tries >= request.max_retries {
            break error;
        }
        tries += 1;
        tokio::select! {
            biased;
            () = &mut stop => break stopped(),
            () = pause(tries, &error, events) => {}
        }
    };
    let error = if error.code() == Some(sqlstate::DEADLOCK_DETECTED) {
        // It outlasted the retries: somebody else holds what is needed.
        error.with_kind(ErrorKind::Locked)
    } else {
        error
    };
    let error = error.not_applied(tries + 1);
    // What was not approved was not tried.
    if !request.dry_run && error.kind() != ErrorKind::NotApproved {
        leave_failure(plan, request, &error).await;
    }
    Err(error)
}

/// One attempt up to its commit. The server bounds each statement; here all of them are, and a
/// server that does not answer at all. Whatever is given up here has not been committed.
async fn attempt(
    plan: &Arc<Executable>,
    request: &ApplyRequest,
    events: OnProgress<'_>,
) -> Result<Attempt> {
    events(Event::phase("connect"));
    let attempt = async {
        let session = Session::open(&request.database, request.timeouts).await?;
        apply::attempt(session, plan, &request.options(), events).await
    };
    match tokio::time::timeout(request.timeouts.patience(), attempt).await {
        Ok(ended) => ended,
        Err(_) => Err(Error::locked(format!(
            "not done within {} s: given up and rolled back",
            request.timeouts.transaction.as_secs()
        ))
        .with_remedy(Remedy::MoreTime)),
    }
}

/// What became of a commit that was not answered, but by the error `e`; still unanswered where no server can be asked,
/// with what to do. Tries three times more than an apply does.
async fn resolve(
    plan: &Arc<Executable>,
    request: &ApplyRequest,
    report: &Report,
    backend: &Backend,
    e: Error,
) -> Committed {
    let mut tries = 0;
    let ended = loop {
        tries += 1;
        let answer = ask(plan, request, report, backend).await;
        if answer.is_ok() || tries >= request.max_retries.saturating_add(3) {
            break answer;
        }
        tokio::time::sleep(backoff(tries)).await;
    };
    match ended {
        Ok(Some(committed)) => committed,
        Ok(None) => Committed::No(e),
        Err(why) => {
            let e = e.with_kind(ErrorKind::Unknown).and(format_args!(
                "; the commit had been sent, and whether it happened cannot be asked ({why:#}): not known yet"
            ));
            Committed::Unanswered(e.with_remedy(Remedy::CheckLater))
        }
    }
}

/// How a commit that was not answered went; `None` where it did not happen. The plan's lock is taken first: whoever holds it has ended then, one way or the other. Where
/// the server process that was to commit does not end by itself, it is told to.
async fn ask(
    plan: &Arc<Executable>,
    request: &ApplyRequest,
    report: &Report,
    backend: &Backend,
) -> Result<Option<Committed>> {
    let session = Session::open(&request.database, request.timeouts).await?;
    let schema = &request.loader_schema;
    apply::check_target(&session, &plan.plan().header.target, schema).await?;
    let doing = "waiting for the lost attempt to end";
    let wait = || ledger::wait_for_end(&session, doing, &report.plan_hash);
    let waits = session.waits_for_standby(backend).await?;
    if waits {
        session.terminate(backend).await?;
    }
    match wait().await {
        Err(e) if e.kind() == ErrorKind::Locked => {
            session.terminate(backend).await?;
            wait().await?;
        }
        other => other?,
    }
    let committed = ledger::committed(&session, schema, &report.application).await?;
    if !committed {
        return Ok(None);
    }
    // Its process may have ended while it waited.
    if waits || !session.is_confirmed().await {
        return Ok(Some(Committed::Unreplicated));
    }
    let in_shards = plan.plan().header.is_in_shards();
    Ok(Some(
        match apply::is_seen_everywhere(&session, backend, in_shards).await? {
            true => Committed::Yes,
            false => Committed::Unseen,
        },
    ))
}

/// Leaves the reason in `batch_load_log`; if that fails too, the error itself is still told.
async fn leave_failure(plan: &Arc<Executable>, request: &ApplyRequest, error: &Error) {
    let header = &plan.plan().header;
    let Ok(session) = Session::open(&request.database, request.timeouts).await else {
        return;
    };
    let schema = &request.loader_schema;
    let target = apply::check_target(&session, &header.target, schema);
    if target.await.is_err() || session.may_write().is_err() {
        return; // nothing is written to another database, nor to one that is frozen
    }
    let _ = apply::record_failure(
        &session,
        schema,
        header.kind,
        &header.batch_id,
        &format!("{error:#}"),
    )
    .await;
}

/// The latest application of the plan in the database that it was made for, undone or not. Reads only.
///
/// # Errors
/// [`PlanRefused`](crate::ErrorKind::PlanRefused) where it was made for another database; as
/// [`super::history`].
pub async fn applied_before(plan: &Executable, request: &ApplyRequest) -> Result<Option<Latest>> {
    let file = plan.plan();
    retry(request.max_retries, &|_| (), async || {
        let session = Session::open(&request.database, request.timeouts).await?;
        apply::check_target(&session, &file.header.target, &request.loader_schema).await?;
        apply::applied_before(&session, file).await
    })
    .await
}

/// What `check` found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checked {
    /// It would apply now.
    Applicable,
    /// It is applied.
    Applied(Box<Latest>),
    /// It would apply now with a new approval: it was applied before and rolled back.
    RolledBack(Box<Latest>),
    /// It would be refused: the database is not what it was made from.
    Drifted(DriftReport),
}

/// Whether the plan would apply now. Reads only.
///
/// # Errors
/// [`PlanRefused`](crate::ErrorKind::PlanRefused), [`Locked`](crate::ErrorKind::Locked) while an apply of this plan is running, [`Database`](crate::ErrorKind::Database).
pub async fn check(
    plan: &Arc<Executable>,
    request: &ApplyRequest,
    events: OnProgress<'_>,
) -> Result<Checked> {
    retry(request.max_retries, events, async || {
        look(plan, request, events).await
    })
    .await
}

async fn look(
    plan: &Arc<Executable>,
    request: &ApplyRequest,
    events: OnProgress<'_>,
) -> Result<Checked> {
    let file = plan.plan();
    let session = Session::open(&request.database, request.timeouts).await?;
    session.hide(file.mask());
    apply::check_target(&session, &file.header.target, &request.loader_schema).await?;
    session
        .set_search_path(&file.header.target.search_path)
        .await?;
    ledger::wait_until_idle(&session, &file.hash).await?;
    let before = apply::applied_before(&session, file).await?;
    apply::not_in_part(before.as_ref())?;
    if let Some(before) = &before
        && before.in_effect()
    {
        return Ok(Checked::Applied(Box::new(before.clone())));
    }
    session.may_write()?;
    let taken_back = apply::still_in_effect(&session, file).await?;
    let tables = apply::stage_all(&session, plan, &request.loader_schema, events).await?;
    let names: Vec<&crate::sql::Qualified> = tables.iter().map(|t| &t.target.table.name).collect();
    let snapshot = crate::pg::plan::snapshot::Snapshot::begin(&session, &names).await?;
    // What was read before the lock may have changed until it was there.
    staged::tables(&session, file).await?;
    let drift = drift::drift(&session, plan, &tables).await?;
    if drift.is_none() {
        let (schema, header) = (&request.loader_schema, &file.header);
        apply::check_undone(&session, schema, header, &tables, &taken_back).await?;
        apply::not_reloaded(&session, schema, &tables, &taken_back).await?;
        apply::check_limits(&session, header).await?;
        apply::check_referred(&session, &tables).await?;
    }
    snapshot.end().await?;
    Ok(match (drift, before) {
        (Some(report), _) => Checked::Drifted(report),
        (None, Some(before)) => Checked::RolledBack(Box::new(before)),
        (None, None) => Checked::Applicable,
    })
}
