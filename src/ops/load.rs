//! A load in one step, and its results under the names that the original had for them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::{Applied, ApplyRequest, OnProgress, PlanRequest, apply, plan};
use crate::error::{Error, Result};
use crate::plan::Header;
use crate::planfile::PlanFile;

/// What a load came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoadResults {
    /// `applied`, `applied_not_replicated` (no synchronous standby confirmed it), `rehearsed` (a dry run), `applied_already`, or `nothing_to_apply`, where no row would
    /// change. In the last two cases nothing was written now.
    pub status: &'static str,
    /// The application's id, as it stands in the ledger; none where there was nothing to apply.
    pub application: Option<String>,
    /// The batch.
    pub batch_id: String,
    /// By table.
    pub tables: BTreeMap<String, TableResults>,
    /// Records that were read.
    pub total_records: u64,
    /// Rows inserted.
    pub records_loaded: u64,
    /// Rows updated.
    pub records_updated: u64,
    /// Rows deleted.
    pub records_deleted: u64,
    /// Records that changed nothing.
    pub records_skipped: u64,
    /// Records that were left out.
    pub errors: u64,
}

/// What a load came to in one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableResults {
    /// The table.
    pub table_name: String,
    /// Rows inserted.
    pub records_loaded: u64,
    /// Rows updated.
    pub records_updated: u64,
    /// Rows deleted.
    pub records_deleted: u64,
    /// Records that changed nothing.
    pub records_skipped: u64,
    /// Records that were left out.
    pub errors: u64,
}

impl LoadResults {
    /// What applying the plan with this header came to.
    pub fn new(header: &Header, applied: &Applied) -> LoadResults {
        let (status, application) = match applied {
            Applied::Done(report) => ("applied", Some(&report.application)),
            Applied::Unreplicated(report) => ("applied_not_replicated", Some(&report.application)),
            Applied::Rehearsed(report) => ("rehearsed", Some(&report.application)),
            Applied::Already(before) => ("applied_already", Some(&before.application)),
            Applied::Nothing => ("nothing_to_apply", None),
        };
        let nothing = matches!(applied, Applied::Already(_));
        let n = |count: u64| if nothing { 0 } else { count };
        let table = |t: &crate::plan::TablePlan| TableResults {
            table_name: t.table.clone(),
            records_loaded: n(t.counts.insert),
            records_updated: n(t.counts.update),
            records_deleted: n(t.counts.delete),
            records_skipped: n(t.counts.skip),
            errors: n(t.rejected),
        };
        let tables = header.tables.iter().map(|t| (t.table.clone(), table(t)));
        LoadResults {
            status,
            application: application.cloned(),
            batch_id: header.batch_id.clone(),
            tables: tables.collect(),
            total_records: header.records,
            records_loaded: n(header.summary.insert),
            records_updated: n(header.summary.update),
            records_deleted: n(header.summary.delete),
            records_skipped: n(header.summary.skip),
            errors: n(header.rejected),
        }
    }
}

/// Plans a batch and applies the plan at once, without anybody's approval: who wants a review calls
/// [`plan`] and [`apply`].
///
/// # Errors
/// As [`plan`] and [`apply`]; [`Blocked`](crate::ErrorKind::Blocked) where violations or limits stand against the plan.
pub async fn load(
    batch: &PlanRequest,
    how: &ApplyRequest,
    stop: impl Future<Output = ()>,
    events: OnProgress<'_>,
) -> Result<LoadResults> {
    let file = tempfile::tempfile().map_err(|e| Error::io("making a temporary file", e))?;
    let handle = file
        .try_clone()
        .map_err(|e| Error::io("reading the plan", e))?;
    plan(batch, &file, events).await?;
    let name = format!("the plan of batch {}", batch.batch_id);
    let plan = Arc::new(PlanFile::verify(handle, name)?.executable()?);
    let applied = apply(&plan, how, stop, events).await?;
    Ok(LoadResults::new(&plan.plan().header, &applied))
}
