//! Which plans are still to be applied: the ledger knows.

use crate::error::Result;
use crate::pg::apply::is_target;
use crate::pg::ledger::{self, Latest};
use crate::pg::{Database, Session, Timeouts, queue};
use crate::plan::Kind;
use crate::planfile::{Item, PlanFile};

/// What became of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlanState {
    /// It was never applied.
    Pending,
    /// It is applied.
    Applied(Box<Latest>),
    /// It is applied, and some of its rows were undone since.
    UndoneInPart(Box<Latest>),
    /// It was applied and rolled back.
    RolledBack(Box<Latest>),
    /// It was never applied, and applying it would change nothing.
    Nothing,
    /// It was made for another database.
    Elsewhere,
}

impl PlanState {
    /// A stable word, for programs.
    pub fn word(&self) -> &'static str {
        match self {
            PlanState::Pending => "pending",
            PlanState::Applied(_) => "applied",
            PlanState::UndoneInPart(_) => "undone_in_part",
            PlanState::RolledBack(_) => "rolled_back",
            PlanState::Nothing => "nothing_to_apply",
            PlanState::Elsewhere => "elsewhere",
        }
    }
}

/// What became of each of these plans, in their order. Reads only.
///
/// # Errors
/// As [`super::history`].
pub async fn pending(
    database: &Database,
    timeouts: Timeouts,
    loader_schema: &str,
    plans: &[PlanFile],
) -> Result<Vec<PlanState>> {
    let session = Session::open(database, timeouts).await?;
    let here = session.target(loader_schema).await?;
    let applications = ledger::applications(&session, loader_schema, None).await?;
    let mut states = Vec::with_capacity(plans.len());
    for plan in plans {
        let latest = Latest::of(&plan.hash, &applications).map(Box::new);
        states.push(match latest {
            _ if is_target(&here, &plan.header.target).is_err() => PlanState::Elsewhere,
            Some(latest) if latest.application.in_part().is_some() => {
                PlanState::UndoneInPart(latest)
            }
            Some(latest) if latest.in_effect() => PlanState::Applied(latest),
            Some(latest) => PlanState::RolledBack(latest),
            None if changes_nothing(&session, loader_schema, plan).await? => PlanState::Nothing,
            None => PlanState::Pending,
        });
    }
    Ok(states)
}

/// Whether applying the plan would change no row, nothing stands against that, and every entry of its fragments in
/// the queue is loaded already.
async fn changes_nothing(session: &Session, schema: &str, plan: &PlanFile) -> Result<bool> {
    let header = &plan.header;
    let blocked = header.against().is_some();
    if header.summary.changes() > 0 || blocked || header.kind == Kind::Rollback {
        return Ok(false);
    }
    let mut entries = Vec::new();
    plan.stream(&mut |item| {
        if let Item::Fragment(fragment) = item {
            entries.extend(fragment.queue.into_iter().map(|entry| entry.id));
        }
        Ok(())
    })?;
    if entries.is_empty() || header.rejected > 0 {
        // Entries of fragments with records that are left out get verdicts of several kinds.
        return Ok(entries.is_empty());
    }
    Ok(queue::loaded(session, schema, &entries).await? == entries.len() as u64)
}
