//! Rehearsing: a plan that was just made is applied and rolled back, so that triggers and deferred
//! constraints have spoken before people review it.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use super::{
    Applied, ApplyRequest, OnProgress, PlanRequest, RollbackRequest, apply, plan, rollback,
};
use crate::error::{Error, ErrorKind, Remedy, Result, sqlstate};
use crate::plan::Header;
use crate::planfile::{Made, Notes, Outcome, PlanFile, Rehearsal, annotate};

/// Makes a plan, rehearses it, and writes it to `out` with the outcome in its notes. Returns its
/// header, its hash and the outcome.
///
/// # Errors
/// As [`plan`]; and what keeps a rehearsal from being held, as a role that may not write. That the
/// plan would be refused is no error: it is in the notes.
pub async fn plan_rehearsed(
    request: &PlanRequest,
    rehearsal: &ApplyRequest,
    out: impl Write,
    events: OnProgress<'_>,
) -> Result<(Header, String, Rehearsal)> {
    let unnoted = PlanRequest {
        made: None,
        ..request.clone()
    };
    let make = async |file: &File| plan(&unnoted, file, events).await;
    rehearsed(make, request.made.clone(), rehearsal, out, events).await
}

/// Makes the plan of a rollback, rehearses it, and writes it to `out` with the outcome in its notes. Returns its
/// header, its hash and the outcome.
///
/// # Errors
/// As [`rollback`], and as [`plan_rehearsed`].
pub async fn rollback_rehearsed(
    request: &RollbackRequest,
    rehearsal: &ApplyRequest,
    out: impl Write,
    events: OnProgress<'_>,
) -> Result<(Header, String, Rehearsal)> {
    let unnoted = RollbackRequest {
        made: None,
        ..request.clone()
    };
    let make = async |file: &File| rollback(&unnoted, file, events).await;
    rehearsed(make, request.made.clone(), rehearsal, out, events).await
}

/// The plan that `make` writes, rehearsed.
async fn rehearsed(
    make: impl AsyncFnOnce(&File) -> Result<(Header, String)>,
    made: Option<Made>,
    rehearsal: &ApplyRequest,
    out: impl Write,
    events: OnProgress<'_>,
) -> Result<(Header, String, Rehearsal)> {
    let spool = |e: std::io::Error| Error::io("making a temporary file for the plan", e);
    let file = tempfile::tempfile().map_err(spool)?;
    let (header, hash) = make(&file).await?;
    let kept = file.try_clone().map_err(spool)?;
    let plan = PlanFile::verify(file, "the plan".into())?;
    let rehearsal = rehearse(plan, rehearsal, events).await?;
    let notes = Notes {
        made,
        rehearsal: Some(rehearsal.clone()),
    };
    annotate(&kept, &notes, out)?;
    Ok((header, hash, rehearsal))
}

/// Does everything that an apply of the plan does, but the commit.
///
/// # Errors
/// What keeps a rehearsal from being held.
pub async fn rehearse(
    plan: PlanFile,
    request: &ApplyRequest,
    events: OnProgress<'_>,
) -> Result<Rehearsal> {
    let told = |outcome, message| Rehearsal { outcome, message };
    if let Some(against) = plan.header.against() {
        return Ok(told(Outcome::Blocked, against));
    }
    let plan = Arc::new(plan.executable()?);
    let request = ApplyRequest {
        dry_run: true,
        ..request.clone()
    };
    match apply(&plan, &request, std::future::pending(), events).await {
        Ok(Applied::Already(before)) => Ok(told(
            Outcome::Refused,
            format!("it was applied before, as {}", before.application),
        )),
        Ok(
            Applied::Done(_) | Applied::Unreplicated(_) | Applied::Rehearsed(_) | Applied::Nothing,
        ) => {
            let c = &plan.plan().header.summary;
            let message = format!(
                "{} inserted, {} updated, {} deleted, and rolled back",
                c.insert, c.update, c.delete
            );
            Ok(told(Outcome::Applies, message))
        }
        Err(e)
            if e.kind() == ErrorKind::Database
                && e.code() == Some(sqlstate::INSUFFICIENT_PRIVILEGE) =>
        {
            Err(e
                .with_kind(ErrorKind::Config)
                .and("; a rehearsal writes and rolls back, and so it needs the role that applies")
                .with_remedy(Remedy::RoleThatApplies))
        }
        // The database has spoken about the rows, or the loader about what the database did.
        Err(e)
            if match e.kind() {
                ErrorKind::Drift | ErrorKind::Blocked => true,
                ErrorKind::Database => !e.is_transient() && e.code().is_some(),
                _ => false,
            } =>
        {
            Ok(told(Outcome::Refused, format!("{e:#}")))
        }
        Err(e) => Err(e),
    }
}
