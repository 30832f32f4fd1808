//! Which plans are still to be applied: the ledger knows.

use crate::error::Result;
use crate::pg::apply::is_target;
use crate::pg::ledger::{self, Latest};
use crate::pg::{Database, Session, Timeouts};
use crate::planfile::PlanFile;

/// What became of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlanState {
    /// It was never applied.
    Pending,
    /// It is applied.
    Applied(Box<Latest>),
    /// It was applied and rolled back.
    RolledBack(Box<Latest>),
    /// It was made for another database.
    Elsewhere,
}

impl PlanState {
    /// A stable word, for programs.
    pub fn word(&self) -> &'static str {
        match self {
            PlanState::Pending => "pending",
            PlanState::Applied(_) => "applied",
            PlanState::RolledBack(_) => "rolled_back",
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
    let state = |plan: &PlanFile| {
        if is_target(&here, &plan.header.target).is_err() {
            return PlanState::Elsewhere;
        }
        match Latest::of(&plan.hash, &applications).map(Box::new) {
            None => PlanState::Pending,
            Some(latest) if latest.in_effect() => PlanState::Applied(latest),
            Some(latest) => PlanState::RolledBack(latest),
        }
    };
    Ok(plans.iter().map(state).collect())
}
