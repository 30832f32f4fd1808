//! The operations: what each command of the program does, as a function with typed results.
//!
//! They are straight-line, print nothing and ask nobody; what happens is told as [`Event`]s. They
//! run in any tokio runtime.

mod apply;
mod batches;
mod configured;
mod graph;
mod history;
mod init;
mod load;
mod pending;
mod plan;
mod read;
mod rehearse;
mod rejects;
mod retry;
mod reviewed;
mod rollback;
mod targets;

pub use apply::{Applied, ApplyRequest, Checked, applied_before, apply, check};
pub use batches::{Batch, BatchState, BatchesRequest, QueueCount, batches};
pub use configured::{ConfigCheckRequest, ConfigChecked, Work, check_config};
pub use graph::graph;
pub use history::{AuditFilter, Change, audit, history};
pub use init::{InitRequest, init};
pub use load::{LoadResults, TableResults, load};
pub use pending::{PlanState, pending};
pub use plan::{Key, LeftOut, PlanRequest, Queue, ReportUse, plan};
pub(crate) use plan::{PREFIX, REPORT};
pub use rehearse::{plan_rehearsed, rehearse, rollback_rehearsed};
pub use rejects::{Sensitive, rejects};
pub use reviewed::{Followed, Reviewed};
pub use rollback::{RollbackRequest, TakenBack, rollback};

use crate::error::Result;
pub use crate::pg::apply::{Report, RolledBack};
pub use crate::pg::ledger::{Application, Latest};
use crate::pg::{Database, Session, Timeouts, migrate as migrations};
pub use crate::pg::{Event, OnProgress};
pub use crate::table::graph::{Dependency, TableGraph};

/// Makes or completes the loader's tables and returns what was run.
///
/// # Errors
/// [`Config`](crate::ErrorKind::Config) with all that adopted tables lack or refuse; [`Database`](crate::ErrorKind::Database).
pub async fn migrate(
    database: &Database,
    timeouts: Timeouts,
    schema: &str,
    new_lineage: bool,
) -> Result<Vec<String>> {
    let mut session = Session::open(database, timeouts).await?;
    session.may_write()?;
    let ran = migrations::migrate(&mut session, schema).await?;
    if new_lineage {
        migrations::new_lineage(&session, schema).await?;
    }
    Ok(ran)
}
