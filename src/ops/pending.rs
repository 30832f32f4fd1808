//! Which plans are still to be applied: the ledger knows.

use serde::Serialize;

use crate::error::{ErrorKind, Result};
use crate::pg::apply::check_target;
use crate::pg::{Database, Session, Timeouts, ledger};
use crate::planfile::PlanFile;

/// What became of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PlanState {
    /// It was never applied.
    Pending,
    /// It is applied.
    Applied,
    /// It was applied and rolled back.
    RolledBack,
    /// It was made for another database.
    Elsewhere,
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
    session.target(loader_schema).await?;
    let applications = ledger::applications(&session, loader_schema, None).await?;
    let mut states = Vec::with_capacity(plans.len());
    for plan in plans {
        let here = check_target(&session, &plan.header.target, loader_schema).await;
        states.push(match here {
            Err(e) if e.kind() == ErrorKind::PlanRefused => PlanState::Elsewhere,
            Err(e) => return Err(e),
            // Newest first: only the latest application of a plan counts.
            Ok(()) => match applications.iter().find(|a| a.plan_hash == plan.hash) {
                None => PlanState::Pending,
                Some(a) if a.undone_by.is_none() => PlanState::Applied,
                Some(_) => PlanState::RolledBack,
            },
        });
    }
    Ok(states)
}
